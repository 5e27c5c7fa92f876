//! What workers have said and JavaScript in the master has not taken yet.
//!
//! The supervisor counts here what it reads from a worker, per worker: messages of the application, which go straight to
//! JavaScript, and those of the protocol, until the events that they cause are taken. While the master's event loop is
//! blocked this grows; at a limit that worker's channel is read no further, so its words wait in the kernel and in the
//! worker. All other workers are read and answered as ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// So many bytes of one worker's messages may wait for JavaScript.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// So many handles of all applications together may wait for JavaScript, each an open descriptor of the master.
const MOST_HANDLES: usize = 200;

/// The handles of all workers that wait.
#[derive(Clone, Debug, Default)]
pub struct Handles(Arc<AtomicUsize>);

/// What waits of one worker.
#[derive(Clone, Debug)]
pub struct Backlog(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    bytes: AtomicUsize,
    handles: AtomicUsize,
    all_handles: Handles,
    eased: Notify,
}

/// A part of what waits; it stops waiting when this is dropped, on whatever thread.
#[derive(Debug)]
pub struct Waiting {
    of: Backlog,
    bytes: usize,
    handles: usize,
}

impl Backlog {
    /// Of a worker that has said nothing yet.
    #[must_use]
    pub fn new(all_handles: Handles) -> Self {
        let (bytes, handles, eased) = (AtomicUsize::new(0), AtomicUsize::new(0), Notify::new());
        Self(Arc::new(Counts { bytes, handles, all_handles, eased }))
    }

    /// Counts what is about to be passed on.
    #[must_use]
    pub fn add(&self, bytes: usize, handles: usize) -> Waiting {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.handles.fetch_add(handles, Ordering::Relaxed);
        self.0.all_handles.0.fetch_add(handles, Ordering::Relaxed);
        Waiting { of: self.clone(), bytes, handles }
    }

    /// Waits until the worker's channel may be read again. A worker that has no handle waiting is never held up by others.
    ///
    /// Cancel-safe.
    pub async fn has_room(&self) {
        loop {
            // Registered before the counts are read, so nothing that eases them in between is missed.
            let eased = self.0.eased.notified();
            if !self.is_full() {
                return;
            }
            eased.await;
        }
    }

    fn is_full(&self) -> bool {
        let has_handles = self.0.handles.load(Ordering::Relaxed) > 0;
        let is_crowded = self.0.all_handles.0.load(Ordering::Relaxed) >= MOST_HANDLES;
        self.0.bytes.load(Ordering::Relaxed) >= MOST_BYTES || (has_handles && is_crowded)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Counts { bytes, handles, all_handles, eased } = &*self.of.0;
        bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        handles.fetch_sub(self.handles, Ordering::Relaxed);
        all_handles.0.fetch_sub(self.handles, Ordering::Relaxed);
        eased.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_of_one_worker_hold_up_that_worker_alone() {
        let handles = Handles::default();
        let (one, other) = (Backlog::new(handles.clone()), Backlog::new(handles));
        let first = one.add(MOST_BYTES - 1, 0);
        one.has_room().await;
        let second = one.add(1, 0);
        assert!(one.is_full() && !other.is_full());
        let eased = tokio::join!(one.has_room(), async { drop(second) });
        assert_eq!(eased, ((), ()));
        drop(first);
        assert_eq!(one.0.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn handles_are_counted_over_all_workers_and_hold_up_those_who_sent_them() {
        let handles = Handles::default();
        let (one, other) = (Backlog::new(handles.clone()), Backlog::new(handles));
        let mut waiting: Vec<_> = (0..MOST_HANDLES).map(|_| one.add(0, 1)).collect();
        assert!(one.is_full() && !other.is_full());
        waiting.push(other.add(0, 1));
        assert!(other.is_full());
        waiting.truncate(MOST_HANDLES / 2);
        assert!(!one.is_full() && !other.is_full());
    }
}
