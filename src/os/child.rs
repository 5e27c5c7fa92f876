//! What happens between fork and exec, and the bare signal to a child.
//!
//! `process::spawn` and `process::exit` are the only callers. The forking thread must live as long as the children do:
//! the kernel sends the parent-death signal when that *thread* ends.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes `command` start its child with inherited stdio and the descriptors `kept` open, clean signal dispositions, and a
/// death sentence for the moment when this thread's process is gone, however it went.
///
/// Node marks its own descriptors 0 to 2 close-on-exec, so inheriting them takes a word; the mask is emptied by the
/// standard library.
pub fn prepare(command: &mut Command, kept: &[BorrowedFd<'_>]) {
    let kept: Vec<RawFd> = [0, 1, 2].into_iter().chain(kept.iter().map(AsRawFd::as_raw_fd)).collect();
    let parent = nix::unistd::getpid();
    let hook = move || {
        for fd in &kept {
            keep_over_exec(*fd);
        }
        reset_signals();
        die_with(parent)
    };
    // SAFETY: the hook runs in the forked child and makes async-signal-safe system calls only: fcntl, signal, prctl and
    // getppid. It reads a list made before the fork, and the descriptors stay open in the parent until `spawn` has
    // returned.
    unsafe { command.pre_exec(hook) };
}

/// Clears close-on-exec; a descriptor that is not open stays not open, which is what the parent has too.
fn keep_over_exec(fd: RawFd) {
    // SAFETY: F_SETFD touches no memory; a closed descriptor gives EBADF.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
}

/// Ignored signals survive exec: Node ignores SIGPIPE, and a shell's `nohup` ignores SIGHUP for the master alone.
fn reset_signals() {
    const LAST_STANDARD_SIGNAL: libc::c_int = 31;
    for signal in 1..=LAST_STANDARD_SIGNAL {
        // SAFETY: SIG_DFL is a valid disposition; SIGKILL and SIGSTOP refuse it, which changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

#[cfg(target_os = "linux")]
fn die_with(parent: nix::unistd::Pid) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // The parent may have died before the line above: then nobody sends the signal any more.
    if nix::unistd::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "the Linux twin can fail")]
fn die_with(_parent: nix::unistd::Pid) -> io::Result<()> {
    Ok(())
}

/// Sends `signal` by number to a child that has not been reaped yet, so that its pid can't be anybody else's.
///
/// # Errors
/// What kill(2) says.
pub fn signal_pid(pid: u32, signal: i32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: kill takes two integers; a positive pid names one process.
    let done = unsafe { libc::kill(pid, signal) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
