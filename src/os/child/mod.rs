//! What happens between fork and exec, and the bare signal to a child.
//!
//! `process::spawn` and `process::exit` are the only callers. The forking thread must live as long as the children do:
//! the kernel sends the parent-death signal when that *thread* ends.
//! Invariant: a child has those descriptors that it was given, and of 0, 1 and 2 ours where it was given none for them. Node
//! marks low descriptors close-on-exec when it starts, so that programs which a worker starts inherit none of them.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
#[cfg(target_os = "linux")]
use nix::unistd::Pid;

/// The number of the first descriptor that a child gets beside our stdio.
pub const FIRST_GIVEN: RawFd = 3;

/// As whom a program runs; `None` is as whom we run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: Option<u32>,
    /// The group id.
    pub gid: Option<u32>,
}

/// A program to be started, and what it gets.
#[derive(Debug)]
pub struct Program<'a> {
    /// The program file.
    pub exec: &'a Path,
    /// What it is called with, its own name not included.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(&'a str, String)>,
    /// Its working directory; `None` is ours.
    pub cwd: Option<&'a Path>,
    /// As whom it runs.
    pub user: User,
    /// What its stdout and stderr are; `None` is ours, or what it is given. Its number is above 2.
    pub output: Option<BorrowedFd<'a>>,
    /// The number of the first descriptor that it is given: [`FIRST_GIVEN`], or 0 if it gets stdio of its own.
    pub first: RawFd,
    /// Descriptors that it gets, as `first` and the numbers that follow; all others are close-on-exec. `None` leaves a number
    /// out.
    pub given: Vec<Option<BorrowedFd<'a>>>,
    /// It lives on when this process is gone.
    pub may_outlive_us: bool,
}

/// Starts `program` with clean signal dispositions, an empty signal mask, and, unless it may outlive us, the parent-death
/// signal, which kills it when this thread or its process is gone, however it went. Gives its pid, once it runs.
///
/// The memory is not copied, as with vfork: this thread stands still until the child has become the program. A copy would
/// cost time by the size of this process (10 ms for 500 MB), and once more when the pages that are shared by then are
/// written to; the standard library makes one whenever something is to be done between fork and exec.
/// So what the child waits for, this thread waits for: the change to the directory, and the kernel's look at the program file.
/// On a network file system that does not answer, neither has a limit.
///
/// # Errors
/// What the kernel says of the program file or the directory, `EAGAIN` for too many processes, `EMFILE` for too many
/// descriptors; `InvalidInput` for a text with a NUL in it; an error that names the uid or gid which is not allowed.
#[cfg(target_os = "linux")]
pub fn start(program: &Program<'_>) -> io::Result<u32> {
    use std::sync::OnceLock;

    use nix::sched::{CloneFlags, clone};
    use nix::sys::signal::{SigSet, SigmaskHow};

    const STACK_BYTES: usize = 64 * 1024;
    const NOT_STARTED: isize = 127;

    let mut plan = linux::Plan::of(program)?;
    let failure = OnceLock::new();
    let become_it = Box::new(|| {
        // The first failure is the only one.
        let _ = failure.set(plan.carry_out());
        NOT_STARTED
    });
    let mut stack = vec![0; STACK_BYTES];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // No handler of ours may run in the child, on the memory of this process.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let dump = linux::DumpGuard::new(program.user);
    // SAFETY: the child has a stack of its own, larger than it needs. It shares our memory, reads and writes the plan,
    // `failure` and the error number of this thread, which stands still meanwhile, and makes system calls only; it
    // allocates nothing, and ends by exec or by returning. All that it uses outlives the call.
    let forked = unsafe { clone(become_it, &mut stack, flags, Some(libc::SIGCHLD)) };
    drop(dump);
    mask.thread_set_mask()?;
    let pid = forked?;
    let Some((step, errno)) = failure.into_inner() else {
        return u32::try_from(pid.as_raw()).map_err(io::Error::other);
    };
    nix::sys::wait::waitpid(pid, None).ok();
    Err(step.error(program.user, errno))
}

/// As on Linux, but for the parent-death signal, which other systems don't know, and the memory, which is copied.
///
/// # Errors
/// As on Linux.
#[cfg(not(target_os = "linux"))]
pub fn start(program: &Program<'_>) -> io::Result<u32> {
    use std::os::unix::process::CommandExt;

    let mut command = std::process::Command::new(program.exec);
    command.args(&program.args).env_clear().envs(program.env.iter().map(|(name, value)| (name, value)));
    if let Some(cwd) = program.cwd {
        command.current_dir(cwd);
    }
    if let Some(gid) = program.user.gid {
        command.gid(gid);
    }
    if let Some(uid) = program.user.uid {
        command.uid(uid);
    }
    let (first, mut given) = (program.first, numbers_of(&program.given));
    let output = program.output.map(|output| output.as_raw_fd());
    let hook = move || {
        hand_down(first, &mut given, output)?;
        reset_signals();
        Ok(())
    };
    // SAFETY: the hook runs in the forked child and makes async-signal-safe system calls only: fcntl, dup2 and signal. It
    // uses a list made before the fork, and the descriptors stay open in the parent until `spawn` has returned.
    unsafe { command.pre_exec(hook) };
    Ok(command.spawn()?.id())
}

fn numbers_of(given: &[Option<BorrowedFd<'_>>]) -> Vec<Option<RawFd>> {
    given.iter().map(|fd| fd.as_ref().map(AsRawFd::as_raw_fd)).collect()
}

/// In the child: puts the descriptors `given` at `first` and the numbers that follow, and lets them and stdio outlive exec.
/// All are moved out of the way first, so that none is overwritten before it has its place.
fn hand_down(first: RawFd, given: &mut [Option<RawFd>], output: Option<RawFd>) -> nix::Result<()> {
    // Node marks its own descriptors 0 to 2 close-on-exec; one that is not open stays not open, as in the parent.
    for stdio in 0..FIRST_GIVEN {
        // SAFETY: F_SETFD touches no memory; a closed descriptor gives EBADF.
        unsafe { libc::fcntl(stdio, libc::F_SETFD, 0) };
    }
    for (fd, place) in output.into_iter().flat_map(|fd| [(fd, 1), (fd, 2)]) {
        // SAFETY: stdout and stderr are the child's own copies, which it is to have no more.
        Errno::result(unsafe { libc::dup2(fd, place) })?;
    }
    let behind = (first..).nth(given.len()).unwrap_or(RawFd::MAX).max(FIRST_GIVEN);
    for fd in given.iter_mut().flatten() {
        // SAFETY: F_DUPFD_CLOEXEC touches no memory.
        *fd = Errno::result(unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, behind) })?;
    }
    for (place, fd) in (first..).zip(given) {
        let Some(fd) = fd else { continue };
        // SAFETY: what stands at this place is the child's own copy, and the child needs it no more.
        Errno::result(unsafe { libc::dup2(*fd, place) })?;
    }
    Ok(())
}

/// Ignored signals survive exec: Node ignores SIGPIPE, and a shell's `nohup` ignores SIGHUP for the master alone.
fn reset_signals() {
    const LAST_STANDARD_SIGNAL: libc::c_int = 31;
    for signal in 1..=LAST_STANDARD_SIGNAL {
        // SAFETY: SIG_DFL is a valid disposition; SIGKILL and SIGSTOP refuse it, which changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
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
