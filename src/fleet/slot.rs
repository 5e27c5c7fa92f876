//! The life of one worker and the state of one slot; pure: no clock, no process.
//!
//! The fleet owns both and brings the news. A worker's life has its data only where it means something, every deadline
//! sits in the state that it bounds, and the way out is always the same ladder: drain, end, kill.
//! Invariant: a life only moves forward; news that comes too late or twice leaves it as it is.

use std::time::{Duration, Instant};

use super::backoff::{Backoff, Service, after};
use super::terms::{DeathReason, MemberState};
use crate::ids::{SlotIndex, WorkerId};

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Forked, not ready yet. Once it was lent a socket it may have clients all the same.
    Starting { ready_by: Instant, has_socket: bool },
    /// Booted, and waits for a slot.
    Spare,
    /// Takes clients.
    Serving,
    /// Closes its servers and then its channel, on its own account.
    Departing { cause: DeathReason },
    /// Was ordered to drain; at its deadline it is ordered to end.
    Draining { cause: DeathReason, end_by: Instant },
    /// Closed its channel: no order reaches it, so at its deadline it is killed.
    Adrift { cause: DeathReason, kill_by: Instant },
    /// Was ordered to end at once; at its deadline it is killed.
    Ending { cause: DeathReason, kill_by: Instant },
    /// Was sent SIGKILL; only its exit is missing. At its deadline it is waited for no longer.
    Killed { cause: DeathReason, give_up_by: Instant },
}

/// What a life can be told.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    Ready,
    /// It has booted, and has no slot.
    Warm,
    /// It has got a slot.
    Serve {
        ready_by: Instant,
    },
    /// It has a socket to listen on.
    Lent,
    /// It closes its servers and its channel by itself.
    Depart {
        cause: DeathReason,
    },
    /// To drain, ready or not.
    Drain {
        cause: DeathReason,
        by: Instant,
    },
    /// To drain if it may have clients, else to end at once. A worker that is already on its way out keeps the earlier of the
    /// two deadlines.
    Dismiss {
        cause: DeathReason,
        drain_by: Instant,
        kill_by: Instant,
    },
    /// Its channel is closed for good.
    CutOff {
        cause: DeathReason,
        by: Instant,
    },
    Kill {
        cause: DeathReason,
    },
    Tick {
        kill_timeout: Duration,
    },
}

/// What the process must be told in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Drain {
        by: Instant,
    },
    End,
    Kill,
    /// The kernel does not end it: go on without.
    GiveUp,
}

/// How long the kernel may take to end what was sent SIGKILL; longer means a process that hangs in the kernel.
const UNKILLABLE: Duration = Duration::from_secs(5);

impl Life {
    /// Takes in one piece of news; says which order follows.
    pub(super) fn step(self, news: News, now: Instant) -> (Self, Option<Order>) {
        match news {
            News::Ready => (self.ready(), None),
            News::Warm => (self.warm(), None),
            News::Serve { ready_by } => (self.serve(ready_by), None),
            News::Lent => (self.lent(), None),
            News::Depart { cause } => (self.depart(cause), None),
            News::Drain { cause, by } => self.drain(cause, by),
            News::Dismiss { cause, drain_by, kill_by } => self.dismiss(cause, drain_by, kill_by),
            News::CutOff { cause, by } => (self.cut_off(cause, by), None),
            News::Kill { cause } => self.kill(cause, now),
            News::Tick { kill_timeout } => self.tick(now, kill_timeout),
        }
    }

    fn ready(self) -> Self {
        // Each further server of a worker says so again; and one that is on its way out takes no clients. A spare has
        // nothing to listen on.
        if matches!(self, Self::Starting { .. }) { Self::Serving } else { self }
    }

    fn warm(self) -> Self {
        // It is said again by whoever has more than one server.
        if matches!(self, Self::Starting { .. }) { Self::Spare } else { self }
    }

