//! Stops or shuts down the masters of a pids directory from another process, those included that had to use another
//! directory in its place.
//!
//! Called on a thread that may block, by `stop()` and `shutdown()` in a process that is no master. Each verified master is
//! asked over its control socket first, so that it can end in good order. A master that does not answer gets a signal.
//! Every wait here has an end, so a master or a worker that the kernel can't kill delays the caller by seconds at most.
//! Invariant: a signal goes only through a hold on the process that was taken *before* the process was verified to be the
//! master that wrote the file. If it were verified first, it could die, and its pid could pass to an innocent process, before
//! the hold is taken.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::error::Error;
use crate::os::peer::{Process, parent_and_state};
use crate::process::control::{AGAIN_AFTER, client};
use crate::process::entry::Entry;
use crate::process::fallback;
use crate::process::pidfile;
use crate::process::verify::{self, Found, Standing};

/// How long the kernel may take to end a process after SIGKILL.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a process that no longer holds its file may take to end.
const END_PATIENCE: Duration = Duration::from_secs(1);
/// How long the workers of a killed master may take to end.
const WORKERS_PATIENCE: Duration = Duration::from_secs(1);

/// What is asked of the masters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// End now, workers included.
    Stop,
    /// Take no more connections, finish what is under way, then end.
    Shutdown,
}

impl Verb {
    fn call(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The masters that have ended (stop), or are on their way out (shutdown).
    pub masters: Vec<u32>,
    /// How many files of dead masters were removed.
    pub stale_removed: usize,
    /// The calling process is itself a master of the directory. It was left alone: the caller does that part.
    pub own: bool,
}

/// One verified master that was asked.
struct Errand {
    dir: PathBuf,
    found: Found,
    process: Process,
    /// Its workers that have a pid file, held so that they can be seen to go.
    workers: Vec<Process>,
    connection: io::Result<UnixStream>,
}

/// Stops, or starts to shut down, every master of `dir`; blocks until that is done.
///
/// Stop: returns when every master and its files are gone; a master that is still there after `patience` gets SIGKILL.
/// Shutdown: returns when every master has said that it takes no more connections; a master that does not say so within
/// `patience` gets SIGTERM and is not waited for. A directory that is missing, empty or full of other files is no error.
/// Several calls, also from several processes at once, do no harm.
///
/// # Errors
/// [`Error::Pids`] when the directory can't be read; [`Error::Control`] for the first master that could not be dealt
/// with, for example because it is another user's. The others have been dealt with nevertheless.
pub fn stop_all(dir: &Path, verb: Verb, patience: Duration) -> Result<Outcome, Error> {
    let until = Instant::now() + patience;
    let mut outcome = Outcome::default();
    let mut problems = Vec::new();
    let mut errands = Vec::new();
    for dir in std::iter::once(dir.to_owned()).chain(fallback::find(dir)) {
        let failed = |source| Error::Pids { path: dir.clone(), source };
        outcome.stale_removed += pidfile::clear_stale(&dir).map_err(failed)?;
        for (found, standing) in verify::survey(&dir).map_err(failed)? {
            match standing {
                Standing::Live if found.pid == process::id() => outcome.own = true,
                Standing::Live => errands.extend(Errand::begin(&dir, found, verb, until)),
                Standing::Unknown => problems.push(unverifiable(found.pid)),
                Standing::Elsewhere | Standing::Stale | Standing::Foreign => {}
            }
        }
    }
    for errand in errands {
        let done = match verb {
            Verb::Stop => errand.finish_stop(until),
            Verb::Shutdown => errand.finish_shutdown(patience, until),
        };
        match done {
            Ok(()) => outcome.masters.push(errand.found.pid),
            Err(problem) => problems.push(Error::Control { pid: errand.found.pid, problem }),
        }
    }
    problems.into_iter().next().map_or(Ok(outcome), Err)
}

impl Errand {
    /// Takes hold of the master, verifies it again now that its pid can't change hands, and asks it; `None` if it has
    /// gone meanwhile.
    fn begin(dir: &Path, found: Found, verb: Verb, until: Instant) -> Option<Self> {
        let process = Process::open(found.pid)?;
        if verify::examine(&found.path, found.pid) != Standing::Live {
            return None;
        }
        let workers = if verb == Verb::Stop { workers_of(dir, found.pid) } else { Vec::new() };
        let socket = Entry::Socket(found.pid).path(dir);
        let connection = client::send(&socket, found.pid, verb.call(), &Value::Null, until);
        Some(Self { dir: dir.to_owned(), found, process, workers, connection })
    }

