//! One worker's channel: bounded, closable, carries descriptors.
//!
//! [`open`] splits the master's end of the socket pair into a [`Speaker`], a cheap handle to say things with, and a
//! [`Listener`] that yields what the worker says; a task of the supervisor runs [`Speaker::write_out`].
//! Order is kept. While the worker has not acknowledged a descriptor nothing else is written, as Node's own side expects,
//! but for our own acknowledgements. A worker that doesn't read makes [`Backlog`] grow, and whoever speaks for the
//! application stops at its limit; the few messages of the protocol itself are always taken.
//! Invariant: one descriptor is under way at a time; each is closed here as soon as it has been sent and acknowledged.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, Bytes};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::frame::Frames;
use super::message::{self, ToMaster, ToWorker};
use crate::os::fd::own_received;
use crate::os::watch::watch;

/// How often a descriptor that did not arrive is sent again; Node's own number.
const HANDLE_RETRIES: u8 = 3;
/// How many lines one system call may write.
const LINES_PER_WRITE: usize = 64;
/// How much one system call may read.
const READ_SIZE: usize = 64 * 1024;
/// How many descriptors may wait for the message they belong to.
const MAX_WAITING_FDS: usize = 16;

/// Bytes said to a worker and not yet taken by the kernel; shared with the thread that speaks for the application.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// How many bytes wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a line before it is said.
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Something the worker said.
#[derive(Debug)]
pub enum Heard {
    /// A message of the protocol, with the descriptor that came beside it.
    Said(ToMaster, Option<OwnedFd>),
    /// Lines of the application, joined by newlines, in the order in which they came.
    App(Vec<u8>),
    /// The worker's end is closed; nothing follows.
    Closed,
}

/// Splits the master's end of a channel; must be called on the runtime's thread.
///
/// # Errors
/// What the kernel says when the descriptor can't be watched.
pub fn open(fd: OwnedFd) -> io::Result<(Speaker, Listener)> {
    let socket = watch(fd, Interest::READABLE | Interest::WRITABLE)?;
    let link = Rc::new(Link {
        socket,
        outbox: RefCell::default(),
        more: Notify::new(),
        closed: Cell::new(false),
        backlog: Backlog::default(),
    });
    let listener = Listener {
        link: Rc::clone(&link),
        frames: Frames::default(),
        scratch: vec![0; READ_SIZE],
        fds: VecDeque::new(),
        heard: VecDeque::new(),
    };
    Ok((Speaker(link), listener))
}

#[derive(Debug)]
struct Link {
    socket: AsyncFd<OwnedFd>,
    outbox: RefCell<Outbox>,
    more: Notify,
    closed: Cell<bool>,
    backlog: Backlog,
}

#[derive(Debug, Default)]
struct Outbox {
    /// What is left of a line that was written in part; always goes on first.
    current: Option<Line>,
    /// Acknowledgements, which may pass a wait for the worker's own.
    urgent: VecDeque<Line>,
    lines: VecDeque<Line>,
    /// The line whose descriptor was sent and is not acknowledged yet.
    unacknowledged: Option<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    text: Bytes,
    fd: Option<Rc<OwnedFd>>,
    /// Whether its bytes count in the backlog (those of the application do).
    counted: bool,
    /// How often its descriptor was sent.
    tries: u8,
}

impl Line {
    fn new(mut text: String, fd: Option<OwnedFd>, counted: bool) -> Self {
        text.push('\n');
        Self { text: text.into(), fd: fd.map(Rc::new), counted, tries: 0 }
    }
}

/// Says things to one worker. Clones speak to the same worker; what is said after its end is dropped.
#[derive(Clone, Debug)]
pub struct Speaker(Rc<Link>);

impl Speaker {
    /// Says something of the protocol.
    pub fn say(&self, message: &ToWorker) {
        let urgent = matches!(message, ToWorker::HandleAck | ToWorker::HandleNack);
        self.post(Line::new(message.to_line(), None, false), urgent);
    }

