//! What others may see of the fleet.

use super::reload::Reload;
use super::slot::{Life, Member, Occupancy};
use super::terms::{Crashing, MemberState, MemberView, Phase};
use super::{Fleet, SlotIndex, WorkerId};

impl Fleet {
    /// How many workers there are to be.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Where the fleet is in its own life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Every worker that is not gone yet, oldest first.
    pub fn workers(&self) -> impl Iterator<Item = MemberView> + '_ {
        self.workers.iter().map(|(&id, worker)| MemberView {
            worker: id,
            slot: worker.slot,
            state: worker.life.state(),
            generation: worker.generation,
        })
    }

    /// The slots in which workers have died at least twice in a row, and in which none serves.
    pub fn crashing(&self) -> impl Iterator<Item = Crashing> + '_ {
        self.slots.iter().filter_map(|(&index, slot)| {
            let next_try = match slot.occupancy {
                Occupancy::Waiting { until } => Some(until),
                Occupancy::Held { by } if self.state_of(by) == Some(MemberState::Starting) => None,
                Occupancy::Held { .. } | Occupancy::Exchanging { .. } | Occupancy::Retired => return None,
            };
            let failures = slot.backoff.failures();
            (failures > 1).then_some(Crashing { slot: index, failures, next_try })
        })
    }

    /// Whether a reload still has workers to replace.
    #[must_use]
    pub fn is_replacing(&self) -> bool {
        self.reload.as_ref().is_some_and(Reload::is_exchanging)
    }

    /// Whether each slot that is to hold a worker holds one that serves, so that nobody is to come.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Running
            && self.slots.values().all(|slot| match slot.occupancy {
                Occupancy::Held { by } => self.is_serving(by),
                Occupancy::Retired => true,
                Occupancy::Waiting { .. } | Occupancy::Exchanging { .. } => false,
            })
    }

    /// The slot that a worker was forked for or took over; `None` for a spare, and once it is gone.
    #[must_use]
    pub fn slot_of(&self, worker: WorkerId) -> Option<SlotIndex> {
        self.workers.get(&worker).and_then(|worker| worker.slot)
    }

    /// Whether a worker may be given clients, as far as its life says: it starts or serves.
    #[must_use]
    pub fn takes_clients(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(Member::is_in_post)
    }

    /// Whether a worker is on its way out, by whatever road.
    #[must_use]
    pub fn is_departing(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|worker| !worker.is_in_post())
    }

    /// Whether a worker was told to end at once, or was killed: what it accepts now it cuts off.
    #[must_use]
    pub fn is_ending(&self, worker: WorkerId) -> bool {
        let life = self.workers.get(&worker).map(|worker| worker.life);
        matches!(life, Some(Life::Ending { .. } | Life::Killed { .. }))
    }

    /// Whether a worker is ready and takes clients.
    #[must_use]
    pub fn is_serving(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|worker| worker.life == Life::Serving)
    }
}
