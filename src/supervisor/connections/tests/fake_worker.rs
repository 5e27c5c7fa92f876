//! A worker as the master sees it: it reads its messages in their order, accepts from the sockets that it holds, and writes
//! into its row.
//!
//! It does what `lib/worker/serving/` does (`neighbours.js`, `claims.js`, `balance.js`), as far as the master can
//! notice. `tests/mod.rs` owns all of them and says when their loops turn.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use socket2::{SockRef, Socket};

use super::{Random, ms};
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::message::ToWorker;
use crate::os::memory::{Mapping, WORD};
use crate::os::net;
use crate::scoreboard::layout::{Field, header};
use crate::scoreboard::locate_row;
use crate::supervisor::connections::Order;

/// How long a worker leaves its neighbours' queues alone.
const PAUSE: Duration = ms(20);

/// What a worker says to the master.
#[derive(Debug)]
pub(super) enum Said {
    Loaded,
    Query { index: u32, seq: u64 },
    Close { key: String },
    Accepted { seq: u64, accepted: bool },
    Excess { seq: u64, fd: OwnedFd },
    Unwatched { key: String, slot: SlotIndex },
    Ahead(bool),
    Turned,
}

/// A server that listens, with its own socket and those of its neighbours.
#[derive(Debug)]
pub(super) struct Loan {
    /// None where the master hands over every connection.
    own: Option<Socket>,
    pub(super) watched: BTreeMap<SlotIndex, Socket>,
}

/// What the swarm has left in of a worker's habits, in percent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub(super) refuses: u64,
    pub(super) gives_back: u64,
    pub(super) gets_ahead: u64,
    /// Orders to leave a queue that are confirmed late.
    pub(super) confirms_late: u64,
}

/// One worker.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) slot: SlotIndex,
    pub(super) has_package: bool,
    /// The fleet lets it have clients.
    pub(super) is_in_post: bool,
    pub(super) is_alive: bool,
    /// It refuses what it is handed.
    pub(super) is_full: bool,
    /// Its loop stands still until then.
    pub(super) blocked_until: Option<Instant>,
    /// It has listened once.
    pub(super) has_listened: bool,
    /// The order to drain waits behind what the master said before.
    pub(super) is_told_to_drain: bool,
    pub(super) inbox: VecDeque<Order>,
    pub(super) outbox: VecDeque<Said>,
    pub(super) loans: BTreeMap<String, Loan>,
    /// Connections that it serves, until when.
    serving: Vec<(Instant, OwnedFd)>,
    /// Connections that it gave back and that the master has not acknowledged.
    given_back: BTreeMap<u64, OwnedFd>,
    late_confirmations: Vec<(Instant, String, SlotIndex)>,
    pausing_until: Option<Instant>,
    last_seq: u64,
    /// The numbers of its row's first word and of its row.
    row: Option<(usize, usize)>,
    ticks: u32,
    accepted: u32,
}

/// What came of one turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Ports of the clients that it has begun to serve.
    pub(super) begun: Vec<u16>,
}

impl Worker {
    pub(super) fn new(
        id: WorkerId,
        slot: SlotIndex,
        has_package: bool,
        row: Option<usize>,
        memory: &Mapping,
    ) -> Self {
        let row = row.map(|row| (locate_row(memory, row).unwrap() / WORD, row));
        Self {
            id,
            slot,
            has_package,
            is_in_post: true,
            is_alive: true,
            is_full: false,
            blocked_until: None,
            has_listened: false,
            is_told_to_drain: false,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            loans: BTreeMap::new(),
            serving: Vec::new(),
            given_back: BTreeMap::new(),
            late_confirmations: Vec::new(),
            pausing_until: None,
            last_seq: 0,
            row,
            ticks: 0,
            accepted: 0,
        }
    }

    pub(super) fn turns(&self) -> bool {
        self.is_alive && self.blocked_until.is_none()
    }

    /// Asks for a socket.
    pub(super) fn ask(&mut self, index: u32) {
        self.last_seq += 1;
        self.outbox.push_back(Said::Query { index, seq: self.last_seq });
    }

    /// Closes a server, and with it what it holds of others.
    pub(super) fn close(&mut self, key: &str) {
        if self.loans.remove(key).is_some() {
            self.outbox.push_back(Said::Close { key: key.to_owned() });
        }
    }

    /// Whether it holds the socket of another slot, or will when it has read its messages.
    pub(super) fn may_listen_on(&self, slot: SlotIndex) -> bool {
        let coming = |order: &Order| {
            let ToWorker::Watch { key, slot: of, .. } = &order.message else { return false };
            *of == slot && self.loans.contains_key(key)
        };
        self.is_alive
            && (self.loans.values().any(|loan| loan.watched.contains_key(&slot))
                || self.inbox.iter().any(coming))
    }

    /// Its process ends, and the kernel closes all that it held.
    pub(super) fn die(&mut self) {
        self.is_alive = false;
        self.inbox.clear();
        self.loans.clear();
        self.serving.clear();
        self.given_back.clear();
    }

    /// One turn of its loop: reads what the master said, and accepts.
    pub(super) fn turn(
        &mut self,
        habits: Habits,
        random: &mut Random,
        memory: &Mapping,
        now: Instant,
    ) -> Turn {
        let mut turn = Turn::default();
        while let Some(order) = self.inbox.pop_front() {
            self.obey(order, habits, random, memory, &mut turn, now);
        }
        if self.is_told_to_drain {
            let keys: Vec<String> = self.loans.keys().cloned().collect();
            for key in keys {
                self.close(&key);
            }
        }
        self.has_listened |= !self.loans.is_empty();
        self.confirm_late(now);
        self.accept(habits, random, &mut turn, now);
        self.serving.retain(|(until, _)| *until > now);
        self.write_row(memory);
        turn
    }

