//! What happens between fork and exec, and the bare signal to a child.
//!
//! `process::spawn` and `process::exit` are the only callers. The forking thread must live as long as the children do:
//! the kernel sends the parent-death signal when that *thread* ends.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

#[cfg(target_os = "linux")]
use nix::unistd::Pid;

/// A program to be started, and what it gets beside inherited stdio.
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
    /// Descriptors that stay open in it; all others are close-on-exec.
    pub kept: Vec<BorrowedFd<'a>>,
}

/// Starts `program` with clean signal dispositions, an empty signal mask, and a death sentence for the moment when this
/// thread's process is gone, however it went. Gives its pid, once it runs.
///
/// The memory is not copied, as with vfork: this thread stands still until the child has become the program. A copy would
/// cost time by the size of this process (10 ms for 500 MB), and once more when the pages that are shared by then are
/// written to; the standard library makes one whenever something is to be done between fork and exec.
///
/// # Errors
/// What the kernel says of the program file or the directory, `EAGAIN` for too many processes; `InvalidInput` for a text
/// with a NUL in it.
#[cfg(target_os = "linux")]
pub fn start(program: &Program<'_>) -> io::Result<u32> {
    use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

    use nix::sched::{CloneFlags, clone};
    use nix::sys::signal::{SigSet, SigmaskHow};

    const STACK_BYTES: usize = 64 * 1024;
    const NOT_STARTED: isize = 127;

    let plan = linux::Plan::of(program)?;
    let failure = AtomicI32::new(0);
    let become_it = Box::new(|| {
        failure.store(plan.carry_out() as i32, SeqCst);
        NOT_STARTED
    });
    let mut stack = vec![0; STACK_BYTES];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // No handler of ours may run in the child, on the memory of this process.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: the child has a stack of its own, larger than it needs. It shares our memory, reads the plan, writes
    // `failure` and the error number of this thread, which stands still meanwhile, and makes system calls only; it
    // allocates nothing, and ends by exec or by returning. All that it uses outlives the call.
    let forked = unsafe { clone(become_it, &mut stack, flags, Some(libc::SIGCHLD)) };
    mask.thread_set_mask()?;
    let pid = forked?;
    match failure.load(SeqCst) {
        0 => u32::try_from(pid.as_raw()).map_err(io::Error::other),
        number => {
            nix::sys::wait::waitpid(pid, None).ok();
            Err(io::Error::from_raw_os_error(number))
        }
    }
}

/// As on Linux, but for the death sentence, which other systems don't know, and the memory, which is copied.
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
    let kept = fds_of(program);
    let hook = move || {
        keep_over_exec(&kept);
        reset_signals();
        Ok(())
    };
    // SAFETY: the hook runs in the forked child and makes async-signal-safe system calls only: fcntl and signal. It reads a
    // list made before the fork, and the descriptors stay open in the parent until `spawn` has returned.
    unsafe { command.pre_exec(hook) };
    Ok(command.spawn()?.id())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{CString, OsStr, c_char};
    use std::os::fd::RawFd;
    use std::os::unix::ffi::OsStrExt;
    use std::{io, ptr};

    use nix::errno::Errno;
    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::signal::{SigSet, Signal};

    use super::{Pid, Program, fds_of, keep_over_exec, reset_signals};

    /// All that is needed between fork and exec, made before.
    pub(super) struct Plan {
        parent: Pid,
        exec: CString,
        cwd: Option<CString>,
        kept: Vec<RawFd>,
        argv: Texts,
        envp: Texts,
    }

    /// A list as exec wants it, which ends with null; and what it points into.
    struct Texts(
        Vec<*const c_char>,
        #[expect(dead_code, reason = "kept alive for the pointers")] Vec<CString>,
    );

    impl Texts {
        fn of(texts: impl Iterator<Item = io::Result<CString>>) -> io::Result<Self> {
            let texts: Vec<CString> = texts.collect::<io::Result<_>>()?;
            Ok(Self(texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect(), texts))
        }
    }

    impl Plan {
        pub(super) fn of(program: &Program<'_>) -> io::Result<Self> {
            let name = std::iter::once(program.exec.as_os_str());
            let args = program.args.iter().map(OsStr::new);
            let env = program.env.iter().map(|(name, value)| format!("{name}={value}"));
            Ok(Self {
                parent: nix::unistd::getpid(),
                exec: text(program.exec.as_os_str())?,
                cwd: program.cwd.map(|cwd| text(cwd.as_os_str())).transpose()?,
                kept: fds_of(program),
                argv: Texts::of(name.chain(args).map(text))?,
                envp: Texts::of(env.map(|variable| text(OsStr::new(&variable))))?,
            })
        }

        /// In the child: becomes the program, or says why not.
        pub(super) fn carry_out(&self) -> Errno {
            keep_over_exec(&self.kept);
            reset_signals();
            self.prepare().err().unwrap_or_else(|| {
                // SAFETY: the pointers are those of C strings and of lists of such that end with null, all owned by `self`.
                unsafe { libc::execve(self.exec.as_ptr(), self.argv.0.as_ptr(), self.envp.0.as_ptr()) };
                Errno::last()
            })
        }

        fn prepare(&self) -> nix::Result<()> {
            set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the line above: then nobody sends the signal any more.
            if nix::unistd::getppid() != self.parent {
                return Err(Errno::EPIPE);
            }
            self.cwd.as_deref().map_or(Ok(()), nix::unistd::chdir)?;
            SigSet::empty().thread_set_mask()
        }
    }

    fn text(given: &OsStr) -> io::Result<CString> {
        Ok(CString::new(given.as_bytes())?)
    }
}

