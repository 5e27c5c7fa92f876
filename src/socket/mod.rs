//! Listening sockets, bound once by the master and lent to the workers.
//!
//! The supervisor is the only caller. [`Sockets`] owns every listening descriptor until it is closed here. Workers get
//! duplicates, so a worker's death closes no port and loses no queue. No call blocks, and none needs a privilege beyond what
//! the address itself needs.
//!
//! With [`Scheduling::Slots`] a TCP address has one socket for each slot (`slots`), and a program of ours tells the kernel
//! which of them gets a new connection (`steering`). Unix paths, UDP, sockets of the application's own and systems other than
//! Linux have one shared socket. Before sockets are closed for good they refuse new connections (`refusal`), and the master
//! waits for clients whose handshakes are under way (`handshakes`).
//!
//! Invariants: an address is bound at most once in the life of the master, also while workers are replaced; a port that the
//! kernel chose is the same for every slot and every later worker; a call that fails leaves nothing half made.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;

pub use crate::ids::SlotIndex;
use crate::os::quiet_thread::TimedCalls;
pub use ip::Ip;
use listener::Listener;
pub use terms::{Bound, Kind, Lent, ListenerId, QueueProbe, Scheduling, Want};

mod bind;
#[cfg(target_os = "linux")]
pub(crate) mod handshakes;
pub mod ip;
mod listener;
pub mod refusal;
mod slots;
pub mod steering;
pub mod sticky;
mod terms;

/// libuv's flag for "IPv6 without IPv4", for TCP and UDP.
const IPV6_ONLY: u32 = 1;
/// libuv's flag for a UDP address that several may bind.
const UDP_REUSE_ADDRESS: u32 = 4;

/// How long the sockets stay open at least once they refuse new connections: a request to connect that the kernel had just
/// taken up is then known as a handshake.
const SHORTEST_REFUSAL: Duration = Duration::from_millis(20);
/// How long they wait for handshakes at most.
const LONGEST_HANDSHAKE: Duration = Duration::from_millis(500);
/// How long they wait for handshakes where the kernel does not tell of them.
const BLIND_HANDSHAKE: Duration = Duration::from_millis(250);
/// How often the kernel is asked.
const LOOK: Duration = Duration::from_millis(10);

/// Since when nothing new is let in, and when the kernel is asked next whether a client is on its way.
#[derive(Clone, Copy, Debug)]
struct Refusing {
    since: Instant,
    next_look: Instant,
}

/// All listening sockets of the master. Dropping it closes them as `close_all` does.
#[derive(Debug)]
pub struct Sockets {
    scheduling: Scheduling,
    listeners: BTreeMap<ListenerId, Listener>,
    next: u32,
    refusing: Option<Refusing>,
    /// The kernel has refused to be steered, and the caller knows.
    has_told: bool,
    /// Where a unix path is bound: while its disk hangs, no other is.
    binding: TimedCalls,
}

impl Sockets {
    /// Holds nothing yet.
    #[must_use]
    pub fn new(scheduling: Scheduling) -> Self {
        let has_slots = matches!(scheduling, Scheduling::Slots | Scheduling::SlotsByAddress);
        let scheduling =
            if has_slots && !cfg!(target_os = "linux") { Scheduling::Shared } else { scheduling };
        Self {
            scheduling,
            listeners: BTreeMap::new(),
            next: 0,
            refusing: None,
            has_told: false,
            binding: bind::disk_calls(),
        }
    }

    /// Binds an address and listens before any worker asks for it, so that a busy address is found at once. The first worker
    /// that wants the address takes the reservation over, with its own backlog. A second reservation of the same address
    /// gives the first one.
    ///
    /// # Errors
    /// The kernel's: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` and so on.
    pub fn reserve(&mut self, want: &Want) -> io::Result<ListenerId> {
        let want = &want.with_absolute_path();
        if let Some(id) = self.find(want) {
            return Ok(id);
        }
        self.open(want)
    }

