//! Reloading: every worker of an older generation is replaced, or else the old ones stay; pure.
//!
//! The part of [`Fleet`] that replaces all workers. A new release has to prove itself before any old worker goes: its
//! first successor (all of them with [`Strategy::AllFirst`]) must be ready and live on for `settle`, or for the shorter
//! `quiet_settle` where nothing is pending in it that could still end it.
//! Invariants: until the proof is given, no exchange is closed and nobody drains, and only successors are of the new
//! release, as long as any worker of an older one serves. A successor that fails before its exchange is closed ends the
//! reload, and whoever still serves beside its own successor stays. When a reload ends without proof, no worker of its
//! release stays.

use std::time::Instant;

use super::Fleet;
use super::backoff::after;
use super::slot::{Life, Member, Occupancy, Post, Slot};
use super::terms::{DeathReason, MemberState, Policy, Purpose, RecycleReason, Replaced, Report, Strategy};
use crate::ids::{SlotIndex, WorkerId};

/// One reload under way.
#[derive(Debug)]
pub(super) struct Reload {
    strategy: Strategy,
    is_proven: bool,
    /// There are exchanges to begin or to close; afterwards only drains are waited for.
    is_exchanging: bool,
    exchanges: Vec<Exchange>,
}

#[derive(Debug)]
struct Exchange {
    old: WorkerId,
    new: WorkerId,
    started: Instant,
    ready: Option<Instant>,
    gone: Option<Instant>,
    /// The new worker waits for nothing but clients.
    is_quiet: bool,
    /// The new worker has not taken over for good.
    is_open: bool,
}

impl Exchange {
    /// The whole story, once it is one.
    fn replaced(&self) -> Option<Replaced> {
        let (ready, gone) = (self.ready?, self.gone?);
        Some(Replaced { old: self.old, new: self.new, started: self.started, ready, gone })
    }

    /// When the new worker has lived long enough; `None` while it is not ready.
    fn proof(&self, policy: &Policy) -> Option<Instant> {
        Some(after(self.ready?, if self.is_quiet { policy.quiet_settle } else { policy.settle }))
    }
}

impl Reload {
    fn new(strategy: Strategy) -> Self {
        Self { strategy, is_proven: false, is_exchanging: true, exchanges: Vec::new() }
    }

    /// Whether recycles have to wait.
    pub(super) fn is_exchanging(&self) -> bool {
        self.is_exchanging
    }

    pub(super) fn note_ready(&mut self, id: WorkerId, now: Instant) {
        for exchange in self.exchanges.iter_mut().filter(|exchange| exchange.new == id) {
            exchange.ready = Some(now);
        }
    }

    pub(super) fn note_gone(&mut self, id: WorkerId, now: Instant) {
        for exchange in self.exchanges.iter_mut().filter(|exchange| exchange.old == id) {
            exchange.gone = Some(now);
        }
    }

    /// The worker's slot is taken away: an exchange that is not closed is nobody's failure.
    pub(super) fn forget(&mut self, id: WorkerId) {
        self.exchanges.retain(|exchange| !(exchange.is_open && (exchange.old == id || exchange.new == id)));
    }

    /// When the proof will be given if nothing fails until then.
    pub(super) fn deadline(&self, policy: &Policy) -> Option<Instant> {
        if self.is_proven {
            return None;
        }
        let mut proofs = self.exchanges.iter().map(|exchange| exchange.proof(policy));
        match self.strategy {
            Strategy::Rolling => proofs.flatten().min(),
            Strategy::AllFirst => {
                proofs.try_fold(None, |latest, proof| Some(latest.max(Some(proof?)))).flatten()
            }
        }
    }

    fn is_open(&self, new: WorkerId) -> bool {
        self.exchanges.iter().any(|exchange| exchange.is_open && exchange.new == new)
    }

    fn has_open(&self) -> bool {
        self.exchanges.iter().any(|exchange| exchange.is_open)
    }

    fn is_waiting_for_ready(&self) -> bool {
        self.exchanges.iter().any(|exchange| exchange.is_open && exchange.ready.is_none())
    }
}

