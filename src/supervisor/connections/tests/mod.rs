//! Random histories of connections between real sockets and workers of the test's own, with every invariant checked after
//! every step of the master.
//!
//! A history is its seed: workers that come, take, close servers, stand still, confirm late, refuse, give back and die, and
//! clients that connect and perhaps go. Time is the test's own; sockets are real ones on the loopback, and clients are
//! steered to the slot that the seed says. Each seed leaves habits out and sets the rates of the others (`Swarm`).
//! `SEED=n HISTORIES=1` replays one, `TRACE=1` prints it; `HISTORIES=100000` is for a long run (with `--release`).

mod fake_worker;
mod happenings;
#[path = "../../../../test/rust/histories.rs"]
mod histories;
mod invariants;
mod master;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpStream;
use std::num::NonZero;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;

use super::{Connections, InFlight, Origin};
use crate::fleet::Forks;
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::listen::Query;
use crate::ipc::message::ServerData;
use crate::options::{Machine, Options, Scheduling, Sticky};
use crate::os::memory::Mapping;
use crate::scoreboard::Scoreboard;
use crate::scoreboard::layout::header;
use crate::socket::{self, ListenerId, Sockets};
use crate::tasks::LocalTasks;

use fake_worker::Habits;
use histories::{Random, Shout, number};
use world::World;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn every_client_is_served_once_in_every_history() {
    let (first, histories) = (number("SEED", 1), number("HISTORIES", 2000));
    // A history waits for the kernel as often as it computes.
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let seeds = first..first + histories;
    let seen = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|at| {
                scope.spawn({
                    let seeds = seeds.clone().skip(at).step_by(threads);
                    move || live_through(seeds)
                })
            })
            .collect();
        added_up(parts.into_iter().map(|part| part.join().expect("a history failed")))
    });
    println!("{seen:?}");
    // A simulation in which nothing happens proves nothing.
    if histories >= 2000 {
        let expected = "served handed refused taken_back given_back ahead blocked died closed_slot closed_server \
                        died_with_client client_gone not_delivered sticky rr plain_worker reload abandoned full";
        for name in expected.split_whitespace() {
            assert!(seen.contains_key(name), "no history had {name}");
        }
    }
}

/// How often each thing happened.
type Seen = BTreeMap<&'static str, u64>;

fn live_through(seeds: impl Iterator<Item = u64>) -> Seen {
    added_up(seeds.map(|seed| {
        let _guard = Shout(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let mut world = World::new(seed);
            world.live().await;
            world.seen
        })
    }))
}

fn added_up(all: impl Iterator<Item = Seen>) -> Seen {
    let mut sum = Seen::new();
    for (what, count) in all.flatten() {
        *sum.entry(what).or_default() += count;
    }
    sum
}

#[tokio::test]
async fn a_connection_that_a_worker_had_begun_to_serve_when_it_died_is_given_to_nobody_else() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let mut stage = Stage::new();
            stage.hand_over(7);
            stage.hand_over(8);
            stage.memory.set_word(header::CLAIMED, 7);
            stage.connections.remove(WorkerId(1));
            let returned = stage.connections.handoff.returned_numbers();
            assert_eq!(returned, [8], "what it had not begun goes to others");
        })
        .await;
}

#[tokio::test]
async fn a_connection_that_comes_back_after_its_address_was_given_up_is_closed() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let mut stage = Stage::new();
            let mut client = stage.hand_over(7);
            stage.connections.socket_closed(WorkerId(1), "0.1", false);
            stage.connections.handed_over(WorkerId(1), 7, false);
            stage.connections.settle(Instant::now());
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "the client learns of it");
        })
        .await;
}

#[tokio::test]
async fn a_connection_that_was_refused_is_offered_again_though_another_worker_stands_still() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let mut stage = Stage::new();
            let _client = stage.hand_over(7);
            stage.connections.add(WorkerId(2), SlotIndex(1), true);
            assert!(stage.connections.lend(WorkerId(2), 1, &any_port(0), &ServerData::default()).unwrap());
            let now = Instant::now();
            stage.connections.handed_over(WorkerId(1), 7, false);
            stage.connections.settle(now);
            let overdue = stage.connections.handoff.pass_over.expect("the other one is asked");
            stage.connections.turned(WorkerId(1), false, overdue);
            stage.connections.settle(overdue);
            assert_eq!(stage.connections.servers[&WorkerId(1)].in_flight.len(), 1);
        })
        .await;
}

