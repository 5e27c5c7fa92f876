//! What is due when: one table for the whole supervisor; pure.
//!
//! Each thing that may become due has one entry at most. Whoever wants to be called sets the entry, and firing removes it,
//! so a deadline that nobody looks after can never wake the loop twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::ids::{SlotIndex, WorkerId};

/// A deadline that has passed already is due so much later, so that no mistake makes the loop spin.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// What can be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A deadline of the fleet.
    Fleet,
    /// The next look at the queues and the loops behind them.
    QueueLook,
    /// A worker that owes an answer is passed over.
    PassOver,
    /// Workers watch the queues of their neighbours anew.
    WakeOrder,
    /// Connections that a worker has not begun to serve are taken back.
    TakeBack,
    /// An address that no worker has any more is given up.
    GiveUp,
    /// Descriptors were short: what could not be accepted is tried again.
    AcceptAgain,
    /// Descriptors were short: workers that wait for a socket are answered.
    LendAgain,
    /// The next look for workers that hang.
    HangLook,
    /// The master's heartbeat.
    Heartbeat,
    /// The channel of a worker ended a while ago, and the worker has not.
    ChannelEnded(WorkerId),
    /// A worker that loaded our package listens, and has made no `Cluster` since.
    ReadyUnlessAnnounced(WorkerId),
    /// A worker runs a script as it is, which has opened no server.
    ReadyWithoutServer(WorkerId),
    /// A worker made a `Cluster` that has not listened.
    ReadyWithoutListen(WorkerId),
    /// The announcement of a shutdown has had its time.
    DrainDelay,
    /// The next look at the queues of a shutdown.
    Closing,
    /// The sockets of a slot that was given up are to be closed.
    CloseSlot(SlotIndex),
    /// The disk owes a pid file for so long that people should know.
    DiskLook,
    /// The service manager is to be told something.
    ServiceManager,
    /// JavaScript had its time to say with what workers are to be started.
    FreshSettings,
    /// A reload has ended on which others waited.
    NextReload,
    /// A reload that failed waits no longer for the reason.
    FailedReload,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    at: BTreeMap<Due, Instant>,
    order: BTreeSet<(Instant, Due)>,
}

impl Timers {
    /// Sets when it is due, whatever was set before.
    pub(crate) fn set(&mut self, due: Due, at: Instant, now: Instant) {
        self.cancel(due);
        let at = at.max(now + LEAST_WAIT);
        self.at.insert(due, at);
        self.order.insert((at, due));
    }

    /// Sets when it is due, or that it is not.
    pub(crate) fn follow(&mut self, due: Due, at: Option<Instant>, now: Instant) {
        match at {
            Some(at) => self.set(due, at, now),
            None => self.cancel(due),
        }
    }

    /// It is not due any more.
    pub(crate) fn cancel(&mut self, due: Due) {
        if let Some(at) = self.at.remove(&due) {
            self.order.remove(&(at, due));
        }
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out what is due now, the earliest first.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Due> {
        let (_, due) = *self.order.first().filter(|(at, _)| *at <= now)?;
        self.cancel(due);
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_once_and_in_its_order() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        let after = |millis| now + Duration::from_millis(millis);
        timers.set(Due::Heartbeat, after(30), now);
        timers.set(Due::Fleet, after(20), now);
        timers.set(Due::Fleet, after(10), now);
        assert_eq!(timers.next(), Some(after(10)));
        assert_eq!(timers.pop(now), None);
        assert_eq!(timers.pop(after(50)), Some(Due::Fleet));
        assert_eq!(timers.pop(after(50)), Some(Due::Heartbeat));
        assert_eq!((timers.pop(after(50)), timers.next()), (None, None));
    }

    #[test]
    fn a_deadline_in_the_past_is_due_a_little_later() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        timers.set(Due::Fleet, now.checked_sub(Duration::from_secs(1)).unwrap(), now);
        assert_eq!(timers.pop(now), None);
        assert_eq!(timers.pop(now + LEAST_WAIT), Some(Due::Fleet));
    }

    #[test]
    fn what_is_cancelled_is_not_due() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        timers.set(Due::CloseSlot(SlotIndex(1)), now, now);
        timers.set(Due::CloseSlot(SlotIndex(2)), now, now);
        timers.follow(Due::CloseSlot(SlotIndex(1)), None, now);
        assert_eq!(timers.pop(now + LEAST_WAIT), Some(Due::CloseSlot(SlotIndex(2))));
        assert_eq!(timers.next(), None);
    }
}