    /// Says something of the protocol that brings a descriptor.
    pub fn say_with(&self, message: &ToWorker, fd: OwnedFd) {
        self.post(Line::new(message.to_line(), Some(fd), false), false);
    }

    /// Passes on a line of the application whose bytes (its newline included) the caller has added to the backlog.
    pub fn pass(&self, text: String, fd: Option<OwnedFd>) {
        self.post(Line::new(text, fd, true), false);
    }

    /// What waits to be read by the worker.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.0.backlog.clone()
    }

    /// Closes the master's end once nothing more can be said; the worker sees 'disconnect'.
    pub fn close(&self) {
        self.0.close();
    }

    /// Whether the channel has ended, from either side.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// Writes what is said, until the channel ends.
    ///
    /// Cancel-safe between lines only: dropping it ends the channel's use.
    pub async fn write_out(self) {
        while !self.0.closed.get() {
            if !self.0.has_work() {
                self.0.more.notified().await;
                continue;
            }
            let written =
                self.0.socket.async_io(Interest::WRITABLE, |socket| self.0.write_some(socket)).await;
            if written.is_err() {
                // The worker has gone; the listener says so when it has read the rest.
                self.0.close();
            }
        }
    }

    fn post(&self, line: Line, urgent: bool) {
        if self.0.closed.get() {
            self.0.count_gone(&line, line.text.len());
            return;
        }
        let mut outbox = self.0.outbox.borrow_mut();
        if urgent {
            outbox.urgent.push_back(line);
        } else {
            outbox.lines.push_back(line);
        }
        drop(outbox);
        self.0.more.notify_one();
    }
}

impl Link {
    fn has_work(&self) -> bool {
        let outbox = self.outbox.borrow();
        let may_begin = outbox.unacknowledged.is_none() && !outbox.lines.is_empty();
        outbox.current.is_some() || !outbox.urgent.is_empty() || may_begin
    }

    fn count_gone(&self, line: &Line, bytes: usize) {
        if line.counted {
            self.backlog.subtract(bytes);
        }
    }

    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        let outbox = self.outbox.take();
        outbox.current.iter().chain(&outbox.lines).for_each(|line| self.count_gone(line, line.text.len()));
        self.more.notify_one();
        // Both directions, so that the worker hears of it while our tasks still hold the descriptor; it may have gone.
        let _ =
            nix::sys::socket::shutdown(self.socket.get_ref().as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }

    /// One system call's worth: the rest of a line, a run of plain lines, or one line with its descriptor.
    fn write_some(&self, socket: &OwnedFd) -> io::Result<()> {
        let mut guard = self.outbox.borrow_mut();
        let outbox = &mut *guard;
        if let Some(line) = &outbox.current {
            let sent = send(socket, &[line], None)?;
            outbox.current = outbox.current.take().and_then(|line| self.rest_of(line, sent));
        } else if !outbox.urgent.is_empty() {
            outbox.current = self.write_run(socket, &mut outbox.urgent)?;
        } else if outbox.unacknowledged.is_some() {
            // Nothing else may pass until the worker has acknowledged the descriptor.
        } else if outbox.lines.front().is_some_and(|line| line.fd.is_some()) {
            let Some(line) = outbox.lines.front() else { return Ok(()) };
            let sent = send(socket, &[line], line.fd.as_deref().map(AsRawFd::as_raw_fd))?;
            outbox.unacknowledged = outbox.lines.pop_front();
            let plain = outbox.unacknowledged.as_ref().map(|line| Line { fd: None, ..line.clone() });
            outbox.current = plain.and_then(|line| self.rest_of(line, sent));
        } else {
            outbox.current = self.write_run(socket, &mut outbox.lines)?;
        }
        Ok(())
    }

