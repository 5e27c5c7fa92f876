//! The descriptors with which a worker starts, where the program that forks it says which.
//!
//! `process::spawn` turns each [`Stdio`] of a launch into the worker's descriptor and, for a pipe, our end of it. Without
//! such a list a worker has our stdio. The names are those of Node's option `stdio`; what it calls `inherit` comes as the
//! number that is inherited. A pipe is a pair of sockets, as libuv makes it, so that both ends read and write.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::Deserialize;

use crate::os::fd::duplicate;

/// The worker's descriptors 0, 1 and 2 are always open.
const STANDARD: usize = 3;

/// One descriptor of a worker.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Stdio {
    /// An end of a pipe whose other end is ours.
    Pipe,
    /// `/dev/null`, or behind the first three nothing.
    Ignore,
    /// The channel.
    Ipc,
    /// A descriptor of this process.
    Fd(RawFd),
}

/// What one worker starts with.
#[derive(Debug, Default)]
pub struct Ends {
    /// The worker's, by number; the channel's place is left out.
    theirs: Vec<Option<OwnedFd>>,
    /// Where the channel belongs.
    channel: Option<usize>,
    /// Our ends of pipes, by the numbers of the worker's.
    pub ours: Vec<Option<OwnedFd>>,
}

impl Ends {
    /// Opens what `wanted` lists.
    ///
    /// # Errors
    /// `EBADF` for a descriptor that this process has not, `EMFILE` when there are too many.
    pub fn open(wanted: &[Stdio]) -> io::Result<Self> {
        let mut ends = Self::default();
        for (number, wanted) in wanted.iter().enumerate() {
            let (theirs, ours) = match *wanted {
                Stdio::Pipe => {
                    let (ours, theirs) =
                        socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
                    (Some(theirs), Some(ours))
                }
                Stdio::Ignore if number < STANDARD => {
                    (Some(OpenOptions::new().read(true).write(true).open("/dev/null")?.into()), None)
                }
                Stdio::Ignore => (None, None),
                Stdio::Ipc => {
                    ends.channel = Some(number);
                    (None, None)
                }
                Stdio::Fd(fd) => (Some(duplicate(fd)?), None),
            };
            ends.theirs.push(theirs);
            ends.ours.push(ours);
        }
        Ok(ends)
    }

    /// Where the channel belongs; behind the others if that was not said.
    #[must_use]
    pub fn channel(&self) -> usize {
        self.channel.unwrap_or(self.theirs.len())
    }

    /// The worker's descriptors from 0 on, `channel` among them.
    #[must_use]
    pub fn given<'a>(&'a self, channel: BorrowedFd<'a>) -> Vec<Option<BorrowedFd<'a>>> {
        let mut given: Vec<_> = self.theirs.iter().map(|fd| fd.as_ref().map(AsFd::as_fd)).collect();
        let at = self.channel();
        given.resize(given.len().max(at + 1), None);
        if let Some(place) = given.get_mut(at) {
            *place = Some(channel);
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_descriptor_has_its_place_and_pipes_have_an_end_here() {
        let wanted = [Stdio::Ignore, Stdio::Pipe, Stdio::Fd(2), Stdio::Ipc, Stdio::Ignore, Stdio::Pipe];
        let ends = Ends::open(&wanted).unwrap();
        let channel = std::io::stdin();
        let given = ends.given(channel.as_fd());
        let open: Vec<_> = given.iter().map(Option::is_some).collect();
        assert_eq!(open, [true, true, true, true, false, true]);
        let ours: Vec<_> = ends.ours.iter().map(Option::is_some).collect();
        assert_eq!(ours, [false, true, false, false, false, true]);
    }

    #[test]
    fn the_channel_comes_last_if_its_place_is_not_said() {
        let ends = Ends::open(&[Stdio::Fd(0), Stdio::Fd(1), Stdio::Fd(2)]).unwrap();
        assert_eq!((ends.channel(), ends.given(std::io::stdin().as_fd()).len()), (3, 4));
        assert!(Ends::open(&[Stdio::Fd(-1)]).is_err());
    }
}