    /// Gives the worker in `slot` a duplicate of the socket that it wants, and makes the socket if there is none yet.
    ///
    /// A reservation that no worker has claimed is closed when it keeps the address from being bound: the master reserved
    /// `::`, say, and its workers listen on `127.0.0.1`.
    ///
    /// # Errors
    /// The kernel's, all with their number. Nothing half made stays.
    pub fn lend(&mut self, want: &Want, slot: SlotIndex) -> io::Result<Lent> {
        let want = &want.with_absolute_path();
        let (id, is_new) = match self.find(want) {
            Some(id) if self.must_be_remade(id, want) => {
                self.close(id);
                (self.open(want)?, true)
            }
            Some(id) => (id, false),
            None => (self.open_or_make_room(want)?, true),
        };
        let scheduling = self.scheduling;
        let lent = match self.listeners.get_mut(&id) {
            Some(listener) => listener.lend(want, slot, scheduling),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        if lent.is_err() && is_new {
            self.close(id);
        }
        Ok(Lent { listener: id, fd: lent?, is_handed: self.is_handed(id) })
    }

    /// The listener that a worker which wants this gets, if it is open.
    #[must_use]
    pub fn listener_of(&self, want: &Want) -> Option<ListenerId> {
        self.find(&want.with_absolute_path())
    }

    /// Closes the reservations that no worker has claimed.
    pub fn drop_unclaimed(&mut self) {
        self.listeners.retain(|_, listener| !listener.is_reserved());
    }

    /// From now on new connections go only to these slots, evenly at random or by address. Slots without a socket here are
    /// left out; when none is left, or the listener is shared or closed, nothing changes. Cheap when nothing is new.
    ///
    /// # Errors
    /// The kernel's first refusal. Later ones are not reported: the choice is then made as before, and each call tries again.
    pub fn steer(&mut self, listener: ListenerId, to: &[SlotIndex]) -> io::Result<()> {
        let steered = self.listeners.get_mut(&listener).map_or(Ok(()), |listener| listener.steer(to));
        if steered.is_err() && std::mem::replace(&mut self.has_told, true) { Ok(()) } else { steered }
    }

    /// The slots that have a socket of their own here; none for a shared listener.
    #[must_use]
    pub fn slots(&self, listener: ListenerId) -> Vec<SlotIndex> {
        self.listeners.get(&listener).map_or_else(Vec::new, Listener::slots)
    }

    /// Whether only the master accepts here, so that it must hand over everything in the queue.
    #[must_use]
    pub fn is_handed(&self, listener: ListenerId) -> bool {
        self.listeners.get(&listener).is_some_and(Listener::is_handed)
    }

    /// Takes one connection from the queue of `slot`, or of the shared socket; the connection is non-blocking and
    /// close-on-exec. `None` when the queue is empty or there is no such socket.
    ///
    /// # Errors
    /// `EMFILE` and the like: the connection stays in the queue.
    pub fn accept(&self, listener: ListenerId, slot: SlotIndex) -> io::Result<Option<OwnedFd>> {
        self.listeners.get(&listener).map_or(Ok(None), |listener| listener.accept(slot))
    }

    /// The socket of `slot`, or the shared one, to be watched for readability.
    #[must_use]
    pub fn borrow(&self, listener: ListenerId, slot: SlotIndex) -> Option<BorrowedFd<'_>> {
        self.listeners.get(&listener)?.socket(slot).map(AsFd::as_fd)
    }

    /// The same socket, held: it stays open as long as whoever holds it, which takes no descriptor.
    #[must_use]
    pub fn share(&self, listener: ListenerId, slot: SlotIndex) -> Option<Arc<Socket>> {
        self.listeners.get(&listener)?.socket(slot).map(Arc::clone)
    }

    /// A close-on-exec duplicate of the socket of `slot`, to be sent to a worker of another slot, and the length of its queue.
    /// `None` if there is no such socket, or no descriptor left.
    #[must_use]
    pub fn duplicate(&self, listener: ListenerId, slot: SlotIndex) -> Option<(OwnedFd, u32)> {
        self.listeners.get(&listener)?.duplicate(slot)
    }

    /// Closes the sockets of `slot` in all listeners; connections in their queues are reset. Shared sockets stay.
    ///
    /// To be called when the slot's worker is gone or has closed its servers: the sockets end in the worker too, and a server
    /// that still used one would get an error. Closing the last slot's socket frees the port; a slot that asks again gets
    /// the same port.
    pub fn close_slot(&mut self, slot: SlotIndex) {
        for listener in self.listeners.values_mut() {
            listener.close_slot(slot);
        }
    }

    /// Closes a listener. Clients are refused once the workers' duplicates are closed too. A unix path that was bound here is
    /// unlinked, unless another file has taken its place.
    pub fn close(&mut self, listener: ListenerId) {
        self.listeners.remove(&listener);
    }

    /// Makes the unix paths again that a worker has removed when it ended.
    pub fn restore_files(&self) {
        self.listeners.values().for_each(Listener::restore_file);
    }

    /// Closes every listener.
    pub fn close_all(&mut self) {
        self.listeners.clear();
    }

