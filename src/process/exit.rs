//! Waits for the death of a child, by its pidfd where there is one.
//!
//! The supervisor starts one [`Child::ended`] per worker. Nobody handles SIGCHLD, so libuv's children (the application's
//! own `child_process`) and ours never meet: each side waits for its own pids by name.
//! A child without a pidfd is looked at every 20 ms: on a system that has none, and where a child is only to be reaped.
//! Invariant: a child is reaped exactly once, here, and is never signalled after that. So a bare pid is always the child's.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::event::Exit;
use crate::os::child::{reap, signal_pid};
use crate::os::pidfd::Pidfd;
use crate::os::watch::watch;

/// How often a child without a pidfd is looked at.
const LOOK_WITHOUT_PIDFD: Duration = Duration::from_millis(20);

/// One child of the master, from its fork until it has been reaped.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    pidfd: Option<AsyncFd<Pidfd>>,
    reaped: Cell<bool>,
    peak_rss: Cell<Option<u64>>,
}

impl Child {
    /// Watches the child `pid`, which must not have been reaped yet.
    ///
    /// # Errors
    /// What the kernel says when the pidfd can't be opened or watched, on a system that has them.
    pub fn watch(pid: u32) -> io::Result<Self> {
        let pidfd = Pidfd::open(pid)?.map(|fd| watch(fd, Interest::READABLE)).transpose()?;
        Ok(Self::new(pid, pidfd))
    }

    /// Kills the child `pid`, which must not have been reaped yet and can't be watched; its end must be waited for.
    #[must_use]
    pub fn killed(pid: u32) -> Self {
        let child = Self::new(pid, None);
        // A child that has ended already is a zombie, which can be signalled.
        let _ = child.signal(libc::SIGKILL);
        child
    }

    fn new(pid: u32, pidfd: Option<AsyncFd<Pidfd>>) -> Self {
        Self { pid, pidfd, reaped: Cell::new(false), peak_rss: Cell::new(None) }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal by number; a child that has been reaped gives `ESRCH` and nobody else is hit.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        if self.reaped.get() {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        match &self.pidfd {
            Some(pidfd) => pidfd.get_ref().signal(signal),
            None => signal_pid(self.pid, signal),
        }
    }

    /// Waits for the end of the process and reaps it.
    ///
    /// Cancel-safe: a dropped wait reaps nothing.
    pub async fn ended(&self) -> Exit {
        loop {
            match self.reap() {
                Ok(Some(exit)) => return exit,
                Ok(None) => self.wait_for_news().await,
                // Somebody else reaped it (the application waited for any pid): it is gone, how is unknown.
                Err(_) => {
                    self.reaped.set(true);
                    return Exit::Code(-1);
                }
            }
        }
    }

    async fn wait_for_news(&self) {
        match &self.pidfd {
            Some(pidfd) => {
                // An error means that the runtime is shutting down; the next look tells the rest.
                if let Ok(mut guard) = pidfd.readable().await {
                    guard.clear_ready();
                }
            }
            None => tokio::time::sleep(LOOK_WITHOUT_PIDFD).await,
        }
    }

    /// The most memory that it ever had, in bytes, once it is reaped; `None` while it isn't, or when that can't be told
    /// from what the master had at the fork.
    #[must_use]
    pub fn peak_rss(&self) -> Option<u64> {
        self.peak_rss.get()
    }

    fn reap(&self) -> io::Result<Option<Exit>> {
        let Some(reaped) = reap(self.pid)? else { return Ok(None) };
        self.reaped.set(true);
        self.peak_rss.set(Some(reaped.peak_rss).filter(|peak| *peak > own_peak_rss()));
        Ok(Some(reaped.code.map_or(Exit::Signal(reaped.signal), Exit::Code)))
    }
}

/// A child begins as a copy of its parent, whose memory counts as its own until it runs another program.
fn own_peak_rss() -> u64 {
    const KIB: u64 = 1024;
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
    usage
        .and_then(|usage| u64::try_from(usage.max_rss()).ok())
        .map_or(u64::MAX, |peak| peak.saturating_mul(KIB))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[expect(clippy::zombie_processes, reason = "waiting for it is what is tested")]
    fn start(script: &str) -> Child {
        let child = Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
        Child::watch(child.id()).unwrap()
    }

    async fn end_of(script: &str) -> Exit {
        start(script).ended().await
    }

    #[tokio::test]
    async fn an_exit_status_and_a_signal_are_told_apart() {
        assert_eq!(end_of("exit 3").await, Exit::Code(3));
        assert_eq!(end_of("kill -9 $$").await, Exit::Signal(9));
        assert!(end_of("true").await.is_clean());
    }

    #[tokio::test]
    #[expect(clippy::zombie_processes, reason = "waiting for it is what is tested")]
    async fn a_child_that_cannot_be_watched_is_killed_and_reaped() {
        let child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        assert_eq!(Child::killed(child.id()).ended().await, Exit::Signal(9));
        assert!(reap(child.id()).is_err());
    }

    #[tokio::test]
    async fn a_reaped_child_is_never_signalled() {
        let child = start("exec sleep 60");
        child.signal(libc::SIGKILL).unwrap();
        assert_eq!(child.ended().await, Exit::Signal(9));
        assert_eq!(child.signal(libc::SIGTERM).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