    fn finish_stop(&self, until: Instant) -> Result<(), String> {
        // A master that can't be asked does not end by itself.
        let until = if self.connection.is_ok() { until } else { Instant::now() };
        if !self.process.wait_gone(until) {
            self.kill()?;
            if !self.process.wait_gone(Instant::now() + KILL_PATIENCE) {
                return Err("it does not end, not even by SIGKILL".to_owned());
            }
        }
        self.clear_up();
        Ok(())
    }

    fn finish_shutdown(&self, patience: Duration, until: Instant) -> Result<(), String> {
        let first = self.connection.as_ref().ok().and_then(|stream| client::receive(stream, until).ok());
        let again = |wait: u64| {
            // The master lets clients in for so long, so that balancers turn to other servers first.
            std::thread::sleep(Duration::from_millis(wait));
            let (socket, pid) = (Entry::Socket(self.found.pid).path(&self.dir), self.found.pid);
            client::ask(&socket, pid, Verb::Shutdown.call(), &Value::Null, Instant::now() + patience).ok()
        };
        let wait = first.as_ref().and_then(|it| it.get(AGAIN_AFTER)?.as_u64());
        let answer = wait.map_or(first, again);
        let has_agreed = answer.is_some_and(|it| it.get("ok") == Some(&Value::Bool(true)));
        if has_agreed || self.process.is_gone() { Ok(()) } else { self.signal(Signal::SIGTERM) }
    }

    /// Kills the master. A pinned hold needs no second verification: it stays with the verified process, also when that has
    /// closed its files and is stuck on its way out.
    fn kill(&self) -> Result<(), String> {
        if self.process.is_pinned() { self.send(Signal::SIGKILL) } else { self.signal(Signal::SIGKILL) }
    }

    /// Signals the master, if it still is one.
    fn signal(&self, signal: Signal) -> Result<(), String> {
        match verify::examine(&self.found.path, self.found.pid) {
            Standing::Live => self.send(signal),
            // The master has just closed its files: it is on its way out.
            Standing::Stale | Standing::Foreign => Ok(()),
            // A process that is ending has closed its files an instant before the kernel lets go of its locks.
            Standing::Elsewhere | Standing::Unknown
                if self.process.wait_gone(Instant::now() + END_PATIENCE) =>
            {
                Ok(())
            }
            Standing::Elsewhere | Standing::Unknown => Err("its pid file changed hands".to_owned()),
        }
    }

    fn send(&self, signal: Signal) -> Result<(), String> {
        self.process.signal(signal).map_err(|error| format!("{signal}: {error}"))
    }

    /// Removes what a master that was killed could not remove itself.
    fn clear_up(&self) {
        // The kernel kills its workers with it. Their files are stale once they are gone.
        let until = Instant::now() + WORKERS_PATIENCE;
        let _ = self.workers.iter().all(|worker| worker.wait_gone(until));
        // The next start or stop clears what could not be cleared now.
        let _ = pidfile::clear_stale(&self.dir);
    }
}

/// The workers of this master that have a pid file. They are held first and then seen to be its children, so that
/// nobody else is meant; reading a directory that has just gone finds none.
fn workers_of(dir: &Path, master: u32) -> Vec<Process> {
    let is_child = |pid| parent_and_state(pid).is_some_and(|(parent, _)| parent == master);
    let entries = Entry::list(dir).unwrap_or_default();
    let hold = |(entry, _)| match entry {
        Entry::Worker(pid) => Process::open(pid).filter(|_| is_child(pid)),
        Entry::Master(_) | Entry::Socket(_) | Entry::MasterDraft(_) | Entry::WorkerDraft(_) => None,
    };
    entries.into_iter().filter_map(hold).collect()
}

fn unverifiable(pid: u32) -> Error {
    let problem = "there is no telling whether it wrote its pid file; it may be another user's".to_owned();
    Error::Control { pid, problem }
}