    /// From now on new connections are refused, at sockets still to be made too; what is queued stays and can be accepted.
    /// On old kernels TCP clients are not answered until the port is closed. Unix paths are unlinked. A handshake that is
    /// under way may still come through: [`Self::may_close`] tells when that is over. Left as they are: UDP, abstract names,
    /// and sockets of the application's own, which others may go on using after us. A second call does nothing.
    ///
    /// # Errors
    /// The first failure, after everything has been tried; that socket's queue goes on filling. `Unsupported` for TCP on
    /// systems other than Linux.
    pub fn refuse_new(&mut self, now: Instant) -> io::Result<()> {
        self.refusing.get_or_insert(Refusing { since: now, next_look: now + SHORTEST_REFUSAL });
        let results: Vec<_> = self.listeners.values_mut().map(Listener::refuse_new).collect();
        results.into_iter().collect()
    }

    /// Whether the sockets can be closed without cutting off a client that counts itself as connected: new connections are
    /// refused, no handshake is under way or handshakes have had half a second, and every queue is empty. To be asked again
    /// and again.
    pub fn may_close(&mut self, now: Instant) -> bool {
        let Some(refusing) = self.refusing.as_mut().filter(|refusing| refusing.next_look <= now) else {
            return false;
        };
        refusing.next_look = now + LOOK;
        let age = now.saturating_duration_since(refusing.since);
        let is_handshaking =
            age < LONGEST_HANDSHAKE && self.is_handshaking().unwrap_or(age < BLIND_HANDSHAKE);
        !is_handshaking && self.is_queue_empty()
    }

    /// Whether a handshake with one of our ports is under way. The caller looks at the queues afterwards: a handshake that has
    /// ended meanwhile has put its connection into one.
    fn is_handshaking(&self) -> io::Result<bool> {
        #[cfg(target_os = "linux")]
        return handshakes::are_under_way(&self.listeners.values().filter_map(Listener::port).collect());
        #[cfg(not(target_os = "linux"))]
        return Err(io::ErrorKind::Unsupported.into());
    }

    /// Whether no connection waits in any queue.
    #[must_use]
    pub fn is_queue_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// The queues in which a connection waits; a shared one comes under slot 0. Reservations that no worker has claimed
    /// don't count. Takes nothing out.
    #[must_use]
    pub fn waiting(&self) -> Vec<(ListenerId, SlotIndex)> {
        let queues: Vec<_> = self
            .listeners
            .iter()
            .filter(|(_, listener)| listener.has_queue())
            .flat_map(|(id, listener)| listener.sockets().map(|(slot, socket)| (*id, slot, socket)))
            .collect();
        let mut watched: Vec<PollFd<'_>> =
            queues.iter().map(|(_, _, socket)| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        // Where the kernel can't tell (it has no memory), every queue counts as waiting, so that none is closed by mistake.
        let is_known = poll(&mut watched, PollTimeout::ZERO).is_ok();
        let is_readable = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
        queues
            .iter()
            .zip(&watched)
            .filter(|(_, fd)| !is_known || is_readable(fd))
            .map(|((id, slot, _), _)| (*id, *slot))
            .collect()
    }

    /// Every listener that is open.
    pub fn listeners(&self) -> impl Iterator<Item = ListenerId> + '_ {
        self.listeners.keys().copied()
    }

    /// Where everything is really bound, reservations included, in the order of binding.
    #[must_use]
    pub fn addresses(&self) -> Vec<Bound> {
        self.listeners.iter().filter_map(|(id, listener)| listener.bound(*id)).collect()
    }

    /// What tells the lengths of the queues at all TCP sockets, reservations included.
    #[must_use]
    pub fn queue_probes(&self) -> Vec<QueueProbe> {
        self.listeners.values().flat_map(Listener::queue_probes).collect()
    }

    fn find(&self, want: &Want) -> Option<ListenerId> {
        self.listeners.iter().find(|(_, listener)| listener.answers(want)).map(|(id, _)| *id)
    }

    fn must_be_remade(&self, id: ListenerId, want: &Want) -> bool {
        self.listeners.get(&id).is_some_and(|listener| listener.must_be_remade(want))
    }

    fn open(&mut self, want: &Want) -> io::Result<ListenerId> {
        let listener = Listener::reserve(want, self.refusing.is_some(), &self.binding)?;
        let id = ListenerId(self.next);
        self.next = self.next.wrapping_add(1);
        self.listeners.insert(id, listener);
        Ok(id)
    }

    fn open_or_make_room(&mut self, want: &Want) -> io::Result<ListenerId> {
        let busy = match self.open(want) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => error,
            done => return done,
        };
        let Kind::Tcp { port, .. } = want.kind else { return Err(busy) };
        let before = self.listeners.len();
        self.listeners.retain(|_, listener| !(listener.is_reserved() && listener.port() == Some(port)));
        if self.listeners.len() == before { Err(busy) } else { self.open(want) }
    }
}