    fn serve(self, ready_by: Instant) -> Self {
        // One that still boots has a deadline, and listens when it comes to that.
        if self == Self::Spare { Self::Starting { ready_by, has_socket: false } } else { self }
    }

    fn lent(self) -> Self {
        // The others have clients already, or get no more.
        if let Self::Starting { ready_by, .. } = self {
            Self::Starting { ready_by, has_socket: true }
        } else {
            self
        }
    }

    fn depart(self, cause: DeathReason) -> Self {
        // One that is going already goes for the reason that came first.
        if self.is_in_post() { Self::Departing { cause } } else { self }
    }

    fn drain(self, cause: DeathReason, by: Instant) -> (Self, Option<Order>) {
        // One that is going already goes for the reason that came first.
        if self.is_in_post() {
            (Self::Draining { cause, end_by: by }, Some(Order::Drain { by }))
        } else {
            (self, None)
        }
    }

    fn dismiss(self, cause: DeathReason, drain_by: Instant, kill_by: Instant) -> (Self, Option<Order>) {
        match self {
            Self::Starting { has_socket: false, .. } | Self::Spare => {
                (Self::Ending { cause, kill_by }, Some(Order::End))
            }
            Self::Starting { has_socket: true, .. } | Self::Serving => {
                (Self::Draining { cause, end_by: drain_by }, Some(Order::Drain { by: drain_by }))
            }
            // It needs no order to go, but has a deadline from now on.
            Self::Departing { cause } => (Self::Draining { cause, end_by: drain_by }, None),
            Self::Draining { cause, end_by } => {
                (Self::Draining { cause, end_by: end_by.min(drain_by) }, None)
            }
            Self::Adrift { cause, kill_by: due } => {
                (Self::Adrift { cause, kill_by: due.min(drain_by) }, None)
            }
            // Nothing is quicker than what was ordered.
            Self::Ending { .. } | Self::Killed { .. } => (self, None),
        }
    }

    fn cut_off(self, cause: DeathReason, by: Instant) -> Self {
        match self {
            Self::Starting { .. } | Self::Spare | Self::Serving => Self::Adrift { cause, kill_by: by },
            Self::Departing { cause } => Self::Adrift { cause, kill_by: by },
            Self::Draining { cause, end_by } => Self::Adrift { cause, kill_by: end_by },
            // Its last order has been given, or it is known to have lost its channel.
            Self::Adrift { .. } | Self::Ending { .. } | Self::Killed { .. } => self,
        }
    }

    fn kill(self, cause: DeathReason, now: Instant) -> (Self, Option<Order>) {
        // A process dies once.
        if matches!(self, Self::Killed { .. }) {
            (self, None)
        } else {
            (Self::Killed { cause, give_up_by: after(now, UNKILLABLE) }, Some(Order::Kill))
        }
    }

    fn tick(self, now: Instant, kill_timeout: Duration) -> (Self, Option<Order>) {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return (self, None);
        }
        match self {
            Self::Starting { has_socket: false, .. } => self.kill(DeathReason::StartTimeout, now),
            // It may have clients, who are answered if it can.
            Self::Starting { has_socket: true, .. } => {
                let by = after(now, kill_timeout);
                (Self::Draining { cause: DeathReason::StartTimeout, end_by: by }, Some(Order::Drain { by }))
            }
            Self::Draining { cause, .. } => {
                (Self::Ending { cause, kill_by: after(now, kill_timeout) }, Some(Order::End))
            }
            Self::Adrift { cause, .. } | Self::Ending { cause, .. } => self.kill(overdue(cause), now),
            Self::Killed { .. } => (self, Some(Order::GiveUp)),
            // None of these has a deadline.
            Self::Spare | Self::Serving | Self::Departing { .. } => (self, None),
        }
    }

    /// When a `Tick` changes something.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Starting { ready_by: due, .. }
            | Self::Draining { end_by: due, .. }
            | Self::Adrift { kill_by: due, .. }
            | Self::Ending { kill_by: due, .. }
            | Self::Killed { give_up_by: due, .. } => Some(due),
            Self::Spare | Self::Serving | Self::Departing { .. } => None,
        }
    }

    /// Why it is gone, if it is gone now.
    pub(super) fn cause(self) -> DeathReason {
        match self {
            Self::Starting { .. } | Self::Spare | Self::Serving => DeathReason::Unasked,
            Self::Departing { cause }
            | Self::Draining { cause, .. }
            | Self::Adrift { cause, .. }
            | Self::Ending { cause, .. }
            | Self::Killed { cause, .. } => cause,
        }
    }

    /// Not on its way out.
    fn is_in_post(self) -> bool {
        self.state() != MemberState::Draining
    }

    /// What the outside sees.
    pub(super) fn state(self) -> MemberState {
        match self {
            Self::Starting { .. } => MemberState::Starting,
            Self::Spare => MemberState::Spare,
            Self::Serving => MemberState::Serving,
            Self::Departing { .. }
            | Self::Draining { .. }
            | Self::Adrift { .. }
            | Self::Ending { .. }
            | Self::Killed { .. } => MemberState::Draining,
        }
    }
}

