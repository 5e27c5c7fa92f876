//! One worker's channel: bounded, closable, carries descriptors.
//!
//! [`open`] splits the master's end of the socket pair into a [`Speaker`], a cheap handle to say things with, and a
//! [`Listener`] that yields what the worker says; a task of the supervisor runs [`Speaker::write_out`].
//! Order is kept in both directions. Who reads is told of the application's lines in one piece per system call. While the
//! application talks without pause, the channel may be lent to the thread that its words are for ([`Listener::lend`]).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::message::ToMaster;
use super::reader::{Intake, READ_SIZE, Turn};
use super::writer::Speaker;
use crate::os::watch::watch;

/// So many reads of the application's lines, each not longer after the one before than [`PAUSE`], are talk without pause.
const TALK: u32 = 16;
/// What is a pause.
const PAUSE: Duration = Duration::from_millis(5);

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
    let speaker = Speaker::new(Arc::clone(&socket));
    let intake = Intake::new(Arc::clone(&socket), speaker.clone());
    let talk = Talk { reads: 0, last: Instant::now() };
    let listener = Listener { speaker: speaker.clone(), socket, arrivals: Some(arrivals), intake, talk };
    Ok((speaker, listener))
}

/// Yields what one worker says.
#[derive(Debug)]
pub struct Listener {
    speaker: Speaker,
    socket: Arc<OwnedFd>,
    /// Watched in our own turns only, else each message of the others' would wake us.
    arrivals: Option<AsyncFd<Arc<OwnedFd>>>,
    intake: Intake,
    talk: Talk,
}

/// How the application has talked lately.
#[derive(Debug)]
struct Talk {
    reads: u32,
    last: Instant,
}

impl Listener {
    /// The next thing that the worker said; after [`Heard::Closed`] it must not be asked again.
    ///
    /// Cancel-safe: what has been read is kept.
    pub async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.intake.next_heard() {
                return heard;
            }
            if self.intake.is_lent() {
                self.arrivals = None;
                self.intake.returned().await;
                continue;
            }
            match self.read().await {
                Ok(0) | Err(_) => {
                    self.speaker.close();
                    return Heard::Closed;
                }
                Ok(_) => {}
            }
        }
    }

    /// Lends the channel to the thread that the application's lines are for, when those come without pause and that thread
    /// `keeps_up`. To be asked after lines have been passed on, and to be passed on behind them.
    pub fn lend(&mut self, keeps_up: bool) -> Option<Turn> {
        let now = Instant::now();
        let is_pause = now.saturating_duration_since(self.talk.last) > PAUSE;
        self.talk = Talk { reads: if is_pause { 0 } else { self.talk.reads + 1 }, last: now };
        if self.talk.reads < TALK || !keeps_up {
            return None;
        }
        self.talk.reads = 0;
        self.intake.lend()
    }

    /// Waits until something can be read, and reads it.
    async fn read(&mut self) -> io::Result<usize> {
        loop {
            let arrivals = match self.arrivals.take() {
                Some(arrivals) => arrivals,
                None => watch(Arc::clone(&self.socket), Interest::READABLE)?,
            };
            let mut ready = self.arrivals.insert(arrivals).readable().await?;
            let received = ready.try_io(|_| self.intake.read());
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
        self.intake.dropped()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::ipc::message::ToWorker;

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
