//! The monitor's open connections: how many there may be, which goes when there is no room, and when one has idled too long.
//!
//! The server's accept loop owns the list; each connection's task holds its [`Admitted`], and leaves the list by
//! dropping it. Crowds can't keep others out. When the list is full, the connection that can best be spared is closed
//! for the new one: first those that sent no request in a tenth of a second, then those that wait for their next
//! request, then those whose client does not read its answer; among equals the one on which nothing has moved for
//! longest. Where none can be spared, some further connections are taken for questions about health only.
//! Invariant: the list is never longer than its limit and the share of health.

use std::cell::{Cell, RefCell};
use std::io::{self};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::monitor::reply::Body;

/// A client that takes no byte of its answer for so long can be spared.
const PATIENCE: Duration = Duration::from_secs(2);
/// A new client has so long to send its first request before it can be spared.
const FIRST_REQUEST: Duration = Duration::from_millis(100);

/// The list.
#[derive(Debug)]
pub(crate) struct Connections {
    open: RefCell<Vec<Rc<Connection>>>,
    limit: usize,
    for_health: usize,
}

/// One connection, as its task and the list see it.
#[derive(Debug)]
pub(crate) struct Connection {
    stage: Cell<Stage>,
    /// When a byte last went either way.
    moved: Cell<Instant>,
    /// Since when the client has taken nothing of what there is to send.
    stuck: Cell<Option<Instant>>,
    /// Its answer may go on for ever.
    is_endless: Cell<bool>,
    close: Notify,
}

/// What a connection does now; the lower one goes first when room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It has never sent a whole request.
    Stranger,
    /// It was answered, and may ask again.
    Idle,
    /// It is being answered.
    Answering,
}

/// A place on the list, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Admitted {
    connection: Rc<Connection>,
    list: Rc<Connections>,
    /// All places for other questions were taken.
    is_for_health_only: bool,
}

impl Connections {
    /// An empty list for `limit` connections, and `for_health` further ones.
    pub(crate) fn new(limit: usize, for_health: usize) -> Rc<Self> {
        Rc::new(Self { open: RefCell::default(), limit, for_health })
    }

    /// Gives a new connection a place, another's if need be; `None` when there is none. While the process is `short` of
    /// descriptors, others leave for each that comes.
    pub(crate) fn admit(self: &Rc<Self>, short: bool) -> Option<Admitted> {
        if short {
            self.make_room();
        }
        let is_full = short || self.open.borrow().len() >= self.limit;
        let has_room = || if short { self.make_room() } else { self.make_room_for_another() };
        let is_for_health_only = is_full && !has_room();
        let is_too_long = self.open.borrow().len() >= self.limit + self.for_health;
        if is_for_health_only && is_too_long && !self.close_one(|connection| connection.is(Stage::Stranger)) {
            return None;
        }
        let connection = Rc::new(Connection {
            stage: Cell::new(Stage::Stranger),
            moved: Cell::new(Instant::now()),
            stuck: Cell::new(None),
            is_endless: Cell::new(false),
            close: Notify::new(),
        });
        self.open.borrow_mut().push(Rc::clone(&connection));
        Some(Admitted { connection, list: Rc::clone(self), is_for_health_only })
    }

    /// Closes the connection that can best be spared; `false` if none can.
    pub(crate) fn make_room(&self) -> bool {
        self.close_one(Connection::can_be_spared)
    }

    /// The same for the sake of another client: idle ones are kept while there are some that have not asked yet.
    fn make_room_for_another(&self) -> bool {
        let has_stranger = self.open.borrow().iter().any(|connection| connection.is(Stage::Stranger));
        self.close_one(|connection| {
            connection.can_be_spared() && !(has_stranger && connection.is(Stage::Idle))
        })
    }

    fn close_one(&self, may_go: impl Fn(&Connection) -> bool) -> bool {
        let mut open = self.open.borrow_mut();
        let spare = open.iter().enumerate().filter(|(_, connection)| may_go(connection));
        let spared = spare.min_by_key(|(_, connection)| (connection.stage.get(), connection.moved.get()));
        let Some(at) = spared.map(|(at, _)| at) else { return false };
        open.swap_remove(at).close.notify_one();
        true
    }
}

impl Admitted {
    /// Whether the connection may ask for anything but health. If it was taken for health only, a client that has not asked
    /// yet gives way to one that has.
    pub(crate) fn may_ask(&self) -> bool {
        let list = &self.list;
        !self.is_for_health_only
            || list.open.borrow().len() <= list.limit
            || list.make_room_for_another()
            || list.close_one(|connection| connection.is(Stage::Stranger))
    }