/// A worker that had to be killed was overdue, unless it mattered to nobody any more how it went.
fn overdue(cause: DeathReason) -> DeathReason {
    match cause {
        DeathReason::GivenUp => DeathReason::GivenUp,
        DeathReason::StartTimeout => DeathReason::StartTimeout,
        DeathReason::ChannelLost => DeathReason::ChannelLost,
        DeathReason::Unasked
        | DeathReason::Drained
        | DeathReason::Left
        | DeathReason::Recycled(_)
        | DeathReason::Reloaded
        | DeathReason::ScaledDown
        | DeathReason::Stopped
        | DeathReason::Overdue => DeathReason::Overdue,
    }
}

/// One worker, from its `Spawn` until it is gone.
#[derive(Debug)]
pub(super) struct Member {
    /// None for a spare.
    pub(super) slot: Option<SlotIndex>,
    /// The number of the reload that brought its release.
    pub(super) generation: u32,
    /// When its state as seen from outside last changed.
    pub(super) since: Instant,
    pub(super) life: Life,
}

impl Member {
    /// Not on its way out.
    pub(super) fn is_in_post(&self) -> bool {
        self.life.is_in_post()
    }

    /// How long it has done what it is kept for: taken clients, or stood by.
    pub(super) fn service(&self, now: Instant) -> Service {
        let is_of_use = matches!(self.life, Life::Serving | Life::Spare);
        if is_of_use { Service::For(now.saturating_duration_since(self.since)) } else { Service::Never }
    }
}

/// How a worker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It exited with status 0.
    Clean,
    /// It exited otherwise, or is waited for no longer.
    Failed,
    /// It never was: the system was short of something.
    NotForked,
}

/// Who holds a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occupancy {
    /// Nobody; the next fork may happen then.
    Waiting { until: Instant },
    /// One worker, in post or killed because it was not ready in time.
    Held { by: WorkerId },
    /// One worker that serves, and the one that is to relieve it.
    Exchanging { by: WorkerId, successor: WorkerId },
    /// Nobody ever again; the slot closes with its last worker.
    Retired,
}

/// What a worker is to its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Post {
    /// The one that fills it.
    Alone,
    /// The one that fills it until `successor` is ready.
    Relieved { successor: WorkerId },
    /// The one that is to relieve `of`.
    Successor { of: WorkerId },
    /// Nothing any more.
    Out,
}

/// One place that should hold a worker.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) occupancy: Occupancy,
    pub(super) backoff: Backoff,
    /// Until then, exceptions recycle nobody here.
    pub(super) calm_until: Option<Instant>,
}

