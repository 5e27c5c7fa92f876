//! Descriptors that come to us as bare numbers.
//!
//! A number names a descriptor only for the line in which it is turned into something that owns it.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Duplicates a descriptor that somebody else owns, close-on-exec.
///
/// # Errors
/// `EBADF` when the number names none, `EMFILE` when there are too many.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    const FIRST_AFTER_STDIO: libc::c_int = 3;
    // SAFETY: F_DUPFD_CLOEXEC touches no memory; a number that names nothing gives EBADF.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, FIRST_AFTER_STDIO) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
