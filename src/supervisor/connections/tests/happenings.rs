//! What happens to workers and clients in a history: workers come, go, stand still and turn, and clients connect.

use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use super::fake_worker::{Said, Worker};
use super::ms;
use super::world::{Client, Place, World};
use crate::ids::{SlotIndex, WorkerId};
use crate::scoreboard::RowIndex;
use crate::socket::ListenerId;

/// What is going to happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    Whim,
    /// The loop of a worker turns.
    Turn(WorkerId),
    /// The master reads the next message of a worker.
    Hear(WorkerId),
    /// A loop that stood still goes on.
    Unblock(WorkerId),
    /// A worker that was full has room.
    Empty(WorkerId),
    /// A worker that was told to drain has nothing left to do.
    Leave(WorkerId),
    Fork(SlotIndex),
    /// The master learns that a worker has died.
    Bury(WorkerId),
    ChannelEnds(WorkerId),
    ClientGoes(u16),
    /// The channel could not carry the connection that was handed over by this number.
    NotDelivered(WorkerId, u64),
}

impl World {
    pub(super) fn let_happen(&mut self, happening: Happening) {
        match happening {
            Happening::Whim => self.follow_a_whim(),
            Happening::Turn(id) => self.turn(id),
            Happening::Hear(id) => self.hear(id),
            Happening::Unblock(id) => self.unblock(id),
            Happening::Empty(id) => self.workers.get_mut(&id).unwrap().is_full = false,
            Happening::Leave(id) => self.kill(id),
            Happening::Fork(slot) if self.wanted.contains(&slot) => self.fork(slot),
            Happening::Fork(_) => {}
            Happening::Bury(id) => self.bury(id),
            Happening::ChannelEnds(id) => self.channel_ends(id),
            Happening::ClientGoes(port) => self.client_goes(port),
            Happening::NotDelivered(id, seq) => {
                self.connections.handed_over(id, seq, false);
                self.settle();
            }
        }
    }

    fn follow_a_whim(&mut self) {
        let total: u64 = self.swarm.whims.iter().sum();
        let mut drawn = self.random.below(total);
        let which = self.swarm.whims.iter().position(|weight| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        let alive: Vec<WorkerId> =
            self.workers.values().filter(|worker| worker.is_alive).map(|worker| worker.id).collect();
        let worker = self.random.pick(&alive);
        match (which.unwrap(), worker) {
            (0, _) => {
                for _ in 0..=self.random.below(6) {
                    self.connect();
                }
            }
            (1, Some(id)) => self.kill(id),
            (2, Some(id)) => self.block(id),
            (3, Some(id)) => self.drain(id),
            (4, Some(id)) => {
                let slot = self.workers[&id].slot;
                if self.wanted.contains(&slot) && self.in_slot(slot).count() == 1 {
                    self.note("reload");
                    self.fork(slot);
                    self.drain(id);
                }
            }
            (5, _) => self.scale(),
            (6, Some(id)) => self.close_a_server(id),
            (7, Some(id)) => self.fill(id),
            (_, _) => {}
        }
    }

    pub(super) fn in_slot(&self, slot: SlotIndex) -> impl Iterator<Item = &Worker> {
        self.workers.values().filter(move |worker| worker.slot == slot && !self.buried.contains(&worker.id))
    }

    pub(super) fn has_worker(&self, slot: SlotIndex) -> bool {
        self.in_slot(slot).any(|worker| worker.is_in_post && worker.is_alive)
    }

    fn fork(&mut self, slot: SlotIndex) {
        if self.has_worker(slot) && !self.is_kind && self.in_slot(slot).count() > 1 {
            return;
        }
        self.last_id += 1;
        let id = WorkerId(self.last_id);
        let has_package = !self.random.percent(self.swarm.plain_workers);
        let row = self.board.borrow_mut().assign(id).map(RowIndex::get);
        let mut worker = Worker::new(id, slot, has_package, row, &self.memory);
        if has_package {
            worker.outbox.push_back(Said::Loaded);
        } else {
            self.note("plain_worker");
        }
        for index in 0..self.swarm.servers {
            worker.ask(index);
        }
        self.say(|_| format!("{id} in slot {slot}, package: {has_package}"));
        self.workers.insert(id, worker);
        self.shutdown.keep(slot, &mut self.timers);
        self.connections.add(id, slot, false);
        self.settle();
        let sayings = u64::from(self.swarm.servers) + 1;
        for _ in 0..sayings {
            self.soon(20, Happening::Hear(id));
        }
    }

    fn kill(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.is_alive) else { return };
        worker.die();
        self.say(|_| format!("{id} dies"));
        self.note("died");
        if self.clients.values().any(|client| client.place == Place::ServedBy(id)) {
            self.note("died_with_client");
        }
        self.soon(20, Happening::Bury(id));
        self.soon(20, Happening::ChannelEnds(id));
    }