    /// Writes plain lines from the front; gives back what is left of one that was cut.
    fn write_run(&self, socket: &OwnedFd, lines: &mut VecDeque<Line>) -> io::Result<Option<Line>> {
        let run: Vec<&Line> =
            lines.iter().take(LINES_PER_WRITE).take_while(|line| line.fd.is_none()).collect();
        let mut sent = send(socket, &run, None)?;
        while sent > 0 {
            let Some(line) = lines.pop_front() else { break };
            let whole = line.text.len();
            let rest = self.rest_of(line, sent.min(whole));
            if rest.is_some() {
                return Ok(rest);
            }
            sent -= whole;
        }
        Ok(None)
    }

    fn rest_of(&self, mut line: Line, sent: usize) -> Option<Line> {
        self.count_gone(&line, sent);
        line.text.advance(sent);
        (!line.text.is_empty()).then_some(line)
    }

    /// The worker has the descriptor.
    fn acknowledged(&self) {
        self.outbox.borrow_mut().unacknowledged = None;
        self.more.notify_one();
    }

    /// The worker got the message without its descriptor: says whether it is sent once more.
    fn send_again(&self) -> bool {
        let mut outbox = self.outbox.borrow_mut();
        let Some(mut line) = outbox.unacknowledged.take() else { return true };
        line.tries += 1;
        let again = line.tries < HANDLE_RETRIES;
        if again {
            line.counted = false;
            outbox.lines.push_front(line);
        }
        drop(outbox);
        self.more.notify_one();
        again
    }
}

fn send(socket: &OwnedFd, lines: &[&Line], fd: Option<RawFd>) -> io::Result<usize> {
    let slices: Vec<IoSlice<'_>> = lines.iter().map(|line| IoSlice::new(&line.text)).collect();
    let rights = fd.map(|fd| [fd]);
    let control: Vec<ControlMessage<'_>> = rights.iter().map(|fds| ControlMessage::ScmRights(fds)).collect();
    Ok(sendmsg::<()>(socket.as_raw_fd(), &slices, &control, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Yields what one worker says.
#[derive(Debug)]
pub struct Listener {
    link: Rc<Link>,
    frames: Frames,
    scratch: Vec<u8>,
    /// Descriptors that came, in the order of the messages that they belong to.
    fds: VecDeque<OwnedFd>,
    heard: VecDeque<Heard>,
}

impl Listener {
    /// The next thing that the worker said; after [`Heard::Closed`] it must not be asked again.
    ///
    /// Cancel-safe: what has been read is kept.
    pub async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            let (scratch, fds) = (&mut self.scratch, &mut self.fds);
            let read =
                self.link.socket.async_io(Interest::READABLE, |socket| receive(socket, scratch, fds)).await;
            match read {
                Ok(0) | Err(_) => {
                    self.link.close();
                    return Heard::Closed;
                }
                Ok(read) => self.frames.push(self.scratch.get(..read).unwrap_or_default()),
            }
            self.sort();
        }
    }

    /// How many lines were dropped because they were longer than can be read.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.frames.dropped()
    }

    /// Tells the application's lines from the protocol's, keeping their order.
    fn sort(&mut self) {
        let mut run: Vec<u8> = Vec::new();
        while let Some(line) = self.frames.next_line() {
            let Some(message) = message::parse(&line) else {
                if !run.is_empty() {
                    run.push(b'\n');
                }
                run.extend_from_slice(&line);
                continue;
            };
            if !run.is_empty() {
                self.heard.push_back(Heard::App(std::mem::take(&mut run)));
            }
            self.take_in(message);
        }
        if !run.is_empty() {
            self.heard.push_back(Heard::App(run));
        }
    }

    fn take_in(&mut self, message: ToMaster) {
        let mut fd = None;
        if matches!(message, ToMaster::HandleAck) {
            self.link.acknowledged();
        } else if matches!(message, ToMaster::HandleNack) && self.link.send_again() {
            return;
        } else if matches!(message, ToMaster::AppHandle { .. }) {
            fd = self.fds.pop_front();
            let arrived = if fd.is_some() { ToWorker::HandleAck } else { ToWorker::HandleNack };
            Speaker(Rc::clone(&self.link)).say(&arrived);
            if fd.is_none() {
                return;
            }
        }
        self.heard.push_back(Heard::Said(message, fd));
    }
}

