//! Moves connections that nobody would serve.
//!
//! Each slot has its own queue in the kernel. While nobody whose loop turns watches it, new connections are steered to other
//! slots. What waits in it, or comes late from handshakes under way, is accepted here and handed to a worker that serves the
//! same address, by Node's own `newconn`. Connections stay in the kernel's queue until a worker can take them. What a worker
//! refused, or had not accepted when its channel ended, goes to the next. With `scheduling: 'rr'` there is one queue, no
//! worker takes from it, and every connection comes this way.
//! Invariant: while [`PER_WORKER`] connections from queues are under way to a worker it is given no more, so they don't pile
//! up on one that is stopped; but for clients that belong to its slot.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::task::AbortHandle;

use super::{ANSWER, Connections, InFlight, Order, Origin, Server, TAKE_BACK};
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::message::ToWorker;
use crate::os::reserve::TRY_AGAIN;
use crate::socket::{ListenerId, sticky};

/// How many connections may be under way to one worker.
const PER_WORKER: usize = 4;
/// A socket that belongs to no slot goes by this one.
pub(super) const SHARED: SlotIndex = SlotIndex(0);
/// When all workers have refused a connection so often it is closed: no server takes it.
const ROUNDS: u32 = 16;
/// How soon it is offered again to those who have refused it: a full worker has room once one of its clients has gone.
const ROUND: Duration = Duration::from_millis(50);
/// How many connections of an address may have come back before others stay in its queues.
const MOST_RETURNED: usize = 64;

/// What is being moved, and where we look for more.
#[derive(Debug, Default)]
pub(super) struct HandOff {
    /// Connections that came back.
    returned: VecDeque<InFlight>,
    /// Connections that a worker gave back, until it is certain who can take them.
    pub(super) excess: VecDeque<InFlight>,
    /// When the next worker that owes an answer is passed over.
    pub(super) pass_over: Option<Instant>,
    /// When it is tried again to accept connections, or to hand over what came back.
    pub(super) accept_again: Option<Instant>,
    /// Sockets from whose queues no worker takes, each watched for connections.
    stranded: BTreeMap<(ListenerId, SlotIndex), AbortHandle>,
    /// From which of them a connection was taken last.
    last_emptied: Option<(ListenerId, SlotIndex)>,
    last_seq: u64,
}

impl HandOff {
    /// Nothing came back.
    pub(super) fn is_idle(&self) -> bool {
        self.returned.is_empty() && self.excess.is_empty()
    }

    /// The last numbers of the connections that came back.
    #[cfg(test)]
    pub(super) fn returned_numbers(&self) -> Vec<u64> {
        self.returned.iter().map(|connection| connection.seq).collect()
    }

    /// Closes what came back and stops looking for more.
    pub(super) fn forget(&mut self) {
        self.returned.clear();
        self.excess.clear();
        self.retain(|_, _| false);
    }

    pub(super) fn unwatch(&mut self, listener: ListenerId) {
        self.returned.retain(|connection| connection.listener != listener);
        self.excess.retain(|connection| connection.listener != listener);
        self.retain(|watched, _| watched != listener);
    }

    pub(super) fn unwatch_slot(&mut self, slot: SlotIndex) {
        self.retain(|_, watched| watched != slot);
    }

    pub(super) fn unwatch_one(&mut self, listener: ListenerId, slot: SlotIndex) {
        if let Some(watch) = self.stranded.remove(&(listener, slot)) {
            watch.abort();
        }
    }

    pub(super) fn is_watched(&self, listener: ListenerId, slot: SlotIndex) -> bool {
        self.stranded.contains_key(&(listener, slot))
    }

    pub(super) fn watch(&mut self, listener: ListenerId, slot: SlotIndex, task: AbortHandle) {
        self.stranded.insert((listener, slot), task);
    }

    /// No worker is known that can take it, so it is treated like one that nobody serves.
    pub(super) fn take_one(&mut self, connection: InFlight) {
        self.returned.push_back(connection);
    }

    /// These came back unaccepted: the channel of their worker ended, or they were revoked.
    pub(super) fn take_back(&mut self, in_flight: VecDeque<InFlight>) {
        self.returned.extend(in_flight);
    }

    fn try_again(&mut self, at: Instant) {
        self.accept_again = self.accept_again.into_iter().chain([at]).min();
    }

    fn retain(&mut self, keep: impl Fn(ListenerId, SlotIndex) -> bool) {
        self.stranded.retain(|(listener, slot), watch| {
            let stays = keep(*listener, *slot);
            if !stays {
                watch.abort();
            }
            stays
        });
    }
}