impl Slot {
    /// What `worker` is to this slot.
    pub(super) fn post(&self, worker: WorkerId) -> Post {
        match self.occupancy {
            Occupancy::Held { by } if by == worker => Post::Alone,
            Occupancy::Exchanging { by, successor } if by == worker => Post::Relieved { successor },
            Occupancy::Exchanging { by, successor } if successor == worker => Post::Successor { of: by },
            Occupancy::Waiting { .. }
            | Occupancy::Held { .. }
            | Occupancy::Exchanging { .. }
            | Occupancy::Retired => Post::Out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TICK: News = News::Tick { kill_timeout: SECOND };

    #[test]
    fn the_ladder_is_drain_then_end_then_kill() {
        let now = Instant::now();
        let by = now + SECOND;
        let (life, order) = Life::Serving.step(News::Drain { cause: DeathReason::Left, by }, now);
        assert_eq!(order, Some(Order::Drain { by }));
        assert_eq!(life.step(TICK, now), (life, None), "not before its deadline");
        let (life, order) = life.step(TICK, by);
        assert_eq!(order, Some(Order::End));
        let (life, order) = life.step(TICK, by + SECOND);
        let give_up_by = by + SECOND + UNKILLABLE;
        let killed = Life::Killed { cause: DeathReason::Overdue, give_up_by };
        assert_eq!((life, order), (killed, Some(Order::Kill)));
        assert_eq!(life.step(TICK, by + SECOND * 2), (life, None));
        assert_eq!(life.step(TICK, give_up_by), (life, Some(Order::GiveUp)));
    }

    #[test]
    fn a_worker_that_was_lent_a_socket_drains_whether_it_was_ready_or_not() {
        let now = Instant::now();
        let by = now + SECOND;
        let dismiss = News::Dismiss { cause: DeathReason::ScaledDown, drain_by: by, kill_by: now };
        let starting = Life::Starting { ready_by: by, has_socket: false };
        assert_eq!(starting.step(dismiss, now).1, Some(Order::End));
        let (lent, _) = starting.step(News::Lent, now);
        assert_eq!(lent.step(dismiss, now).1, Some(Order::Drain { by }));
        assert_eq!(starting.step(TICK, by).1, Some(Order::Kill));
        assert_eq!(lent.step(TICK, by).1, Some(Order::Drain { by: by + SECOND }));
    }

    #[test]
    fn a_worker_that_departs_gets_a_deadline_from_its_closed_channel_or_a_shutdown() {
        let now = Instant::now();
        let by = now + SECOND;
        let (life, order) = Life::Serving.step(News::Depart { cause: DeathReason::Left }, now);
        assert_eq!((life.state(), life.deadline(), order), (MemberState::Draining, None, None));
        let cut_off = life.step(News::CutOff { cause: DeathReason::Left, by }, now);
        assert_eq!((cut_off.0.deadline(), cut_off.1), (Some(by), None));
        let dismiss = News::Dismiss { cause: DeathReason::Drained, drain_by: by, kill_by: now };
        let dismissed = life.step(dismiss, now);
        assert_eq!((dismissed.0.deadline(), dismissed.1), (Some(by), None));
    }

    #[test]
    fn an_order_is_never_given_to_a_worker_without_a_channel() {
        let now = Instant::now();
        let by = now + SECOND;
        let (life, _) = Life::Serving.step(News::CutOff { cause: DeathReason::Left, by }, now);
        assert_eq!(life.step(News::Drain { cause: DeathReason::Drained, by: now }, now), (life, None));
        assert_eq!(life.step(TICK, by).1, Some(Order::Kill));
    }

    #[test]
    fn a_shutdown_shortens_a_drain_and_never_lengthens_it() {
        let now = Instant::now();
        let draining = Life::Draining { cause: DeathReason::Reloaded, end_by: now + SECOND * 5 };
        let dismiss = |after: Duration| News::Dismiss {
            cause: DeathReason::Drained,
            drain_by: now + after,
            kill_by: now,
        };
        assert_eq!(draining.step(dismiss(SECOND), now).0.deadline(), Some(now + SECOND));
        assert_eq!(draining.step(dismiss(SECOND * 9), now).0, draining);
    }
}
