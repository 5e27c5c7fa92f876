//! UDP: one socket for all.

use std::net::UdpSocket;

use super::*;

fn udp(v6: bool) -> Want {
    let address = if v6 { Ipv6Addr::LOCALHOST.into() } else { LOCALHOST };
    want(Kind::Udp { v6, address: Some(address.into()), port: 0 })
}

#[test]
fn all_workers_share_one_socket() {
    let _guard = among_others();
    for v6 in [false, true] {
        let mut sockets = slots();
        let lent: Vec<_> = SLOTS.iter().map(|slot| sockets.lend(&udp(v6), *slot).unwrap()).collect();
        for lent in &lent {
            assert_clean(&lent.fd);
        }
        let bound = only_address(&sockets);
        assert_eq!(bound.kind, if v6 { "udp6" } else { "udp4" });
        let to = bound.address.unwrap();
        let sender = UdpSocket::bind(SocketAddr::new(to.ip(), 0)).unwrap();
        for lent in lent {
            sender.send_to(b"hello", to).unwrap();
            let socket = UdpSocket::from(lent.fd);
            let size = soon(|| socket.recv(&mut [0; 16]).ok());
            assert_eq!(size, 5);
        }
        // A datagram is no connection.
        sender.send_to(b"hello", to).unwrap();
        assert!(sockets.is_queue_empty());
        assert!(sockets.accept(bound.listener, SLOTS[0]).unwrap().is_none());
        sockets.refuse_new(Instant::now()).unwrap();
    }
}

#[test]
fn a_busy_address_is_busy_unless_both_allow_reuse() {
    let _guard = among_others();
    let taken = |first: &Sockets| Kind::Udp { v6: false, address: Some(LOCALHOST.into()), port: port(first) };
    let mut plain = slots();
    plain.lend(&udp(false), SLOTS[0]).unwrap();
    assert_eq!(code(slots().lend(&want(taken(&plain)), SLOTS[0])), libc::EADDRINUSE);
    let reuse = |kind| Want { flags: 4, ..want(kind) };
    let mut first = slots();
    first.lend(&reuse(udp(false).kind), SLOTS[0]).unwrap();
    slots().lend(&reuse(taken(&first)), SLOTS[0]).unwrap();
}

#[test]
fn an_address_of_the_other_family_is_invalid() {
    let _guard = among_others();
    let mixed = want(Kind::Udp { v6: true, address: Some(LOCALHOST.into()), port: 0 });
    assert_eq!(code(slots().lend(&mixed, SLOTS[0])), libc::EINVAL);
}
