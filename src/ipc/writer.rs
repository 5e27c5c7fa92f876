//! What the master says to one worker.
//!
//! The supervisor uses a [`Writer`] for the protocol, and JavaScript's thread uses a clone of it for the application. A task
//! of the supervisor writes what they leave. Order is kept. While the worker has not acknowledged a descriptor nothing else
//! is written, as Node's own side expects, except our own acknowledgements. [`Writer::waiting`] grows while a worker does
//! not read; JavaScript stops at its limit, and the few messages of the protocol are always taken.
//! JavaScript's thread writes at once where nothing waits, which saves waking the supervisor's thread. One lock guards what
//! waits; it is held for one system call that does not block. While the kernel is short of memory, or of room for descriptors
//! under way, everything waits: that says nothing about the worker.
//! Invariant: one descriptor is under way at a time, and it is closed here once it was sent and acknowledged. Of one queue at
//! most one descriptor waits, so they don't pile up for a worker that is stopped.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::sync::Notify;

use super::channel::Watched;
use super::message::ToWorker;
use super::serialization::Serialization;
use crate::ids::SlotIndex;
use crate::os::reserve::{TRY_AGAIN, is_shortage_in_kernel};

/// How often a descriptor that did not arrive is sent again; Node's own number.
const HANDLE_RETRIES: u8 = 3;
/// How many lines one system call may write.
const LINES_PER_WRITE: usize = 64;

/// Says things to one worker. Clones speak to the same worker; what is said after its end is dropped.
#[derive(Clone, Debug)]
pub struct Writer(Arc<Link>);

