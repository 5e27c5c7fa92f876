//! What happens between fork and exec, and the bare signal to a child.
//!
//! `process::spawn` and `process::exit` are the only callers. The forking thread must live as long as the children do:
//! the kernel sends the parent-death signal when that *thread* ends.
//! Invariant: a child has those descriptors that it was given, and of 0, 1 and 2 ours where it was given none for them. Node
//! marks low descriptors close-on-exec when it starts, so that programs which a worker starts inherit none of them.

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

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{CString, OsStr, c_char, c_long};
    use std::os::fd::{AsRawFd, RawFd};
    use std::os::unix::ffi::OsStrExt;
    use std::{io, ptr};

    use nix::errno::Errno;
    use nix::sys::prctl::{get_dumpable, set_dumpable, set_pdeathsig};
    use nix::sys::signal::{SigSet, Signal};

    use super::{Pid, Program, User, hand_down, numbers_of, reset_signals};

    /// What failed between fork and exec.
    #[derive(Clone, Copy, Debug)]
    pub(super) enum Step {
        Gid,
        Uid,
        Other,
    }

    impl Step {
        pub(super) fn error(self, user: User, errno: Errno) -> io::Error {
            let (name, id) = match self {
                Self::Gid => ("gid", user.gid),
                Self::Uid => ("uid", user.uid),
                Self::Other => return errno.into(),
            };
            let error = io::Error::from(errno);
            io::Error::new(error.kind(), format!("{name} {}: {error}", id.unwrap_or_default()))
        }
    }

    /// All that is needed between fork and exec, made before.
    pub(super) struct Plan {
        parent: Pid,
        exec: CString,
        cwd: Option<CString>,
        user: User,
        first: RawFd,
        given: Vec<Option<RawFd>>,
        output: Option<RawFd>,
        may_outlive_us: bool,
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
                user: program.user,
                first: program.first,
                given: numbers_of(&program.given),
                may_outlive_us: program.may_outlive_us,
                output: program.output.map(|output| output.as_raw_fd()),
                argv: Texts::of(name.chain(args).map(text))?,
                envp: Texts::of(env.map(|variable| text(OsStr::new(&variable))))?,
            })
        }

        /// In the child: becomes the program, or says why not.
        pub(super) fn carry_out(&mut self) -> (Step, Errno) {
            reset_signals();
            self.prepare().err().unwrap_or_else(|| {
                // SAFETY: the pointers are those of C strings and of lists of such that end with null, all owned by `self`.
                unsafe { libc::execve(self.exec.as_ptr(), self.argv.0.as_ptr(), self.envp.0.as_ptr()) };
                (Step::Other, Errno::last())
            })
        }

        fn prepare(&mut self) -> Result<(), (Step, Errno)> {
            let other = |errno| (Step::Other, errno);
            hand_down(self.first, &mut self.given, self.output).map_err(other)?;
            self.cwd.as_deref().map_or(Ok(()), nix::unistd::chdir).map_err(other)?;
            self.become_user()?;
            if !self.may_outlive_us {
                // After the change of user, which clears it.
                set_pdeathsig(Signal::SIGKILL).map_err(other)?;
                // The parent may have died before the line above: then nobody sends the signal any more.
                if nix::unistd::getppid() != self.parent {
                    return Err(other(Errno::EPIPE));
                }
            }
            SigSet::empty().thread_set_mask().map_err(other)
        }

        /// In the order of Node's `child_process`: the further groups go, then the group and the user change.
        ///
        /// By bare system calls. Those of the C library would change every thread that they find in memory, and that memory
        /// is the parent's.
        fn become_user(&self) -> Result<(), (Step, Errno)> {
            let User { uid, gid } = self.user;
            if uid.is_none() && gid.is_none() {
                return Ok(());
            }
            // A user who is not root keeps the groups, which are no more than it has anyway.
            // SAFETY: an empty list of groups is read from nowhere.
            let _ = unsafe { libc::syscall(libc::SYS_setgroups, 0, ptr::null::<u32>()) };
            change(libc::SYS_setgid, gid).map_err(|errno| (Step::Gid, errno))?;
            change(libc::SYS_setuid, uid).map_err(|errno| (Step::Uid, errno))
        }
    }

    fn change(call: c_long, id: Option<u32>) -> nix::Result<()> {
        let Some(id) = id else { return Ok(()) };
        // SAFETY: both calls take one number.
        Errno::result(unsafe { libc::syscall(call, id) }).map(drop)
    }

    fn text(given: &OsStr) -> io::Result<CString> {
        Ok(CString::new(given.as_bytes())?)
    }

    /// Keeps this process open to debuggers and core dumps. A child that changes its user closes the memory to them, and
    /// that memory is ours until it runs its program.
    pub(super) struct DumpGuard(bool);

    impl DumpGuard {
        pub(super) fn new(user: User) -> Self {
            Self(user != User::default() && get_dumpable().unwrap_or(false))
        }
    }

    impl Drop for DumpGuard {
        fn drop(&mut self) {
            if self.0 {
                // Without it only debugging is harder.
                let _ = set_dumpable(true);
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::path::PathBuf;

    use super::*;

    const SHELL: &str = "/bin/sh";

    fn program<'a>(exec: &'a str, args: &[&str]) -> Program<'a> {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Program {
            exec: Path::new(exec),
            args,
            env: vec![],
            cwd: None,
            user: User::default(),
            output: None,
            first: FIRST_GIVEN,
            given: vec![],
            may_outlive_us: false,
        }
    }

    /// The output of a script that may write to the descriptor behind those that the program is given.
    fn output_of(program: Program<'_>) -> String {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut given = program.given.clone();
        given.push(Some(writer.as_fd()));
        let pid = start(&Program { given, ..program }).unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        end_of(pid);
        text
    }

    fn output(script: &str, env: Vec<(&str, String)>, cwd: Option<&Path>) -> String {
        output_of(Program { env, cwd, ..program(SHELL, &["-c", script]) })
    }

    fn end_of(pid: u32) -> (Option<i32>, i32) {
        loop {
            match reap(pid).unwrap() {
                Some(reaped) => break (reaped.code, reaped.signal),
                None => std::thread::yield_now(),
            }
        }
    }

    /// How a program ends whose parent's thread has ended.
    fn end_of_orphan(user: User) -> (Option<i32>, i32) {
        let sleep = move || start(&Program { user, ..program("/bin/sleep", &["60"]) }).unwrap();
        end_of(std::thread::spawn(sleep).join().unwrap())
    }

    fn failure(exec: &str, cwd: Option<&Path>) -> Option<i32> {
        start(&Program { cwd, ..program(exec, &[]) }).unwrap_err().raw_os_error()
    }

    #[test]
    fn a_child_gets_its_environment_directory_and_descriptors_and_nothing_else() {
        let env = vec![("A", "b c".to_owned())];
        assert_eq!(
            output("echo $A \"$(env | grep -c ^A=)\" $PWD >&3", env, Some(Path::new("/usr"))),
            "b c 1 /usr\n"
        );
        // The last of several, so that its number is none of those that the child is given.
        let secrets: Vec<_> = (0..5).map(|_| File::open("/dev/null").unwrap()).collect();
        let look = format!("test -e /dev/fd/{} || echo closed >&3", secrets[4].as_raw_fd());
        assert_eq!(output(&look, vec![], None), "closed\n");
    }

    #[test]
    fn descriptors_are_handed_down_in_order_whatever_their_numbers_are() {
        let pipes: Vec<_> = (0..3).map(|_| std::io::pipe().unwrap()).collect();
        // Backwards, so that the numbers of some are the places of others wherever those are low.
        let ends = || pipes.iter().rev().map(|(_, writer)| writer.as_fd());
        let name =
            |fd: BorrowedFd<'_>| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
        let expected: Vec<_> =
            (3..).zip(ends()).map(|(place, fd)| format!("{place} {}", name(fd).display())).collect();
        let look = "for fd in 3 4 5 6 7 8 9; do echo $fd $(readlink /proc/self/fd/$fd); done >&6";
        let text = output_of(Program { given: ends().map(Some).collect(), ..program(SHELL, &["-c", look]) });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(&lines[..3], &expected[..]);
        assert_eq!(&lines[4..], ["7", "8", "9"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_becomes_the_user_that_it_should_or_says_which_id_is_not_allowed() {
        use std::os::unix::process::CommandExt;

        const UID: u32 = 65_534;
        const INSIDE: &str = "CLUSTER2_TEST_OTHER_USER";
        let as_user = |script: &'static str| {
            let user = User { uid: Some(UID), gid: Some(UID - 1) };
            Program { user, ..program(SHELL, &["-c", script]) }
        };
        if std::env::var_os(INSIDE).is_some() {
            let error = start(&as_user("true")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("gid 65533"), "{error}");
            return;
        }
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        assert_eq!(output_of(as_user("id -u >&3; id -G >&3")), "65534\n65533\n");
        assert_eq!(end_of_orphan(as_user("").user), (None, libc::SIGKILL));
        assert!(nix::sys::prctl::get_dumpable().unwrap());

        let own = std::env::current_exe().unwrap();
        let name =
            "os::child::tests::a_child_becomes_the_user_that_it_should_or_says_which_id_is_not_allowed";
        let mut again = std::process::Command::new("/proc/self/exe");
        again.arg0(own).args(["--exact", name]).env(INSIDE, "1").uid(UID).stdout(std::process::Stdio::null());
        assert!(again.status().unwrap().success());
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let nowhere = PathBuf::from("/nowhere");
        assert_eq!(failure("/nowhere", None), Some(libc::ENOENT));
        assert_eq!(failure("/bin/sh", Some(&nowhere)), Some(libc::ENOENT));
        assert_eq!(failure("/etc/passwd", None), Some(libc::EACCES));
        assert_eq!(start(&program(SHELL, &["a\0b"])).unwrap_err().kind(), io::ErrorKind::InvalidInput);
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
            < /proc/self/status >&3",
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
        assert_eq!(end_of_orphan(User::default()), (None, libc::SIGKILL));
    }
}