/// Node marks its own descriptors 0 to 2 close-on-exec, so inheriting them takes a word.
fn fds_of(program: &Program<'_>) -> Vec<libc::c_int> {
    [0, 1, 2].into_iter().chain(program.kept.iter().map(AsRawFd::as_raw_fd)).collect()
}

/// Clears close-on-exec; a descriptor that is not open stays not open, which is what the parent has too.
fn keep_over_exec(fds: &[libc::c_int]) {
    for fd in fds {
        // SAFETY: F_SETFD touches no memory; a closed descriptor gives EBADF.
        unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) };
    }
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::{AsFd, OwnedFd};
    use std::path::PathBuf;

    use super::*;

    /// The output of a script that may write to descriptor `$OUT`.
    fn output(script: &str, env: Vec<(&str, String)>, cwd: Option<&Path>) -> String {
        let (reader, writer) = std::io::pipe().unwrap();
        let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
        let args = vec!["-c".to_owned(), script.to_owned()];
        let env = env.into_iter().chain([("OUT", writer.as_raw_fd().to_string())]).collect();
        let pid = start(&Program { exec: Path::new("/bin/sh"), args, env, cwd, kept: vec![writer.as_fd()] })
            .unwrap();
        drop(writer);
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        while reap(pid).unwrap().is_none() {
            std::thread::yield_now();
        }
        text
    }

    fn failure(exec: &str, cwd: Option<&Path>) -> Option<i32> {
        let program = Program { exec: Path::new(exec), args: vec![], env: vec![], cwd, kept: vec![] };
        start(&program).unwrap_err().raw_os_error()
    }

    #[test]
    fn a_child_gets_its_environment_directory_and_descriptors_and_nothing_else() {
        let env = vec![("A", "b c".to_owned())];
        assert_eq!(
            output("echo $A \"$(env | grep -c ^A=)\" $PWD >&$OUT", env, Some(Path::new("/usr"))),
            "b c 1 /usr\n"
        );
        let secret = File::open("/dev/null").unwrap();
        let look = format!("test -e /dev/fd/{} || echo closed >&$OUT", secret.as_raw_fd());
        assert_eq!(output(&look, vec![], None), "closed\n");
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let nowhere = PathBuf::from("/nowhere");
        assert_eq!(failure("/nowhere", None), Some(libc::ENOENT));
        assert_eq!(failure("/bin/sh", Some(&nowhere)), Some(libc::ENOENT));
        assert_eq!(failure("/etc/passwd", None), Some(libc::EACCES));
        let args = vec!["a\0b".to_owned()];
        let program = Program { exec: Path::new("/bin/sh"), args, env: vec![], cwd: None, kept: vec![] };
        assert_eq!(start(&program).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_has_clean_signals_whatever_this_thread_blocks_or_ignores() {
        use nix::sys::signal::{SigSet, SigmaskHow, Signal};
        // Rust ignores SIGPIPE in every program of its own.
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGUSR1);
        let before = blocked.thread_swap_mask(SigmaskHow::SIG_SETMASK).unwrap();
        let text = output(
            "while read name value; do case $name in Sig[BI]*) echo $name $value;; esac; done \
            < /proc/self/status >&$OUT",
            vec![],
            None,
        );
        assert_eq!(SigSet::thread_get_mask().unwrap(), blocked);
        before.thread_set_mask().unwrap();
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!([words[0], words[2]], ["SigBlk:", "SigIgn:"]);
        // What lies above the standard signals is left alone.
        let of = |digits: &str| u64::from_str_radix(digits, 16).unwrap() & 0x7fff_ffff;
        assert_eq!([of(words[1]), of(words[3])], [0, 0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_dies_with_the_thread_that_started_it() {
        let args = vec!["60".to_owned()];
        let kept = std::thread::spawn(|| {
            start(&Program { exec: Path::new("/bin/sleep"), args, env: vec![], cwd: None, kept: vec![] })
                .unwrap()
        });
        let pid = kept.join().unwrap();
        let reaped = loop {
            match reap(pid).unwrap() {
                Some(reaped) => break reaped,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!((reaped.code, reaped.signal), (None, libc::SIGKILL));
    }
}