impl Fleet {
    pub(super) fn start_reload(&mut self, strategy: Strategy, now: Instant) {
        // One that runs is joined; in a fleet that ends, nobody is replaced.
        if !self.is_keeping() || self.reload.is_some() {
            return;
        }
        self.generation = self.generation.saturating_add(1);
        self.call_off_recycles(now);
        self.reload = Some(Reload::new(strategy));
        self.grow(now);
        if self.is_of_reload(Purpose::Refill) {
            self.end_waiting(now);
        }
    }

    /// Whether a worker that is forked now is of the release that a reload brings.
    pub(super) fn is_of_reload(&self, purpose: Purpose) -> bool {
        let Some(reload) = &self.reload else { return false };
        match purpose {
            Purpose::Successor { .. } => true,
            // Where no worker of an older release serves, there is nothing to lose; but an exchange may still fail.
            Purpose::First | Purpose::Refill | Purpose::Spare => {
                reload.is_proven || !(reload.has_open() || self.serves_older_generation())
            }
        }
    }

    /// Slots that wait are filled now: the new release may mend what the old one died of.
    fn end_waiting(&mut self, now: Instant) {
        for slot in self.slots.values_mut() {
            if let Occupancy::Waiting { until } = &mut slot.occupancy {
                *until = now;
            }
        }
        self.fork_where_due(now);
    }

    /// A worker of the new release has shown that nothing is pending in it.
    pub(super) fn note_quiet(&mut self, id: WorkerId) {
        let exchanges = self.reload.iter_mut().flat_map(|reload| &mut reload.exchanges);
        for exchange in exchanges.filter(|exchange| exchange.new == id) {
            exchange.is_quiet = true;
        }
    }

    pub(super) fn advance_reload(&mut self, now: Instant) {
        self.start_successors(now);
        self.prove_release(now);
        let Some(mut reload) = self.reload.take() else { return };
        self.close_exchanges(&mut reload, now);
        reload.is_exchanging = reload.has_open() || self.has_older_generation();
        if reload.is_exchanging {
            self.reload = Some(reload);
            return;
        }
        // Without an exchange there was nobody to lose.
        self.in_service = self.generation;
        self.spares.renew(self.generation);
        let replaced: Option<Vec<_>> = reload.exchanges.iter().map(Exchange::replaced).collect();
        match replaced {
            Some(replaced) => self.report(Report::ReloadDone { replaced }),
            None => self.reload = Some(reload),
        }
    }

    fn start_successors(&mut self, now: Instant) {
        for (index, old) in self.held_by_older_generation() {
            let Some(reload) = &self.reload else { return };
            let must_wait = match reload.strategy {
                Strategy::Rolling => reload.is_waiting_for_ready(),
                Strategy::AllFirst => false,
            };
            // A worker that still starts is left alone until it serves: it may be the better release.
            if must_wait || self.state_of(old) != Some(MemberState::Serving) {
                continue;
            }
            let new = self.fork(index, Purpose::Successor { of: old }, now);
            let (ready, gone) = (None, None);
            let exchange = Exchange { old, new, started: now, ready, gone, is_quiet: false, is_open: true };
            if let Some(reload) = &mut self.reload {
                reload.exchanges.push(exchange);
            }
        }
    }

    /// The new release is in service once its proof is given.
    fn prove_release(&mut self, now: Instant) {
        let policy = &self.policy;
        let is_due = |reload: &&mut Reload| reload.deadline(policy).is_some_and(|proof| proof <= now);
        let Some(reload) = self.reload.as_mut().filter(is_due) else { return };
        reload.is_proven = true;
        self.in_service = self.generation;
        self.end_waiting(now);
    }

    fn close_exchanges(&mut self, reload: &mut Reload, now: Instant) {
        if !reload.is_proven {
            return;
        }
        for exchange in
            reload.exchanges.iter_mut().filter(|exchange| exchange.is_open && exchange.ready.is_some())
        {
            exchange.is_open = false;
            // Where the old worker went by itself, the new one has the slot already.
            let Some(index) = self.slot_of(exchange.new) else { continue };
            if self.post(index, exchange.new) == (Post::Successor { of: exchange.old }) {
                let is_hung = self.recycles.why(exchange.old) == Some(RecycleReason::Hung);
                let cause =
                    if is_hung { DeathReason::Recycled(RecycleReason::Hung) } else { DeathReason::Reloaded };
                self.relieve(index, cause, now);
            }
        }
    }

