//! One worker's channel: bounded, closable, carries descriptors.
//!
//! [`open`] splits the master's end of the socket pair into a [`Speaker`], a cheap handle to say things with, and a
//! [`Listener`] that yields what the worker says; a task of the supervisor runs [`Speaker::write_out`].
//! Order is kept in both directions. Who reads is told of the application's lines in one piece per system call.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::frame::Frames;
use super::message::{self, ToMaster, ToWorker};
use super::speaker::Speaker;
use crate::os::fd::own_received;
use crate::os::watch::watch;

/// How much one system call may read.
const READ_SIZE: usize = 64 * 1024;
/// How many descriptors may wait for the message they belong to.
const MAX_WAITING_FDS: usize = 16;

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
    let socket = Arc::new(fd);
    let arrivals = watch(Arc::clone(&socket), Interest::READABLE)?;
    let speaker = Speaker::new(socket);
    let listener = Listener {
        speaker: speaker.clone(),
        arrivals,
        frames: Frames::default(),
        scratch: vec![0; READ_SIZE],
        fds: VecDeque::new(),
        heard: VecDeque::new(),
    };
    Ok((speaker, listener))
}

/// Yields what one worker says.
#[derive(Debug)]
pub struct Listener {
    speaker: Speaker,
    arrivals: AsyncFd<Arc<OwnedFd>>,
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
            match self.read().await {
                Ok(0) | Err(_) => {
                    self.speaker.close();
                    return Heard::Closed;
                }
                Ok(read) => self.frames.push(self.scratch.get(..read).unwrap_or_default()),
            }
            self.sort();
        }
    }

    /// Waits until something can be read, and reads it.
    async fn read(&mut self) -> io::Result<usize> {
        loop {
            let mut ready = self.arrivals.readable().await?;
            let (scratch, fds) = (&mut self.scratch, &mut self.fds);
            let received = ready.try_io(|socket| receive(socket.get_ref(), scratch, fds));
            let Ok(received) = received else { continue };
            let (read, had_fds) = received?;
            // A stream that gave less than it could is empty, which another call would only confirm; but one call never
            // reads past a descriptor, so there may be more behind that. Only epoll is known to tell of what comes next.
            if cfg!(target_os = "linux") && read < READ_SIZE && !had_fds {
                ready.clear_ready();
            }
            return Ok(read);
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
            self.speaker.acknowledged();
        } else if matches!(message, ToMaster::HandleNack) && self.speaker.send_again() {
            return;
        } else if matches!(message, ToMaster::AppHandle { .. }) {
            fd = self.fds.pop_front();
            let arrived = if fd.is_some() { ToWorker::HandleAck } else { ToWorker::HandleNack };
            self.speaker.say(&arrived);
            if fd.is_none() {
                return;
            }
        }
        self.heard.push_back(Heard::Said(message, fd));
    }
}

/// How much came, and whether descriptors came with it.
fn receive(socket: &OwnedFd, buffer: &mut [u8], fds: &mut VecDeque<OwnedFd>) -> io::Result<(usize, bool)> {
    let mut control = nix::cmsg_space!([RawFd; 4]);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    let mut had_fds = false;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            had_fds = true;
            for owned in numbers.into_iter().map(own_received) {
                // Descriptors that no message claims are closed rather than hoarded.
                if fds.len() < MAX_WAITING_FDS {
                    fds.push_back(owned);
                }
            }
        }
    }
    Ok((message.bytes, had_fds))
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
        speaker.pass(text.clone(), None);
        let (mut theirs, read) = with_writer(&speaker, read_in_thread(theirs, text.len() + 1)).await.unwrap();
        assert!(read.starts_with(b"xxx") && read.ends_with(b"x\n"));
        assert_eq!(speaker.waiting(), 0);
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
        assert!(!speaker.has_work());
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
        speaker.pass("{}".into(), None);
        assert_eq!(speaker.waiting(), 0);
        assert!(speaker.is_closed());
    }
}