impl Connections {
    /// Gives what waits where nobody serves to workers that can take it.
    pub(super) fn hand_off(&mut self, now: Instant) {
        self.handoff.accept_again = None;
        for _ in 0..self.handoff.returned.len() {
            let Some(mut connection) = self.handoff.returned.pop_front() else { break };
            self.begin_next_round(&mut connection, now);
            // A worker may refuse it, or die, after the address was given up.
            let is_open = self.sockets.listeners().any(|open| open == connection.listener);
            if connection.rounds == ROUNDS || !is_open {
                self.moves.refused += u64::from(is_open);
                continue;
            }
            if let Some(worker) = self.idlest(connection.listener, &connection.refused_by, now) {
                self.hand_over(worker, connection, now);
            } else {
                self.ask_around(connection.listener, &connection.refused_by, now);
                self.handoff.returned.push_back(connection);
            }
        }
        self.empty_queues(now);
    }

    /// Takes one connection from each queue in turn, as long as there is a worker for it. Each time it goes on with the queue
    /// after the last one, or clients of the first address would always come before those of the others.
    fn empty_queues(&mut self, now: Instant) {
        let mut queues: Vec<_> = self.handoff.stranded.keys().copied().collect();
        let after_last = queues.partition_point(|queue| Some(*queue) <= self.handoff.last_emptied);
        queues.rotate_left(after_last);
        while !queues.is_empty() {
            queues.retain(|(listener, slot)| self.take_from_queue(*listener, *slot, now));
        }
    }

    /// Where all that could take a connection have refused it, it is offered to them again after a while. Nobody waits for a
    /// worker that does not show in time that it turns, but a round counts only if that has refused it too.
    fn begin_next_round(&mut self, connection: &mut InFlight, now: Instant) {
        let refused_by = &connection.refused_by;
        let has_refused = |(id, _): (WorkerId, &Server)| refused_by.contains(&id);
        let is_answering = |(_, server): &(WorkerId, &Server)| !server.is_silent(now);
        let is_over = self.turning(connection.listener).filter(is_answering).all(has_refused);
        if refused_by.is_empty() || !is_over {
            return;
        }
        let due = connection.sent + ROUND;
        if due > now {
            self.handoff.try_again(due);
            return;
        }
        let mut taking = self.taking(connection.listener).peekable();
        connection.rounds += u32::from(taking.peek().is_some() && taking.all(has_refused));
        connection.refused_by.clear();
    }

    /// Hands over one connection of a queue; `false` if there is none, or nobody for it.
    fn take_from_queue(&mut self, listener: ListenerId, slot: SlotIndex, now: Instant) -> bool {
        let returned = self.handoff.returned.iter().filter(|connection| connection.listener == listener);
        if returned.count() >= MOST_RETURNED {
            return false;
        }
        let Some(idlest) = self.idlest(listener, &[], now) else {
            if self.sockets.waiting().contains(&(listener, slot)) {
                self.ask_around(listener, &[], now);
            }
            return false;
        };
        match self.sockets.accept(listener, slot) {
            Ok(Some(fd)) => {
                let worker = self.host_of(&fd, listener).unwrap_or(idlest);
                let is_handed = self.sockets.is_handed(listener);
                let connection = InFlight {
                    seq: 0,
                    listener,
                    fd,
                    copy: None,
                    sent: now,
                    refused_by: Vec::new(),
                    rounds: 0,
                    origin: if is_handed { Origin::Handed } else { Origin::Stranded },
                };
                self.handoff.last_emptied = Some((listener, slot));
                self.hand_over(worker, connection, now);
                true
            }
            Ok(None) => false,
            // No descriptor is left: the connection stays in its queue.
            Err(_) => {
                self.handoff.try_again(now + TRY_AGAIN);
                false
            }
        }
    }

    /// The worker whose slot the client belongs to, where clients belong to slots.
    fn host_of(&self, connection: &OwnedFd, listener: ListenerId) -> Option<WorkerId> {
        if !self.is_sticky {
            return None;
        }
        let client = SockRef::from(connection).peer_addr().ok()?.as_socket()?;
        let slot = sticky::home(client.ip(), self.slots_served(listener))?;
        self.taking(listener).filter(|(_, server)| server.slot == slot).last().map(|(id, _)| id)
    }

    /// The worker that should get the next connection of `listener`: of those that may take one more and have not refused
    /// this one, one that has taken all it was given, and of these the one with the fewest connections.
    ///
    /// What is given to a worker that turns out to be blocked comes back only after [`TAKE_BACK`]. So in a rescue only those
    /// count that have just shown that they turn. Where every connection is handed over, asking first would cost too much.
    fn idlest(&self, listener: ListenerId, refused_by: &[WorkerId], now: Instant) -> Option<WorkerId> {
        let is_rescue = !self.sockets.is_handed(listener);
        let able = self.turning(listener).filter(|(id, server)| {
            let has_room = server.in_flight.len() < PER_WORKER && !refused_by.contains(id);
            has_room && (!is_rescue || server.is_proven(now))
        });
        let load = |(id, server): &(WorkerId, &Server)| {
            let under_way = server.in_flight.len() as u64;
            (under_way > 0, self.open_connections(*id) + under_way, server.handed_over)
        };
        able.min_by_key(load).map(|(id, _)| id)
    }