    /// Whether the connection ends with its next answer, so that there is a place for the next question about health.
    pub(crate) fn is_for_one_answer(&self) -> bool {
        self.is_for_health_only
    }

    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.list.open.borrow_mut().retain(|open| !Rc::ptr_eq(open, &self.connection));
    }
}

impl Connection {
    /// Bytes have moved in either direction, or the socket has failed.
    pub(super) fn note_moved(&self) {
        self.moved.set(Instant::now());
    }

    /// The client takes no byte of what is to be written.
    pub(super) fn note_stuck(&self) {
        self.stuck.set(self.stuck.get().or_else(|| Some(Instant::now())));
    }

    /// It takes bytes again.
    pub(super) fn note_written(&self) {
        self.stuck.set(None);
    }

    /// Whether its answer may go on for ever.
    pub(crate) fn is_endless(&self) -> bool {
        self.is_endless.get()
    }

    fn is(&self, stage: Stage) -> bool {
        self.stage.get() == stage
    }

    fn can_be_spared(&self) -> bool {
        match self.stage.get() {
            Stage::Stranger => self.moved.get().elapsed() >= FIRST_REQUEST,
            Stage::Idle => true,
            Stage::Answering => self.stuck.get().is_some_and(|since| since.elapsed() >= PATIENCE),
        }
    }

    /// Resolves when the connection should be closed: for the sake of another, or because nothing moved for `idle_time`.
    pub(crate) async fn must_go(&self, idle_time: Duration) {
        tokio::select! {
            () = self.close.notified() => {}
            () = self.has_idled(idle_time) => {}
        }
    }

    async fn has_idled(&self, idle_time: Duration) {
        loop {
            let due = self.moved.get() + idle_time;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }

    /// Marks it as being answered: a whole request has come.
    pub(crate) fn begins(&self) {
        self.stage.set(Stage::Answering);
    }

    /// Marks it as being answered until `body` has been sent or given up; with `socket`, also until the client
    /// closes its side of that.
    pub(crate) fn answering(
        self: &Rc<Self>,
        body: Body,
        socket: Option<Rc<TcpStream>>,
        is_endless: bool,
    ) -> Answering {
        self.stage.set(Stage::Answering);
        self.is_endless.set(is_endless);
        Answering { body, socket, connection: Rc::clone(self) }
    }
}

/// The body of an answer. While there is one, its connection is closed for another only if the client does not read.
pub(crate) struct Answering {
    body: Body,
    socket: Option<Rc<TcpStream>>,
    connection: Rc<Connection>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.connection.stage.set(Stage::Idle);
    }
}