impl Writer {
    pub(super) fn new(socket: Arc<OwnedFd>, serialization: Serialization) -> Self {
        Self(Arc::new(Link {
            socket,
            serialization,
            outbox: Mutex::default(),
            more: Notify::new(),
            closed: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// Says something of the protocol.
    pub fn say(&self, message: &ToWorker) {
        let urgent = matches!(message, ToWorker::HandleAck | ToWorker::HandleNack);
        self.post(Line::of(message, None, self.0.serialization), urgent);
    }

    /// Says something of the protocol that brings a descriptor.
    pub fn say_with(&self, message: &ToWorker, fd: OwnedFd) {
        self.post(Line::of(message, Some(fd), self.0.serialization), false);
    }

    /// Says nothing of the connections up to this `seq` that still wait to be handed over: they were taken back.
    pub fn withdraw(&self, up_to: u64) {
        self.0.outbox().lines.retain(|line| line.hand_over.is_none_or(|seq| seq > up_to));
    }

    /// Passes on a line of the application, or several; at once if nothing waits. For any thread.
    pub fn pass(&self, text: String, fd: Option<OwnedFd>) {
        let line = Line::new(self.0.serialization.application(text), fd, true);
        self.0.waiting.fetch_add(line.text.len(), Ordering::Relaxed);
        if self.is_closed() {
            self.0.count_gone(&line, line.text.len());
            return;
        }
        let mut outbox = self.0.outbox();
        let is_first = outbox.is_idle();
        outbox.lines.push_back(line);
        // What the kernel doesn't take now, or an error, is found by the task that writes.
        let _ = is_first.then(|| self.0.write_some(&mut outbox));
        let is_done = outbox.is_idle();
        drop(outbox);
        if !is_done {
            self.0.more.notify_one();
        }
    }

    /// Bytes of the application that wait to be read by the worker, beyond what the kernel holds.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Closes the master's end once nothing more can be said; the worker sees 'disconnect'.
    pub fn close(&self) {
        self.0.close();
    }

    /// Closes the master's end once everything that was said before is written, and acknowledged where that is due.
    pub fn close_when_done(&self) {
        self.0.ending.store(true, Ordering::Release);
        self.0.more.notify_one();
    }

    /// Whether the channel has ended, from either side.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Writes what is said, until the channel ends; calls `on_shortage` each time that the kernel has no room for it.
    pub(super) async fn write_out(self, socket: Watched, on_shortage: impl Fn()) {
        while !self.is_closed() {
            if self.0.ending.load(Ordering::Acquire) && self.0.outbox().is_idle() {
                return self.0.close();
            }
            if !self.0.outbox().has_work() {
                self.0.more.notified().await;
                continue;
            }
            let written = match socket.writable().await {
                Ok(mut ready) => match ready.try_io(|_| self.0.write_some(&mut self.0.outbox())) {
                    Ok(written) => written,
                    // The kernel takes no more for now.
                    Err(_) => continue,
                },
                Err(error) => Err(error),
            };
            match written {
                Ok(()) => {}
                Err(error) if is_shortage_in_kernel(&error) => {
                    on_shortage();
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                // The worker has gone; the reader says so when it has read the rest.
                Err(_) => self.0.close(),
            }
        }
    }

    /// The worker has the descriptor.
    pub(super) fn acknowledged(&self) {
        self.0.outbox().unacknowledged = None;
        self.0.more.notify_one();
    }

    /// The worker got a message without its descriptor: sends it again, unless it was sent often enough.
    pub(super) fn refused(&self) -> Refused {
        let mut outbox = self.0.outbox();
        let Some(mut line) = outbox.unacknowledged.take() else { return Refused::SentAgain };
        line.tries += 1;
        let refused = if line.tries < HANDLE_RETRIES {
            line.counted = false;
            outbox.lines.push_front(line);
            Refused::SentAgain
        } else {
            Refused::GivenUp { hand_over: line.hand_over }
        };
        drop(outbox);
        self.0.more.notify_one();
        refused
    }

    /// Whether something could be written now.
    #[cfg(test)]
    pub(super) fn has_work(&self) -> bool {
        self.0.outbox().has_work()
    }

    fn post(&self, line: Line, urgent: bool) {
        if self.is_closed() {
            self.0.count_gone(&line, line.text.len());
            return;
        }
        let mut outbox = self.0.outbox();
        if urgent {
            outbox.urgent.push_back(line);
        } else {
            outbox.forget_outdated(&line);
            outbox.lines.push_back(line);
        }
        drop(outbox);
        self.0.more.notify_one();
    }
}

/// What became of a message whose descriptor did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is under way again.
    SentAgain,
    /// It was dropped; if it was a connection that was handed over, its `seq`.
    GivenUp { hand_over: Option<u64> },
}

#[derive(Debug)]
struct Link {
    socket: Arc<OwnedFd>,
    serialization: Serialization,
    outbox: Mutex<Outbox>,
    more: Notify,
    closed: AtomicBool,
    /// To be closed once nothing waits.
    ending: AtomicBool,
    /// Bytes of the application that the kernel has not taken yet.
    waiting: AtomicUsize,
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
    fd: Option<Arc<OwnedFd>>,
    /// Whether its bytes count as waiting (those of the application do).
    counted: bool,
    /// How often its descriptor was sent.
    tries: u8,
    /// The `seq` of the connection that it hands over.
    hand_over: Option<u64>,
    /// The loan and the slot whose queue is to be watched from now on, or no more.
    watch: Option<(String, SlotIndex)>,
}

impl Line {
    fn new(text: Bytes, fd: Option<OwnedFd>, counted: bool) -> Self {
        Self { text, fd: fd.map(Arc::new), counted, tries: 0, hand_over: None, watch: None }
    }

    fn of(message: &ToWorker, fd: Option<OwnedFd>, serialization: Serialization) -> Self {
        let mut line = Self::new(serialization.protocol(message.to_line()), fd, false);
        if let ToWorker::NewConnection { seq, .. } = message {
            line.hand_over = Some(*seq);
        }
        if let ToWorker::Watch { key, slot, .. } | ToWorker::Unwatch { key, slot } = message {
            line.watch = Some((key.clone(), *slot));
        }
        line
    }
}

impl Outbox {
    fn has_work(&self) -> bool {
        let may_begin = self.unacknowledged.is_none() && !self.lines.is_empty();
        self.current.is_some() || !self.urgent.is_empty() || may_begin
    }

    /// Drops the descriptor of a queue that waits to be sent, where `newer` says anew whether that queue is to be watched.
    fn forget_outdated(&mut self, newer: &Line) {
        if newer.watch.is_some() {
            self.lines.retain(|line| line.fd.is_none() || line.watch != newer.watch);
        }
    }

    /// Nothing waits, and nothing is waited for.
    fn is_idle(&self) -> bool {
        !self.has_work() && self.unacknowledged.is_none()
    }
}

impl Link {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_gone(&self, line: &Line, bytes: usize) {
        if line.counted {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let outbox = std::mem::take(&mut *self.outbox());
        outbox.current.iter().chain(&outbox.lines).for_each(|line| self.count_gone(line, line.text.len()));
        self.more.notify_one();
        // Both directions, so that the worker hears of it while our tasks still hold the descriptor; it may have gone.
        let _ = nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }

    /// One system call's worth: the rest of a line, a run of plain lines, or one line with its descriptor.
    fn write_some(&self, outbox: &mut Outbox) -> io::Result<()> {
        let socket = &*self.socket;
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
}

fn send(socket: &OwnedFd, lines: &[&Line], fd: Option<RawFd>) -> io::Result<usize> {
    let slices: Vec<IoSlice<'_>> = lines.iter().map(|line| IoSlice::new(&line.text)).collect();
    let rights = fd.map(|fd| [fd]);
    let control: Vec<ControlMessage<'_>> = rights.iter().map(|fds| ControlMessage::ScmRights(fds)).collect();
    Ok(sendmsg::<()>(socket.as_raw_fd(), &slices, &control, MsgFlags::MSG_NOSIGNAL, None)?)
}
