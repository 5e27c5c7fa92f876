//! Threads that may wait for a disk, so that the monitor's own never does.
//!
//! Logs and modules give them jobs and await the results. A disk that hangs holds up these threads and the jobs that wait
//! for them, but nothing of health or supervision. The threads start with the first job; they end when their
//! [`FileThreads`] is dropped and their job is done.
//! Invariant: never more threads than allowed, and never more jobs in the queue.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Some threads with one queue.
#[derive(Debug)]
pub(crate) struct FileThreads {
    name: &'static str,
    threads: usize,
    queue: usize,
    jobs: Mutex<Option<SyncSender<Job>>>,
}

impl FileThreads {
    /// At most `threads`, with room for `queue` jobs that wait.
    pub(crate) fn new(name: &'static str, threads: usize, queue: usize) -> Self {
        Self { name, threads, queue, jobs: Mutex::default() }
    }

    /// Gives a job whose end is not awaited; `false` if there is no room for it.
    pub(crate) fn give(&self, job: impl FnOnce() + Send + 'static) -> bool {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.is_none() {
            *jobs = self.open();
        }
        jobs.as_ref().is_some_and(|jobs| jobs.try_send(Box::new(job)).is_ok())
    }

    /// Does `work` on one of the threads; `None` if there is no room for it. Dropped, the result is thrown away.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let job = move || {
            // The client may have left.
            let _ = tell.send(work());
        };
        if self.give(job) { told.await.ok() } else { None }
    }

    fn open(&self) -> Option<SyncSender<Job>> {
        let (jobs, waiting) = sync_channel(self.queue);
        let waiting = Arc::new(Mutex::new(waiting));
        let start = |_: &usize| {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new().name(self.name.into()).spawn(move || work_off(&waiting)).is_ok()
        };
        // One thread is enough to go on.
        let started = (0..self.threads).filter(start).count();
        (started > 0).then_some(jobs)
    }
}

fn work_off(waiting: &Mutex<Receiver<Job>>) {
    // The lock is held while waiting, not while working.
    let next = || waiting.lock().ok()?.recv().ok();
    while let Some(job) = next() {
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_elsewhere_and_a_full_queue_is_refused() {
        let threads = FileThreads::new("test", 1, 1);
        let name = threads.run(|| thread::current().name().map(str::to_owned)).await;
        assert_eq!(name, Some(Some("test".to_owned())));
        let (let_go, waits) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let hold = move || {
            let _ = begun.send(());
            let _ = waits.recv();
        };
        assert!(threads.give(hold));
        has_begun.await.unwrap();
        assert!(threads.give(|| {}));
        assert!(!threads.give(|| {}), "one works, one waits, and there is no room for a third");
        drop(let_go);
        while threads.run(|| 1).await != Some(1) {
            tokio::task::yield_now().await;
        }
    }
}
