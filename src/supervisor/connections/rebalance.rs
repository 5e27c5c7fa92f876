//! Spreads connections that stay: takes back what a worker has too many of, and gives it to the one with the fewest.
//!
//! The kernel chooses a slot at random, which spreads many connections evenly and few ones badly. Each worker sees in the
//! header of the scoreboard how many the others have; one that has clearly more gives fresh connections back before
//! anything was read from them (`lib/worker/serving/balance.js`), and they come here. The header says who takes part: who serves, and
//! whose loop turns.
//! Invariant: a connection is given back at most once, since what a worker is handed it keeps.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::ids::WorkerId;
use crate::options::{Scheduling, Sticky};
use crate::scoreboard::layout::Field;
use crate::socket::ListenerId;
use crate::supervisor::connections::blocked::whole;
use crate::supervisor::connections::handoff::PROOF;
use crate::supervisor::crew::InFlight;
use crate::supervisor::state::State;
use crate::supervisor::watch::hang::clock_ms;

/// How many connections may be under way to one worker.
const PER_WORKER: usize = 16;
/// How long a worker may take to show that it turns.
pub(crate) const ANSWER: Duration = Duration::from_millis(60);

impl State {
    /// Says who compares their loads. Where clients belong to slots, or nobody chooses, there is nothing to spread.
    pub(crate) fn publish_takers(&self) {
        let Some(board) = &self.scoreboard else { return };
        let is_on = self.options.scheduling == Scheduling::Slots && self.options.sticky == Sticky::None;
        let is_taker = |id: WorkerId| is_on && !self.watching.is_blocked(id);
        let takers = self.crew.iter().filter(|(id, worker)| worker.is_in_service() && is_taker(**id));
        let takers: Vec<WorkerId> = takers.map(|(id, _)| *id).collect();
        board.borrow().set_takers(&takers);
    }

    /// A worker gave a connection back.
    pub(crate) fn take_excess(&mut self, from: WorkerId, fd: OwnedFd, now: Instant) {
        self.note_turn(from, now);
        // Without an address the other end has gone, and with it whoever waited for an answer.
        let Some(listener) = self.listener_of(&fd) else { return };
        self.handoff.excess.push_back(InFlight { seq: 0, listener, fd, refusals: 0, is_excess: true });
    }

    /// Hands each to the worker with the fewest connections, once that has shown that it turns: what it is given can't be
    /// taken back. One that does not answer soon is passed over.
    pub(crate) fn spread_excess(&mut self, now: Instant) {
        self.handoff.excess_due = None;
        for connection in std::mem::take(&mut self.handoff.excess) {
            match self.emptiest(connection.listener, now) {
                Some(worker) if self.has_turned(worker, now) => {
                    let is_past = self.turning(connection.listener).any(|(_, other)| other.is_silent(now));
                    self.stats.lock().tallies.passed_over += u64::from(is_past);
                    self.hand_over(worker, connection);
                }
                Some(worker) => {
                    self.ask_to_turn(worker, now);
                    let due = self.crew.get(&worker).and_then(|worker| worker.asked).map(|at| at + ANSWER);
                    self.handoff.excess_due = self.handoff.excess_due.into_iter().chain(due).min();
                    self.handoff.excess.push_back(connection);
                }
                None => self.handoff.take_one(connection),
            }
        }
    }

    /// Where a connection came in.
    fn listener_of(&self, connection: &OwnedFd) -> Option<ListenerId> {
        let local = SockRef::from(connection).local_addr().ok()?.as_socket()?;
        let at_port = self.sockets.addresses().into_iter().filter(|bound| bound.port == Some(local.port()));
        let fitting = at_port.filter(|bound| {
            let is_here = |ip: std::net::IpAddr| {
                ip.is_ipv4() == local.ip().is_ipv4() && (ip.is_unspecified() || ip == local.ip())
            };
            bound.kind.starts_with("tcp") && bound.address.is_some_and(is_here)
        });
        // The address itself goes before "any".
        fitting
            .max_by_key(|bound| bound.address.is_some_and(|ip| !ip.is_unspecified()))
            .map(|bound| bound.listener)
    }

    /// The worker with the fewest connections, those under way to it included, of those that don't owe us an answer.
    fn emptiest(&self, listener: ListenerId, now: Instant) -> Option<WorkerId> {
        let able = self
            .turning(listener)
            .filter(|(_, worker)| worker.in_flight.len() < PER_WORKER && !worker.is_silent(now));
        let load = able.map(|(id, worker)| {
            let shown = self.scoreboard.as_ref().map_or(0.0, |board| board.borrow().load(*id));
            (whole(shown) + worker.in_flight.len() as u64, *id)
        });
        load.min().map(|(_, id)| id)
    }

    /// Whether the loop of a worker has turned a moment ago.
    fn has_turned(&self, id: WorkerId, now: Instant) -> bool {
        let age = || {
            let tick = self.scoreboard.as_ref()?.borrow().number(id, Field::Tick)?;
            Some(clock_ms()? - tick)
        };
        let is_proven = self.crew.get(&id).is_some_and(|worker| worker.is_proven(now, PROOF));
        is_proven || age().is_some_and(|age| age <= PROOF.as_secs_f64() * 1000.0)
    }
}