fn receive(socket: &OwnedFd, buffer: &mut [u8], fds: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
    let mut control = nix::cmsg_space!([RawFd; 4]);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            for owned in numbers.into_iter().map(own_received) {
                // Descriptors that no message claims are closed rather than hoarded.
                if fds.len() < MAX_WAITING_FDS {
                    fds.push_back(owned);
                }
            }
        }
    }
    Ok(message.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    /// The worker's side is a blocking socket on a thread of its own, or in the same thread where nothing waits.
    fn pair() -> (Speaker, Listener, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (speaker, listener) = open(ours.into()).unwrap();
        (speaker, listener, theirs)
    }

    async fn with_writer<T>(speaker: &Speaker, rest: impl Future<Output = T>) -> T {
        tokio::select! {
            () = speaker.clone().write_out() => panic!("the channel ended"),
            done = rest => done,
        }
    }

    fn read_in_thread(mut from: UnixStream, bytes: usize) -> tokio::task::JoinHandle<(UnixStream, Vec<u8>)> {
        tokio::task::spawn_blocking(move || {
            let mut read = vec![0; bytes];
            from.read_exact(&mut read).unwrap();
            (from, read)
        })
    }

    #[tokio::test]
    async fn megabytes_pass_in_both_directions() {
        let (speaker, mut listener, theirs) = pair();
        let text = "x".repeat(5_000_000);
        speaker.backlog().add(text.len() + 1);
        speaker.pass(text.clone(), None);
        let (mut theirs, read) = with_writer(&speaker, read_in_thread(theirs, text.len() + 1)).await.unwrap();
        assert!(read.starts_with(b"xxx") && read.ends_with(b"x\n"));
        assert_eq!(speaker.backlog().bytes(), 0);
        let writer = std::thread::spawn(move || theirs.write_all(&read));
        let Heard::App(line) = listener.next().await else { panic!("not the application's") };
        assert_eq!(line.len(), text.len());
        writer.join().unwrap().unwrap();
        assert!(matches!(listener.next().await, Heard::Closed));
    }

    #[tokio::test]
    async fn after_a_descriptor_everything_waits_for_its_acknowledgement() {
        let (speaker, mut listener, mut theirs) = pair();
        let fd = std::fs::File::open("/dev/null").unwrap().into();
        let lend = ToWorker::Lend { ack: 1, key: "k".into(), data: serde_json::Value::Null };
        let first = lend.to_line() + "\n";
        speaker.say_with(&lend, fd);
        speaker.say(&ToWorker::Disconnect);
        let (back, read) = with_writer(&speaker, read_in_thread(theirs, first.len())).await.unwrap();
        theirs = back;
        assert_eq!(read, first.as_bytes());
        assert!(!speaker.0.has_work());
        theirs
            .write_all(b"{\"cmd\":\"NODE_HANDLE_NACK\"}\n{\"cmd\":\"NODE_HANDLE_ACK\"}\n{\"x\":1}\n")
            .unwrap();
        let heard = with_writer(&speaker, listener.next()).await;
        assert!(
            matches!(heard, Heard::Said(ToMaster::HandleAck, None)),
            "a retry is nobody's business: {heard:?}"
        );
        assert!(matches!(listener.next().await, Heard::App(text) if text == b"{\"x\":1}"));
    }

    #[tokio::test]
    async fn what_is_said_after_the_end_is_dropped_and_uncounted() {
        let (speaker, mut listener, theirs) = pair();
        drop(theirs);
        assert!(matches!(listener.next().await, Heard::Closed));
        speaker.backlog().add(3);
        speaker.pass("{}".into(), None);
        assert_eq!(speaker.backlog().bytes(), 0);
        assert!(speaker.is_closed());
    }
}
