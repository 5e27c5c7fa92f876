//! Connections that wait: rescued, or kept behind the shut door.

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
fn both_ways_to_shut_the_door_keep_the_queue_where_the_kernel_allows_them() {
    let _guard = among_others();
    let ways = [
        (door::leave_the_network as fn(&Socket) -> io::Result<()>, io::ErrorKind::ConnectionRefused),
        (door::drop_requests, io::ErrorKind::TimedOut),
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
fn behind_the_shut_door_the_queue_stays_and_nothing_new_comes() {
    let _guard = among_others();
    for scheduling in [Scheduling::Slots, Scheduling::Shared] {
        let mut sockets = Sockets::new(scheduling);
        for slot in SLOTS {
            sockets.lend(&tcp(None, 0), slot).unwrap();
        }
        let mut early: Vec<_> = (0..6).map(|_| TcpStream::connect(local(&sockets)).unwrap()).collect();
        let mut served = vec![accept_any(&sockets)];
        sockets.shut_the_door().unwrap();
        sockets.shut_the_door().unwrap();
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
fn the_shut_door_holds_for_listeners_that_are_made_later() {
    let _guard = among_others();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late.sock");
    let mut sockets = slots();
    sockets.shut_the_door().unwrap();
    sockets.lend(&tcp(LOCALHOST, 0), SLOTS[0]).unwrap();
    assert!(knock(local(&sockets)).is_err());
    sockets.lend(&want(Kind::Unix { path: path.clone() }), SLOTS[0]).unwrap();
    assert!(!path.exists());
}
