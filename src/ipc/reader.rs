//! What one worker says, cut into messages.
//!
//! The supervisor runs one [`Reader`] per worker. Each call reads once and gives everything that was whole: messages of the
//! protocol one by one, lines of the application in one piece, in the order in which they came. Acknowledgements of
//! descriptors are handled here. A descriptor that this process had no room for costs its message alone: the message is
//! reported as [`Incoming::HandleMissing`], whoever reads refuses it, and Node sends it again. A connection that a worker gave
//! back is the exception: it is reported without its descriptor. While the kernel has no memory to read with, nothing is read.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::channel::Watched;
use super::frame::Frames;
use super::message::{ToMaster, ToWorker};
use super::serialization::Serialization;
use super::writer::{Refused, Writer};
use crate::os::reserve::{TRY_AGAIN, is_shortage_in_kernel};
use crate::os::rights::{Received, receive};

/// How much one system call may read.
const READ_SIZE: usize = 64 * 1024;
/// How many descriptors may wait for the message that they belong to.
const MOST_WAITING_FDS: usize = 16;

/// Something the worker said.
#[derive(Debug)]
pub enum Incoming {
    /// A message of the protocol.
    Protocol {
        /// What it says.
        message: ToMaster,
        /// The descriptor that came beside it.
        fd: Option<OwnedFd>,
        /// Its length.
        bytes: usize,
    },
    /// Messages of the application: lines joined by newlines, or what [`Serialization`] makes of other ones.
    Application(Vec<u8>),
    /// A message with a handle came without its descriptor. To be answered by [`ToWorker::HandleNack`], after which Node
    /// sends it again, three times at most.
    HandleMissing {
        /// This process had no room for the descriptor.
        is_fd_lost: bool,
    },
    /// The worker did not get a descriptor in spite of repetition; if that was a connection, this one.
    NotDelivered {
        /// The `seq` of [`ToWorker::NewConnection`].
        hand_over: Option<u64>,
    },
    /// A message was dropped because it is longer than [`MAX_LINE`](super::frame::MAX_LINE).
    TooLong,
    /// The kernel had no memory to read with; the next call tries again.
    Shortage,
    /// The channel has ended; nothing follows.
    Closed,
}

/// The reading half of a channel.
#[derive(Debug)]
pub struct Reader {
    socket: Watched,
    writer: Writer,
    serialization: Serialization,
    frames: Frames,
    scratch: Vec<u8>,
    /// Descriptors that came, in the order of the messages that they belong to.
    fds: VecDeque<OwnedFd>,
    is_fd_lost: bool,
}

impl Reader {
    pub(super) fn new(socket: Watched, writer: Writer, serialization: Serialization) -> Self {
        let (frames, scratch, fds) = (Frames::new(serialization), vec![0; READ_SIZE], VecDeque::new());
        Self { socket, writer, serialization, frames, scratch, fds, is_fd_lost: false }
    }

    /// Waits until something has arrived, reads once and adds what is whole to `heard`, which may be nothing.
    ///
    /// Cancel-safe: what has been read is kept. After [`Incoming::Closed`] it must not be called again.
    pub async fn read(&mut self, heard: &mut VecDeque<Incoming>) {
        match self.receive().await {
            Ok(Received { bytes: 1.., .. }) => self.sort(heard),
            Err(error) if is_shortage_in_kernel(&error) => {
                tokio::time::sleep(TRY_AGAIN).await;
                heard.push_back(Incoming::Shortage);
            }
            // The end, or an error that makes the channel useless.
            Ok(_) | Err(_) => {
                self.writer.close();
                heard.push_back(Incoming::Closed);
            }
        }
    }

    async fn receive(&mut self) -> io::Result<Received> {
        loop {
            let mut ready = self.socket.readable().await?;
            let scratch = &mut self.scratch;
            let Ok(received) = ready.try_io(|socket| receive(socket.as_fd(), scratch)) else { continue };
            let mut received = received?;
            // A stream that gave less than it could is empty, which another call would only confirm. But one call never
            // reads past a descriptor, so there may be more behind that. Only epoll is known to tell of what comes next.
            let had_fds = received.is_fd_lost || !received.fds.is_empty();
            if cfg!(target_os = "linux") && (1..READ_SIZE).contains(&received.bytes) && !had_fds {
                ready.clear_ready();
            }
            self.frames.push(self.scratch.get(..received.bytes).unwrap_or_default());
            self.fds.extend(received.fds.drain(..));
            // Descriptors that no message claims are closed rather than hoarded.
            self.fds.truncate(MOST_WAITING_FDS);
            self.is_fd_lost |= received.is_fd_lost;
            return Ok(received);
        }
    }

    /// Tells the application's messages from the protocol's.
    fn sort(&mut self, heard: &mut VecDeque<Incoming>) {
        let mut lines: Vec<u8> = Vec::new();
        while let Some(line) = self.frames.next_message() {
            if let Some(message) = self.serialization.parse(&line) {
                if !lines.is_empty() {
                    heard.push_back(Incoming::Application(std::mem::take(&mut lines)));
                }
                heard.extend(self.take_in(message, line.len()));
                continue;
            }
            self.serialization.collect(&line, &mut lines);
        }
        if !lines.is_empty() {
            heard.push_back(Incoming::Application(lines));
        }
        heard.extend((0..self.frames.take_dropped()).map(|_| Incoming::TooLong));
    }

    fn take_in(&mut self, message: ToMaster, bytes: usize) -> Option<Incoming> {
        if matches!(message, ToMaster::HandleAck) {
            self.writer.acknowledged();
            return None;
        }
        if matches!(message, ToMaster::HandleNack) {
            return match self.writer.refused() {
                Refused::SentAgain => None,
                Refused::GivenUp { hand_over } => Some(Incoming::NotDelivered { hand_over }),
            };
        }
        let is_excess = matches!(message, ToMaster::Excess { .. });
        if !is_excess && !matches!(message, ToMaster::AppHandle { .. }) {
            return Some(Incoming::Protocol { message, fd: None, bytes });
        }
        let fd = self.fds.pop_front();
        let is_fd_lost = fd.is_none() && std::mem::take(&mut self.is_fd_lost);
        // Node never sends a connection again that it gave away as a bare handle; who gave it still has it.
        if fd.is_none() && !is_excess {
            return Some(Incoming::HandleMissing { is_fd_lost });
        }
        self.writer.say(&ToWorker::HandleAck);
        Some(Incoming::Protocol { message, fd, bytes })
    }
}
