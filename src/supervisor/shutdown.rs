//! How sockets are closed without losing anybody: at a shutdown, and when a slot is given up.
//!
//! A graceful shutdown first lets no new connection in. Workers go on serving until the queues are empty and handshakes under
//! way have had their time; only then does the fleet drain them, and the sockets are closed. The sockets of a slot that was
//! given up are kept for a while in the same way. This file says when; `connections` does it.
//! Invariant: every caller that waits for the end of new connections is answered once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::connections::Connections;
use super::timers::{Due, Timers};
use crate::fleet::EMPTYING;
use crate::ids::SlotIndex;
use crate::process::control::server::Reply;

/// How often they are looked at meanwhile.
const LOOK: Duration = Duration::from_millis(2);
/// How long the sockets of a slot that was given up are kept for handshakes under way: longer than a round trip takes.
const RETIRING: Duration = Duration::from_secs(1);
/// How often it is looked whether those who watch its queue have left it; one whose loop does not turn can't.
const UNWATCHING: Duration = Duration::from_millis(50);
/// How long they are kept at most while a connection still waits there that no worker can take.
const LONGEST_RETIRING: Duration = Duration::from_secs(5);

/// The way of the whole cluster to its end, and of slots to theirs.
#[derive(Debug, Default)]
pub(crate) struct Shutdown {
    stage: Stage,
    /// Callers from outside that wait until no new connection can get in.
    replies: Vec<Reply>,
    /// Slots that were given up, and until when a connection that waits there keeps their sockets open.
    retiring: BTreeMap<SlotIndex, Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// New connections get in.
    #[default]
    Open,
    /// A shutdown is announced: balancers are told to look elsewhere.
    Announced { until: Instant },
    /// Nothing new gets in; what waits in the queues is served.
    Closing { since: Instant },
    /// The sockets are closed.
    Closed,
}

impl Shutdown {
    /// Begins the announcement of a shutdown, unless it has begun; gives its end.
    pub(crate) fn announce(&mut self, delay: Duration, timers: &mut Timers, now: Instant) -> Instant {
        if let Stage::Announced { until } = self.stage {
            return until;
        }
        let until = now + delay;
        self.stage = Stage::Announced { until };
        timers.set(Due::DrainDelay, until, now);
        until
    }

    /// Whether sockets are to be closed when their time is up.
    pub(crate) fn has_deadline(&self) -> bool {
        let is_pending = match self.stage {
            Stage::Announced { .. } | Stage::Closing { .. } => true,
            Stage::Open | Stage::Closed => false,
        };
        is_pending || !self.retiring.is_empty()
    }

    /// When the shutdown that is announced begins.
    pub(crate) fn announced_until(&self) -> Option<Instant> {
        match self.stage {
            Stage::Announced { until } => Some(until),
            Stage::Open | Stage::Closing { .. } | Stage::Closed => None,
        }
    }

    /// Nothing new gets in from now on.
    pub(crate) fn begin_closing(&mut self, timers: &mut Timers, now: Instant) {
        self.stage = Stage::Closing { since: now };
        timers.cancel(Due::DrainDelay);
        timers.set(Due::Closing, now, now);
    }

    /// Looks whether the queues are empty or have had their time; `true`: they are, and the sockets are closed now. While clients
    /// wait because event loops stand still, the queues have half of `drain_timeout`, and the drain the other half.
    pub(crate) fn look(
        &mut self,
        connections: &mut Connections,
        timers: &mut Timers,
        drain_timeout: Duration,
        now: Instant,
    ) -> bool {
        let Stage::Closing { since } = self.stage else { return false };
        let age = now.saturating_duration_since(since);
        let has_time = age < EMPTYING || (age < drain_timeout / 2 && connections.has_waiting());
        if has_time && !connections.may_close(now) {
            timers.set(Due::Closing, now + LOOK, now);
            return false;
        }
        connections.close_all();
        self.stage = Stage::Closed;
        true
    }

    /// Answers this caller when no new connection can get in.
    pub(crate) fn answer_when_closed(&mut self, reply: Reply) {
        self.replies.push(reply);
    }

    /// Answers the callers that wait, if workers have given their sockets back too.
    pub(crate) fn settle(&mut self, connections: &Connections) {
        if self.stage == Stage::Closed && connections.is_nothing_lent() {
            self.answer_all();
        }
    }

    /// Answers every caller that waits: the cluster is at its end.
    pub(crate) fn answer_all(&mut self) {
        for reply in self.replies.drain(..) {
            reply.send(json!({ "ok": true }));
        }
    }

    /// A slot was given up: its sockets are closed soon.
    pub(crate) fn retire(&mut self, slot: SlotIndex, timers: &mut Timers, now: Instant) {
        self.retiring.insert(slot, now + LONGEST_RETIRING);
        timers.set(Due::CloseSlot(slot), now + RETIRING, now);
    }

    /// The slot is needed again, and so are its sockets.
    pub(crate) fn keep(&mut self, slot: SlotIndex, timers: &mut Timers) {
        self.retiring.remove(&slot);
        timers.cancel(Due::CloseSlot(slot));
    }

    /// Closes the sockets of a slot that was given up, unless a connection waits there.
    pub(crate) fn close_slot(
        &mut self,
        slot: SlotIndex,
        connections: &mut Connections,
        timers: &mut Timers,
        now: Instant,
    ) {
        let Some(by) = self.retiring.get(&slot) else { return };
        if connections.has_queue(slot) && *by > now {
            timers.set(Due::CloseSlot(slot), now + LOOK, now);
            return;
        }
        if !connections.leave_slot(slot) {
            timers.set(Due::CloseSlot(slot), now + UNWATCHING, now);
            return;
        }
        self.retiring.remove(&slot);
        connections.close_slot(slot);
    }
}
