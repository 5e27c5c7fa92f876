//! Spreads connections that stay: takes back what a worker has too many of, and gives it to the one with the fewest.
//!
//! The kernel chooses a slot at random, which spreads many connections evenly and few ones badly. Each worker sees in the
//! header of the scoreboard how many the others have. A worker that has clearly more gives fresh connections back before
//! anything was read from them (`lib/worker/serving/balance.js`), and they come here. The header says who takes part: workers
//! in service whose loop turns.
//! Invariant: no worker gives back what it was handed, so a connection is given back at most once.

use std::os::fd::OwnedFd;
use std::time::Instant;

use socket2::SockRef;

use super::{ANSWER, Connections, InFlight, Origin, PROOF, whole};
use crate::ids::WorkerId;
use crate::os::clock::monotonic_ms;
use crate::scoreboard::layout::Field;
use crate::socket::ListenerId;

/// How many connections may be under way to a worker that is given one more of another's; unlike those from queues
/// (`handoff::PER_WORKER`), they come in bursts.
const UNDER_WAY: usize = 16;

impl Connections {
    /// Says who compares their loads. Where clients belong to slots, or the kernel does not choose, there is nothing to
    /// spread.
    pub(super) fn publish_takers(&self) {
        let Some(board) = &self.board else { return };
        let is_taker = |id: WorkerId| self.is_balanced && !self.queues.is_blocked(id);
        let takers = self.servers.iter().filter(|(id, server)| server.is_in_service() && is_taker(**id));
        let takers: Vec<WorkerId> = takers.map(|(id, _)| *id).collect();
        board.borrow().set_takers(&takers);
    }

    /// A worker gave a connection back.
    pub(crate) fn take_excess(&mut self, from: WorkerId, fd: OwnedFd, copy: OwnedFd, now: Instant) {
        self.turned(from, false, now);
        // Without an address the other end has gone, and with it whoever waited for an answer.
        let Some(listener) = self.listener_of(&fd) else { return };
        self.handoff.excess.push_back(InFlight {
            seq: 0,
            listener,
            fd,
            copy: Some(copy),
            sent: now,
            refused_by: Vec::new(),
            rounds: 0,
            origin: Origin::Excess,
        });
    }

    /// Hands each to the worker with the fewest connections, once that has shown that it turns: what it is given comes back
    /// only after a while. A worker that does not answer soon is passed over.
    pub(super) fn spread_excess(&mut self, now: Instant) {
        self.handoff.pass_over = None;
        for connection in std::mem::take(&mut self.handoff.excess) {
            match self.emptiest(connection.listener, now) {
                Some(worker) if self.has_turned(worker, now) => {
                    let is_past = self.turning(connection.listener).any(|(_, other)| other.is_silent(now));
                    self.moves.passed_over += u64::from(is_past);
                    self.hand_over(worker, connection, now);
                }
                Some(worker) => {
                    self.ask_to_turn(worker, now);
                    let due = self.servers.get(&worker).and_then(|server| server.asked).map(|at| at + ANSWER);
                    self.handoff.pass_over = self.handoff.pass_over.into_iter().chain(due).min();
                    self.handoff.excess.push_back(connection);
                }
                None => self.handoff.take_one(connection),
            }
        }
    }

    /// Where a connection came in.
    fn listener_of(&self, connection: &OwnedFd) -> Option<ListenerId> {
        let local = SockRef::from(connection).local_addr().ok()?.as_socket()?;
        let is_here = |at: std::net::SocketAddr| {
            let is_any = at.ip().is_unspecified() && at.port() == local.port();
            at == local || (is_any && at.is_ipv4() == local.is_ipv4())
        };
        let bound = self.sockets.addresses().into_iter();
        let fitting =
            bound.filter(|bound| bound.kind.starts_with("tcp") && bound.address.is_some_and(is_here));
        // The address itself goes before "any".
        fitting
            .max_by_key(|bound| bound.address.is_some_and(|at| !at.ip().is_unspecified()))
            .map(|bound| bound.listener)
    }

    /// The worker with the fewest connections, those under way to it included, of those whose answer is not overdue.
    fn emptiest(&self, listener: ListenerId, now: Instant) -> Option<WorkerId> {
        let able = self
            .turning(listener)
            .filter(|(_, server)| server.in_flight.len() < UNDER_WAY && !server.is_silent(now));
        let load = able.map(|(id, server)| {
            let shown = self.board.as_ref().map_or(0.0, |board| board.borrow().load(id));
            (load_with(shown, server.in_flight.len()), id)
        });
        load.min().map(|(_, id)| id)
    }

    /// Whether the loop of a worker has turned a moment ago.
    fn has_turned(&self, id: WorkerId, now: Instant) -> bool {
        let age = || Some(monotonic_ms() - self.number(id, Field::Tick)?);
        let is_proven = self.servers.get(&id).is_some_and(|server| server.is_proven(now));
        is_proven || age().is_some_and(|age| age <= PROOF.as_secs_f64() * 1000.0)
    }
}

/// How many connections a worker has, those that are on their way to it included. What it says itself may be any number.
fn load_with(shown: f64, in_flight: usize) -> u64 {
    whole(shown).saturating_add(in_flight as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_says_a_number_beyond_all_measure_is_not_the_emptiest() {
        assert_eq!((load_with(3.0, 2), load_with(f64::MAX, 2)), (5, u64::MAX));
    }
}
