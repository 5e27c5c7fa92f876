//! Has each worker accept from the queues of the next slots too.
//!
//! The kernel gives a new connection to a slot by chance, and the worker there may be computing while others are idle. So
//! the queue of each slot is watched by [`WATCHERS`] workers: its own and those of the slots before it in the ring. Whoever
//! of them is idle takes the connection. All workers would be best for the client, but each connection wakes all who are
//! idle; with so many as here the client waits no longer, and the cost does not grow with the number of workers
//! (`docs/performance-notes.md`).
//! Only TCP listeners with a socket for each slot are meant; where clients belong to a slot there are no neighbours.
//! A worker without our package has none either, but its own queue is watched by those who have it.
//! Invariant: a worker watches the queues of a listener only while it was lent that listener's socket of its own slot.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::{Duration, Instant};

use super::{Connections, Loan, Order};
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::message::ToWorker;
use crate::os::reserve::TRY_AGAIN;
use crate::socket::{ListenerId, Sockets};

/// How many workers watch the queue of a slot.
const WATCHERS: usize = 4;
/// After this time without a change workers watch anew: by then all have heeded the last one.
const SETTLED: Duration = Duration::from_millis(250);

/// Whom the kernel wakes first.
#[derive(Debug, Default)]
pub(super) struct WakeOrder {
    /// When workers are to watch the next slot's queue anew.
    pub(super) due: Option<Instant>,
}

impl Connections {
    /// Tells workers whose queues they watch from now on, and whose no more.
    pub(super) fn overlap(&mut self, now: Instant) {
        if self.is_sticky {
            return;
        }
        let listeners: Vec<ListenerId> = self.sockets.listeners().collect();
        for listener in listeners {
            let open = self.open_slots(listener);
            let ring = self.ring(&open);
            let ids: Vec<WorkerId> = self.servers.keys().copied().collect();
            for id in ids {
                if self.watch_neighbours(id, listener, &ring, &open, now) {
                    self.wake_order.due = Some(now + SETTLED);
                }
            }
        }
    }

    /// A worker leaves the queues of others alone, since it has taken more than they, or does so no more.
    pub(crate) fn set_ahead(&mut self, worker: WorkerId, is_ahead: bool) {
        if let Some(server) = self.servers.get_mut(&worker) {
            server.is_ahead = is_ahead;
            self.is_steering_outdated = true;
        }
    }

    /// Nobody is to watch the queue of a slot that was given up; `true` when nobody does. A socket must not be closed before:
    /// a worker that began to listen on it afterwards would bring it back to life.
    pub(crate) fn leave_slot(&mut self, slot: SlotIndex) -> bool {
        self.is_steering_outdated |= self.closing.insert(slot);
        let mut loans = self.servers.values().flat_map(|server| &server.loans);
        !loans.any(|loan| loan.watched.contains(&slot) || loan.unwatching.contains_key(&slot))
    }

    /// A worker does not accept from the queue of a slot any more, as it was told.
    pub(crate) fn unwatched(&mut self, worker: WorkerId, key: &str, slot: SlotIndex) {
        let Some(server) = self.servers.get_mut(&worker) else { return };
        for loan in server.loans.iter_mut().filter(|loan| loan.key == key) {
            let left = loan.unwatching.get(&slot).map_or(0, |count| count - 1);
            if left == 0 {
                loan.unwatching.remove(&slot);
            } else {
                loan.unwatching.insert(slot, left);
            }
        }
    }

    /// It is time: has each worker watch the queue of the next slot anew, so that it is the latest there.
    pub(crate) fn order_wakes(&mut self) {
        self.wake_order.due = None;
        let listeners: Vec<ListenerId> = self.sockets.listeners().collect();
        for listener in listeners {
            let ring = self.ring(&self.open_slots(listener));
            let taking = self.servers.iter().filter(|(_, server)| server.is_taking);
            let loans = taking.flat_map(|(id, server)| {
                let next = neighbours(&ring, server.slot).next();
                let of_listener = server.loans.iter().filter(move |loan| loan.listener == listener);
                of_listener.filter_map(move |loan| Some((*id, loan, next?)))
            });
            for (worker, loan, next) in loans.filter(|(_, loan, next)| loan.watched.contains(next)) {
                self.orders.extend(watch(&self.sockets, worker, loan, next));
            }
        }
    }

