//! A worker's channel with descriptors in it: the reader of the master over a real pair of sockets.
//!
//! The first byte says how messages are written, the second how the rest is cut, the third which pieces bring a descriptor.

use std::collections::VecDeque;
use std::io::{IoSlice, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::runtime::{Builder, Runtime};

use super::input::Input;
use crate::ipc::channel::open;
use crate::ipc::reader::Incoming;
use crate::ipc::serialization::Serialization;

/// How long the kernel may take to close a descriptor for the last time, in ms: other threads may be forking.
const PATIENCE: u16 = 5000;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
}

/// However it is cut the same is heard, and a descriptor is given to somebody or closed.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let serialization = input.one_of(&[Serialization::Json, Serialization::Advanced]);
    let (seed, bringing) = (u64::from(input.byte()), input.byte());
    let whole = input.rest();
    if whole.is_empty() {
        return;
    }
    let pieces = Input::new(whole).pieces(seed);
    let (heard, fds) = hear(serialization, &pieces, 0);
    assert_eq!(fds, 0);
    assert_eq!(hear(serialization, &[whole], 0).0, heard);
    let (with_fds, taken) = hear(serialization, &pieces, bringing);
    assert!(with_fds.len() >= heard.iter().filter(|said| !said.starts_with("HandleMissing")).count());
    assert!(bringing != 0 || taken == 0);
}

/// What is heard, message by message, and how many descriptors came with it.
fn hear(serialization: Serialization, pieces: &[&[u8]], bringing: u8) -> (Vec<String>, usize) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (end, sent) = std::io::pipe().unwrap();
    let heard = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (_writer, mut reader, _writing) = open(ours.into(), serialization, || {}).unwrap();
            let mut heard = VecDeque::new();
            for (at, piece) in pieces.iter().enumerate() {
                send(&theirs, piece, (bringing >> (at % 8) & 1 == 1).then_some(&sent));
                reader.read(&mut heard).await;
            }
            drop(theirs);
            reader.read(&mut heard).await;
            heard
        })
    });
    drop(sent);
    assert!(matches!(heard.back(), Some(Incoming::Closed)));
    let mut taken = 0;
    let mut said = Vec::new();
    for one in heard {
        match one {
            Incoming::Application(lines) => match serialization {
                Serialization::Json => {
                    // An empty line is no message, and the application hears nothing of it.
                    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                    said.extend(lines.map(|line| format!("{line:?}")));
                }
                Serialization::Advanced => said.extend(messages(&lines)),
            },
            Incoming::Protocol { message, fd, .. } => {
                taken += usize::from(fd.is_some());
                said.push(format!("{message:?}"));
            }
            other => said.push(format!("{other:?}")),
        }
    }
    is_closed(&end);
    (said, taken)
}

/// Several messages that cross the border together, each behind its length; a character stands for a byte.
fn messages(text: &[u8]) -> Vec<String> {
    let bytes: Vec<u32> = std::str::from_utf8(text).unwrap().chars().map(u32::from).collect();
    let (mut rest, mut all) = (bytes.as_slice(), Vec::new());
    while let Some((length, next)) = rest.split_first_chunk::<4>() {
        let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::try_from(*byte).unwrap());
        all.push(format!("{:?}", &next[..length]));
        rest = &next[length..];
    }
    assert!(rest.is_empty());
    all
}

fn send(over: &UnixStream, piece: &[u8], fd: Option<&PipeWriter>) {
    let fds: Vec<_> = fd.iter().map(|fd| fd.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let rights = if fds.is_empty() { &[][..] } else { &rights };
    let length = sendmsg::<()>(over.as_raw_fd(), &[IoSlice::new(piece)], rights, MsgFlags::empty(), None);
    assert_eq!(length, Ok(piece.len()));
}

/// Whether nobody holds the other end any more.
fn is_closed(end: &PipeReader) {
    let mut fds = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(PATIENCE)), Ok(1), "a descriptor was kept");
}
