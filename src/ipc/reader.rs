//! What one worker says, read by whichever of two threads has the turn.
//!
//! As a rule the supervisor's thread reads, which answers the protocol whatever JavaScript does. While the application talks
//! without pause, its lines would wake that thread only to be passed on; so the supervisor lends the channel to the thread of
//! JavaScript (`Intake::lend`), which then reads by itself, by a [`Turn`]. The turn ends with the first message of the
//! protocol, with the end of the channel, when nobody speaks any more, or when the supervisor finds that what has arrived is
//! not read (`Intake::returned`): a blocked event loop delays the protocol by no more than two `LOOK`s, and that once.
//! Invariant: lines leave in the order in which they came. Both threads read under one lock; what JavaScript reads in its
//! turn comes after all that was published before, since the turn itself is published behind it.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use tokio::sync::Notify;

use super::channel::Heard;
use super::frame::Frames;
use super::message::{self, ToMaster, ToWorker};
use super::writer::Speaker;
use crate::os::fd::{duplicate, own_received};

/// How much one system call may read.
pub(super) const READ_SIZE: usize = 64 * 1024;
/// How many descriptors may wait for the message they belong to.
const MAX_WAITING_FDS: usize = 16;
/// How often the supervisor looks whether JavaScript reads what it was lent.
const LOOK: Duration = Duration::from_millis(10);
/// After so many looks without a word the turn is over.
const SILENT_LOOKS: u32 = 10;

/// The reading half of a channel; clones read the same one.
#[derive(Clone, Debug)]
pub(super) struct Intake(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: Arc<OwnedFd>,
    speaker: Speaker,
    reading: Mutex<Reading>,
    returned: Notify,
}

#[derive(Debug)]
struct Reading {
    frames: Frames,
    scratch: Vec<u8>,
    /// Descriptors that came, in the order of the messages that they belong to.
    fds: VecDeque<OwnedFd>,
    heard: VecDeque<Heard>,
    /// The turn that JavaScript has, if it has one.
    turn: Option<u64>,
    turns: u64,
    /// How often JavaScript has read.
    reads: u64,
    may_lend: bool,
}

impl Intake {
    pub(super) fn new(socket: Arc<OwnedFd>, speaker: Speaker) -> Self {
        Self(Arc::new(Shared {
            socket,
            speaker,
            reading: Mutex::new(Reading {
                frames: Frames::default(),
                scratch: vec![0; READ_SIZE],
                fds: VecDeque::new(),
                heard: VecDeque::new(),
                turn: None,
                turns: 0,
                reads: 0,
                may_lend: true,
            }),
            returned: Notify::new(),
        }))
    }

    /// The next thing that has been read already.
    pub(super) fn next_heard(&self) -> Option<Heard> {
        self.reading().heard.pop_front()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.reading().frames.dropped()
    }

    /// Reads once, for the supervisor; says how much came and whether descriptors came with it.
    pub(super) fn read(&self) -> io::Result<(usize, bool)> {
        let mut reading = self.reading();
        let received = self.receive(&mut reading)?;
        self.sort(&mut reading);
        Ok(received)
    }

    /// Lends the channel to the thread of JavaScript, unless something is there to be heard first.
    pub(super) fn lend(&self) -> Option<Turn> {
        let fd = duplicate(self.0.socket.as_raw_fd()).ok()?;
        let mut reading = self.reading();
        if !reading.may_lend || !reading.heard.is_empty() {
            return None;
        }
        reading.turns += 1;
        let number = reading.turns;
        reading.turn = Some(number);
        Some(Turn { intake: self.clone(), number, fd: Some(fd) })
    }

    pub(super) fn is_lent(&self) -> bool {
        self.reading().turn.is_some()
    }

