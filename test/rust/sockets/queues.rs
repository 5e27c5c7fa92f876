//! Connections that wait: rescued, or kept while new ones are refused.

use super::*;

#[test]
fn a_queued_connection_survives_its_worker_and_can_be_rescued() {
    let _guard = among_others();
    for scheduling in [Scheduling::Slots, Scheduling::Shared] {
        let mut sockets = Sockets::new(scheduling);
        let lent = sockets.lend(&tcp(LOCALHOST, 0), SLOTS[0]).unwrap();
        assert!(sockets.accept(lent.listener, SLOTS[0]).unwrap().is_none(), "nothing there yet");
        let mut client = TcpStream::connect(local(&sockets)).unwrap();
        client.write_all(b"hello").unwrap();
        drop(lent.fd);
        let (listener, slot) = soon(|| sockets.waiting().first().copied());
        assert_eq!((listener, slot), (lent.listener, SLOTS[0]));
        let rescued = sockets.accept(listener, slot).unwrap().unwrap();
        assert_clean(&rescued);
        let mut rescued = TcpStream::from(rescued);
        rescued.set_nonblocking(false).unwrap();
        let mut text = [0; 5];
        rescued.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
        assert!(sockets.is_queue_empty());
        assert!(sockets.accept(listener, SlotIndex(99)).unwrap().is_none());
    }
}

/// A client of little patience: refused, or unanswered, as the kernel can.
fn knock(at: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&at, Duration::from_millis(20))
}

#[test]
fn both_ways_to_refuse_keep_the_queue_where_the_kernel_allows_them() {
    let _guard = among_others();
    let ways = [
        (refusal::leave_the_network as fn(&Socket) -> io::Result<()>, io::ErrorKind::ConnectionRefused),
        (refusal::drop_requests, io::ErrorKind::TimedOut),
    ];
    let mut tried = 0;
    for (shut, told) in ways {
        let listening = foreign(SocketAddr::new(LOCALHOST, 0), false).unwrap();
        let at = listening.local_addr().unwrap().as_socket().unwrap();
        let _early = TcpStream::connect(at).unwrap();
        match shut(&listening) {
            Ok(()) => tried += 1,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) => panic!("{error}"),
        }
        assert_eq!(knock(at).unwrap_err().kind(), told);
        listening.set_nonblocking(true).unwrap();
        let (early, _) = soon(|| listening.accept().ok());
        early.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(listening.accept().is_err(), "nothing else came in");
    }
    assert!(tried > 0, "no way is open to this process");
}

#[test]
fn after_a_refusal_the_queue_stays_and_nothing_new_comes() {
    let _guard = among_others();
    for scheduling in [Scheduling::Slots, Scheduling::Shared] {
        let mut sockets = Sockets::new(scheduling);
        for slot in SLOTS {
            sockets.lend(&tcp(None, 0), slot).unwrap();
        }
        let mut early: Vec<_> = (0..6).map(|_| TcpStream::connect(local(&sockets)).unwrap()).collect();
        let mut served = vec![accept_any(&sockets)];
        sockets.refuse_new(Instant::now()).unwrap();
        sockets.refuse_new(Instant::now()).unwrap();
        sockets.lend(&tcp(None, 0), SlotIndex(7)).unwrap();
        for _ in 0..32 {
            // Often enough that each socket of the group is tried.
            assert!(knock(local(&sockets)).is_err());
            assert!(knock((Ipv6Addr::LOCALHOST, port(&sockets)).into()).is_err());
        }
        served.extend((0..5).map(|_| accept_any(&sockets)));
        assert!(sockets.is_queue_empty());
        sockets.close_all();
        let refused = TcpStream::connect(early[0].peer_addr().unwrap());
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        // Connections from before go on in both directions, as long as they like.
        for stream in &mut served {
            stream.write_all(&[b'x'; 10_000]).unwrap();
        }
        for stream in &mut early {
            stream.read_exact(&mut [0; 10_000]).unwrap();
            stream.write_all(b"thanks").unwrap();
        }
        for stream in &mut served {
            stream.read_exact(&mut [0; 6]).unwrap();
        }
    }
}

