//! Spares: workers that have booted and wait, without a slot, for one in a slot to die; pure.
//!
//! The part of [`Fleet`] that keeps them. A spare that takes over a slot becomes an ordinary worker, and a new spare is
//! forked in its place once nobody in a slot is starting any more, so that they don't hold up each other. A death is
//! answered by a spare at once, whatever the slot's back-off: that holds up the next spare instead, so a crash loop forks
//! no more often than without spares.
//! Invariants: no spare of an older release is left when a reload is done. None is forked while a reload may still fail,
//! since it would run a release that nobody else runs. Without a slot to be kept full there is none.

use std::time::{Duration, Instant};

use super::Fleet;
use super::backoff::{Backoff, Service, after};
use super::reload::Reload;
use super::slot::{Member, News, Occupancy};
use super::terms::{DeathReason, Effect, MemberState, Purpose, Report};
use crate::ids::{SlotIndex, WorkerId};

/// How long a spare that has booted may take to listen: its loop may be blocked, or its process stopped.
const TAKE_OVER: Duration = Duration::from_secs(5);

/// What is remembered of spares beyond each one's life.
#[derive(Debug, Default)]
pub(super) struct Spares {
    /// Of those that died before they had a slot.
    backoff: Option<Backoff>,
    /// When the next one may be forked.
    not_before: Option<Instant>,
    /// Spares of older generations are of an older release.
    release: u32,
}

impl Spares {
    /// A reload has put a release into service.
    pub(super) fn renew(&mut self, release: u32) {
        self.release = release;
    }

    fn hold_back(&mut self, until: Instant) {
        self.not_before = self.not_before.max(Some(until));
    }
}

impl Fleet {
    /// A worker without a slot has booted. One that was given a slot meanwhile goes on to listen.
    pub(super) fn note_warm(&mut self, id: WorkerId, now: Instant) {
        if self.slot_of(id).is_none() {
            self.tell(id, News::Warm, now);
        }
    }

    /// Has a spare take over a slot that nobody holds, if there is one; says whether it does. One that still boots is
    /// taken only where a worker could be forked now as well: `until` is when the slot's back-off ends.
    pub(super) fn take_over(&mut self, index: SlotIndex, until: Instant, now: Instant) -> bool {
        let first = |state| {
            let is_there = |worker: &Member| worker.slot.is_none() && worker.life.state() == state;
            self.workers.iter().find(|(_, worker)| is_there(worker)).map(|(&id, _)| id)
        };
        let booting = || first(MemberState::Starting).filter(|_| until <= now);
        let Some(id) = first(MemberState::Spare).or_else(booting) else { return false };
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.slot = Some(index);
        }
        if let Some(slot) = self.slots.get_mut(&index) {
            slot.backoff.forked(now);
        }
        self.set_occupancy(index, Occupancy::Held { by: id });
        let ready_by = after(now, self.policy.start_timeout.min(TAKE_OVER));
        self.tell(id, News::Serve { ready_by }, now);
        self.effects.push(Effect::Serve { worker: id, slot: index });
        self.spares.hold_back(until);
        true
    }

    /// A worker is gone that had no slot.
    pub(super) fn on_spare_gone(&mut self, dead: &Member, service: Service, now: Instant) {
        if !self.is_keeping() || is_discharged(dead) {
            return;
        }
        let backoff = self.spares.backoff.get_or_insert_with(|| Backoff::new(now));
        let until = backoff.died(service, &self.policy.backoff, &mut self.jitter);
        let failures = backoff.failures();
        self.spares.hold_back(until);
        if until > now {
            self.report(Report::BackingOff { slot: None, failures, delay: until - now });
        }
    }

    pub(super) fn advance_spares(&mut self, now: Instant) {
        let is_wanted = !self.kept_slots().is_empty();
        for (id, generation) in self.spares_in_post() {
            if !is_wanted {
                self.dismiss(id, DeathReason::ScaledDown, self.policy.recycle_timeout, now);
            } else if generation < self.spares.release {
                self.dismiss(id, DeathReason::Reloaded, self.policy.recycle_timeout, now);
            }
        }
        if self.spares.not_before.is_some_and(|at| at > now) {
            return;
        }
        for _ in 0..self.spares_to_fork() {
            self.spares.backoff.get_or_insert_with(|| Backoff::new(now)).forked(now);
            self.spawn(None, Purpose::Spare, now);
        }
    }

    /// When the next spare is to be forked, if one is missing.
    pub(super) fn spares_deadline(&self) -> Option<Instant> {
        self.spares.not_before.filter(|_| self.spares_to_fork() > 0)
    }

    /// How many spares are missing, if this is the time for it.
    fn spares_to_fork(&self) -> usize {
        let is_starting =
            |worker: &Member| worker.slot.is_some() && worker.life.state() == MemberState::Starting;
        let is_busy =
            self.workers.values().any(is_starting) || self.reload.as_ref().is_some_and(Reload::is_exchanging);
        if !self.is_keeping() || is_busy || self.kept_slots().is_empty() {
            return 0;
        }
        // One that goes on its own account is waited for, since it is its death that counts for the back-off.
        let is_there = |worker: &&Member| worker.slot.is_none() && !is_discharged(worker);
        self.policy.spares.saturating_sub(self.workers.values().filter(is_there).count())
    }

    fn spares_in_post(&self) -> Vec<(WorkerId, u32)> {
        let is_spare = |worker: &Member| worker.slot.is_none() && worker.is_in_post();
        let spares = self.workers.iter().filter(|(_, worker)| is_spare(worker));
        spares.map(|(&id, worker)| (id, worker.generation)).collect()
    }
}

/// It is not needed any more, and its death says nothing.
fn is_discharged(spare: &Member) -> bool {
    match spare.life.cause() {
        DeathReason::Reloaded | DeathReason::ScaledDown => true,
        DeathReason::Unasked
        | DeathReason::ChannelLost
        | DeathReason::StartTimeout
        | DeathReason::Drained
        | DeathReason::Left
        | DeathReason::Recycled(_)
        | DeathReason::Stopped
        | DeathReason::Overdue
        | DeathReason::GivenUp => false,
    }
}