    /// Waits until the turn of JavaScript is over, and ends it where it should be.
    ///
    /// Cancel-safe.
    pub(super) async fn returned(&self) {
        let (mut reads, mut silence, mut was_left) = (self.reading().reads, 0, false);
        while self.is_lent() {
            tokio::select! {
                () = self.0.returned.notified() => continue,
                () = tokio::time::sleep(LOOK) => {}
            }
            let mut reading = self.reading();
            if reading.reads != reads {
                (reads, silence, was_left) = (reading.reads, 0, false);
                continue;
            }
            silence += 1;
            let is_left = self.has_something();
            if silence >= SILENT_LOOKS || (is_left && was_left) {
                reading.turn = None;
            }
            was_left = is_left;
        }
    }

    fn has_something(&self) -> bool {
        let mut fds = [PollFd::new(self.0.socket.as_fd(), PollFlags::POLLIN)];
        // What can't be looked at is read, which tells what is wrong.
        poll(&mut fds, PollTimeout::ZERO).map_or(true, |ready| ready > 0)
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, reading: &mut Reading) {
        reading.turn = None;
        self.0.returned.notify_one();
    }

    fn receive(&self, reading: &mut Reading) -> io::Result<(usize, bool)> {
        let (read, had_fds) = receive(&self.0.socket, &mut reading.scratch, &mut reading.fds)?;
        reading.frames.push(reading.scratch.get(..read).unwrap_or_default());
        Ok((read, had_fds))
    }

    /// Tells the application's lines from the protocol's, keeping their order.
    fn sort(&self, reading: &mut Reading) {
        let mut run: Vec<u8> = Vec::new();
        while let Some(line) = reading.frames.next_line() {
            let Some(message) = message::parse(&line) else {
                if !run.is_empty() {
                    run.push(b'\n');
                }
                run.extend_from_slice(&line);
                continue;
            };
            if !run.is_empty() {
                reading.heard.push_back(Heard::App(std::mem::take(&mut run)));
            }
            self.take_in(reading, message);
        }
        if !run.is_empty() {
            reading.heard.push_back(Heard::App(run));
        }
    }

    fn take_in(&self, reading: &mut Reading, message: ToMaster) {
        let speaker = &self.0.speaker;
        let mut fd = None;
        if matches!(message, ToMaster::HandleAck) {
            speaker.acknowledged();
        } else if matches!(message, ToMaster::HandleNack) && speaker.send_again() {
            return;
        } else if matches!(message, ToMaster::AppHandle { .. } | ToMaster::Excess) {
            fd = reading.fds.pop_front();
            let arrived = if fd.is_some() { ToWorker::HandleAck } else { ToWorker::HandleNack };
            speaker.say(&arrived);
            if fd.is_none() {
                return;
            }
        }
        reading.heard.push_back(Heard::Said(message, fd));
    }
}

/// What a reader in its turn has found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Lines of the application, joined by newlines.
    Lines(Vec<u8>),
    /// No whole line yet.
    Nothing,
    /// The turn is over; the supervisor reads.
    Over,
}

/// The right of JavaScript's thread to read a channel; dropping it gives the channel back.
#[derive(Debug)]
pub struct Turn {
    intake: Intake,
    number: u64,
    fd: Option<OwnedFd>,
}

