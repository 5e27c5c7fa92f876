//! Descriptors: the application's own, those that don't fit, and that none is left behind.

use super::*;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_socket_of_the_applications_own_is_lent_and_otherwise_left_alone() {
    let _guard = among_others();
    let own = foreign(SocketAddr::new(LOCALHOST, 0), false).unwrap();
    let at = own.local_addr().unwrap().as_socket().unwrap();
    let by_number = Want { fd: Some(own.as_raw_fd()), ..tcp(None, 0) };
    let mut sockets = slots();
    let lent: Vec<_> = SLOTS.iter().map(|slot| sockets.lend(&by_number, *slot).unwrap()).collect();
    for lent in &lent {
        assert_clean(&lent.fd);
    }
    assert_eq!(local(&sockets), at);
    assert!(sockets.slots(lent[0].listener).is_empty());
    sockets.steer(lent[0].listener, &SLOTS).unwrap();
    sockets.refuse_new(Instant::now()).unwrap();
    let _client = TcpStream::connect(at).unwrap();
    accept_any(&sockets);
    sockets.close_slot(SLOTS[0]);
    sockets.close_all();
    drop(lent);
    let _client = TcpStream::connect(at).unwrap();
    soon(|| own.accept().ok());
}

#[test]
fn a_descriptor_that_is_no_fitting_socket_is_refused() {
    let _guard = among_others();
    let file = tempfile::tempfile().unwrap();
    let datagrams = std::net::UdpSocket::bind((LOCALHOST, 0)).unwrap();
    let mut sockets = slots();
    for (fd, expected) in [
        (-1, libc::EBADF),
        (1_000_000, libc::EBADF),
        (file.as_raw_fd(), libc::EINVAL),
        (datagrams.as_raw_fd(), libc::EINVAL),
    ] {
        let by_number = Want { fd: Some(fd), ..tcp(None, 0) };
        assert_eq!(code(sockets.lend(&by_number, SLOTS[0])), expected);
    }
    let kind = Kind::Udp { v6: false, address: None, port: 0 };
    let lent = sockets.lend(&Want { fd: Some(datagrams.as_raw_fd()), ..want(kind) }, SLOTS[0]);
    assert!(lent.is_ok());
}

#[test]
fn no_descriptor_is_left_whatever_happened() {
    let _alone = DESCRIPTORS.write().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let unix = want(Kind::Unix { path: folder.path().join("app.sock") });
    let before = open_descriptors();
    for _ in 0..50 {
        let mut sockets = slots();
        sockets.reserve(&Want { index: 9, ..tcp(None, 0) }).unwrap();
        let listener = sockets.lend(&tcp(None, 0), SLOTS[0]).unwrap().listener;
        let bound = sockets.addresses().remove(1);
        for slot in SLOTS {
            sockets.lend(&tcp(None, 0), slot).unwrap();
            sockets.lend(&unix, slot).unwrap();
        }
        assert!(sockets.lend(&Want { index: 1, ..unix.clone() }, SLOTS[0]).is_err());
        assert!(slots().lend(&tcp(None, bound.address.unwrap().port()), SLOTS[0]).is_err());
        sockets.steer(listener, &SLOTS[1..]).unwrap();
        let _client = TcpStream::connect((LOCALHOST, bound.address.unwrap().port())).unwrap();
        accept_any(&sockets);
        sockets.close_slot(SLOTS[1]);
        sockets.drop_unclaimed();
        sockets.refuse_new(Instant::now()).unwrap();
        sockets.close(listener);
        assert_eq!(sockets.addresses().len(), 1, "the unix socket");
    }
    assert_eq!(open_descriptors(), before);
}
