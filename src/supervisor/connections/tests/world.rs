//! The world of a history: its clients, its workers, and its course from the start to the rest at its end.
//!
//! The master's part is the real one: `Connections`, the retirement of slots and the timers. `master.rs` calls them as the
//! supervisor does, and checks the invariants after each step; `happenings.rs` is what they have to deal with.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::fake_worker::{Habits, Worker};
use super::happenings::Happening;
use super::histories::{Agenda, Next};
use super::{Random, Swarm, ms};
use crate::fleet::Forks;
use crate::ids::{SlotIndex, WorkerId};
use crate::options::{Machine, Options, Scheduling, Sticky};
use crate::os::memory::Mapping;
use crate::scoreboard::Scoreboard;
use crate::socket::{self, ListenerId, Sockets};
use crate::supervisor::Input;
use crate::supervisor::connections::Connections;
use crate::supervisor::shutdown::Shutdown;
use crate::supervisor::timers::Timers;
use crate::tasks::LocalTasks;

/// How long the world is left in peace before everybody must be served.
const REST: Duration = ms(8000);
/// More happenings than any history needs.
const MANY: usize = 100_000;

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
    /// How many clients the master has closed because all workers refused them, at the last look.
    pub(super) refused: u64,
    pub(super) agenda: Agenda<Happening>,
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
            refused: 0,
            agenda: Agenda::new(),
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
        self.agenda.entries.retain(|_, happening| !matches!(happening, Happening::Whim));
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
            match self.agenda.next(&mut self.now, self.timers.next(), Some(end)) {
                Some(Next::Happening(happening)) => self.let_happen(happening),
                Some(Next::Deadline) => self.fire(),
                None => return,
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

    pub(super) fn say(&self, what: impl Fn(&Self) -> String) {
        if self.trace {
            println!("{:>6} {}", (self.now - self.began).as_millis(), what(self));
        }
    }

    pub(super) fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_insert(0) += 1;
    }

    pub(super) fn schedule(&mut self, after: Duration, happening: Happening) {
        self.agenda.add(self.now + after, happening);
    }

    pub(super) fn soon(&mut self, within: u64, happening: Happening) {
        let after = self.random.ms(within);
        self.schedule(after, happening);
    }

    pub(super) fn address_of(&self, listener: ListenerId) -> Option<SocketAddr> {
        let bound = self.connections.addresses();
        bound.into_iter().find(|bound| bound.listener == listener)?.address
    }
}