    /// The slots that have a socket, but for those that were given up.
    fn open_slots(&self, listener: ListenerId) -> BTreeSet<SlotIndex> {
        let slots = self.sockets.slots(listener).into_iter();
        slots.filter(|slot| !self.closing.contains(slot)).collect()
    }

    /// A slot whose worker has not asked yet has its place in the ring, so that few change when it does.
    fn ring(&self, open: &BTreeSet<SlotIndex>) -> BTreeSet<SlotIndex> {
        self.servers.values().map(|server| server.slot).chain(open.iter().copied()).collect()
    }

    /// Says whether the worker watches one more queue.
    fn watch_neighbours(
        &mut self,
        worker: WorkerId,
        listener: ListenerId,
        ring: &BTreeSet<SlotIndex>,
        open: &BTreeSet<SlotIndex>,
        now: Instant,
    ) -> bool {
        let Some(server) = self.servers.get_mut(&worker).filter(|server| server.has_package) else {
            return false;
        };
        let mut is_changed = false;
        let wanted: BTreeSet<SlotIndex> = if server.is_taking && !server.is_ahead {
            neighbours(ring, server.slot).filter(|slot| open.contains(slot)).collect()
        } else {
            BTreeSet::new()
        };
        for loan in server.loans.iter_mut().filter(|loan| loan.listener == listener) {
            for slot in loan.watched.difference(&wanted) {
                let message = ToWorker::Unwatch { key: loan.key.clone(), slot: *slot };
                self.orders.push(Order { worker, message, fd: None });
                *loan.unwatching.entry(*slot).or_default() += 1;
            }
            let new: Vec<SlotIndex> = wanted.difference(&loan.watched).copied().collect();
            loan.watched.retain(|slot| wanted.contains(slot));
            for slot in new {
                let Some(order) = watch(&self.sockets, worker, loan, slot) else {
                    // Without a descriptor left the worker has one neighbour less for a while.
                    self.watch_again = Some(now + TRY_AGAIN);
                    continue;
                };
                self.orders.push(order);
                loan.watched.insert(slot);
                is_changed = true;
            }
        }
        is_changed
    }
}

fn watch(sockets: &Sockets, worker: WorkerId, loan: &Loan, slot: SlotIndex) -> Option<Order> {
    let (fd, backlog) = sockets.duplicate(loan.listener, slot)?;
    let message = ToWorker::Watch { key: loan.key.clone(), slot, backlog };
    Some(Order { worker, message, fd: Some(fd) })
}

/// The slots whose queues the worker of `slot` watches beside its own: the next ones in the ring.
fn neighbours(ring: &BTreeSet<SlotIndex>, slot: SlotIndex) -> impl Iterator<Item = SlotIndex> {
    let after = ring.range((Excluded(slot), Unbounded));
    after.chain(ring.range(..slot)).take(WATCHERS - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(slots: impl IntoIterator<Item = u16>) -> BTreeSet<SlotIndex> {
        slots.into_iter().map(SlotIndex).collect()
    }

    #[test]
    fn each_queue_is_watched_by_as_many_workers_as_the_others() {
        for count in 1..20 {
            let ring = ring((0..count).map(|index| index * 3));
            let mut watchers: Vec<usize> = Vec::new();
            for slot in &ring {
                let of_others =
                    ring.iter().filter(|other| neighbours(&ring, **other).any(|one| one == *slot));
                watchers.push(1 + of_others.count());
            }
            let expected = WATCHERS.min(ring.len());
            assert!(watchers.iter().all(|count| *count == expected), "{count}: {watchers:?}");
        }
    }

    #[test]
    fn a_slot_that_joins_changes_the_neighbours_of_those_before_it_only() {
        let (before, after) = (ring(0..8), ring((0..8).chain([8])));
        let is_changed = |slot: &SlotIndex| {
            let of = |ring| neighbours(ring, *slot).collect::<Vec<_>>();
            of(&before) != of(&after)
        };
        assert_eq!(before.iter().copied().filter(is_changed).count(), WATCHERS - 1);
    }
}
