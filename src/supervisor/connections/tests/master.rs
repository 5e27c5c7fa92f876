//! The master in a history: the parts that are real, called as the supervisor calls them.

use super::any_port;
use super::fake_worker::Said;
use super::happenings::Happening;
use super::world::World;
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::message::{ServerData, ToWorker};
use crate::socket::ListenerId;
use crate::supervisor::connections::Order;
use crate::supervisor::timers::Due;

impl World {
    /// The master reads one message of a worker.
    pub(super) fn hear(&mut self, id: WorkerId) {
        let Some(said) = self.workers.get_mut(&id).and_then(|worker| worker.outbox.pop_front()) else {
            return;
        };
        self.say(|_| format!("{id} says {said:?}"));
        let now = self.now;
        match said {
            Said::Loaded => self.connections.has_package(id),
            Said::Query { index, seq } => {
                self.connections.lend(id, seq, &any_port(index), &ServerData::default()).unwrap();
            }
            Said::Close { key } => {
                let is_one_starting = self.is_one_starting();
                self.connections.socket_closed(id, &key, is_one_starting);
                let listener = self.lent.remove(&(id, key));
                let is_on_purpose = self.workers[&id].is_in_post && !is_one_starting;
                if let Some(listener) = listener.filter(|_| is_on_purpose) {
                    let is_lent = self.lent.values().any(|lent| *lent == listener);
                    let is_open = self.connections.sockets.listeners().any(|open| open == listener);
                    assert!(is_lent || !is_open, "{listener} is open, and nobody has it");
                }
            }
            Said::Accepted { seq, accepted } => {
                self.note(if accepted { "handed" } else { "refused" });
                self.connections.turned(id, false, now);
                self.connections.handed_over(id, seq, accepted);
            }
            Said::Excess { seq, fd } => {
                self.note("given_back");
                if let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.is_alive) {
                    let message = ToWorker::Excess { ack: seq, is_taken: true };
                    worker.inbox.push_back(Order { worker: id, message, fd: None });
                    self.soon(3, Happening::Turn(id));
                }
                let copy = fd.try_clone().unwrap();
                self.connections.take_excess(id, copy, fd, now);
            }
            Said::Unwatched { key, slot } => self.connections.unwatched(id, &key, slot),
            Said::Ahead(is_ahead) => self.connections.set_ahead(id, is_ahead),
            Said::Turned => self.connections.turned(id, true, now),
        }
        self.settle();
    }

    fn has_ready_worker(&self, slot: SlotIndex) -> bool {
        self.in_slot(slot).any(|worker| worker.is_alive && worker.is_in_post && worker.has_listened)
    }

    fn is_one_starting(&self) -> bool {
        let mut in_post = self.workers.values().filter(|worker| worker.is_alive && worker.is_in_post);
        in_post.any(|worker| !worker.has_listened)
    }

    /// The process is reaped, perhaps before everything that it said was read.
    pub(super) fn bury(&mut self, id: WorkerId) {
        self.remove(id);
        self.board.borrow_mut().release(id);
        self.buried.insert(id);
        let slot = self.workers[&id].slot;
        self.say(|_| format!("{id} is buried"));
        self.settle();
        if self.wanted.contains(&slot) && !self.has_worker(slot) {
            self.soon(150, Happening::Fork(slot));
        } else if !self.wanted.contains(&slot) && self.in_slot(slot).count() == 0 {
            self.shutdown.retire(slot, &mut self.timers, self.now);
        }
    }

    /// Everything that a dead worker said has been read.
    pub(super) fn channel_ends(&mut self, id: WorkerId) {
        while self.workers[&id].outbox.front().is_some() {
            self.hear(id);
        }
        self.remove(id);
        self.settle();
    }

    fn remove(&mut self, id: WorkerId) {
        self.connections.remove(id);
        self.lent.retain(|(worker, _), _| *worker != id);
    }

    pub(super) fn fire(&mut self) {
        while let Some(due) = self.timers.pop(self.now) {
            match due {
                Due::WakeOrder => self.connections.order_wakes(),
                Due::QueueLook => self.connections.look(self.now),
                Due::TakeBack => {
                    let before: usize =
                        self.connections.servers.values().map(|server| server.in_flight.len()).sum();
                    self.connections.take_back_unserved(self.now);
                    let after: usize =
                        self.connections.servers.values().map(|server| server.in_flight.len()).sum();
                    if after < before {
                        self.note("taken_back");
                    }
                }
                Due::GiveUp => {
                    self.note("abandoned");
                    self.connections.give_up_abandoned(self.now);
                }
                Due::CloseSlot(slot) => self.close_slot(slot),
                Due::PassOver | Due::AcceptAgain => {}
                Due::Fleet
                | Due::LendAgain
                | Due::HangLook
                | Due::Heartbeat
                | Due::ChannelEnded(_)
                | Due::ReadyUnlessAnnounced(_)
                | Due::ReadyWithoutServer(_)
                | Due::ReadyWithoutListen(_)
                | Due::NextReload
                | Due::DrainDelay
                | Due::Closing
                | Due::DiskLook
                | Due::FreshSettings
                | Due::ServiceManager
                | Due::FailedReload => panic!("{due:?} is nothing of connections"),
            }
        }
        self.settle();
    }

    /// A socket must not be closed while a worker may still listen on it.
    fn close_slot(&mut self, slot: SlotIndex) {
        let listeners: Vec<ListenerId> = self.connections.sockets.listeners().collect();
        let has_socket =
            |world: &Self| listeners.iter().any(|id| world.connections.sockets.slots(*id).contains(&slot));
        let was_open = has_socket(self);
        // A queue that nobody serves is not kept for ever.
        let had_queue =
            self.connections.has_queue(slot) && listeners.iter().all(|id| self.able(*id).next().is_some());
        self.shutdown.close_slot(slot, &mut self.connections, &mut self.timers, self.now);
        if !was_open || has_socket(self) {
            return;
        }
        self.say(|_| format!("the sockets of slot {slot} are closed"));
        self.note("closed_slot");
        for worker in self.workers.values() {
            assert!(
                !worker.may_listen_on(slot),
                "slot {slot} is closed while {} may listen on it",
                worker.id
            );
        }
        assert!(!had_queue, "a client waits at slot {slot} when it is closed");
    }

    /// Everything that follows from what has just happened, as in the supervisor.
    pub(super) fn settle(&mut self) {
        let workers = &self.workers;
        let is_complete = self.wanted.iter().all(|slot| self.has_ready_worker(*slot));
        self.connections
            .set_taking(|id| workers.get(&id).is_some_and(|worker| worker.is_in_post), is_complete);
        self.connections.settle(self.now);
        for order in self.connections.take_orders() {
            self.give(order);
        }
        assert_eq!(self.connections.take_warnings(), Vec::<String>::new());
        let now = self.now;
        for (due, at) in self.connections.deadlines() {
            self.timers.follow(due, at, now);
        }
        self.check_invariants();
    }

    fn give(&mut self, order: Order) {
        let id = order.worker;
        self.check_order(&order);
        if let ToWorker::Lend { key, .. } | ToWorker::LendNothing { key, .. } = &order.message {
            let listener =
                self.connections.servers[&id].loans.iter().find(|loan| loan.key == *key).unwrap().listener;
            self.lent.insert((id, key.clone()), listener);
        }
        let is_lost = self.random.percent(self.swarm.not_delivered) && !self.is_kind;
        if let (ToWorker::NewConnection { seq, .. }, true) = (&order.message, is_lost) {
            self.note("not_delivered");
            self.soon(5, Happening::NotDelivered(id, *seq));
            return;
        }
        let worker = self.workers.get_mut(&id).unwrap();
        if worker.is_alive {
            worker.inbox.push_back(order);
            self.soon(3, Happening::Turn(id));
        }
    }
}
