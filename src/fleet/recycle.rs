//! Recycling: which workers are due for replacement, and one exchange at a time; pure.
//!
//! The part of [`Fleet`] that replaces single workers, successor first. A worker stays in the queue until it no longer
//! takes clients, so that a failed successor or a reload that came between loses no wish.
//! Invariants: each worker is queued once. The next exchange begins when the last one's old worker is gone.

use std::time::Instant;

use super::Fleet;
use super::backoff::after;
use super::reload::Reload;
use super::slot::{Member, News, Occupancy, Post};
use super::terms::{DeathReason, Purpose, RecycleReason, Report, State};
use crate::ids::{SlotIndex, WorkerId};

/// The workers that are due, and the one that is being replaced.
#[derive(Debug, Default)]
pub(super) struct Recycles {
    due: Vec<Due>,
    /// The old worker of the exchange under way, from its successor's fork until it is gone.
    under_way: Option<WorkerId>,
}

#[derive(Debug)]
struct Due {
    worker: WorkerId,
    why: RecycleReason,
    /// Its loop does not turn, so it can hear no order.
    is_stuck: bool,
    /// Successors that failed.
    failures: u32,
    /// Set while the next try must wait.
    retry_at: Option<Instant>,
}

impl Recycles {
    /// When the next try may begin.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.iter().filter_map(|due| due.retry_at).min()
    }

    /// Why a worker is due, if it is.
    pub(super) fn why(&self, worker: WorkerId) -> Option<RecycleReason> {
        self.due.iter().find(|due| due.worker == worker).map(|due| due.why)
    }

    /// Whether the loop of a worker that is due does not turn.
    fn is_stuck(&self, worker: WorkerId) -> bool {
        self.due.iter().any(|due| due.worker == worker && due.is_stuck)
    }

    /// The loop of a worker turns again. It is replaced all the same.
    pub(super) fn turned(&mut self, worker: WorkerId) {
        if let Some(due) = self.due.iter_mut().find(|due| due.worker == worker) {
            due.is_stuck = false;
        }
    }

    fn insert(&mut self, due: Due) {
        // A hung worker serves nobody, so it goes before those that merely had their share.
        let at = match due.why {
            RecycleReason::Hung => 0,
            RecycleReason::Asked
            | RecycleReason::Connections
            | RecycleReason::Requests
            | RecycleReason::Uptime
            | RecycleReason::Memory
            | RecycleReason::Exception => self.due.len(),
        };
        self.due.insert(at, due);
    }

    fn turned_out_hung(&mut self, worker: WorkerId) {
        if let Some(at) = self.due.iter().position(|due| due.worker == worker) {
            let due = self.due.remove(at);
            self.insert(Due { why: RecycleReason::Hung, is_stuck: true, ..due });
        }
    }
}

impl Fleet {
    pub(super) fn queue_recycle(&mut self, id: WorkerId, why: RecycleReason, now: Instant) {
        // Nobody is replaced in a fleet that ends, nor one that goes already.
        let is_in_post = self.workers.get(&id).is_some_and(Member::is_in_post);
        if !self.is_keeping() || !is_in_post {
            return;
        }
        if self.slot_of(id).is_none() {
            // A spare serves nobody: it goes at once, and another one comes.
            self.dismiss(id, DeathReason::Recycled(why), self.policy.recycle_timeout, now);
            return;
        }
        // Nor twice. That it hangs by now is worth knowing even so: it decides between drain and kill.
        if self.recycles.why(id).is_some() {
            if why == RecycleReason::Hung {
                self.recycles.turned_out_hung(id);
            }
            return;
        }
        if why == RecycleReason::Exception && self.reject_release(id, now) {
            return;
        }
        if why == RecycleReason::Exception && !self.may_recycle_for_exception(id, now) {
            return;
        }
        let is_stuck = why == RecycleReason::Hung;
        self.recycles.insert(Due { worker: id, why, is_stuck, failures: 0, retry_at: None });
    }

