//! What is bound before any worker runs, and how it comes to its worker.

use super::*;

#[test]
fn a_reservation_goes_to_the_worker_that_asks_for_the_same_with_what_it_has_queued() {
    let _guard = among_others();
    let mut sockets = slots();
    let id = sockets.reserve(&tcp(LOCALHOST, 0)).unwrap();
    assert_eq!(sockets.reserve(&tcp(LOCALHOST, 0)).unwrap(), id);
    let other = sockets.reserve(&Want { index: 1, ..tcp(LOCALHOST, 0) }).unwrap();
    let _early = TcpStream::connect((LOCALHOST, sockets.addresses()[0].address.unwrap().port())).unwrap();
    assert!(sockets.is_queue_empty(), "nobody is responsible yet");
    let lent = sockets.lend(&Want { backlog: 1, ..tcp(LOCALHOST, 0) }, SLOTS[1]).unwrap();
    assert_eq!(lent.listener, id);
    assert_eq!(sockets.slots(id), [SLOTS[1]]);
    assert_eq!(soon(|| sockets.waiting().first().copied()), (id, SLOTS[1]));
    sockets.drop_unclaimed();
    assert_eq!(only_address(&sockets).listener, id);
    assert!(sockets.borrow(other, SLOTS[0]).is_none());
}

#[test]
fn the_first_workers_backlog_replaces_the_reservations() {
    let _guard = among_others();
    let mut sockets = slots();
    sockets.reserve(&tcp(LOCALHOST, 0)).unwrap();
    sockets.lend(&Want { backlog: 3, ..tcp(LOCALHOST, 0) }, SLOTS[0]).unwrap();
    // A queue of 3 takes 4, or a few more that were under way; the rest wait for an answer.
    let clients: Vec<_> = (0..8)
        .map(|_| TcpStream::connect_timeout(&local(&sockets), Duration::from_millis(50)))
        .filter_map(Result::ok)
        .collect();
    assert!((4..8).contains(&clients.len()), "{} got in", clients.len());
}

#[test]
fn a_reservation_is_bound_again_when_the_worker_asks_for_other_flags() {
    let _guard = among_others();
    let mut sockets = slots();
    sockets.reserve(&tcp(None, 0)).unwrap();
    let lent = sockets.lend(&Want { flags: 1, ..tcp(None, 0) }, SLOTS[0]).unwrap();
    assert!(Socket::from(lent.fd).only_v6().unwrap());
    // Once claimed, the first one's flags count.
    let later = sockets.lend(&tcp(None, 0), SLOTS[1]).unwrap();
    assert_eq!(only_address(&sockets).listener, later.listener);
    assert!(Socket::from(later.fd).only_v6().unwrap());
}

#[test]
fn a_reservation_gives_way_to_a_worker_that_listens_on_another_address_of_the_port() {
    let _guard = among_others();
    let mut sockets = slots();
    sockets.reserve(&tcp(None, 0)).unwrap();
    let at = local(&sockets);
    sockets.lend(&tcp(LOCALHOST, at.port()), SLOTS[0]).unwrap();
    assert_eq!(only_address(&sockets).address.unwrap().ip(), LOCALHOST);
    // A claimed one does not.
    assert_eq!(code(sockets.lend(&tcp(ANY, at.port()), SLOTS[0])), libc::EADDRINUSE);
    assert_eq!(local(&sockets), at);
}
