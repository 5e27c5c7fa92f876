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

/// How a child ended.
#[derive(Clone, Copy, Debug)]
pub struct Reaped {
    /// Its exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The number of that signal, else 0.
    pub signal: i32,
    /// The most resident memory it ever had, in bytes, its copy of the parent before exec included.
    pub peak_rss: u64,
}

/// Collects the child `pid` if it has ended.
///
/// # Errors
/// `ECHILD` when there is no such child.
pub fn reap(pid: u32) -> io::Result<Option<Reaped>> {
    // What rusage counts resident memory in: bytes on Apple's systems, KiB elsewhere.
    const UNIT: u64 = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ECHILD))?;
    let mut status: libc::c_int = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both places are ours and outlive the call; a positive pid names one child.
    let found = unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
    if found < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(None) } else { Err(error) };
    }
    if found == 0 {
        return Ok(None);
    }
    // SAFETY: all zeroes is a valid value, and the kernel has written over it.
    let usage = unsafe { usage.assume_init() };
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    let signal = if code.is_none() { libc::WTERMSIG(status) } else { 0 };
    let peak_rss = u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(UNIT);
    Ok(Some(Reaped { code, signal, peak_rss }))
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