    /// A new worker had an exception that nobody caught before it has taken over, so its release is no good; says whether
    /// that is the case.
    pub(super) fn reject_release(&mut self, id: WorkerId, now: Instant) -> bool {
        let is_new = self.reload.as_ref().is_some_and(|reload| reload.is_open(id));
        let Some(index) = self.slot_of(id).filter(|_| is_new) else { return false };
        let Post::Successor { of } = self.post(index, id) else { return false };
        self.dismiss(id, DeathReason::GivenUp, self.policy.recycle_timeout, now);
        self.successor_failed(index, id, of, now);
        true
    }

    /// Ends a reload that still has workers to replace.
    pub(super) fn cancel_reload(&mut self, now: Instant) {
        let Some(reload) = self.reload.take_if(|reload| reload.is_exchanging) else { return };
        let replaced = self.call_off(&reload, None, now);
        self.report(Report::ReloadCancelled { replaced });
    }

    /// Ends the reload if the worker that is lost was to be the new one of an exchange; says whether it did.
    pub(super) fn check_reload_lost(&mut self, lost: WorkerId, now: Instant) -> bool {
        let Some(reload) = self.reload.take_if(|reload| reload.is_open(lost)) else { return false };
        let replaced = self.call_off(&reload, Some(lost), now);
        self.report(Report::ReloadFailed { worker: lost, replaced });
        true
    }

    /// Sends the new workers of open exchanges away; says how many workers have been replaced.
    fn call_off(&mut self, reload: &Reload, lost: Option<WorkerId>, now: Instant) -> usize {
        for exchange in
            reload.exchanges.iter().filter(|exchange| exchange.is_open && Some(exchange.new) != lost)
        {
            let Some(index) = self.slot_of(exchange.new) else { continue };
            if self.post(index, exchange.new) == (Post::Successor { of: exchange.old }) {
                self.set_occupancy(index, Occupancy::Held { by: exchange.old });
                // One that was ready may have clients by now, and they lose nothing either.
                self.dismiss(exchange.new, DeathReason::GivenUp, self.policy.recycle_timeout, now);
            }
        }
        self.recycle_refused(now);
        reload.exchanges.iter().filter(|exchange| !exchange.is_open).count()
    }

    /// A worker of a release that is not proven may hold a slot alone, since the old one died: it is replaced.
    fn recycle_refused(&mut self, now: Instant) {
        let is_refused = |worker: &Member| {
            worker.slot.is_some() && worker.generation > self.in_service && worker.is_in_post()
        };
        let refused = self.workers.iter().filter(|(_, worker)| is_refused(worker));
        for id in refused.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.queue_recycle(id, RecycleReason::Refused, now);
        }
    }

    fn serves_older_generation(&self) -> bool {
        let is_older = |worker: &Member| worker.life == Life::Serving && worker.generation < self.generation;
        self.workers.values().any(is_older)
    }

    fn has_older_generation(&self) -> bool {
        self.held_by_older_generation()
            .iter()
            .any(|(_, id)| self.workers.get(id).is_some_and(Member::is_in_post))
    }

    /// The slots with one worker, forked before the reload.
    fn held_by_older_generation(&self) -> Vec<(SlotIndex, WorkerId)> {
        let of_slot = |(&index, slot): (&SlotIndex, &Slot)| match slot.occupancy {
            Occupancy::Held { by } => Some((index, by)),
            Occupancy::Waiting { .. } | Occupancy::Exchanging { .. } | Occupancy::Retired => None,
        };
        let is_older = |id| self.workers.get(&id).is_some_and(|worker| worker.generation < self.generation);
        self.slots.iter().filter_map(of_slot).filter(|&(_, id)| is_older(id)).collect()
    }
}
