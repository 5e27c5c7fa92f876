//! How many slots there are: more, or fewer; pure.
//!
//! The part of [`Fleet`] that adds slots and takes them away. Invariant: taking slots away never sends off a worker that
//! serves while one could go that does not.

use std::time::Instant;

use super::Fleet;
use super::backoff::Backoff;
use super::slot::{Occupancy, Slot};
use super::terms::{DeathReason, Forks, Phase, Purpose};
use crate::ids::SlotIndex;

impl Fleet {
    pub(super) fn scale(&mut self, wanted: usize, now: Instant) {
        if self.phase != Phase::Running || self.policy.forks == Forks::Ordered {
            return;
        }
        self.configured = within_bounds(wanted);
        if !self.started {
            self.wanted = self.configured;
            return;
        }
        self.grow(now);
        // The highest go, but a slot where nobody serves goes before any where somebody does.
        let mut kept = self.kept_slots();
        kept.sort_by_key(|&index| !self.has_serving(index));
        for &index in kept.iter().skip(self.configured) {
            self.drop_slot(index, now);
        }
    }

    fn has_serving(&self, index: SlotIndex) -> bool {
        self.slots.get(&index).is_some_and(|slot| match slot.occupancy {
            Occupancy::Held { by } | Occupancy::Exchanging { by, .. } => self.is_serving(by),
            Occupancy::Waiting { .. } | Occupancy::Retired => false,
        })
    }

    /// Adds slots, lowest free index first, until there are as many as the user asked for.
    pub(super) fn grow(&mut self, now: Instant) {
        let missing = self.configured.saturating_sub(self.kept_slots().len());
        for _ in 0..missing {
            let Some(index) = self.add_slot(now) else { return };
            self.fork(index, Purpose::First, now);
        }
    }

    /// Adds the lowest slot that is free. None while there are as many as an index can name, closing ones included.
    pub(super) fn add_slot(&mut self, now: Instant) -> Option<SlotIndex> {
        let index = (0..=u16::MAX).map(SlotIndex).find(|index| !self.slots.contains_key(index))?;
        let occupancy = Occupancy::Waiting { until: now };
        self.slots.insert(index, Slot { occupancy, backoff: Backoff::new(now), calm_until: None });
        Some(index)
    }

    fn drop_slot(&mut self, index: SlotIndex, now: Instant) {
        let Some(slot) = self.slots.get(&index) else { return };
        let (by, successor) = match slot.occupancy {
            Occupancy::Waiting { .. } | Occupancy::Retired => (None, None),
            Occupancy::Held { by } => (Some(by), None),
            Occupancy::Exchanging { by, successor } => (Some(by), Some(successor)),
        };
        self.set_occupancy(index, Occupancy::Retired);
        for id in by.into_iter().chain(successor) {
            self.dismiss(id, DeathReason::ScaledDown, self.policy.drain_timeout, now);
            if let Some(reload) = &mut self.reload {
                reload.forget(id);
            }
        }
    }

    /// The slots to be kept full, lowest first.
    pub(super) fn kept_slots(&self) -> Vec<SlotIndex> {
        let is_kept = |slot: &Slot| slot.occupancy != Occupancy::Retired;
        self.slots.iter().filter(|(_, slot)| is_kept(slot)).map(|(&index, _)| index).collect()
    }
}

/// As many workers as slots can be named, and one at least.
pub(super) fn within_bounds(wanted: usize) -> usize {
    wanted.clamp(1, usize::from(u16::MAX))
}