    /// Asks those who could take a connection and have not refused it to show that they turn; the answer brings us back here, or
    /// the moment when it is overdue.
    fn ask_around(&mut self, listener: ListenerId, refused_by: &[WorkerId], now: Instant) {
        let able = self.turning(listener).filter(|(id, _)| !refused_by.contains(id));
        let ids: Vec<WorkerId> = able.map(|(id, _)| id).collect();
        for id in ids {
            self.ask_to_turn(id, now);
            let asked = self.servers.get(&id).and_then(|server| server.asked);
            let overdue = asked.map(|at| at + ANSWER).filter(|at| *at > now);
            self.handoff.pass_over = self.handoff.pass_over.into_iter().chain(overdue).min();
        }
    }

    /// Asks a worker to show that it turns, unless it has been asked.
    pub(super) fn ask_to_turn(&mut self, worker: WorkerId, now: Instant) {
        if let Some(server) = self.servers.get_mut(&worker).filter(|server| server.asked.is_none()) {
            server.asked = Some(now);
            self.orders.push(Order { worker, message: ToWorker::Turn, fd: None });
        }
    }

    /// A worker has shown, asked or not, that its loop turns.
    pub(crate) fn turned(&mut self, worker: WorkerId, is_answer: bool, now: Instant) {
        if let Some(server) = self.servers.get_mut(&worker) {
            server.turned = Some(now);
            if is_answer {
                server.asked = None;
            }
        }
    }

    pub(super) fn hand_over(&mut self, worker: WorkerId, mut connection: InFlight, now: Instant) {
        self.handoff.last_seq += 1;
        connection.seq = self.handoff.last_seq;
        connection.sent = now;
        let server = self.servers.get_mut(&worker);
        let taker = server.and_then(|server| Some((server.key_of(connection.listener)?.to_owned(), server)));
        let Some((key, server)) = taker else {
            self.handoff.returned.push_back(connection);
            return;
        };
        // Our own copy stays until the worker has said that it took it. Without a descriptor for that, ours must wait.
        let copy = connection.copy.take().or_else(|| connection.fd.as_fd().try_clone_to_owned().ok());
        let Some(copy) = copy else {
            self.handoff.try_again(now + TRY_AGAIN);
            self.handoff.returned.push_back(connection);
            return;
        };
        let message = ToWorker::NewConnection { seq: connection.seq, key };
        server.handed_over += 1;
        server.in_flight.push_back(connection);
        self.orders.push(Order { worker, message, fd: Some(copy) });
    }

    /// Takes back what workers have left unserved for too long; a connection that a worker has begun to serve stays its own.
    pub(crate) fn take_back_unserved(&mut self, now: Instant) {
        let Some(board) = &self.board else { return };
        for (worker, server) in self.servers.iter_mut().filter(|(_, server)| server.has_package) {
            let is_late = |connection: &InFlight| now.saturating_duration_since(connection.sent) >= TAKE_BACK;
            let Some(last) = server.in_flight.iter().rev().find(|connection| is_late(connection)) else {
                continue;
            };
            let Some(claimed) = board.borrow().revoke(*worker, last.seq) else { continue };
            let up_to = last.seq;
            self.withdrawn.push((*worker, up_to));
            let (mine, back): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut server.in_flight)
                .into_iter()
                .partition(|connection| connection.seq <= claimed || connection.seq > up_to);
            server.in_flight = mine;
            for connection in &mut server.in_flight {
                // It is being served, or its answer is under way.
                connection.sent = now;
            }
            self.handoff.take_back(back);
        }
    }

    /// A worker said whether it took a connection, or did not get it.
    pub(crate) fn handed_over(&mut self, worker: WorkerId, seq: u64, is_accepted: bool) {
        let Some(server) = self.servers.get_mut(&worker) else { return };
        let Some(at) = server.in_flight.iter().position(|connection| connection.seq == seq) else { return };
        let Some(mut connection) = server.in_flight.remove(at) else { return };
        match (is_accepted, connection.origin) {
            (true, Origin::Handed) => {}
            (true, Origin::Stranded) => self.moves.rescued += 1,
            (true, Origin::Excess) => self.moves.moved += 1,
            (false, _) => {
                connection.refused_by.push(worker);
                self.handoff.returned.push_back(connection);
            }
        }
    }
}
