//! The thread that writes and removes pid files, so that a disk that hangs holds up nobody else.
//!
//! `supervisor::setup` hands the [`PidDir`] over to a thread named `cluster2-disk`; the supervisor sends it jobs through
//! [`PidFiles`] and never touches the directory itself. Scripts expect a worker's file to be there when `forked` is emitted,
//! so the supervisor waits for that job, for `PATIENCE` at most. Once that was too short it waits no more until the disk
//! has done everything that it owes: a disk that hangs costs supervision one wait. A disk that owes something for `SLOW`
//! is told of.
//! The thread ends with its [`PidFiles`].

use std::fmt::{self, Display, Formatter};
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::pidfile::PidDir;
use crate::os::quiet_thread;

/// As `top` and `/proc` show it.
const NAME: &str = "cluster2-disk";
/// How long a worker's birth waits for its file.
const PATIENCE: Duration = Duration::from_millis(20);
/// After how long people are told that the disk does not answer; a busy machine is late by less.
const SLOW: Duration = Duration::from_secs(1);
/// How long the end waits for all files to be gone.
const CLOSING: Duration = Duration::from_millis(300);

/// Something to be done on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    Started(u32),
    Gone(u32),
    Close,
}

/// What the supervisor should tell people about the disk.
#[derive(Debug)]
pub enum Trouble {
    /// The disk did not answer in time; said once.
    Slow,
    /// The file of the worker with this pid could not be written.
    Unwritten(u32, io::Error),
}

impl Display for Trouble {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow => write!(
                out,
                "the disk of the pids directory does not answer: the cluster goes on, its pid files are late"
            ),
            Self::Unwritten(pid, error) => write!(out, "cannot write the pid file of worker {pid}: {error}"),
        }
    }
}

/// The supervisor's way to its pid files.
#[derive(Debug)]
pub struct PidFiles {
    jobs: Sender<Job>,
    /// One answer per job, in their order.
    answers: Receiver<Option<Trouble>>,
    /// How many jobs have not been answered.
    owed: usize,
    /// When a wait was in vain; something is owed since.
    late_since: Option<Instant>,
    /// People know that the disk is slow.
    is_told: bool,
}

impl PidFiles {
    /// Starts the thread, which owns `dir` from then on.
    ///
    /// # Errors
    /// What the kernel says when it gives no thread.
    pub fn start(mut dir: PidDir) -> io::Result<Self> {
        Self::start_with(move |job| match job {
            Job::Started(pid) => dir.worker_started(pid).err().map(|error| Trouble::Unwritten(pid, error)),
            Job::Gone(pid) => {
                dir.worker_gone(pid);
                None
            }
            Job::Close => {
                dir.close();
                None
            }
        })
    }

    fn start_with(mut work: impl FnMut(Job) -> Option<Trouble> + Send + 'static) -> io::Result<Self> {
        let (jobs, heard) = channel();
        let (told, answers) = channel();
        let body = move || {
            for job in heard {
                // Nobody may be left to hear the answer; the jobs are done all the same.
                let _ = told.send(work(job));
            }
        };
        quiet_thread::start(NAME, Builder::new(), body)?;
        Ok(Self { jobs, answers, owed: 0, late_since: None, is_told: false })
    }

    /// Writes the file of a worker that was just started; says what is to be told.
    pub fn worker_started(&mut self, pid: u32, now: Instant) -> Vec<Trouble> {
        self.send(Job::Started(pid));
        let patience = if self.late_since.is_some() { Duration::ZERO } else { PATIENCE };
        let troubles = self.wait(patience);
        if self.owed > 0 {
            self.late_since.get_or_insert(now);
        }
        troubles
    }

    /// When [`Self::look`] may have something to tell.
    #[must_use]
    pub fn next_look(&self) -> Option<Instant> {
        self.late_since.filter(|_| !self.is_told).map(|since| since + SLOW)
    }

