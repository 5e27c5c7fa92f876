//! Why workers are recycled and why they are gone: each reason once, with its name and its sentence.
//!
//! The names are permanent. They are the labels of metrics, they stand in the monitor's JSON, and a worker that asks for
//! a successor says one of them; the counters and the documents are made from the lists here.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer};

/// Why a worker is recycled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecycleReason {
    /// The worker itself, the application or an operator asked for it.
    Asked,
    /// It accepted its number of connections (`connThreshold`).
    Connections,
    /// It served its number of requests (`requestThreshold`).
    Requests,
    /// It is old (`uptimeThreshold`).
    Uptime,
    /// It is large (`memoryThreshold`).
    Memory,
    /// It had an uncaught exception. At most one recycle per slot and stable time; further ones are ignored.
    Exception,
    /// Its loop does not turn, so it is killed instead of drained once its successor is ready.
    Hung,
    /// It is of a release whose reload failed or was cancelled.
    Refused,
}

impl RecycleReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Asked,
        Self::Connections,
        Self::Requests,
        Self::Uptime,
        Self::Memory,
        Self::Exception,
        Self::Hung,
        Self::Refused,
    ];

    /// Its name in labels, JSON and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Uptime => "uptime",
            Self::Memory => "memory",
            Self::Exception => "exception",
            Self::Hung => "hung",
            Self::Refused => "refused",
        }
    }

    /// What people read.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Asked => "recycled on request",
            Self::Connections => "recycled: its number of connections was reached",
            Self::Requests => "recycled: its number of requests was reached",
            Self::Uptime => "recycled: its time was up",
            Self::Memory => "recycled: its memory limit was reached",
            Self::Exception => "recycled after an uncaught exception",
            Self::Hung => "its event loop hung",
            Self::Refused => "recycled: the reload to its release failed or was cancelled",
        }
    }

    /// The reason with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl<'de> Deserialize<'de> for RecycleReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| de::Error::custom(format!("there is no reason '{name}' to recycle")))
    }
}

/// Why a worker is gone, as far as the fleet had a part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathReason {
    /// Nobody asked it to go: a crash, an exit of its own, or a fork that failed.
    Unasked,
    /// Its channel ended without notice while it lived, so nobody could reach it.
    ChannelLost,
    /// It was not ready in time.
    StartTimeout,
    /// Shutdown.
    Drained,
    /// It left, or closed its channel on purpose.
    Left,
    /// It was recycled.
    Recycled(RecycleReason),
    /// It was replaced by a reload.
    Reloaded,
    /// Its slot was taken away.
    ScaledDown,
    /// Stop.
    Stopped,
    /// It had to be killed at the end of its drain.
    Overdue,
    /// A successor that was called off with its exchange.
    GivenUp,
}

impl DeathReason {
    /// Every name.
    pub const NAMES: [&'static str; 11] = [
        Self::Unasked.name(),
        Self::ChannelLost.name(),
        Self::StartTimeout.name(),
        Self::Drained.name(),
        Self::Left.name(),
        Self::Recycled(RecycleReason::Asked).name(),
        Self::Reloaded.name(),
        Self::ScaledDown.name(),
        Self::Stopped.name(),
        Self::Overdue.name(),
        Self::GivenUp.name(),
    ];

    /// Its name in labels and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unasked => "crash",
            Self::ChannelLost => "channel_lost",
            Self::StartTimeout => "start_timeout",
            Self::Drained => "shutdown",
            Self::Left => "left",
            Self::Recycled(_) => "recycle",
            Self::Reloaded => "reload",
            Self::ScaledDown => "scale_down",
            Self::Stopped => "stop",
            Self::Overdue => "overdue",
            Self::GivenUp => "given_up",
        }
    }

    /// What people read, where the fleet knows more than the kernel's word. `says_ready`: a worker was to say that it is ready.
    #[must_use]
    pub fn sentence(self, start_timeout: Duration, says_ready: bool) -> Option<String> {
        let within = start_timeout.as_millis();
        Some(match self {
            Self::Unasked => return None,
            Self::StartTimeout if says_ready => {
                format!("did not say `process.send('ready')` within {within} ms")
            }
            Self::StartTimeout => format!("did not listen within {within} ms"),
            Self::ChannelLost => "its channel ended without notice".into(),
            Self::Drained => "shut down".into(),
            Self::Left => "left by itself".into(),
            Self::Recycled(reason) => reason.sentence().into(),
            Self::Reloaded => "replaced by a reload".into(),
            Self::ScaledDown => "scaled down".into(),
            Self::Stopped => "stopped".into(),
            Self::Overdue => "did not finish in time and was ended".into(),
            Self::GivenUp => "given up before it served".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_to_recycle_is_found_by_its_name_and_an_unknown_one_is_an_error() {
        for reason in RecycleReason::ALL {
            assert_eq!(RecycleReason::parse(reason.name()), Some(reason));
        }
        assert_eq!(RecycleReason::parse("because"), None);
        assert!(serde_json::from_str::<RecycleReason>("\"because\"").is_err());
    }

    #[test]
    fn the_documents_list_every_name() {
        let metrics = include_str!("../docs/metrics.md");
        let names = RecycleReason::ALL.into_iter().map(RecycleReason::name).chain(DeathReason::NAMES);
        for name in names {
            assert!(metrics.contains(&format!("`{name}`")), "docs/metrics.md lacks `{name}`");
        }
    }
}
