//! The master's listening sockets as others meet them: clients, foreign holders of a port, workers with their duplicates.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "clippy knows tests, but not their helpers")]

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use cluster2::socket::{Bound, Kind, Scheduling, SlotIndex, Sockets, Want, refusal};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use socket2::{Domain, Socket, Type};

mod datagrams;
mod descriptors;
mod ports;
mod queues;
mod reservations;
mod unix;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const SLOTS: [SlotIndex; 3] = [SlotIndex(0), SlotIndex(1), SlotIndex(2)];

/// Held for reading by every test, for writing by the one that counts descriptors.
static DESCRIPTORS: RwLock<()> = RwLock::new(());

fn among_others() -> RwLockReadGuard<'static, ()> {
    DESCRIPTORS.read().unwrap_or_else(PoisonError::into_inner)
}

fn want(kind: Kind) -> Want {
    Want { kind, index: 0, fd: None, backlog: 0, flags: 0, readable_all: false, writable_all: false }
}

fn tcp(address: impl Into<Option<IpAddr>>, port: u16) -> Want {
    want(Kind::Tcp { address: address.into().map(Into::into), port })
}

fn slots() -> Sockets {
    Sockets::new(Scheduling::Slots)
}

fn only_address(sockets: &Sockets) -> Bound {
    let mut bound = sockets.addresses();
    assert_eq!(bound.len(), 1, "{bound:?}");
    bound.remove(0)
}

fn port(sockets: &Sockets) -> u16 {
    only_address(sockets).address.unwrap().port()
}

fn local(sockets: &Sockets) -> SocketAddr {
    SocketAddr::new(LOCALHOST, port(sockets))
}

fn foreign(at: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&at.into())?;
    socket.listen(16)?;
    Ok(socket)
}

/// Turns until `what` gives something; connections reach a queue a little after connect(2) has returned.
fn soon<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < deadline, "did not happen");
        std::thread::yield_now();
    }
}

fn accept_any(sockets: &Sockets) -> TcpStream {
    let (listener, slot) = soon(|| sockets.waiting().first().copied());
    let stream = TcpStream::from(sockets.accept(listener, slot).unwrap().unwrap());
    stream.set_nonblocking(false).unwrap();
    stream
}

fn code<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).expect("an error of the kernel's")
}

fn assert_clean(fd: impl AsFd) {
    let descriptor = FdFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFD).unwrap());
    assert!(descriptor.contains(FdFlag::FD_CLOEXEC), "close-on-exec");
    let status = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL).unwrap());
    assert!(status.contains(OFlag::O_NONBLOCK), "non-blocking");
}
