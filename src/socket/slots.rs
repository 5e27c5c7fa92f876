//! The sockets of one TCP address, one per slot.
//!
//! When a worker dies, its slot's socket and the connections queued there stay, for its successor or for the other workers.
//! `listener` is the only caller and makes the sockets; the group owns them and keeps its table and the kernel's program in
//! step with the kernel's own.
//!
//! Invariants: every socket here listens; all but a single one are marked `SO_REUSEPORT`; the order is the kernel's.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use socket2::Socket;

use super::steering::{self, Table};
use super::sticky;
use crate::ids::SlotIndex;
use crate::os::net;

/// The sockets of one address, by slot.
#[derive(Debug, Default)]
pub(super) struct Group {
    table: Table<Arc<Socket>>,
    /// The slots that new connections should go to; empty means all.
    wanted: BTreeSet<SlotIndex>,
    chooser: Chooser,
    /// The kernel chooses by the client's address instead of at random.
    by_address: bool,
}

/// How the kernel chooses the socket of a new connection.
#[derive(Debug, Default, PartialEq, Eq)]
enum Chooser {
    /// By its own hash: no program has been installed yet.
    #[default]
    Hash,
    /// By our program for these slots and their indices.
    Program(BTreeMap<SlotIndex, u16>),
    /// By a program of ours that does not fit the table any more, since replacing it failed.
    Outdated,
}

impl Group {
    /// An empty group.
    pub(super) fn new(by_address: bool) -> Self {
        Self { by_address, ..Self::default() }
    }

    /// The socket of `slot`.
    pub(super) fn get(&self, slot: SlotIndex) -> Option<&Arc<Socket>> {
        self.table.get(slot)
    }

    /// All sockets.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SlotIndex, &Arc<Socket>)> {
        self.table.iter()
    }

    /// Whether no socket holds the address at this moment.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Lets further sockets bind the same address.
    ///
    /// The first socket was bound and began to listen without this mark; with it, a foreign socket on the same address would
    /// have gone unnoticed.
    pub(super) fn let_in_sibling(&self) -> io::Result<()> {
        match self.table.any() {
            Some(only) if self.table.len() == 1 => only.set_reuse_port(true),
            _ => Ok(()),
        }
    }

    /// Takes in the socket of `slot`, which has just begun to listen. It gets connections once `steer` names the slot, or at
    /// once if `steer` has never been called.
    pub(super) fn join(&mut self, slot: SlotIndex, socket: Arc<Socket>) {
        let joined = self.table.join(slot, socket);
        debug_assert!(joined.is_ok(), "the listener lends what a slot has before it makes another");
        // A failure leaves the old program, whose indices mean the same as before; the next `steer` tries again.
        let _ = self.follow();
    }

    /// Sends new connections to those of `to` that have a socket here; changes nothing when that is none.
    pub(super) fn steer(&mut self, to: &[SlotIndex]) -> io::Result<()> {
        let present: BTreeSet<SlotIndex> =
            to.iter().copied().filter(|slot| self.get(*slot).is_some()).collect();
        if present.is_empty() {
            return Ok(());
        }
        self.wanted = present;
        self.follow()
    }

    /// Closes the socket of `slot`; connections in its queue are reset.
    pub(super) fn close(&mut self, slot: SlotIndex) {
        self.wanted.remove(&slot);
        self.step_aside(slot);
        let Some(socket) = self.table.leave(slot) else { return };
        // A duplicate in a worker would keep the socket in the kernel's group after ours is closed, and the two tables would
        // differ. Shutting the socket down takes it out for all. The only failure is "does not listen", which is the aim.
        let _ = socket.shutdown(Shutdown::Both);
        drop(socket);
        if self.table.is_empty() {
            *self = Self::new(self.by_address);
        }
        // A failure is remembered as `Outdated`, and the next `steer` tries again.
        let _ = self.follow();
    }

    /// Keeps connections off the two indices that change their meaning when `slot` leaves.
    fn step_aside(&mut self, slot: SlotIndex) {
        let leaving = self.get(slot).is_some();
        let steady = self.table.steady_indices(slot, |other| self.is_wanted(other));
        if leaving && self.chooser != Chooser::Hash && !steady.is_empty() {
            // Where that fails, connections of the next microseconds may go to a slot that was not meant.
            let _ = self.install(steady);
        }
    }

    /// Brings the kernel's program up to date.
    fn follow(&mut self) -> io::Result<()> {
        let nobody_steers = self.wanted.is_empty() && self.chooser == Chooser::Hash;
        // A socket that never had a sibling is in no group, and gets every connection anyway.
        let alone = self.table.len() == 1 && self.chooser == Chooser::Hash;
        if nobody_steers || alone {
            return Ok(());
        }
        self.install(self.table.indices(|slot| self.is_wanted(slot)))
    }

    fn is_wanted(&self, slot: SlotIndex) -> bool {
        self.wanted.is_empty() || self.wanted.contains(&slot)
    }

    fn install(&mut self, indices: BTreeMap<SlotIndex, u16>) -> io::Result<()> {
        let wanted = Chooser::Program(indices);
        if self.chooser == wanted {
            return Ok(());
        }
        let (Some(member), Chooser::Program(indices)) = (self.table.any(), &wanted) else { return Ok(()) };
        let program = if self.by_address {
            sticky::choose(indices)
        } else {
            steering::choose(&indices.values().copied().collect())
        };
        let done = net::attach_chooser(member, &program);
        self.chooser = match (&done, &self.chooser) {
            (Ok(()), _) => wanted,
            (Err(_), Chooser::Hash) => Chooser::Hash,
            (Err(_), Chooser::Program(_) | Chooser::Outdated) => Chooser::Outdated,
        };
        done
    }
}
