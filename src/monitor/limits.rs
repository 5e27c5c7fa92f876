//! What the clients of the monitor's port may use up, all of them together and each one.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

/// The limits of one monitor.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request's line and headers; at least 8,192.
    pub head_size: usize,
    /// Time for a request's line and headers to arrive, from when the connection waits for them.
    pub head_time: Duration,
    /// Time in which at least one byte must go either way; a stream that has nothing to say must say that.
    pub idle_time: Duration,
    /// Connections open at once.
    pub connections: usize,
    /// Further connections, for questions about health only.
    pub for_health: usize,
    /// From this descriptor on they are short.
    pub descriptors: i32,
}

impl Default for Limits {
    /// Those for a process that may open as many descriptors as this one.
    fn default() -> Self {
        let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        Self::within(usize::try_from(most).unwrap_or(usize::MAX))
    }
}

impl Limits {
    /// Those for a process that may open so many descriptors: a quarter of them at most is for the monitor, and a quarter
    /// or 64 are left for supervision.
    #[must_use]
    pub fn within(descriptors: usize) -> Self {
        let connections = (descriptors / 4).clamp(16, 1024);
        let for_health = (connections / 8).min(32);
        Self {
            head_size: 16 * 1024,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            connections: connections - for_health,
            for_health,
            descriptors: i32::try_from(descriptors - (descriptors / 4).min(64)).unwrap_or(i32::MAX),
        }
    }

    /// How many of all connections one kind of lasting answer may take, `most` at most: there must be some left for others.
    #[must_use]
    pub fn share(self, most: usize) -> usize {
        most.min((self.connections + self.for_health) / 4)
    }
}
