//! Asks the kernel whether a client's TCP handshake is under way at one of our ports.
//!
//! A client counts itself as connected when it has the server's answer; the server does so one way through the network later.
//! A socket that is closed in between resets such a client. `Sockets` asks before it lets the master close its sockets, and
//! at no other time. The question goes over a netlink socket (`NETLINK_SOCK_DIAG`), which needs no privilege and lives for
//! one question. Nothing here waits: the kernel makes the answer while it takes the question, and the rest of a long answer
//! while the part before is read. It looks through its table of all connections for that, which takes milliseconds on a
//! machine with much memory.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// What the manual calls `SOCK_DIAG_BY_FAMILY`; questions and answers have the same type.
const BY_FAMILY: u16 = 20;
const REQUEST_DUMP: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const TCP: u8 = 6;
/// The bit of the state `TCP_SYN_RECV`; the kernel adds that of `TCP_NEW_SYN_RECV`, which is the one in use.
const HALF_OPEN: u32 = 1 << 3;

const HEADER: usize = 16;
const QUESTION: usize = HEADER + 56;
/// Where an answer has the port, in network order.
const PORT: usize = HEADER + 4;

/// Whether a handshake with one of `ports` is under way.
///
/// # Errors
/// Whatever keeps the kernel from answering: no such module, a seccomp profile, no descriptors.
pub(super) fn are_under_way(ports: &BTreeSet<u16>) -> io::Result<bool> {
    let protocol = SockProtocol::NetlinkSockDiag;
    let kernel = socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)?;
    let mut found = false;
    for family in [IPV4, IPV6] {
        send(kernel.as_raw_fd(), &question(family), MsgFlags::empty())?;
        read_answer(&kernel, |port| found |= ports.contains(&port))?;
    }
    Ok(found)
}

fn question(family: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(QUESTION);
    bytes.extend_from_slice(&72_u32.to_ne_bytes());
    bytes.extend_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    // The question's number and sender matter only to a program that asks several things at once.
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[family, TCP, 0, 0]);
    bytes.extend_from_slice(&HALF_OPEN.to_ne_bytes());
    // Of any address.
    bytes.resize(QUESTION, 0);
    bytes
}

/// Reads a whole answer and tells `tell` the local port of each socket in it.
fn read_answer(kernel: &OwnedFd, mut tell: impl FnMut(u16)) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = recv(kernel.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
        let mut rest = buffer.get(..count).unwrap_or_default();
        if rest.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some((kind, message, next)) = cut(rest) {
            match kind {
                DONE => return Ok(()),
                ERROR => return Err(io::ErrorKind::Unsupported.into()),
                BY_FAMILY => {
                    if let Some(port) = bytes_at(message, PORT) {
                        tell(u16::from_be_bytes(port));
                    }
                }
                _ => {}
            }
            rest = next;
        }
    }
}

/// The first message: its type, itself, and what follows it; `None` when no whole one is left.
pub(crate) fn cut(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(bytes_at(bytes, 0)?)).ok()?;
    let kind = u16::from_ne_bytes(bytes_at(bytes, 4)?);
    let message = bytes.get(..length).filter(|message| message.len() >= HEADER)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, message, next))
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn a_client_whose_last_ack_is_missing_is_seen_at_its_port_alone() {
        for ip in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            // A machine without IPv6 has nothing to show here.
            let Ok(server) = TcpListener::bind(SocketAddr::new(ip, 0)) else { continue };
            let at = server.local_addr().unwrap();
            let is_seen = |port: u16| are_under_way(&BTreeSet::from([port])).unwrap();
            assert!(!is_seen(at.port()));
            let client = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
            // Holds the last ACK back for 200 ms.
            client.set_tcp_quickack(false).unwrap();
            client.connect(&at.into()).unwrap();
            assert!(is_seen(at.port()));
            assert!(!is_seen(1));
            client.send(b"x").unwrap();
            assert!(!is_seen(at.port()));
        }
    }

    #[test]
    fn messages_are_cut_by_their_length_and_a_broken_one_ends_it() {
        let message = [20_u32.to_ne_bytes(), [20, 0, 0, 0], [0; 4], [0; 4], [7; 4]].concat();
        let two = [message.clone(), message.clone()].concat();
        let (kind, first, next) = cut(&two).unwrap();
        assert_eq!((kind.to_ne_bytes(), first, next), ([20, 0], &message[..], &message[..]));
        assert!(cut(&two[..19]).is_none());
        assert!(cut(&[4, 0, 0, 0, 20, 0, 0, 0]).is_none());
        assert!(cut(&[]).is_none());
    }
}
