//! One address, bound once by the master for all workers.
//!
//! `Sockets` owns every listener and is the only caller. A listener owns its sockets and, for a unix path, the file. It is
//! reserved before any worker runs, or made when the first worker asks. From its first loan on it is one socket that all
//! workers share, one socket from which only the master accepts, or one socket for each slot.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use socket2::{Socket, Type};

use super::bind::{self, UnixFile};
use super::slots::Group;
use super::{Bound, IPV6_ONLY, Kind, ListenerId, QueueProbe, Scheduling, Want, refusal};
use crate::ids::SlotIndex;
use crate::os::net;
use crate::os::quiet_thread::TimedCalls;

/// One address and what holds it.
#[derive(Debug)]
pub(super) struct Listener {
    // Dropped before the sockets, so that no client finds a path on which nobody answers.
    file: Option<UnixFile>,
    hold: Hold,
    want: Want,
    /// Where it is really bound; a port that the kernel chose stays the same when the sockets are made again.
    endpoint: Endpoint,
    /// New connections are refused, also at sockets still to be made.
    refuses_new: bool,
}

/// The life of the sockets.
#[derive(Debug)]
enum Hold {
    /// Bound, and listening where the kind listens; no worker has asked.
    Reserved(Arc<Socket>),
    /// Lent to every worker.
    Shared(Arc<Socket>),
    /// Lent to no worker: the master hands connections to those that asked.
    Handed(Arc<Socket>),
    /// One for each slot that asked.
    Slots(Group),
}

#[derive(Clone, Debug)]
enum Endpoint {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix(Option<PathBuf>),
}

impl Listener {
    /// Binds what is wanted and listens; with `refuses_new`, no connection ever gets in.
    pub(super) fn reserve(want: &Want, refuses_new: bool, binding: &TimedCalls) -> io::Result<Self> {
        let (socket, file) = match (want.fd, &want.kind) {
            (Some(fd), kind) => (bind::adopt(fd, kind.socket_type())?, None),
            (None, Kind::Tcp { address, port }) => (bind::tcp(*address, *port, want.only_v6())?, None),
            (None, Kind::Udp { v6, address, port }) => (bind::udp(*address, *v6, *port, want.flags)?, None),
            (None, Kind::Unix { path }) => bind::unix(path, binding)?,
        };
        if let Some(file) = &file {
            file.open_to_all(want.readable_all, want.writable_all)?;
        }
        let endpoint = Endpoint::of(&socket, want)?;
        let hold = Hold::Reserved(Arc::new(socket));
        let mut listener = Self { file, hold, want: want.clone(), endpoint, refuses_new: false };
        if refuses_new {
            listener.refuse_new()?;
        }
        if let Hold::Reserved(socket) = &listener.hold {
            listener.want.listen(socket, want.backlog)?;
        }
        Ok(listener)
    }

    /// Whether a worker that wants `want` means this listener.
    pub(super) fn answers(&self, want: &Want) -> bool {
        (self.want.fd, &self.want.kind, self.want.index) == (want.fd, &want.kind, want.index)
    }

    /// Whether a reservation was bound with other flags than the worker that claims it asks for. The flags of the first worker
    /// count from then on, as in Node.
    pub(super) fn must_be_remade(&self, want: &Want) -> bool {
        self.is_reserved() && self.want.flags != want.flags
    }

    /// Whether no worker has asked yet.
    pub(super) fn is_reserved(&self) -> bool {
        matches!(self.hold, Hold::Reserved(_))
    }

    /// A duplicate for the worker in `slot`. On an error everything is as before.
    pub(super) fn lend(
        &mut self,
        want: &Want,
        slot: SlotIndex,
        scheduling: Scheduling,
    ) -> io::Result<OwnedFd> {
        if let Some(file) = &self.file {
            file.restore();
        }
        match &mut self.hold {
            Hold::Reserved(_) => self.claim(want, slot, scheduling),
            Hold::Shared(socket) | Hold::Handed(socket) => Ok(socket.try_clone()?.into()),
            Hold::Slots(group) => match group.get(slot) {
                Some(socket) => Ok(socket.try_clone()?.into()),
                None => self.add_slot(slot),
            },
        }
    }

    /// Makes its unix path again if the application has removed it.
    pub(super) fn restore_file(&self) {
        if let Some(file) = &self.file {
            file.restore_soon();
        }
    }