impl hyper::body::Body for Answering {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // hyper asks for more, so the client takes what comes: a client that follows a quiet log is not idle.
        self.connection.moved.set(Instant::now());
        if self.socket.as_ref().is_some_and(|socket| has_left(socket, cx)) {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether a client has closed its side, and has left nothing unread before that; if not, the task is woken when it does.
fn has_left(socket: &TcpStream, cx: &mut Context<'_>) -> bool {
    let mut first = [0; 1];
    matches!(socket.poll_peek(cx, &mut ReadBuf::new(&mut first)), Poll::Ready(Ok(0) | Err(_)))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use http_body_util::{BodyExt, Empty};

    use super::*;

    fn nothing() -> Body {
        Box::pin(Empty::new().map_err(|never| match never {}))
    }

    /// Whether a connection has been told to close.
    fn must_go(admitted: &Admitted) -> bool {
        let mut told = pin!(admitted.connection.close.notified());
        told.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_stranger_makes_room_first() {
        let list = Connections::new(3, 0);
        let known = list.admit(false).unwrap();
        drop(known.connection.answering(nothing(), None, false));
        let mut strangers = Vec::new();
        for _ in 0..2 {
            tokio::time::advance(Duration::from_secs(1)).await;
            strangers.push(list.admit(false).unwrap());
        }
        let late = list.admit(false).unwrap();
        assert_eq!([&known, &strangers[0], &strangers[1], &late].map(must_go), [false, true, false, false]);
        assert_eq!(list.open.borrow().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_asked_is_kept_while_strangers_come_but_not_where_descriptors_are_short() {
        let list = Connections::new(2, 1);
        let known = list.admit(false).unwrap();
        drop(known.connection.answering(nothing(), None, false));
        let _strangers = [list.admit(false).unwrap(), list.admit(false).unwrap()];
        assert!(!must_go(&known));
        let _another = list.admit(true).unwrap();
        assert!(must_go(&known));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_being_answered_is_never_closed_for_another() {
        let list = Connections::new(2, 0);
        let (one, other) = (list.admit(false).unwrap(), list.admit(false).unwrap());
        let busy = [
            one.connection.answering(nothing(), None, false),
            other.connection.answering(nothing(), None, false),
        ];
        assert!(list.admit(false).is_none());
        drop(busy);
        assert!(list.admit(false).is_some());
        assert!(must_go(&one) || must_go(&other));
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_client_does_not_read_is_closed_for_another_after_a_while() {
        let list = Connections::new(1, 0);
        let admitted = list.admit(false).unwrap();
        let _body = admitted.connection.answering(nothing(), None, false);
        admitted.connection.stuck.set(Some(Instant::now()));
        tokio::time::advance(PATIENCE / 2).await;
        assert!(list.admit(false).is_none());
        tokio::time::advance(PATIENCE / 2).await;
        assert!(list.admit(false).is_some_and(|newcomer| !newcomer.is_for_health_only));
        assert!(must_go(&admitted));
    }

    #[tokio::test(start_paused = true)]
    async fn health_has_places_of_its_own_where_none_can_be_spared() {
        let list = Connections::new(1, 2);
        let busy = list.admit(false).unwrap();
        assert!(!busy.is_for_health_only);
        let _body = busy.connection.answering(nothing(), None, false);
        let probe = list.admit(false).unwrap();
        let _answer = probe.connection.answering(nothing(), None, false);
        assert!(probe.is_for_health_only);
        let other = list.admit(false).unwrap();
        let _answer = other.connection.answering(nothing(), None, false);
        assert!(other.is_for_health_only && list.admit(false).is_none());
        drop(probe);
        assert!(list.admit(false).is_some_and(|next| next.is_for_health_only));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_client_has_a_moment_to_ask_whoever_comes_after_it() {
        let list = Connections::new(1, 1);
        let first = list.admit(false).unwrap();
        let second = list.admit(false).unwrap();
        assert!(second.is_for_health_only && !must_go(&first));
        second.connection.begins();
        assert!(second.may_ask() && must_go(&first), "one that asks goes before one that has not asked");
        let third = list.admit(false).unwrap();
        let fourth = list.admit(false).unwrap();
        assert!(fourth.is_for_health_only && must_go(&third), "there is an end to it");
    }

    #[tokio::test(start_paused = true)]
    async fn while_descriptors_are_short_two_leave_for_each_that_comes() {
        let list = Connections::new(9, 1);
        let strangers: Vec<Admitted> = (0..4).map(|_| list.admit(false).unwrap()).collect();
        tokio::time::advance(FIRST_REQUEST).await;
        let newcomer = list.admit(true).unwrap();
        assert!(!newcomer.is_for_health_only);
        assert_eq!(strangers.iter().filter(|stranger| must_go(stranger)).count(), 2);
        assert_eq!(list.open.borrow().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_goes_when_nothing_moved_for_the_idle_time_and_not_before() {
        let list = Connections::new(1, 0);
        let admitted = list.admit(false).unwrap();
        let start = Instant::now();
        let touch = async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            admitted.connection.moved.set(Instant::now());
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = admitted.connection.must_go(Duration::from_secs(10)) => {}
            () = touch => {}
        }
        assert_eq!(start.elapsed(), Duration::from_secs(17));
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_client_waits_for_more_does_not_idle() {
        let list = Connections::new(1, 0);
        let admitted = list.admit(false).unwrap();
        let start = Instant::now();
        let mut body = admitted.connection.answering(nothing(), None, false);
        let ask = async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            assert!(body.frame().await.is_none());
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = admitted.connection.must_go(Duration::from_secs(10)) => {}
            () = ask => {}
        }
        assert_eq!(start.elapsed(), Duration::from_secs(17));
    }

    #[tokio::test]
    async fn an_answer_that_ends_with_its_client_ends_when_the_client_closes_its_side() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let admitted = Connections::new(1, 0).admit(false).unwrap();
        let silent = crate::monitor::reply::unfold((), |()| std::future::pending());
        let mut body = admitted.connection.answering(silent, Some(Rc::new(socket)), true);
        let waiting = tokio::time::timeout(Duration::from_millis(1), body.frame()).await;
        assert!(waiting.is_err());
        drop(client);
        assert!(body.frame().await.unwrap().is_err());
    }

    #[test]
    fn leaving_gives_the_place_back() {
        let list = Connections::new(1, 0);
        drop(list.admit(false));
        let admitted = list.admit(false).unwrap();
        assert!(!must_go(&admitted));
    }
}