    fn block(&mut self, id: WorkerId) {
        let is_long = self.random.percent(20);
        let lasts = ms(10) + self.random.ms(if is_long { 4000 } else { 600 });
        let until = self.now + lasts;
        // Nobody can tell whether the loop of a worker without our package turns.
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.turns() && worker.has_package)
        else {
            return;
        };
        worker.blocked_until = Some(until);
        self.say(|_| format!("{id} stands still for {lasts:?}"));
        self.note("blocked");
        self.schedule(lasts, Happening::Unblock(id));
    }

    /// It is full for a while. Only one worker at a time, so that few clients are closed because all have refused them.
    fn fill(&mut self, id: WorkerId) {
        if self.workers.values().any(|worker| worker.is_full) {
            return;
        }
        self.workers.get_mut(&id).unwrap().is_full = true;
        let lasts = ms(10) + self.random.ms(400);
        self.say(|_| format!("{id} is full for {lasts:?}"));
        self.note("full");
        self.schedule(lasts, Happening::Empty(id));
    }

    pub(super) fn unblock(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.is_alive) {
            worker.blocked_until = None;
            self.soon(3, Happening::Turn(id));
        }
    }

    fn drain(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.is_in_post) else { return };
        worker.is_in_post = false;
        worker.is_told_to_drain = true;
        let slot = worker.slot;
        self.say(|_| format!("{id} drains"));
        self.settle();
        self.soon(3, Happening::Turn(id));
        self.schedule(ms(800), Happening::Leave(id));
        if self.wanted.contains(&slot) && !self.has_worker(slot) {
            self.soon(100, Happening::Fork(slot));
        }
    }

    fn scale(&mut self) {
        let slot = SlotIndex(u16::try_from(self.random.below(9)).unwrap());
        if self.wanted.len() > 1 && self.wanted.remove(&slot) {
            self.say(|_| format!("slot {slot} is given up"));
            let ids: Vec<WorkerId> = self.in_slot(slot).map(|worker| worker.id).collect();
            for id in &ids {
                self.drain(*id);
            }
            if ids.is_empty() {
                self.shutdown.retire(slot, &mut self.timers, self.now);
            }
        } else if self.wanted.insert(slot) && !self.has_worker(slot) {
            self.fork(slot);
        }
    }

    fn close_a_server(&mut self, id: WorkerId) {
        let worker = self.workers.get_mut(&id).unwrap();
        let Some(key) = worker.loans.keys().next().cloned().filter(|_| worker.turns()) else { return };
        worker.close(&key);
        self.say(|_| format!("{id} closes {key}"));
        self.note("closed_server");
        self.hears_soon(id);
    }

    /// The master will read what the worker has said, message by message.
    fn hears_soon(&mut self, id: WorkerId) {
        let waiting = self.workers[&id].outbox.len();
        let is_coming = |happening: &&Happening| matches!(happening, Happening::Hear(of) if *of == id);
        let coming = self.agenda.entries.values().filter(is_coming).count();
        for _ in coming..waiting {
            self.soon(5, Happening::Hear(id));
        }
    }

    fn turn(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.turns()) else { return };
        let was_pausing = worker.outbox.iter().any(|said| matches!(said, Said::Ahead(true)));
        let turn = worker.turn(self.habits, &mut self.random, &self.memory, self.now);
        let is_ahead = worker.outbox.iter().any(|said| matches!(said, Said::Ahead(true)));
        for port in turn.begun {
            self.serve(port, id);
        }
        if is_ahead && !was_pausing {
            self.note("ahead");
            self.schedule(ms(21), Happening::Turn(id));
        }
        self.hears_soon(id);
        let is_turn = |happening: &Happening| matches!(happening, Happening::Turn(of) if *of == id);
        let is_due = self.agenda.entries.values().any(is_turn);
        if !is_due {
            self.schedule(ms(100), Happening::Turn(id));
        }
    }

    fn serve(&mut self, port: u16, by: WorkerId) {
        let Some(client) = self.clients.get_mut(&port) else { return };
        let before = std::mem::replace(&mut client.place, Place::ServedBy(by));
        if let Place::ServedBy(first) = before {
            // One without our package does not show what it has begun.
            let is_unknown = !self.workers[&first].has_package && !self.workers[&first].is_alive;
            assert!(is_unknown, "client {port} is served by {first} and by {by}");
        }
        self.say(|_| format!("{by} serves client {port}"));
        self.note("served");
    }

    fn connect(&mut self) {
        let listeners: Vec<ListenerId> = self.connections.sockets.listeners().collect();
        let Some(listener) = self.random.pick(&listeners) else { return };
        let Some(address) = self.address_of(listener) else { return };
        let slots = self.connections.sockets.slots(listener);
        let served: Vec<SlotIndex> = self.connections.slots_served(listener).into_iter().collect();
        let is_late = self.random.percent(self.swarm.late_clients);
        let with_socket: Vec<SlotIndex> =
            served.iter().filter(|slot| slots.contains(slot)).copied().collect();
        let choice = if is_late || with_socket.is_empty() { &slots } else { &with_socket };
        // The seed chooses what the kernel would choose.
        let slot = self.random.pick(choice);
        if let Some(slot) = slot {
            self.connections.sockets.steer(listener, &[slot]).unwrap();
        }
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        self.connections.sockets.steer(listener, &served).unwrap();
        let Ok(stream) = stream else { panic!("{listener} refuses clients") };
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        let port = stream.local_addr().unwrap().port();
        self.say(|_| format!("client {port} comes to {listener}, slot {slot:?}"));
        let client = Client { listener, since: self.now, place: Place::Waiting, stream: Some(stream) };
        self.clients.insert(port, client);
        if self.random.percent(self.swarm.clients_go) {
            self.soon(30, Happening::ClientGoes(port));
        }
        self.wake_workers();
    }

    /// Whoever holds a socket at which something waits has its loop woken.
    fn wake_workers(&mut self) {
        let ids: Vec<WorkerId> =
            self.workers.values().filter(|worker| worker.turns()).map(|worker| worker.id).collect();
        for id in ids {
            self.soon(4, Happening::Turn(id));
        }
    }

    fn client_goes(&mut self, port: u16) {
        let Some(client) = self.clients.get_mut(&port) else { return };
        client.stream = None;
        if client.place == Place::Waiting {
            client.place = Place::Excused("the client has gone");
            self.note("client_gone");
        }
    }
}
