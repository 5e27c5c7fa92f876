//! The words of this folder: what is wanted, what is lent, and what is bound.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use socket2::Socket;

use super::bind;
use super::ip::Ip;
use crate::os::net;

/// What a worker wants to listen on. Two wants with the same kind, index and descriptor mean the same listener.
#[derive(Clone, Debug)]
pub struct Want {
    /// The address.
    pub kind: Kind,
    /// Which of several `listen` calls for the same address in one worker.
    pub index: u32,
    /// `server.listen({fd})`: the number of a socket that the master's process holds.
    pub fd: Option<RawFd>,
    /// The length of the queue; 0 means Node's default, 511.
    pub backlog: u32,
    /// libuv's bind flags: 1 IPv6 only, 4 (UDP) shared address.
    pub flags: u32,
    /// Everybody may read from the unix socket.
    pub readable_all: bool,
    /// Everybody may write to, and so connect to, the unix socket.
    pub writable_all: bool,
}

impl Want {
    /// Whether the kernel is to choose a port.
    #[must_use]
    pub fn is_any_port(&self) -> bool {
        matches!(self.kind, Kind::Tcp { port: 0, .. } | Kind::Udp { port: 0, .. })
    }

    /// The same want with the one form of its path, so that equal addresses are equal.
    pub(super) fn with_absolute_path(&self) -> Self {
        let mut want = self.clone();
        if let Kind::Unix { path } = &mut want.kind {
            *path = bind::absolute(path);
        }
        want
    }
}

/// What kind of address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Connections over IP.
    Tcp {
        /// `None`: all addresses of the machine, IPv6 and IPv4, or IPv4 alone where there is no IPv6.
        address: Option<Ip>,
        /// 0: the kernel chooses.
        port: u16,
    },
    /// Connections within the machine.
    Unix {
        /// A path, or on Linux an abstract name: a zero byte before it.
        path: PathBuf,
    },
    /// Datagrams.
    Udp {
        /// `udp6` rather than `udp4`.
        v6: bool,
        /// `None`: all addresses of the machine.
        address: Option<Ip>,
        /// 0: the kernel chooses.
        port: u16,
    },
}

/// How new TCP connections are spread over the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// A socket for each slot; the kernel chooses one for each connection. Linux only: elsewhere the same as `Shared`.
    Slots,
    /// The same, but the choice goes by the client's address.
    SlotsByAddress,
    /// One socket; the worker that accepts first gets the connection.
    Shared,
    /// One socket, from which only the master accepts. UDP has no connections, so its sockets are shared.
    Handed,
}

/// The number of a listener; one `Sockets` never uses a number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub(super) u32);

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A socket for a worker.
#[derive(Debug)]
pub struct Lent {
    /// The listener that the socket belongs to.
    pub listener: ListenerId,
    /// A close-on-exec duplicate, to be sent and then dropped.
    pub fd: OwnedFd,
    /// Only the master accepts: it sends no duplicate to the worker, and hands connections over.
    pub is_handed: bool,
}

/// Where a listener is really bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The listener's number.
    pub listener: ListenerId,
    /// `tcp4`, `tcp6`, `unix`, `udp4` or `udp6`.
    pub kind: &'static str,
    /// The address with its port, which is never 0, for TCP and UDP.
    pub address: Option<SocketAddr>,
    /// The path or abstract name, for unix sockets.
    pub path: Option<PathBuf>,
}

/// Tells how many connections wait at one listening TCP socket, as long as that is open; keeps nothing open itself.
#[derive(Clone, Debug)]
pub struct QueueProbe {
    /// The socket's port.
    pub port: u16,
    socket: Weak<Socket>,
}

impl QueueProbe {
    pub(super) fn new(port: u16, socket: &Arc<Socket>) -> Self {
        Self { port, socket: Arc::downgrade(socket) }
    }

    /// How many connections wait to be accepted; `None` once the socket is closed, and where the kernel doesn't say.
    #[must_use]
    pub fn length(&self) -> Option<u32> {
        net::queue_length(&*self.socket.upgrade()?).ok()
    }
}
