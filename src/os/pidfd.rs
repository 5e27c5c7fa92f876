//! A process held by a descriptor, so that a later process with the same pid is never meant.
//!
//! `process::exit` waits for workers by it, and `os::peer` holds other masters by it.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::watch::HoldsDescriptor;

/// A descriptor that stands for one process and for no later one with the same pid; readable once it has ended.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// Opens the descriptor of `pid`; `None` where the system has no pidfds.
    ///
    /// That is what `ENOSYS` means, and `EPERM`, which old sandboxes say of calls that they don't know and the kernel never
    /// says of this one.
    ///
    /// # Errors
    /// `ESRCH` when no such process exists, `EMFILE` and the like.
    pub fn open(pid: u32) -> io::Result<Option<Self>> {
        match Self::open_any(pid) {
            Err(error) if is_absent(&error) => Ok(None),
            opened => opened.map(Some),
        }
    }

    #[cfg(target_os = "linux")]
    fn open_any(pid: u32) -> io::Result<Self> {
        let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
        // SAFETY: the call takes two integers and returns a new descriptor, close-on-exec by definition, or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the kernel has just made this descriptor and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    #[cfg(not(target_os = "linux"))]
    fn open_any(_pid: u32) -> io::Result<Self> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    /// Sends `signal`, a number as in `kill -l`; 0 only asks whether that could be done.
    ///
    /// # Errors
    /// `ESRCH` once the process has been reaped, `EPERM` for somebody else's, `EINVAL` for a signal that does not exist.
    #[cfg(target_os = "linux")]
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let no_info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is a pidfd that we hold open; a null siginfo means "as kill(2) would".
        let done =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, no_info, 0) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Says that this system has no pidfds.
    ///
    /// # Errors
    /// Always `Unsupported`.
    #[cfg(not(target_os = "linux"))]
    pub fn signal(&self, _signal: i32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Pidfd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

// SAFETY: it owns one descriptor and never changes it.
unsafe impl HoldsDescriptor for Pidfd {}
