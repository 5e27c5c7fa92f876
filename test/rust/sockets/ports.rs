//! Who holds a port, and what is said to those who want it too.

use super::*;

#[test]
fn a_second_master_finds_the_port_busy_however_many_slots_the_first_has() {
    let _guard = among_others();
    let mut first = slots();
    first.lend(&tcp(None, 0), SLOTS[0]).unwrap();
    let taken = tcp(None, port(&first));
    assert_eq!(code(slots().reserve(&taken)), libc::EADDRINUSE);
    for slot in SLOTS {
        first.lend(&tcp(None, 0), slot).unwrap();
    }
    assert_eq!(code(slots().reserve(&taken)), libc::EADDRINUSE);
    assert_eq!(code(slots().lend(&taken, SLOTS[0])), libc::EADDRINUSE);
    first.close_slot(SLOTS[0]);
    assert_eq!(code(slots().reserve(&taken)), libc::EADDRINUSE);
    first.close_all();
    slots().reserve(&taken).unwrap();
}

#[test]
fn a_reservation_keeps_a_foreign_socket_off_the_port() {
    let _guard = among_others();
    let mut sockets = slots();
    sockets.reserve(&tcp(LOCALHOST, 0)).unwrap();
    assert_eq!(code(foreign(local(&sockets), true)), libc::EADDRINUSE);
}

#[test]
fn a_foreign_holder_is_found_on_any_address_with_and_without_its_own_reuseport() {
    let _guard = among_others();
    for reuse_port in [false, true] {
        for held in [LOCALHOST, ANY] {
            let holder = foreign(SocketAddr::new(held, 0), reuse_port).unwrap();
            let taken = holder.local_addr().unwrap().as_socket().unwrap().port();
            for asked in [None, Some(LOCALHOST), Some(ANY)] {
                let mut sockets = slots();
                assert_eq!(code(sockets.reserve(&tcp(asked, taken))), libc::EADDRINUSE);
                assert_eq!(code(sockets.lend(&tcp(asked, taken), SLOTS[0])), libc::EADDRINUSE);
                assert_eq!(sockets.addresses(), []);
            }
            assert!(slots().reserve(&tcp(IpAddr::V6(Ipv6Addr::LOCALHOST), taken)).is_ok());
        }
    }
}

#[test]
fn with_no_address_both_families_are_served_and_the_ipv6_flag_means_ipv6_alone() {
    let _guard = among_others();
    let mut both = slots();
    for slot in SLOTS {
        both.lend(&tcp(None, 0), slot).unwrap();
    }
    assert_eq!(only_address(&both).kind, "tcp6");
    for ip in [LOCALHOST, Ipv6Addr::LOCALHOST.into()] {
        let _client = TcpStream::connect((ip, port(&both))).unwrap();
        accept_any(&both);
    }
    let mut alone = slots();
    let only_v6 = Want { flags: 1, ..tcp(None, 0) };
    for slot in SLOTS {
        alone.lend(&only_v6, slot).unwrap();
    }
    assert!(TcpStream::connect(local(&alone)).is_err());
    foreign(local(&alone), false).unwrap();
}

#[test]
fn port_0_is_the_same_port_for_every_slot_and_every_later_worker() {
    let _guard = among_others();
    let mut sockets = slots();
    let any = tcp(LOCALHOST, 0);
    let first = sockets.lend(&any, SLOTS[0]).unwrap();
    let chosen = port(&sockets);
    for slot in SLOTS {
        let lent = sockets.lend(&any, slot).unwrap();
        assert_eq!(lent.listener, first.listener);
        let at = Socket::from(lent.fd).local_addr().unwrap().as_socket().unwrap();
        assert_eq!(at.port(), chosen);
    }
    let second = sockets.lend(&Want { index: 1, ..any.clone() }, SLOTS[0]).unwrap();
    assert_ne!(second.listener, first.listener);
    sockets.close(second.listener);
    for slot in SLOTS {
        sockets.close_slot(slot);
    }
    assert_eq!(sockets.addresses(), [], "nobody holds the port");
    assert!(TcpStream::connect((LOCALHOST, chosen)).is_err());
    sockets.lend(&any, SLOTS[2]).unwrap();
    assert_eq!(port(&sockets), chosen);
}

#[test]
fn each_slot_has_its_own_socket_unless_they_are_shared() {
    let _guard = among_others();
    let distinct = |scheduling| {
        let mut sockets = Sockets::new(scheduling);
        let lent: Vec<_> =
            SLOTS.iter().map(|slot| sockets.lend(&tcp(LOCALHOST, 0), *slot).unwrap()).collect();
        let again = sockets.lend(&tcp(LOCALHOST, 0), SLOTS[1]).unwrap();
        lent.iter().chain([&again]).for_each(|lent| assert_clean(&lent.fd));
        let inode = |fd: &OwnedFd| nix::sys::stat::fstat(fd).unwrap().st_ino;
        assert_eq!(inode(&again.fd), inode(&lent[1].fd));
        let own = sockets.slots(again.listener).len();
        (lent.iter().map(|lent| inode(&lent.fd)).collect::<BTreeSet<_>>().len(), own)
    };
    assert_eq!(distinct(Scheduling::Slots), (3, 3));
    assert_eq!(distinct(Scheduling::Shared), (1, 0));
}

#[test]
fn errors_are_the_kernels_and_leave_nothing_behind() {
    let _guard = among_others();
    let mut sockets = slots();
    let elsewhere: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
    assert_eq!(code(sockets.lend(&tcp(elsewhere, 0), SLOTS[0])), libc::EADDRNOTAVAIL);
    let first_free: u16 = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .map_or(1024, |text| text.trim().parse().unwrap());
    if !nix::unistd::geteuid().is_root() && first_free > 1 {
        assert_eq!(code(sockets.reserve(&tcp(LOCALHOST, 1))), libc::EACCES);
        assert_eq!(code(sockets.lend(&tcp(None, 1), SLOTS[0])), libc::EACCES);
    }
    assert_eq!(sockets.addresses(), []);
    // The same address once more in one worker is its own mistake, and busy.
    sockets.lend(&tcp(LOCALHOST, 0), SLOTS[0]).unwrap();
    let again = Want { index: 1, ..tcp(LOCALHOST, port(&sockets)) };
    assert_eq!(code(sockets.lend(&again, SLOTS[0])), libc::EADDRINUSE);
}
