//! How many slots there are: more, or fewer; pure.
//!
//! The part of [`Fleet`] that adds slots and takes them away. Invariant: taking slots away never sends off a worker that
//! serves while one could go that does not.

use std::time::Instant;

use super::Fleet;
use super::backoff::Backoff;
use super::slot::{Occupancy, Slot};
use super::terms::{DeathReason, Phase, Purpose};
use crate::ids::SlotIndex;

impl Fleet {
    pub(super) fn scale(&mut self, wanted: usize, now: Instant) {
        if self.phase != Phase::Running {
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
            let free = (0..=u16::MAX).map(SlotIndex).find(|index| !self.slots.contains_key(index));
            // As many slots as an index can name, closing ones included: the next call finds room again.
            let Some(index) = free else { return };
            let occupancy = Occupancy::Waiting { until: now };
            self.slots.insert(index, Slot { occupancy, backoff: Backoff::new(now), calm_until: None });
            self.fork(index, Purpose::First, now);
        }
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
