//! The monitor's open connections: how many there may be, which goes when there is no room, and when one has idled too long.
//!
//! Owned by the server's accept loop; each connection's task holds its [`Admitted`], and leaves the list by dropping it.
//! A crowd that connects and says nothing can't keep others out: when the list is full, the connection that has waited
//! longest is closed for the new one, those that never sent a request before those that did. One that is being answered is
//! never closed for another.
//! Invariant: the list is never longer than its limit.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::monitor::reply::Body;

/// The list.
#[derive(Debug)]
pub(crate) struct Connections {
    open: RefCell<BTreeMap<u64, Rc<Connection>>>,
    next: Cell<u64>,
    limit: usize,
}

/// One connection, as its task and the list see it.
#[derive(Debug)]
pub(crate) struct Connection {
    stage: Cell<Stage>,
    /// When a byte last went either way.
    moved: Cell<Instant>,
    close: Notify,
}

/// What a connection is at; the lower goes first when room is needed.
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
    id: u64,
}

impl Connections {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { open: RefCell::default(), next: Cell::new(0), limit })
    }

    /// Gives a new connection a place, another's if need be; `None` when all are being answered.
    pub(crate) fn admit(self: &Rc<Self>) -> Option<Admitted> {
        if self.open.borrow().len() >= self.limit && !self.make_room() {
            return None;
        }
        let id = self.next.replace(self.next.get().wrapping_add(1));
        let connection = Rc::new(Connection {
            stage: Cell::new(Stage::Stranger),
            moved: Cell::new(Instant::now()),
            close: Notify::new(),
        });
        self.open.borrow_mut().insert(id, Rc::clone(&connection));
        Some(Admitted { connection, list: Rc::clone(self), id })
    }

    /// Closes the connection that can best be spared; `false` if none can.
    pub(crate) fn make_room(&self) -> bool {
        let mut open = self.open.borrow_mut();
        let waiting = open.iter().filter(|(_, connection)| connection.stage.get() != Stage::Answering);
        let spared = waiting.min_by_key(|(_, connection)| (connection.stage.get(), connection.moved.get()));
        let Some(id) = spared.map(|(id, _)| *id) else { return false };
        if let Some(connection) = open.remove(&id) {
            connection.close.notify_one();
        }
        true
    }
}

impl Admitted {
    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.list.open.borrow_mut().remove(&self.id);
    }
}

impl Connection {
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
    pub(crate) fn answering(self: &Rc<Self>, body: Body, socket: Option<Rc<TcpStream>>) -> Answering {
        self.stage.set(Stage::Answering);
        Answering { body, socket, connection: Rc::clone(self) }
    }
}

/// The body of an answer, which keeps its connection from being closed for another.
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
        // It is asked for more, so its client takes what comes: one that follows a quiet log is not idle.
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

/// The connection's socket, which tells when bytes move.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) socket: Rc<TcpStream>,
    pub(crate) connection: Rc<Connection>,
}

impl Watched {
    fn moved<T>(&self, result: T) -> Poll<T> {
        self.connection.moved.set(Instant::now());
        Poll::Ready(result)
    }

    /// Writes by `write` as soon as the socket takes something.
    fn write(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_write_ready(cx))?;
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return self.moved(written),
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            match self.socket.try_read(buf.initialize_unfilled()) {
                Ok(length) => {
                    buf.advance(length);
                    return self.moved(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return self.moved(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |socket| socket.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is kept back here.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.socket).shutdown(Shutdown::Write))
    }
}

/// Whether a client has closed its side, and has left nothing unread before that; if not, the task is woken when it does.
fn has_left(socket: &TcpStream, cx: &mut Context<'_>) -> bool {
    let mut first = [MaybeUninit::uninit(); 1];
    while socket.poll_read_ready(cx).is_ready() {
        match socket.try_io(Interest::READABLE, || SockRef::from(socket).peek(&mut first)) {
            Ok(length) => return length == 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return true,
        }
    }
    false
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
        let list = Connections::new(3);
        let known = list.admit().unwrap();
        drop(known.connection.answering(nothing(), None));
        let mut strangers = Vec::new();
        for _ in 0..2 {
            tokio::time::advance(Duration::from_secs(1)).await;
            strangers.push(list.admit().unwrap());
        }
        let late = list.admit().unwrap();
        assert_eq!([&known, &strangers[0], &strangers[1], &late].map(must_go), [false, true, false, false]);
        assert_eq!(list.open.borrow().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_being_answered_is_never_closed_for_another() {
        let list = Connections::new(2);
        let (one, other) = (list.admit().unwrap(), list.admit().unwrap());
        let busy = [one.connection.answering(nothing(), None), other.connection.answering(nothing(), None)];
        assert!(list.admit().is_none());
        drop(busy);
        assert!(list.admit().is_some());
        assert!(must_go(&one) || must_go(&other));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_goes_when_nothing_moved_for_the_idle_time_and_not_before() {
        let list = Connections::new(1);
        let admitted = list.admit().unwrap();
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
        let list = Connections::new(1);
        let admitted = list.admit().unwrap();
        let start = Instant::now();
        let mut body = admitted.connection.answering(nothing(), None);
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
        let admitted = Connections::new(1).admit().unwrap();
        let silent = crate::monitor::reply::unfold((), |()| std::future::pending());
        let mut body = admitted.connection.answering(silent, Some(Rc::new(socket)));
        let waiting = tokio::time::timeout(Duration::from_millis(1), body.frame()).await;
        assert!(waiting.is_err());
        drop(client);
        assert!(body.frame().await.unwrap().is_err());
    }

    #[test]
    fn leaving_gives_the_place_back() {
        let list = Connections::new(1);
        drop(list.admit());
        let admitted = list.admit().unwrap();
        assert!(!must_go(&admitted));
    }
}
