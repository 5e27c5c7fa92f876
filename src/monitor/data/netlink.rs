//! The kernel's list of TCP sockets that listen, by a netlink socket of `NETLINK_SOCK_DIAG`.
//!
//! `queues` is the only caller. It needs no privilege and owns its socket for one question. Nothing here waits: the kernel
//! makes the answer while it takes the question, and the rest of a long one while the part before is read.

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
/// The bit of the state `TCP_LISTEN`.
const LISTENING: u32 = 1 << 10;

const HEADER: usize = 16;
const QUESTION: usize = HEADER + 56;
/// Where an answer has the port, in network order, and the length of the queue.
const PORT: usize = HEADER + 4;
const QUEUE: usize = HEADER + 56;

/// Tells `tell` the port and the queue of each socket that listens, of IPv4 and of IPv6.
///
/// # Errors
/// Whatever keeps the kernel from answering: no such module, a seccomp profile, no descriptors.
pub(crate) fn listening(mut tell: impl FnMut(u16, u32)) -> io::Result<()> {
    let protocol = SockProtocol::NetlinkSockDiag;
    let kernel = socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)?;
    for family in [IPV4, IPV6] {
        send(kernel.as_raw_fd(), &question(family), MsgFlags::empty())?;
        read_answers(&kernel, &mut tell)?;
    }
    Ok(())
}

fn question(family: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(QUESTION);
    bytes.extend_from_slice(&72_u32.to_ne_bytes());
    bytes.extend_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    // Number and sender, which matter to those who ask several things at once.
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[family, TCP, 0, 0]);
    bytes.extend_from_slice(&LISTENING.to_ne_bytes());
    // Of any address.
    bytes.resize(QUESTION, 0);
    bytes
}

fn read_answers(kernel: &OwnedFd, tell: &mut impl FnMut(u16, u32)) -> io::Result<()> {
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
                    if let (Some(port), Some(queue)) = (bytes_at(message, PORT), bytes_at(message, QUEUE)) {
                        tell(u16::from_be_bytes(port), u32::from_ne_bytes(queue));
                    }
                }
                _ => {}
            }
            rest = next;
        }
    }
}

/// The first message: its type, itself, and what follows it; `None` when no whole one is left.
fn cut(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
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
    use std::net::{Ipv6Addr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn each_socket_that_listens_is_told_with_its_queue() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let six = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok();
        let _clients = [four.local_addr().unwrap(); 2].map(|address| TcpStream::connect(address).unwrap());
        let mut told = Vec::new();
        listening(|port, queue| told.push((port, queue))).unwrap();
        assert!(told.contains(&(four.local_addr().unwrap().port(), 2)));
        // A machine without IPv6 has nothing to show here.
        assert!(six.is_none_or(|six| told.contains(&(six.local_addr().unwrap().port(), 0))));
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
