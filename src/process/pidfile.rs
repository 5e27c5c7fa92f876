//! The pids directory: the files by which operators, scripts and other processes find a cluster.
//!
//! A master makes one [`PidDir`] before it forks. The thread of `disk` owns it from then on, tells it of each worker's birth
//! and death, and closes it at the end.
//! It owns `master.<pid>.pid` with an exclusive lock on it that lasts as long as the process does, `master.<pid>.sock`
//! beside it, and `worker.<pid>.pid` for each of its workers. The lock is how others tell a live master (`verify`).
//! The locked file is close-on-exec, so workers never hold the lock. Between fork and exec a child shares it: then a lock may
//! look held for an instant after its master died. That is harmless: a held lock proves nothing unless the process that the
//! file names has the file open, and a sweep that finds the lock of a dead master waits a moment for its end.
//!
//! Invariants: a file has its name only once it is complete and, for a master's, locked; nothing that we did not write
//! is ever removed; nothing of another live master is ever touched. A process that publishes a master's file or removes stale
//! files holds a lock on the directory meanwhile. Without it, a live master could replace a file (in a container it has the
//! same pid at each start) between the look at the file and its removal.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::error::Error;
use crate::os::peer::Process;
use crate::process::control::client;
use crate::process::entry::Entry;
use crate::process::verify::{self, Found, Standing, examine, open_ours};

/// How long a process waits for the directory's lock, which others hold for milliseconds.
const GUARD_PATIENCE: Duration = Duration::from_secs(1);
/// How long a child of a dead master, on its way to exec, may still hold its lock.
const SETTLING: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_millis(2);

/// This process' place in the pids directory.
///
/// [`close`](Self::close) gives it up; dropping does the same. A process that exits without either leaves its files
/// behind as stale ones, which the next start or stop clears.
#[derive(Debug)]
pub struct PidDir {
    dir: PathBuf,
    pid: u32,
    lock: Option<Flock<File>>,
    workers: RefCell<BTreeSet<u32>>,
}

impl PidDir {
    /// Makes the directory with its parents, announces this process as a master in it and, with `sweep`, clears what
    /// dead masters left.
    ///
    /// Blocks for milliseconds, at most about a second if another process holds on to the directory's lock.
    ///
    /// # Errors
    /// [`Error::Pids`] when the directory can't be made or written, when its file system has no locks, and when a
    /// live master has this very pid there: one in another container, or this process itself.
    pub fn open(path: &Path, sweep: bool) -> Result<Self, Error> {
        let failed = |source| Error::Pids { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        // The real path, so that neither a change of directory nor a switched symlink leads us to other files.
        let dir = fs::canonicalize(path).map_err(failed)?;
        let pid = process::id();
        let guard = Guard::take(&dir).map_err(failed)?;
        if examine(&Entry::Master(pid).path(&dir), pid).is_held() {
            let problem = format!("a live master with pid {pid} uses it; give each container its own");
            return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, problem)));
        }
        let lock = publish(&dir, Entry::Master(pid), |file| {
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
        });
        let lock = Some(lock.map_err(failed)?);
        if sweep && let Some(guard) = guard {
            // Files that can't be removed now stay stale, and the next start tries again.
            let _ = clear(&dir, &guard, Some(pid));
        }
        Ok(Self { dir, pid, lock, workers: RefCell::default() })
    }

    /// Where the control socket belongs.
    #[must_use]
    pub fn control_path(&self) -> PathBuf {
        Entry::Socket(self.pid).path(&self.dir)
    }

    /// Writes the file of a worker that was just started.
    ///
    /// # Errors
    /// What the kernel says, for example that the directory has been removed. It does the worker no harm.
    pub fn worker_started(&self, pid: u32) -> io::Result<()> {
        publish(&self.dir, Entry::Worker(pid), |_| Ok(()))?;
        self.workers.borrow_mut().insert(pid);
        Ok(())
    }

    /// Removes the file of a worker that has died; a second call, or one for somebody else's pid, does nothing.
    pub fn worker_gone(&self, pid: u32) {
        if self.workers.borrow_mut().remove(&pid) {
            remove(&Entry::Worker(pid).path(&self.dir));
        }
    }

    /// Removes the files that are this process' own, and leaves the directory and everything else in it.
    ///
    /// From here on nobody finds this master. A second call does nothing.
    pub fn close(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        for pid in self.workers.take() {
            remove(&Entry::Worker(pid).path(&self.dir));
        }
        remove(&self.control_path());
        let path = Entry::Master(self.pid).path(&self.dir);
        if is_same_file(&lock, &path) {
            remove(&path);
        }
    }
}

