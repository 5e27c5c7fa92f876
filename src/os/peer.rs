//! Another process, held so that a later process with the same pid is never meant.
//!
//! `process::stop` opens a [`Process`] before it verifies who that is, and signals through it afterwards: a pidfd stays
//! with the process it was opened for, so a pid that is given to a newcomer in between gets nothing. Where the system has
//! no pidfds the bare pid is used, and the caller's verification just before each signal is all that there is. Where it
//! has them and this one can't be opened, the process can be looked at by its pid, but not signalled.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::pidfd::Pidfd;

/// How often a process without a pidfd is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A process that existed when this was made.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    fd: Option<Pidfd>,
    /// Why there is no pidfd, on a system that has them.
    problem: Option<i32>,
}

impl Process {
    /// Takes hold of the process with this pid; `None` when there is none.
    #[must_use]
    pub fn open(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok().filter(|&raw| raw > 0).map(Pid::from_raw)?;
        let (fd, problem) = match Pidfd::open(pid.as_raw().unsigned_abs()) {
            Ok(fd) => (fd, None),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return None,
            Err(error) => (None, error.raw_os_error()),
        };
        let process = Self { pid, fd, problem };
        (!process.is_gone()).then_some(process)
    }

    /// Whether this stays with the process whatever becomes of its pid.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.fd.is_some()
    }

    /// Whether it has ended; a zombie has.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.wait_gone(Instant::now())
    }

    /// Blocks until the process has ended or `until` has come; says whether it has ended.
    #[must_use]
    pub fn wait_gone(&self, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let gone = match &self.fd {
                Some(fd) => poll_once(fd, left),
                None => is_dead_or_zombie(self.pid),
            };
            if gone || left.is_zero() {
                return gone;
            }
            if self.fd.is_none() {
                thread::sleep(LOOK_EVERY.min(left));
            }
        }
    }

    /// Sends a signal; a process that has ended already is no error.
    ///
    /// # Errors
    /// What the kernel says, `EPERM` for a process of another user; `EMFILE` if there was no descriptor to hold it by.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let sent = match (&self.fd, self.problem) {
            (Some(fd), _) => fd.signal(signal as i32),
            (None, Some(problem)) => Err(io::Error::from_raw_os_error(problem)),
            (None, None) => kill(self.pid, signal).map_err(io::Error::from),
        };
        match sent {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            sent => sent,
        }
    }
}

/// The pid of the parent and the state's letter, from `/proc`.
#[must_use]
pub fn parent_and_state(pid: u32) -> Option<(u32, char)> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat_fields(&stat)?;
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

/// What stands in `/proc/<pid>/stat` behind the name: the state, the parent, and further numbers.
///
/// The name may hold anything, brackets and blanks included; and since the kernel cuts it at 15 bytes, half a character.
pub(crate) fn stat_fields(stat: &[u8]) -> Option<std::str::Split<'_, char>> {
    let end = memchr::memmem::rfind(stat, b") ")?;
    Some(std::str::from_utf8(stat.get(end + 2..)?).ok()?.split(' '))
}

fn poll_once(fd: &Pidfd, left: Duration) -> bool {
    // Rounded up, so that the last part of a millisecond is a wait and not a busy loop.
    let millis = left.as_nanos().div_ceil(1_000_000);
    let timeout = i32::try_from(millis).ok().and_then(|ms| PollTimeout::try_from(ms).ok());
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    // An interrupted wait reports nothing, and the caller's loop goes on with what is left.
    matches!(poll(&mut fds, timeout.unwrap_or(PollTimeout::MAX)), Ok(ready) if ready > 0)
}

fn is_dead_or_zombie(pid: Pid) -> bool {
    let is_zombie = || matches!(parent_and_state(pid.as_raw().unsigned_abs()), Some((_, 'Z' | 'X')));
    kill(pid, None) == Err(Errno::ESRCH) || is_zombie()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_that_name_groups_or_nobody_open_nothing() {
        for pid in [0, u32::MAX, 0x8000_0000, 0x7fff_ffff] {
            assert!(Process::open(pid).is_none(), "{pid}");
        }
    }

    #[test]
    fn a_killed_process_is_gone_before_its_parent_collects_it() {
        for with_pidfd in [true, false] {
            let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            let mut process = Process::open(child.id()).unwrap();
            if !with_pidfd {
                process.fd = None;
            }
            assert!(!process.is_gone());
            assert!(!process.wait_gone(Instant::now() + Duration::from_millis(5)));
            assert_eq!(parent_and_state(child.id()).map(|(parent, _)| parent), Some(std::process::id()));
            process.signal(Signal::SIGKILL).unwrap();
            assert!(process.wait_gone(Instant::now() + Duration::from_secs(10)));
            child.wait().unwrap();
            assert!(process.is_gone());
            process.signal(Signal::SIGKILL).unwrap();
        }
    }
}