    /// Whether connections are handed over by the master.
    pub(super) fn is_handed(&self) -> bool {
        matches!(self.hold, Hold::Handed(_))
    }

    /// The first loan: the reserved socket becomes the shared one or this slot's.
    fn claim(&mut self, want: &Want, slot: SlotIndex, scheduling: Scheduling) -> io::Result<OwnedFd> {
        let by_address = scheduling == Scheduling::SlotsByAddress;
        let per_slot = (by_address || scheduling == Scheduling::Slots) && self.want.may_have_slots();
        let handed = scheduling == Scheduling::Handed && self.want.listens();
        let Hold::Reserved(socket) = &self.hold else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let fd = socket.try_clone()?;
        self.want.listen(socket, want.backlog)?;
        if let Some(file) = &self.file {
            file.open_to_all(want.readable_all, want.writable_all)?;
        }
        self.want.backlog = want.backlog;
        self.hold = match std::mem::replace(&mut self.hold, Hold::Slots(Group::default())) {
            Hold::Reserved(socket) if per_slot => {
                let mut group = Group::new(by_address);
                group.join(slot, socket);
                Hold::Slots(group)
            }
            Hold::Reserved(socket) if handed => Hold::Handed(socket),
            Hold::Reserved(socket) => Hold::Shared(socket),
            other @ (Hold::Shared(_) | Hold::Handed(_) | Hold::Slots(_)) => other,
        };
        Ok(fd.into())
    }

    /// Makes the socket of one more slot, at the address where the first was bound.
    fn add_slot(&mut self, slot: SlotIndex) -> io::Result<OwnedFd> {
        let (Hold::Slots(group), Endpoint::Tcp(address)) = (&mut self.hold, &self.endpoint) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        group.let_in_sibling()?;
        let socket = bind::tcp_at(*address, self.want.only_v6(), !group.is_empty())?;
        if self.refuses_new {
            refusal::refuse_new(&socket)?;
        }
        // Duplicated before it listens: a socket that listens is in the kernel's group, and no later step may fail.
        let fd = socket.try_clone()?;
        bind::listen(&socket, self.want.backlog)?;
        group.join(slot, Arc::new(socket));
        Ok(fd.into())
    }

    /// Refuses new connections; what is queued stays. A socket of the application's own (`fd`) is left alone, since it may
    /// outlive us; a UDP socket has no connections, and an abstract name can't be taken away before its socket closes.
    pub(super) fn refuse_new(&mut self) -> io::Result<()> {
        let did_before = std::mem::replace(&mut self.refuses_new, true);
        self.file = None;
        if did_before || self.want.fd.is_some() || !matches!(self.endpoint, Endpoint::Tcp(_)) {
            return Ok(());
        }
        self.sockets().try_for_each(|(_, socket)| refusal::refuse_new(socket))
    }

    /// See [`super::Sockets::steer`].
    pub(super) fn steer(&mut self, to: &[SlotIndex]) -> io::Result<()> {
        match &mut self.hold {
            Hold::Slots(group) => group.steer(to),
            Hold::Reserved(_) | Hold::Shared(_) | Hold::Handed(_) => Ok(()),
        }
    }

    /// Closes the socket of `slot`, if it has one of its own.
    pub(super) fn close_slot(&mut self, slot: SlotIndex) {
        match &mut self.hold {
            Hold::Slots(group) => group.close(slot),
            Hold::Reserved(_) | Hold::Shared(_) | Hold::Handed(_) => {}
        }
    }

    /// The slots that have a socket of their own.
    pub(super) fn slots(&self) -> Vec<SlotIndex> {
        match &self.hold {
            Hold::Slots(group) => group.iter().map(|(slot, _)| slot).collect(),
            Hold::Reserved(_) | Hold::Shared(_) | Hold::Handed(_) => Vec::new(),
        }
    }

    /// See [`super::Sockets::duplicate`].
    pub(super) fn duplicate(&self, slot: SlotIndex) -> Option<(OwnedFd, u32)> {
        let socket = self.socket(slot)?.try_clone().ok()?;
        Some((socket.into(), bind::backlog(self.want.backlog)))
    }