impl Drop for PidDir {
    fn drop(&mut self) {
        self.close();
    }
}

/// Removes what dead masters left in the directory; says how many files that were.
///
/// Removes nothing, which is no error, while another process holds on to the directory's lock.
///
/// # Errors
/// When the directory can't be read.
pub fn clear_stale(dir: &Path) -> io::Result<usize> {
    match Guard::take(dir) {
        Ok(Some(guard)) => clear(dir, &guard, None),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(None) | Err(_) => Ok(0),
    }
}

/// The sweep itself. `newcomer` is a master that has no workers yet, so no worker's file can be its own.
fn clear(dir: &Path, _guard: &Guard, newcomer: Option<u32>) -> io::Result<usize> {
    let mut removed = 0;
    let masters = settled_survey(dir)?;
    let is_held = |pid| masters.iter().any(|(it, standing)| it.pid == pid && standing.is_held());
    let is_shared = masters.iter().any(|(it, standing)| Some(it.pid) != newcomer && standing.is_held());
    for (entry, path) in Entry::list(dir)? {
        let is_stale = match entry {
            Entry::Master(pid) => {
                masters.iter().any(|(it, standing)| it.pid == pid && *standing == Standing::Stale)
            }
            Entry::Socket(pid) => !is_held(pid) && is_socket(&path) && client::is_abandoned(&path),
            // A draft that is being written now has the pid of a live worker, of a master that was seen above.
            Entry::Worker(pid) | Entry::MasterDraft(pid) | Entry::WorkerDraft(pid) => {
                (!is_shared || Process::open(pid).is_none()) && matches!(open_ours(&path, pid), Ok(Some(_)))
            }
        };
        if is_stale && remove(&path) {
            removed += 1;
        }
    }
    Ok(removed)
}

/// The directory's masters, once the children that dead ones were starting have let go of their locks.
fn settled_survey(dir: &Path) -> io::Result<Vec<(Found, Standing)>> {
    let until = Instant::now() + SETTLING;
    loop {
        let masters = verify::survey(dir)?;
        let is_orphaned = |(it, standing): &(Found, Standing)| {
            *standing == Standing::Elsewhere && Process::open(it.pid).is_none()
        };
        // A lock that stays held is that of a live master in another pid namespace.
        if Instant::now() >= until || !masters.iter().any(is_orphaned) {
            return Ok(masters);
        }
        thread::sleep(RETRY);
    }
}

/// Writes an entry with its pid as contents; it appears under its name complete, and after `take` has had it.
fn publish<T>(dir: &Path, entry: Entry, take: impl FnOnce(File) -> io::Result<T>) -> io::Result<T> {
    let (draft, pid) = match entry {
        Entry::Worker(pid) | Entry::WorkerDraft(pid) => (Entry::WorkerDraft(pid), pid),
        Entry::Master(pid) | Entry::MasterDraft(pid) | Entry::Socket(pid) => (Entry::MasterDraft(pid), pid),
    };
    let draft = draft.path(dir);
    remove(&draft);
    let write = || {
        // `create_new` neither follows a link nor opens what somebody else put there.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&draft)?;
        file.write_all(pid.to_string().as_bytes())?;
        let taken = take(file)?;
        fs::rename(&draft, entry.path(dir))?;
        Ok(taken)
    };
    write().inspect_err(|_| {
        remove(&draft);
    })
}

/// The lock on the directory, for the moment in which a master's file is published or stale ones are removed.
#[derive(Debug)]
struct Guard(#[expect(dead_code, reason = "held, not read")] Option<Flock<File>>);

impl Guard {
    /// `None` if somebody else has kept it for too long: then nothing may be removed.
    fn take(dir: &Path) -> io::Result<Option<Self>> {
        let mut file = File::open(dir)?;
        let until = Instant::now() + GUARD_PATIENCE;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Some(Self(Some(lock)))),
                Err((_, Errno::EWOULDBLOCK)) if Instant::now() >= until => return Ok(None),
                Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => {
                    file = back;
                    thread::sleep(RETRY);
                }
                // Network file systems lock files only; there the directory goes without a lock.
                Err(_) => return Ok(Some(Self(None))),
            }
        }
    }
}

/// Removes a file and says whether it did.
fn remove(path: &Path) -> bool {
    fs::remove_file(path).is_ok()
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket())
}

fn is_same_file(file: &File, path: &Path) -> bool {
    let here = file.metadata().map(|it| (it.dev(), it.ino()));
    let there = fs::symlink_metadata(path).map(|it| (it.dev(), it.ino()));
    matches!((here, there), (Ok(here), Ok(there)) if here == there)
}