impl Turn {
    /// A descriptor to watch for something to read; given once.
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.fd.take()
    }

    /// Reads once what has arrived, without waiting. What is not the application's ends the turn and goes to the supervisor,
    /// with all that follows it.
    #[must_use]
    pub fn read(&self) -> Found {
        let intake = &self.intake;
        let mut reading = intake.reading();
        if reading.turn != Some(self.number) {
            return Found::Over;
        }
        reading.reads += 1;
        match intake.receive(&mut reading) {
            Ok((1.., _)) => intake.sort(&mut reading),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Found::Nothing,
            // The supervisor will read the same, and draw its conclusions.
            Ok((0, _)) | Err(_) => {
                intake.give_back(&mut reading);
                return Found::Over;
            }
        }
        let mut found = Found::Nothing;
        if let Some(Heard::App(lines)) = reading.heard.front_mut() {
            found = Found::Lines(std::mem::take(lines));
            reading.heard.pop_front();
        }
        if !reading.heard.is_empty() {
            intake.give_back(&mut reading);
        }
        found
    }

    /// This thread can't watch it, and shall not be asked again.
    pub fn refuse(self) {
        self.intake.reading().may_lend = false;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut reading = self.intake.reading();
        if reading.turn == Some(self.number) {
            self.intake.give_back(&mut reading);
        }
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
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Intake, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let socket = Arc::new(OwnedFd::from(ours));
        (Intake::new(Arc::clone(&socket), Speaker::new(socket)), theirs)
    }

    fn lines(text: &str) -> Found {
        Found::Lines(text.into())
    }

    #[test]
    fn a_turn_reads_the_applications_lines_and_leaves_them_in_pieces_until_they_are_whole() {
        let (intake, mut theirs) = pair();
        let turn = intake.lend().unwrap();
        assert_eq!(turn.read(), Found::Nothing);
        theirs.write_all(b"1\n2\n3").unwrap();
        assert_eq!(turn.read(), lines("1\n2"));
        assert_eq!(turn.read(), Found::Nothing);
        theirs.write_all(b"3\n").unwrap();
        assert_eq!(turn.read(), lines("33"));
        assert!(intake.is_lent());
    }

    #[test]
    fn the_protocols_first_message_ends_the_turn_and_is_the_supervisors_with_all_that_follows() {
        let (intake, mut theirs) = pair();
        let turn = intake.lend().unwrap();
        theirs.write_all(b"1\n{\"cmd\":\"NODE_HANDLE_ACK\"}\n2\n").unwrap();
        assert_eq!(turn.read(), lines("1"));
        assert!(!intake.is_lent());
        theirs.write_all(b"3\n").unwrap();
        assert_eq!(turn.read(), Found::Over);
        assert!(intake.lend().is_none(), "what was read comes before what is lent");
        assert!(matches!(intake.next_heard(), Some(Heard::Said(ToMaster::HandleAck, None))));
        assert!(matches!(intake.next_heard(), Some(Heard::App(text)) if text == b"2"));
        intake.read().unwrap();
        assert!(matches!(intake.next_heard(), Some(Heard::App(text)) if text == b"3"));
    }

    #[test]
    fn a_turn_of_before_reads_nothing_in_the_next() {
        let (intake, mut theirs) = pair();
        let old = intake.lend().unwrap();
        let new = intake.lend().unwrap();
        theirs.write_all(b"1\n").unwrap();
        assert_eq!(old.read(), Found::Over);
        drop(old);
        assert_eq!(new.read(), lines("1"));
        drop(new);
        assert!(!intake.is_lent());
    }

    #[test]
    fn the_end_of_the_channel_is_found_by_the_supervisor() {
        let (intake, theirs) = pair();
        let turn = intake.lend().unwrap();
        drop(theirs);
        assert_eq!(turn.read(), Found::Over);
        assert_eq!(intake.read().unwrap(), (0, false));
    }

    #[test]
    fn who_can_not_watch_is_not_asked_again() {
        let (intake, _theirs) = pair();
        intake.lend().unwrap().refuse();
        assert!(intake.lend().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_read_is_the_supervisors_after_two_looks() {
        let (intake, mut theirs) = pair();
        let turn = intake.lend().unwrap();
        theirs.write_all(b"1\n").unwrap();
        let begun = tokio::time::Instant::now();
        intake.returned().await;
        assert!(begun.elapsed() <= LOOK * 3, "{:?}", begun.elapsed());
        assert_eq!(turn.read(), Found::Over);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_in_which_nobody_speaks_comes_to_an_end() {
        let (intake, _theirs) = pair();
        let _turn = intake.lend().unwrap();
        let begun = tokio::time::Instant::now();
        intake.returned().await;
        assert!(begun.elapsed() >= LOOK * SILENT_LOOKS);
    }
}