    fn obey(
        &mut self,
        order: Order,
        habits: Habits,
        random: &mut Random,
        memory: &Mapping,
        turn: &mut Turn,
        now: Instant,
    ) {
        match (order.message, order.fd) {
            (ToWorker::Lend { key, .. }, Some(fd)) => {
                let own = Some(Socket::from(fd));
                self.loans.insert(key, Loan { own, watched: BTreeMap::new() });
            }
            (ToWorker::LendNothing { key, .. }, None) => {
                self.loans.insert(key, Loan { own: None, watched: BTreeMap::new() });
            }
            (ToWorker::NewConnection { seq, key }, Some(fd)) => {
                let is_mine = !self.has_package || self.claim(seq, memory);
                let has_room = !self.is_full && !random.percent(habits.refuses);
                let accepted = is_mine && self.loans.contains_key(&key) && has_room;
                if accepted {
                    self.begin(fd, random, turn, now);
                }
                self.outbox.push_back(Said::Accepted { seq, accepted });
            }
            (ToWorker::Watch { key, slot, .. }, Some(fd)) => {
                let is_pausing = self.pausing_until.is_some();
                if let Some(loan) = self.loans.get_mut(&key).filter(|_| !is_pausing) {
                    loan.watched.insert(slot, Socket::from(fd));
                }
            }
            (ToWorker::Unwatch { key, slot }, None) => {
                if let Some(loan) = self.loans.get_mut(&key) {
                    loan.watched.remove(&slot);
                }
                if random.percent(habits.confirms_late) {
                    self.late_confirmations.push((now + random.ms(400), key, slot));
                } else {
                    self.outbox.push_back(Said::Unwatched { key, slot });
                }
            }
            (ToWorker::Excess { ack, is_taken }, None) => {
                let kept = self.given_back.remove(&ack).filter(|_| !is_taken);
                if let Some(fd) = kept {
                    self.begin(fd, random, turn, now);
                }
            }
            (ToWorker::Turn, None) => self.outbox.push_back(Said::Turned),
            (ToWorker::Refuse { errno, .. }, None) => panic!("{} was lent nothing: {errno}", self.id),
            (message, _) => panic!("{} was told {message:?}", self.id),
        }
    }

    fn confirm_late(&mut self, now: Instant) {
        for (_, key, slot) in self.late_confirmations.extract_if(.., |(due, ..)| *due <= now) {
            self.outbox.push_back(Said::Unwatched { key, slot });
        }
    }

    fn accept(&mut self, habits: Habits, random: &mut Random, turn: &mut Turn, now: Instant) {
        if self.pausing_until.is_some_and(|until| until <= now) {
            self.pausing_until = None;
            self.outbox.push_back(Said::Ahead(false));
        }
        let sockets = self.loans.values().flat_map(|loan| loan.own.iter().chain(loan.watched.values()));
        let taken: Vec<Socket> =
            sockets.flat_map(|socket| std::iter::from_fn(|| net::accept(socket).ok())).collect();
        for connection in taken {
            self.accepted += 1;
            if self.has_package && random.percent(habits.gives_back) {
                self.give_back(connection.into());
            } else {
                self.begin(connection.into(), random, turn, now);
            }
            if self.has_package && self.pausing_until.is_none() && random.percent(habits.gets_ahead) {
                self.pausing_until = Some(now + PAUSE);
                self.loans.values_mut().for_each(|loan| loan.watched.clear());
                self.outbox.push_back(Said::Ahead(true));
            }
        }
    }

    fn give_back(&mut self, connection: OwnedFd) {
        self.last_seq += 1;
        let copy = connection.try_clone().unwrap();
        self.given_back.insert(self.last_seq, connection);
        self.outbox.push_back(Said::Excess { seq: self.last_seq, fd: copy });
    }

    fn begin(&mut self, connection: OwnedFd, random: &mut Random, turn: &mut Turn, now: Instant) {
        // Without an address the client has gone.
        let peer = SockRef::from(&connection).peer_addr().ok().and_then(|peer| peer.as_socket());
        turn.begun.extend(peer.map(|peer| peer.port()));
        self.serving.push((now + random.ms(300), connection));
    }

    /// Whether the master has not taken it back meanwhile.
    fn claim(&self, seq: u64, memory: &Mapping) -> bool {
        let Some((_, row)) = self.row else { return true };
        memory.set_word(header::CLAIMED + row, seq);
        memory.word(header::REVOKED + row) < seq
    }

    fn write_row(&mut self, memory: &Mapping) {
        let Some((first, row)) = self.row.filter(|_| self.has_package) else { return };
        self.ticks += 1;
        let open = u32::try_from(self.serving.len()).unwrap();
        let numbers = [
            (Field::Tick, self.ticks),
            (Field::ConnectionsTotal, self.accepted),
            (Field::ConnectionsOpen, open),
        ];
        for (field, number) in numbers {
            memory.set_word(first + field as usize, f64::from(number).to_bits());
        }
        memory.set_word(header::LOADS + row, f64::from(open).to_bits());
    }
}