#[test]
fn a_refusal_holds_for_listeners_that_are_made_later() {
    let _guard = among_others();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late.sock");
    let mut sockets = slots();
    sockets.refuse_new(Instant::now()).unwrap();
    sockets.lend(&tcp(LOCALHOST, 0), SLOTS[0]).unwrap();
    assert!(knock(local(&sockets)).is_err());
    sockets.lend(&want(Kind::Unix { path: path.clone() }), SLOTS[0]).unwrap();
    assert!(!path.exists());
}

/// A client that counts itself as connected, while its last ACK is held back: for 200 ms at most, or until it sends.
fn half_connected(at: SocketAddr) -> Socket {
    let client = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
    client.set_tcp_quickack(false).unwrap();
    client.connect(&at.into()).unwrap();
    client
}

#[test]
fn sockets_may_be_closed_once_handshakes_are_over_and_queues_are_empty() {
    let _guard = among_others();
    let mut sockets = slots();
    sockets.lend(&tcp(LOCALHOST, 0), SLOTS[0]).unwrap();
    let (at, begun) = (local(&sockets), Instant::now());
    let after = |ms| begun + Duration::from_millis(ms);
    assert!(!sockets.may_close(after(1000)), "new clients get in");
    let client = half_connected(at);
    sockets.refuse_new(begun).unwrap();
    assert!(!sockets.may_close(after(19)));
    assert!(!sockets.may_close(after(20)), "a handshake is under way");
    client.send(b"x").unwrap();
    soon(|| sockets.waiting().first().copied());
    assert!(!sockets.may_close(after(40)), "a queue is not empty");
    let _served = accept_any(&sockets);
    assert!(!sockets.may_close(after(45)), "too soon after the last look");
    assert!(sockets.may_close(after(50)));
}

#[test]
fn sockets_may_be_closed_after_20_ms_where_nothing_is_under_way() {
    let _guard = among_others();
    let mut sockets = slots();
    sockets.lend(&tcp(None, 0), SLOTS[0]).unwrap();
    let begun = Instant::now();
    sockets.refuse_new(begun).unwrap();
    assert!(!sockets.may_close(begun + Duration::from_millis(19)));
    assert!(sockets.may_close(begun + Duration::from_millis(20)));
}

#[test]
fn sockets_wait_half_a_second_for_handshakes_and_longer_for_queues() {
    let _guard = among_others();
    let mut sockets = slots();
    sockets.lend(&tcp(LOCALHOST, 0), SLOTS[0]).unwrap();
    let client = half_connected(local(&sockets));
    let begun = Instant::now();
    let after = |ms| begun + Duration::from_millis(ms);
    sockets.refuse_new(begun).unwrap();
    assert!(!sockets.may_close(after(499)));
    assert!(sockets.may_close(after(509)));
    client.send(b"x").unwrap();
    soon(|| sockets.waiting().first().copied());
    assert!(!sockets.may_close(after(5000)));
}

#[test]
fn a_probe_tells_the_length_of_a_queue_and_keeps_nothing_open() {
    let _guard = among_others();
    let mut sockets = slots();
    let any = tcp(LOCALHOST, 0);
    sockets.lend(&any, SLOTS[0]).unwrap();
    let lent: Vec<_> = SLOTS[1..].iter().map(|slot| sockets.lend(&any, *slot).unwrap()).collect();
    let probes = sockets.queue_probes();
    assert_eq!(probes.len(), SLOTS.len());
    let lengths = || probes.iter().map(|probe| probe.length().unwrap()).sum::<u32>();
    assert_eq!(lengths(), 0);
    let _clients = [(); 5].map(|()| TcpStream::connect(local(&sockets)).unwrap());
    soon(|| (lengths() == 5).then_some(()));
    assert!(probes.iter().all(|probe| probe.port == port(&sockets)));
    let at = local(&sockets);
    drop(lent);
    sockets.close_all();
    assert!(probes.iter().all(|probe| probe.length().is_none()));
    assert!(TcpStream::connect(at).is_err());
}
