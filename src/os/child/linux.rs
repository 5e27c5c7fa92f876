//! The start of a program on Linux: the child uses this process's memory until it has become the program.

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
struct Texts(Vec<*const c_char>, #[expect(dead_code, reason = "kept alive for the pointers")] Vec<CString>);

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