    /// Takes in what the disk has done meanwhile; says what is to be told.
    pub fn look(&mut self, now: Instant) -> Vec<Trouble> {
        let mut troubles = self.wait(Duration::ZERO);
        if self.next_look().is_some_and(|at| at <= now) {
            self.is_told = true;
            troubles.push(Trouble::Slow);
        }
        troubles
    }

    /// Removes the file of a worker that has died, some time later.
    pub fn worker_gone(&mut self, pid: u32) {
        self.send(Job::Gone(pid));
    }

    fn send(&mut self, job: Job) {
        if self.jobs.send(job).is_ok() {
            self.owed += 1;
        }
    }

    /// Takes the answers of the disk until nothing is owed or the time is over.
    fn wait(&mut self, patience: Duration) -> Vec<Trouble> {
        let until = Instant::now() + patience;
        let mut troubles = Vec::new();
        while self.owed > 0 {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(answer) = self.answers.recv_timeout(left) else { break };
            self.owed -= 1;
            troubles.extend(answer);
        }
        if self.owed == 0 {
            self.late_since = None;
        }
        troubles
    }
}

/// Removes all files and waits for that, but not for ever.
impl Drop for PidFiles {
    fn drop(&mut self) {
        self.send(Job::Close);
        // Whatever can't be written or removed now is stale, and the next start clears it.
        let _ = self.wait(CLOSING);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_disk_that_hangs_costs_one_wait_and_is_told_once_until_it_has_caught_up() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let done = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&done);
        // Each job of this disk hangs until a byte comes.
        let mut files = PidFiles::start_with(move |job| {
            reader.read_exact(&mut [0]).unwrap();
            done.lock().unwrap().push(job);
            None
        })
        .unwrap();

        let begin = Instant::now();
        assert!(files.worker_started(1, begin).is_empty());
        assert!(begin.elapsed() >= PATIENCE);
        assert_eq!(files.next_look(), Some(begin + SLOW));
        assert!(files.look(begin).is_empty());
        assert!(matches!(files.look(begin + SLOW)[..], [Trouble::Slow]));
        assert_eq!(files.next_look(), None);
        let begin = Instant::now();
        files.worker_gone(1);
        for pid in 2..52 {
            assert!(files.worker_started(pid, begin).is_empty());
        }
        assert!(begin.elapsed() < PATIENCE * 10, "{:?}", begin.elapsed());

        writer.write_all(&[0; 52]).unwrap();
        while files.owed > 0 {
            files.wait(PATIENCE);
        }
        let expected = [Job::Started(1), Job::Gone(1)].into_iter().chain((2..52).map(Job::Started));
        assert!(seen.lock().unwrap().iter().copied().eq(expected));
        // It waits again for a disk that has caught up, and does not say twice that it is slow.
        assert_eq!(files.late_since, None);
        assert!(files.worker_started(53, begin).is_empty());
        assert_eq!((files.late_since, files.next_look()), (Some(begin), None));
        writer.write_all(&[0; 10]).unwrap();
    }

    #[test]
    fn what_could_not_be_written_is_told() {
        let error = || io::Error::from(io::ErrorKind::StorageFull);
        let mut files = PidFiles::start_with(move |job| match job {
            Job::Started(pid) => Some(Trouble::Unwritten(pid, error())),
            Job::Gone(_) | Job::Close => None,
        })
        .unwrap();
        assert!(matches!(files.worker_started(5, Instant::now())[..], [Trouble::Unwritten(5, _)]));
    }

    #[test]
    fn the_end_does_not_wait_for_a_disk_that_hangs() {
        let (mut reader, writer) = io::pipe().unwrap();
        let files = PidFiles::start_with(move |_| {
            let _ = reader.read(&mut [0]);
            None
        })
        .unwrap();
        let begin = Instant::now();
        drop(files);
        assert!((CLOSING..CLOSING * 10).contains(&begin.elapsed()), "{:?}", begin.elapsed());
        drop(writer);
    }
}
