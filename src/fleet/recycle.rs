//! Recycling: which workers are due for replacement, and their exchanges; pure.
//!
//! The part of [`Fleet`] that replaces single workers, successor first. A worker stays in the queue until it no longer
//! takes clients, so that a failed successor or a reload that came between loses no wish.
//! Invariants: each worker is queued once. Workers that serve are exchanged one at a time: the next exchange begins when
//! the last one's old worker is gone. A hung worker serves no client, so its exchange waits for no other.

use std::time::Instant;

use super::Fleet;
use super::backoff::after;
use super::slot::{Member, News, Occupancy, Post, Slot};
use super::terms::{DeathReason, Purpose, RecycleReason, Report};
use crate::ids::{SlotIndex, WorkerId};

/// The workers that are due, and the one that is being replaced.
#[derive(Debug, Default)]
pub(super) struct Recycles {
    due: Vec<Due>,
    /// The old worker of the exchange under way, from its successor's fork until it is gone; not one that hung.
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

    fn turned_out_hung(&mut self, worker: WorkerId) {
        if let Some(due) = self.due.iter_mut().find(|due| due.worker == worker) {
            due.why = RecycleReason::Hung;
            due.is_stuck = true;
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
        self.recycles.due.push(Due { worker: id, why, is_stuck, failures: 0, retry_at: None });
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
        // A worker whose successor failed has its slot for itself again.
        let is_under_way =
            |old: &WorkerId| self.slot_of(*old).is_some_and(|index| self.post(index, *old) != Post::Alone);
        self.recycles.under_way = self.recycles.under_way.filter(is_under_way);
        let workers = &self.workers;
        self.recycles.due.retain(|due| workers.get(&due.worker).is_some_and(Member::is_in_post));
        for due in &mut self.recycles.due {
            due.retry_at = due.retry_at.filter(|at| *at > now);
        }
        if !self.is_replacing() {
            self.relieve_where_ready(now);
            self.begin_where_due(now);
        }
    }

    fn relieve_where_ready(&mut self, now: Instant) {
        for (index, old, successor) in self.exchanges() {
            if self.is_serving(successor) {
                let why = self.recycles.why(old).unwrap_or(RecycleReason::Asked);
                self.relieve(index, DeathReason::Recycled(why), now);
            }
        }
    }

    fn begin_where_due(&mut self, now: Instant) {
        let ripe = self.recycles.due.iter().filter(|due| due.retry_at.is_none());
        let ripe: Vec<_> = ripe.map(|due| (due.worker, due.why == RecycleReason::Hung)).collect();
        for (worker, hangs) in ripe {
            let Some(index) = self.slot_of(worker) else { continue };
            // A worker that still starts, in a slot or as a successor, waits for its turn until it serves.
            let may_begin = self.is_serving(worker) && self.post(index, worker) == Post::Alone;
            if !may_begin || (!hangs && self.recycles.under_way.is_some()) {
                continue;
            }
            let successor = self.fork(index, Purpose::Successor { of: worker }, now);
            if !hangs {
                self.recycles.under_way = Some(worker);
            }
            self.report(Report::Recycling { worker, successor });
        }
    }

    /// The slots that have a successor, with the old worker and the new one.
    fn exchanges(&self) -> Vec<(SlotIndex, WorkerId, WorkerId)> {
        let of_slot = |(&index, slot): (&SlotIndex, &Slot)| match slot.occupancy {
            Occupancy::Exchanging { by, successor } => Some((index, by, successor)),
            Occupancy::Waiting { .. } | Occupancy::Held { .. } | Occupancy::Retired => None,
        };
        self.slots.iter().filter_map(of_slot).collect()
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
        if let Some(due) = self.recycles.due.iter_mut().find(|due| due.worker == of) {
            due.failures = due.failures.saturating_add(1);
            due.retry_at = Some(after(now, self.policy.backoff.retry_delay(due.failures)));
        }
    }

    /// A reload takes over: successors of recycles may run old code, so they are called off, without blame.
    pub(super) fn call_off_recycles(&mut self, now: Instant) {
        for (index, old, successor) in self.exchanges() {
            self.set_occupancy(index, Occupancy::Held { by: old });
            self.dismiss(successor, DeathReason::GivenUp, self.policy.recycle_timeout, now);
        }
    }
}