    /// Whether an exception may recycle a worker of this slot now; if so, no further one may for a while.
    fn may_recycle_for_exception(&mut self, id: WorkerId, now: Instant) -> bool {
        let window = self.policy.backoff.stable_after;
        let index = self.slot_of(id);
        let Some(slot) = index.and_then(|index| self.slots.get_mut(&index)) else { return false };
        let is_calm = slot.calm_until.is_none_or(|until| until <= now);
        if is_calm {
            slot.calm_until = Some(after(now, window));
        }
        is_calm
    }

    pub(super) fn advance_recycles(&mut self, now: Instant) {
        let workers = &self.workers;
        self.recycles.under_way = self.recycles.under_way.filter(|id| workers.contains_key(id));
        self.recycles.due.retain(|due| workers.get(&due.worker).is_some_and(Member::is_in_post));
        for due in &mut self.recycles.due {
            due.retry_at = due.retry_at.filter(|at| *at > now);
        }
        match self.recycles.under_way {
            Some(old) => self.relieve_if_ready(old, now),
            None => self.begin_next(now),
        }
    }

    fn relieve_if_ready(&mut self, old: WorkerId, now: Instant) {
        let Some(index) = self.slot_of(old) else { return };
        // No successor: the old worker goes by itself, or was relieved before, and is waited for.
        let Post::Relieved { successor } = self.post(index, old) else { return };
        if self.is_serving(successor) {
            let why = self.recycles.why(old).unwrap_or(RecycleReason::Asked);
            self.relieve(index, DeathReason::Recycled(why), now);
        }
    }

    fn begin_next(&mut self, now: Instant) {
        if self.reload.as_ref().is_some_and(Reload::is_exchanging) {
            return;
        }
        // A worker that still starts, in a slot or as a successor, waits for its turn until it serves.
        let next = self.recycles.due.iter().find_map(|due| {
            let index = self.slot_of(due.worker)?;
            let is_ripe = due.retry_at.is_none() && self.state_of(due.worker) == Some(State::Serving);
            (is_ripe && self.post(index, due.worker) == Post::Alone).then_some((due.worker, index))
        });
        if let Some((worker, index)) = next {
            let successor = self.fork(index, Purpose::Successor { of: worker }, now);
            self.recycles.under_way = Some(worker);
            self.report(Report::Recycling { worker, successor });
        }
    }

    /// The successor of a slot takes over, and the old worker goes: by a drain, or by a kill if its loop does not turn.
    pub(super) fn relieve(&mut self, index: SlotIndex, cause: DeathReason, now: Instant) {
        let Some(Occupancy::Exchanging { by: old, successor }) =
            self.slots.get(&index).map(|slot| slot.occupancy)
        else {
            return;
        };
        self.set_occupancy(index, Occupancy::Held { by: successor });
        let news = if self.recycles.is_stuck(old) {
            News::Kill { cause }
        } else {
            News::Drain { cause, by: after(now, self.policy.recycle_timeout) }
        };
        self.tell(old, news, now);
    }

    /// A successor died, left or was too slow, of whatever exchange; its old worker serves on.
    pub(super) fn successor_failed(&mut self, index: SlotIndex, id: WorkerId, of: WorkerId, now: Instant) {
        self.set_occupancy(index, Occupancy::Held { by: of });
        if self.check_reload_lost(id, now) {
            return;
        }
        self.report(Report::SuccessorFailed { worker: id, of });
        self.recycles.under_way = None;
        if let Some(due) = self.recycles.due.iter_mut().find(|due| due.worker == of) {
            due.failures = due.failures.saturating_add(1);
            due.retry_at = Some(after(now, self.policy.backoff.retry_delay(due.failures)));
        }
    }

    /// A reload takes over: the successor of a recycle may run old code, so it is called off, without blame.
    pub(super) fn call_off_recycle(&mut self, now: Instant) {
        let Some(old) = self.recycles.under_way else { return };
        let Some(index) = self.slot_of(old) else { return };
        if let Post::Relieved { successor } = self.post(index, old) {
            self.set_occupancy(index, Occupancy::Held { by: old });
            self.dismiss(successor, DeathReason::GivenUp, self.policy.recycle_timeout, now);
            self.recycles.under_way = None;
        }
    }
}
