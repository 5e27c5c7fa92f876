//! Proves on real sockets that the kernel sends a client to the slot that its address belongs to, for IPv4, IPv6 and IPv4
//! on a socket for both.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "clippy knows tests, but not their helpers")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cluster2::socket::sticky::home;
use cluster2::socket::{Kind, Scheduling, SlotIndex, Sockets, Want};
use socket2::{Domain, Socket, Type};

struct Case {
    sockets: Sockets,
    /// What workers would hold.
    _lent: Vec<OwnedFd>,
    port: u16,
}

impl Case {
    fn new(address: IpAddr) -> Self {
        let kind = Kind::Tcp { address: Some(address.into()), port: 0 };
        let want =
            Want { kind, index: 0, fd: None, backlog: 0, flags: 0, readable_all: false, writable_all: false };
        let mut sockets = Sockets::new(Scheduling::SlotsByAddress);
        let lent = (0..5).map(|slot| sockets.lend(&want, SlotIndex(slot)).unwrap().fd).collect();
        let port = sockets.addresses()[0].address.unwrap().port();
        Self { sockets, _lent: lent, port }
    }

    fn steer(&mut self, slots: &[SlotIndex]) {
        let listener = self.sockets.listeners().next().unwrap();
        self.sockets.steer(listener, slots).unwrap();
    }

    /// Where a connection from one address to another lands.
    fn land(&self, from: IpAddr, to: IpAddr) -> SlotIndex {
        let client = Socket::new(Domain::for_address(SocketAddr::new(to, 0)), Type::STREAM, None).unwrap();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        client.bind(&SocketAddr::new(from, 0).into()).unwrap();
        client.connect(&SocketAddr::new(to, self.port).into()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            if let [(listener, slot)] = self.sockets.waiting()[..] {
                assert!(self.sockets.accept(listener, slot).unwrap().is_some());
                return slot;
            }
            assert!(Instant::now() < deadline, "the connection is nowhere");
            std::thread::yield_now();
        }
    }
}

fn check(case: &mut Case, to: IpAddr, clients: impl Fn() -> Vec<IpAddr>) {
    for serving in [&[0, 1, 2, 3, 4][..], &[4], &[1, 3], &[0, 2, 3, 4]] {
        let serving: Vec<SlotIndex> = serving.iter().copied().map(SlotIndex).collect();
        case.steer(&serving);
        let mut landed = BTreeSet::new();
        for from in clients() {
            let wanted = home(from, serving.iter().copied()).unwrap();
            assert_eq!(case.land(from, to), wanted, "{from} among {serving:?}");
            assert_eq!(case.land(from, to), wanted, "{from} again");
            landed.insert(wanted);
        }
        assert!(clients().len() < 20 || landed.len() == serving.len(), "{landed:?} of {serving:?}");
    }
}

/// All of 127.0.0.0/8 is ours to speak from.
fn loopback_clients() -> Vec<IpAddr> {
    (0..40).map(|n| Ipv4Addr::new(127, 0, n % 3, n + 1).into()).collect()
}

#[test]
fn a_client_comes_to_the_slot_that_its_ipv4_address_belongs_to() {
    let to = Ipv4Addr::LOCALHOST.into();
    check(&mut Case::new(Ipv4Addr::UNSPECIFIED.into()), to, loopback_clients);
}

#[test]
fn a_client_comes_to_the_slot_that_its_ipv6_address_belongs_to() {
    let to = Ipv6Addr::LOCALHOST.into();
    check(&mut Case::new(Ipv6Addr::UNSPECIFIED.into()), to, || vec![Ipv6Addr::LOCALHOST.into()]);
}

#[test]
fn ipv4_clients_of_a_socket_for_both_go_by_their_ipv4_address() {
    let to = Ipv4Addr::LOCALHOST.into();
    check(&mut Case::new(Ipv6Addr::UNSPECIFIED.into()), to, loopback_clients);
}
