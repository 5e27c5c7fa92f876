//! The lifeline: a pipe by which a worker ends when its master is gone.
//!
//! The master alone holds the writing end ([`Lifeline`]), and every worker inherits the reading end; nothing is ever written.
//! When the master is gone, however it went, the kernel closes the writing end, and a thread of the worker ([`hold`]) sends
//! SIGKILL to its own process. It needs no turn of the event loop, and it outlives what clears the parent-death signal:
//! `setuid`, and file capabilities of the Node binary.
//! Invariant: every descriptor here is close-on-exec, so that no program that a process starts holds an end.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::thread::{self, Builder};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::Pid;

use crate::os::fd::duplicate;
use crate::os::quiet_thread;

/// As `top` and `/proc` show it; the kernel keeps 15 characters.
const NAME: &str = "cluster2-life";
/// The thread makes one system call.
const STACK_BYTES: usize = 64 * 1024;
/// How long the thread waits before it looks again when the kernel could not tell it anything.
const RETRY: Duration = Duration::from_secs(1);

/// The master's end; it is closed when this is dropped or the process is gone.
#[derive(Debug)]
pub struct Lifeline {
    reader: PipeReader,
    _writer: PipeWriter,
}

impl Lifeline {
    /// Makes the pipe.
    ///
    /// # Errors
    /// What the kernel says when there is no descriptor left.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { reader, _writer: writer })
    }

    /// What workers inherit.
    #[must_use]
    pub fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// In a worker: from now on this process ends with its master. `fd` is the descriptor that it inherited.
///
/// # Errors
/// `InvalidInput` when the descriptor is not the reading end of a pipe; else what the kernel says when it gives no thread.
pub fn hold(fd: RawFd) -> io::Result<()> {
    let lifeline = duplicate(fd)?;
    let kind = SFlag::from_bits_truncate(fstat(&lifeline)?.st_mode) & SFlag::S_IFMT;
    let flags = OFlag::from_bits_truncate(fcntl(&lifeline, FcntlArg::F_GETFL)?);
    if kind != SFlag::S_IFIFO || flags & OFlag::O_ACCMODE != OFlag::O_RDONLY {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    quiet_thread::start(NAME, Builder::new().stack_size(STACK_BYTES), move || wait(&lifeline))
}

fn wait(lifeline: &OwnedFd) {
    loop {
        // A closed writing end is always reported, whatever is asked for.
        let mut fds = [PollFd::new(lifeline.as_fd(), PollFlags::empty())];
        let polled = poll(&mut fds, PollTimeout::NONE);
        let events = fds.first().and_then(PollFd::revents).unwrap_or(PollFlags::empty());
        match polled {
            Ok(_) if events.contains(PollFlags::POLLHUP) => {
                // One's own process may always be killed.
                let _ = kill(Pid::this(), Signal::SIGKILL);
            }
            // The application has closed every descriptor of its process: the lifeline is lost.
            Ok(_) => return,
            Err(Errno::EINTR) => {}
            Err(_) => thread::sleep(RETRY),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::*;

    const INSIDE: &str = "CLUSTER2_TEST_LIFELINE";

    /// Runs this test again in a process of its own, whose standard input is the lifeline.
    #[test]
    fn a_process_ends_with_the_other_end_of_its_lifeline_and_not_before() {
        if std::env::var_os(INSIDE).is_some() {
            hold(0).unwrap();
            println!("\nheld");
            loop {
                std::hint::spin_loop();
            }
        }
        let (reader, writer) = io::pipe().unwrap();
        let mut again = Command::new(std::env::current_exe().unwrap());
        let name =
            "process::lifeline::tests::a_process_ends_with_the_other_end_of_its_lifeline_and_not_before";
        again.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").stdin(reader).stdout(Stdio::piped());
        let mut child = again.spawn().unwrap();
        drop(again);
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        assert!(lines.any(|line| line.unwrap() == "held"));
        assert_eq!(child.try_wait().unwrap(), None);
        drop(writer);
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn what_is_no_reading_end_of_a_pipe_is_refused() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        for fd in [writer.as_raw_fd(), file.as_raw_fd()] {
            assert_eq!(hold(fd).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