#[tokio::test]
async fn clients_of_one_address_do_not_keep_those_of_another_waiting() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let mut stage = Stage::with(socket::Scheduling::Handed);
            assert!(stage.connections.lend(WorkerId(1), 2, &any_port(1), &ServerData::default()).unwrap());
            stage.connections.settle(Instant::now());
            let addresses: Vec<_> =
                stage.connections.addresses().iter().filter_map(|bound| bound.address).collect();
            let connect = |at: usize| TcpStream::connect(addresses[at]).unwrap();
            let mut clients: Vec<_> = (0..8).map(|_| connect(0)).collect();
            clients.push(connect(1));
            clients.push(connect(1));
            // The worker takes one at a time, and the first address always has more clients.
            let mut served = Vec::new();
            for _ in 0..8 {
                stage.connections.settle(Instant::now());
                let in_flight = &stage.connections.servers[&WorkerId(1)].in_flight;
                let (seq, listener) = (in_flight[0].seq, in_flight[0].listener);
                served.push(listener);
                stage.connections.handed_over(WorkerId(1), seq, true);
                clients.push(connect(0));
            }
            let others = served.iter().filter(|listener| **listener != stage.listener).count();
            assert_eq!(others, 2, "{served:?}");
        })
        .await;
}

/// One worker of one server.
struct Stage {
    connections: Connections,
    memory: Mapping,
    listener: ListenerId,
}

impl Stage {
    fn new() -> Self {
        Self::with(socket::Scheduling::Slots)
    }

    fn with(scheduling: socket::Scheduling) -> Self {
        let mut board = Scoreboard::create(1).unwrap();
        assert_eq!(board.assign(WorkerId(1)).unwrap().get(), 0);
        let memory = Mapping::of(board.fd()).unwrap();
        let board = Rc::new(RefCell::new(board));
        let (sockets, options) = (Sockets::new(scheduling), Options::defaults(&Machine::plain()));
        let (tasks, inputs) = (LocalTasks::default(), mpsc::channel(8).0);
        let mut connections = Connections::new(sockets, &options, Forks::Kept, Some(board), tasks, inputs);
        connections.add(WorkerId(1), SlotIndex(0), true);
        assert!(connections.lend(WorkerId(1), 1, &any_port(0), &ServerData::default()).unwrap());
        let listener = connections.sockets.listeners().next().unwrap();
        Self { connections, memory, listener }
    }

    /// A connection is under way to the worker under this number; gives its client.
    fn hand_over(&mut self, seq: u64) -> TcpStream {
        let address = self.connections.addresses()[0].address.unwrap();
        let client = TcpStream::connect(address).unwrap();
        let fd = self.connections.sockets.accept(self.listener, SlotIndex(0)).unwrap().unwrap();
        self.connections.servers.get_mut(&WorkerId(1)).unwrap().in_flight.push_back(InFlight {
            seq,
            listener: self.listener,
            fd,
            copy: None,
            sent: Instant::now(),
            refused_by: Vec::new(),
            rounds: 0,
            origin: Origin::Stranded,
        });
        client
    }
}

/// What this history has, and how much of it; in percent, or as weights of whims.
#[derive(Clone, Copy, Debug)]
struct Swarm {
    habits: Habits,
    scheduling: Scheduling,
    sticky: Sticky,
    workers: u16,
    /// Servers of each worker.
    servers: u32,
    plain_workers: u64,
    /// Clients that come after the kernel's choice is outdated.
    late_clients: u64,
    clients_go: u64,
    not_delivered: u64,
    /// How likely each whim is: connect, kill, block, drain, reload, scale, close a server, fill.
    whims: [u64; 8],
}

impl Swarm {
    fn new(random: &mut Random) -> Self {
        let mut some = |most: u64| if random.percent(50) { random.below(most + 1) } else { 0 };
        let habits =
            Habits { refuses: some(10), gives_back: some(40), gets_ahead: some(60), confirms_late: some(80) };
        let whims = [30, some(4), some(8), some(3), some(4), some(4), some(3), some(4)];
        let (plain_workers, late_clients) = (some(30), some(20));
        let (clients_go, not_delivered) = (some(15), some(15));
        let is_handed = random.percent(15);
        let is_sticky = !is_handed && random.percent(15);
        Self {
            habits,
            scheduling: if is_handed { Scheduling::Rr } else { Scheduling::Slots },
            sticky: if is_sticky { Sticky::Address } else { Sticky::None },
            workers: 1 + u16::try_from(random.below(8)).unwrap(),
            servers: 1 + u32::try_from(random.below(2)).unwrap(),
            plain_workers,
            late_clients,
            clients_go,
            not_delivered,
            whims,
        }
    }
}

/// What Node asks for in `listen(0, '127.0.0.1')`.
fn any_port(index: u32) -> Query {
    Query {
        index,
        address: Some("127.0.0.1".into()),
        port: Some(0),
        address_type: json!(4),
        fd: None,
        flags: None,
        backlog: json!(511),
        readable_all: false,
        writable_all: false,
    }
}
