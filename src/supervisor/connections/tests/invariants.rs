//! What must hold at every moment of a history, and at its end.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use super::fake_worker::Worker;
use super::ms;
use super::world::{Place, World};
use crate::ids::SlotIndex;
use crate::ipc::message::ToWorker;
use crate::options::Sticky;
use crate::socket::ListenerId;
use crate::supervisor::connections::Order;

/// How long a client may wait while a worker could serve it: longer than any deadline of the hand-off, and than loops stand
/// still one after the other.
const PATIENCE: Duration = ms(1500);

impl World {
    /// By the end as many workers hold each queue as should.
    pub(super) fn check_watchers(&self) {
        for listener in self.connections.sockets.listeners() {
            let able: Vec<&Worker> = self.able(listener).collect();
            // A worker that has closed this server keeps its place in the ring, and watches nothing.
            let in_post = self.workers.values().filter(|worker| worker.is_alive && worker.is_in_post).count();
            let is_overlapped =
                self.swarm.sticky == Sticky::None && able.iter().all(|worker| worker.has_package);
            if !is_overlapped || able.len() < in_post {
                continue;
            }
            let slots: BTreeSet<SlotIndex> = able.iter().map(|worker| worker.slot).collect();
            let open = self.connections.sockets.slots(listener);
            for slot in slots.iter().filter(|slot| open.contains(slot)) {
                let holds = |worker: &&&Worker| worker.slot == *slot || self.watches(worker, listener, *slot);
                let holders = able.iter().filter(holds).count();
                assert!(holders >= slots.len().min(4), "{holders} watch slot {slot:?} of {listener}");
            }
        }
    }

    fn watches(&self, worker: &Worker, listener: ListenerId, slot: SlotIndex) -> bool {
        let is_of = |key: &String| self.lent.get(&(worker.id, key.clone())) == Some(&listener);
        worker.loans.iter().any(|(key, loan)| is_of(key) && loan.watched.contains_key(&slot))
    }

    /// Nobody is told anything of a listener that it was not lent.
    pub(super) fn check_order(&self, order: &Order) {
        let id = order.worker;
        let own = self.workers[&id].slot;
        let is_lent = |key: &str| self.lent.contains_key(&(id, key.to_owned()));
        if let ToWorker::NewConnection { key, .. } = &order.message {
            assert!(is_lent(key), "{id} is handed a connection for {key}");
        }
        if let ToWorker::Watch { key, slot, .. } = &order.message {
            assert!(is_lent(key), "{id} is to watch slot {slot} of {key}, which it was not lent");
            assert_ne!(*slot, own, "{id} is to watch its own queue");
            assert_eq!(self.swarm.sticky, Sticky::None, "clients belong to slots");
            let at = SockRef::from(order.fd.as_ref().unwrap()).local_addr().unwrap().as_socket();
            let lent = self.address_of(self.lent[&(id, key.clone())]);
            assert_eq!(at, lent, "{id} gets another listener's socket");
        }
    }

    pub(super) fn able(&self, listener: ListenerId) -> impl Iterator<Item = &Worker> {
        self.workers.values().filter(move |worker| {
            let has_it = |key: &String| self.lent.get(&(worker.id, key.clone())) == Some(&listener);
            worker.turns() && !worker.is_full && worker.is_in_post && worker.loans.keys().any(has_it)
        })
    }

    pub(super) fn check_invariants(&mut self) {
        let listeners: BTreeSet<ListenerId> = self.connections.sockets.listeners().collect();
        for listener in &listeners {
            self.check_queues(*listener);
        }
        for client in self.clients.values_mut().filter(|client| client.place == Place::Waiting) {
            if !listeners.contains(&client.listener) {
                client.place = Place::Excused("its address was given up");
            }
        }
        self.excuse_refused();
        self.check_patience(&listeners);
        let mut numbers = BTreeSet::new();
        for connection in self.connections.servers.values().flat_map(|server| &server.in_flight) {
            assert!(numbers.insert(connection.seq), "a connection is under way to two workers");
        }
    }

    /// A worker may be the only one, and full for so long that its clients are closed; the master counts them.
    fn excuse_refused(&mut self) {
        let refused = self.connections.moves().refused;
        let mut more = refused - self.refused;
        if more == 0 {
            return;
        }
        self.refused = refused;
        for client in self.clients.values_mut().filter(|client| client.place == Place::Waiting) {
            if client.stream.as_ref().is_some_and(is_closed) {
                client.place = Place::Excused("all have refused it");
                // A client that has gone may be counted too.
                assert!(more > 0, "a client was closed that is not counted");
                more -= 1;
            }
        }
    }

    /// Each queue has a worker whose loop turns, as far as the master knows, or is given to the hand-off.
    fn check_queues(&self, listener: ListenerId) {
        let connections = &self.connections;
        // While all stand still there is nobody to whom the hand-off could give anything.
        if connections.turning(listener).next().is_none() {
            return;
        }
        for slot in connections.sockets.slots(listener) {
            let is_seen =
                connections.is_watched(listener, slot) || connections.handoff.is_watched(listener, slot);
            assert!(is_seen, "nobody looks at slot {slot} of {listener}");
        }
    }

    /// Nobody waits while a worker could serve.
    fn check_patience(&mut self, listeners: &BTreeSet<ListenerId>) {
        // Where clients belong to a slot, nobody helps a worker that stands still.
        let is_alone = self.swarm.sticky == Sticky::Address
            && self.workers.values().any(|worker| worker.is_alive && worker.blocked_until.is_some());
        for listener in listeners {
            if self.able(*listener).next().is_some() && !is_alone {
                self.able_since.entry(*listener).or_insert(self.now);
            } else {
                self.able_since.remove(listener);
            }
        }
        for (port, client) in self.clients.iter().filter(|(_, client)| client.place == Place::Waiting) {
            let Some(able) = self.able_since.get(&client.listener) else { continue };
            let waited = self.now.saturating_duration_since(client.since.max(*able));
            assert!(waited < PATIENCE, "client {port} waits for {waited:?} while a worker could serve it");
        }
    }
}

/// Whether the other side has closed it.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
