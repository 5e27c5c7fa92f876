//! The world of a history: its clients, its workers, what is going to happen, and the invariants.
//!
//! The master's part is the real one: `Connections`, the retirement of slots and the timers, called as the supervisor calls
//! them. `World::settle` checks after each step.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::sync::mpsc;

use super::fake_worker::{Habits, Said, Worker};
use super::{Random, Swarm, any_port, ms};
use crate::fleet::Forks;
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::message::{ServerData, ToWorker};
use crate::options::{Machine, Options, Scheduling, Sticky};
use crate::os::memory::Mapping;
use crate::scoreboard::Scoreboard;
use crate::socket::{self, ListenerId, Sockets};
use crate::supervisor::Input;
use crate::supervisor::connections::{Connections, Order};
use crate::supervisor::shutdown::Shutdown;
use crate::supervisor::timers::{Due, Timers};
use crate::tasks::LocalTasks;

/// How long the world is left in peace before everybody must be served.
const REST: Duration = ms(8000);
/// More happenings than any history needs.
const MANY: usize = 100_000;

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

/// A client, and where it is.
pub(super) struct Client {
    pub(super) listener: ListenerId,
    pub(super) since: Instant,
    pub(super) place: Place,
    /// Held until the client goes.
    pub(super) stream: Option<TcpStream>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// In a queue of the kernel, or between master and workers.
    Waiting,
    ServedBy(WorkerId),
    /// Nobody need serve it.
    Excused(&'static str),
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) swarm: Swarm,
    pub(super) habits: Habits,
    pub(super) connections: Connections,
    pub(super) shutdown: Shutdown,
    pub(super) timers: Timers,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) board: Rc<RefCell<Scoreboard>>,
    pub(super) memory: Mapping,
    pub(super) now: Instant,
    pub(super) began: Instant,
    pub(super) queue: BTreeMap<(Instant, u64), Happening>,
    pub(super) scheduled: u64,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// Those whose channel or process is known to have ended.
    pub(super) buried: BTreeSet<WorkerId>,
    pub(super) last_id: u32,
    /// The slots that should have a worker.
    pub(super) wanted: BTreeSet<SlotIndex>,
    pub(super) clients: BTreeMap<u16, Client>,
    /// What the master lent and was not told to be closed.
    pub(super) lent: BTreeMap<(WorkerId, String), ListenerId>,
    /// Since when some worker could serve clients of each listener.
    pub(super) able_since: BTreeMap<ListenerId, Instant>,
    pub(super) is_kind: bool,
    pub(super) trace: bool,
    pub(super) seen: BTreeMap<&'static str, u64>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let swarm = Swarm::new(&mut random);
        let board = Rc::new(RefCell::new(Scoreboard::create(1).unwrap()));
        let memory = Mapping::of(board.borrow().fd()).unwrap();
        let (sender, inputs) = mpsc::channel(1024);
        let mut options = Options::defaults(&Machine::plain());
        options.scheduling = swarm.scheduling;
        options.sticky = swarm.sticky;
        let scheduling = match (swarm.scheduling, swarm.sticky) {
            (_, Sticky::Address) => socket::Scheduling::SlotsByAddress,
            (Scheduling::Slots, Sticky::None) => socket::Scheduling::Slots,
            (Scheduling::Shared, Sticky::None) => socket::Scheduling::Shared,
            (Scheduling::Rr, Sticky::None) => socket::Scheduling::Handed,
        };
        let connections = Connections::new(
            Sockets::new(scheduling),
            &options,
            Forks::Kept,
            Some(Rc::clone(&board)),
            LocalTasks::default(),
            sender,
        );
        let now = Instant::now();
        Self {
            random,
            habits: swarm.habits,
            swarm,
            connections,
            shutdown: Shutdown::default(),
            timers: Timers::default(),
            inputs,
            board,
            memory,
            now,
            began: now,
            queue: BTreeMap::new(),
            scheduled: 0,
            workers: BTreeMap::new(),
            buried: BTreeSet::new(),
            last_id: 0,
            wanted: (0..swarm.workers).map(SlotIndex).collect(),
            clients: BTreeMap::new(),
            lent: BTreeMap::new(),
            able_since: BTreeMap::new(),
            is_kind: false,
            trace: std::env::var_os("TRACE").is_some(),
            seen: BTreeMap::new(),
        }
    }

    /// Start, turmoil, rest.
    pub(super) async fn live(&mut self) {
        self.say(|world| format!("{:?}", world.swarm));
        match (self.swarm.scheduling, self.swarm.sticky) {
            (Scheduling::Rr, _) => self.note("rr"),
            (_, Sticky::Address) => self.note("sticky"),
            _ => {}
        }
        for slot in self.wanted.clone() {
            let after = self.random.ms(100);
            self.schedule(after, Happening::Fork(slot));
        }
        let length = 300 + self.random.below(2500);
        for _ in 0..20 + self.random.below(100) {
            let at = self.random.ms(length);
            self.schedule(at, Happening::Whim);
        }
        self.run_until(self.now + ms(length)).await;
        self.come_to_rest().await;
    }

    async fn come_to_rest(&mut self) {
        self.say(|_| "peace".to_owned());
        self.is_kind = true;
        self.habits = Habits { refuses: 0, gives_back: 0, gets_ahead: 0, confirms_late: 0 };
        self.queue.retain(|_, happening| !matches!(happening, Happening::Whim));
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        let wanted = self.wanted.clone();
        for id in ids {
            self.unblock(id);
        }
        for slot in wanted {
            if !self.has_worker(slot) {
                self.schedule(ms(1), Happening::Fork(slot));
            }
        }
        self.run_until(self.now + REST).await;
        let waiting = self.clients.iter().filter(|(_, client)| client.place == Place::Waiting);
        let waiting: Vec<u16> = waiting.map(|(port, _)| *port).collect();
        assert!(waiting.is_empty(), "clients {waiting:?} wait for ever");
        assert!(self.connections.handoff.is_idle(), "the master keeps a connection");
        for (id, server) in &self.connections.servers {
            assert!(server.in_flight.is_empty(), "a connection is for ever under way to {id}");
            assert!(server.loans.iter().all(|loan| loan.unwatching.is_empty()), "{id} never confirmed");
        }
        self.check_watchers();
    }

    async fn run_until(&mut self, end: Instant) {
        for _ in 0..MANY {
            self.hear_tasks().await;
            let due = self.timers.next();
            let event = self.queue.keys().next().copied();
            let next = due.into_iter().chain(event.map(|(at, _)| at)).min().filter(|next| *next <= end);
            let Some(next) = next else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if event.is_some_and(|(at, _)| at == next) {
                let happening = self.queue.remove(&event.unwrap()).unwrap();
                self.let_happen(happening);
            } else {
                self.fire();
            }
        }
        panic!("does not come to rest");
    }

    /// What the kernel says of the queues, by the tasks that ask it.
    async fn hear_tasks(&mut self) {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        while let Ok(input) = self.inputs.try_recv() {
            // One that is stranded is seen by settling alone.
            if matches!(input, Input::Waiting) {
                self.connections.wake(self.now);
            }
            self.settle();
        }
    }

    fn say(&self, what: impl Fn(&Self) -> String) {
        if self.trace {
            println!("{:>6} {}", (self.now - self.began).as_millis(), what(self));
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_insert(0) += 1;
    }

    fn schedule(&mut self, after: Duration, happening: Happening) {
        self.scheduled += 1;
        self.queue.insert((self.now + after, self.scheduled), happening);
    }

    fn soon(&mut self, within: u64, happening: Happening) {
        let after = self.random.ms(within);
        self.schedule(after, happening);
    }

    fn let_happen(&mut self, happening: Happening) {
        match happening {
            Happening::Whim => self.follow_a_whim(),
            Happening::Turn(id) => self.turn(id),
            Happening::Hear(id) => self.hear(id),
            Happening::Unblock(id) => self.unblock(id),
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
            (_, _) => {}
        }
    }

    fn in_slot(&self, slot: SlotIndex) -> impl Iterator<Item = &Worker> {
        self.workers.values().filter(move |worker| worker.slot == slot && !self.buried.contains(&worker.id))
    }

    fn has_worker(&self, slot: SlotIndex) -> bool {
        self.in_slot(slot).any(|worker| worker.is_in_post && worker.is_alive)
    }

    fn fork(&mut self, slot: SlotIndex) {
        if self.has_worker(slot) && !self.is_kind && self.in_slot(slot).count() > 1 {
            return;
        }
        self.last_id += 1;
        let id = WorkerId(self.last_id);
        let has_package = !self.random.percent(self.swarm.plain_workers);
        let row = self.board.borrow_mut().assign(id).map(crate::scoreboard::RowIndex::get);
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

    fn unblock(&mut self, id: WorkerId) {
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
        let coming =
            self.queue.values().filter(|happening| matches!(happening, Happening::Hear(of) if *of == id));
        let coming = coming.count();
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
        let is_due =
            self.queue.values().any(|happening| matches!(happening, Happening::Turn(of) if *of == id));
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

    pub(super) fn address_of(&self, listener: ListenerId) -> Option<SocketAddr> {
        let bound = self.connections.addresses();
        bound.into_iter().find(|bound| bound.listener == listener)?.address
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

    /// The master reads one message of a worker.
    fn hear(&mut self, id: WorkerId) {
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
                self.connections.take_back(id, &key, is_one_starting);
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
    fn bury(&mut self, id: WorkerId) {
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
    fn channel_ends(&mut self, id: WorkerId) {
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

    fn fire(&mut self) {
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
        let (was_open, had_queue) = (has_socket(self), self.connections.has_queue(slot));
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
    fn settle(&mut self) {
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
        self.timers.follow(Due::WakeOrder, self.connections.order_wakes_at(), now);
        self.timers.follow(Due::QueueLook, self.connections.next_look(), now);
        self.timers.follow(Due::PassOver, self.connections.pass_over_at(), now);
        self.timers.follow(Due::TakeBack, self.connections.take_back_at(), now);
        self.timers.follow(Due::GiveUp, self.connections.give_up_at(), now);
        self.timers.follow(Due::AcceptAgain, self.connections.accept_again_at(), now);
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