    /// The socket that the worker in `slot` accepts from.
    pub(super) fn socket(&self, slot: SlotIndex) -> Option<&Arc<Socket>> {
        match &self.hold {
            Hold::Reserved(socket) | Hold::Shared(socket) | Hold::Handed(socket) => Some(socket),
            Hold::Slots(group) => group.get(slot),
        }
    }

    /// All sockets; one that belongs to no slot comes under slot 0.
    pub(super) fn sockets(&self) -> Box<dyn Iterator<Item = (SlotIndex, &Arc<Socket>)> + '_> {
        match &self.hold {
            Hold::Reserved(socket) | Hold::Shared(socket) | Hold::Handed(socket) => {
                Box::new(std::iter::once((SlotIndex(0), socket)))
            }
            Hold::Slots(group) => Box::new(group.iter()),
        }
    }

    /// Whether it has a queue that workers empty.
    pub(super) fn has_queue(&self) -> bool {
        !self.is_reserved() && self.want.listens()
    }

    /// Takes one connection from the queue that the worker in `slot` accepts from.
    pub(super) fn accept(&self, slot: SlotIndex) -> io::Result<Option<OwnedFd>> {
        let Some(socket) = self.socket(slot).filter(|_| self.want.listens()) else { return Ok(None) };
        loop {
            match net::accept(socket) {
                Ok(connection) => return Ok(Some(connection.into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is bound; nothing while no slot holds the address.
    pub(super) fn bound(&self, listener: ListenerId) -> Option<Bound> {
        self.sockets().next()?;
        let at = |kind, address| Bound { listener, kind, address: Some(address), path: None };
        Some(match &self.endpoint {
            Endpoint::Tcp(address) => at(if address.is_ipv6() { "tcp6" } else { "tcp4" }, *address),
            Endpoint::Udp(address) => at(if address.is_ipv6() { "udp6" } else { "udp4" }, *address),
            Endpoint::Unix(path) => Bound { listener, kind: "unix", address: None, path: path.clone() },
        })
    }

    /// Its TCP port.
    pub(super) fn port(&self) -> Option<u16> {
        match &self.endpoint {
            Endpoint::Tcp(address) => Some(address.port()),
            Endpoint::Udp(_) | Endpoint::Unix(_) => None,
        }
    }

    /// What tells how many connections wait at each of its TCP sockets.
    pub(super) fn queue_probes(&self) -> impl Iterator<Item = QueueProbe> {
        let sockets =
            self.port().map(|port| self.sockets().map(move |(_, socket)| QueueProbe::new(port, socket)));
        sockets.into_iter().flatten()
    }
}

impl Endpoint {
    fn of(socket: &Socket, want: &Want) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let in_abstract = |name: &[u8]| {
            let bytes = [&[0], name].concat();
            PathBuf::from(std::ffi::OsString::from_vec(bytes))
        };
        Ok(match (address.as_socket(), &want.kind) {
            (Some(address), Kind::Udp { .. }) => Self::Udp(address),
            (Some(address), Kind::Tcp { .. } | Kind::Unix { .. }) => Self::Tcp(address),
            (None, Kind::Unix { path }) if want.fd.is_none() => Self::Unix(Some(path.clone())),
            (None, _) => Self::Unix(
                address
                    .as_pathname()
                    .map(PathBuf::from)
                    .or_else(|| address.as_abstract_namespace().map(in_abstract)),
            ),
        })
    }
}

impl Want {
    fn only_v6(&self) -> bool {
        self.flags & IPV6_ONLY != 0
    }

    fn listens(&self) -> bool {
        self.kind.socket_type() == Type::STREAM
    }

    /// A socket of the application's own stays the one it is; the others have no groups.
    fn may_have_slots(&self) -> bool {
        self.fd.is_none() && matches!(self.kind, Kind::Tcp { .. })
    }

    fn listen(&self, socket: &Socket, backlog: u32) -> io::Result<()> {
        if self.listens() { bind::listen(socket, backlog) } else { Ok(()) }
    }
}

impl Kind {
    fn socket_type(&self) -> Type {
        match self {
            Self::Tcp { .. } | Self::Unix { .. } => Type::STREAM,
            Self::Udp { .. } => Type::DGRAM,
        }
    }
}

/// Errors of accept(2) that are about the connection that was next, not about the socket.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINTR
                | libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
        )
    )
}
