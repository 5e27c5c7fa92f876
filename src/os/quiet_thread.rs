//! Threads that no signal of the application is ever delivered to, and calls that may take long or hang, made on such a
//! thread.
//!
//! A thread inherits the signal mask of the thread that starts it. So every signal is blocked for the moment of the start.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow};
use tokio::sync::oneshot;

/// Starts a thread that nobody waits for; the kernel keeps 15 characters of its name.
///
/// # Errors
/// What the kernel says when it gives no thread.
pub fn start(name: &str, builder: Builder, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let started = builder.name(name.to_owned()).spawn(body);
    mask.thread_set_mask()?;
    started.map(drop)
}

/// Makes a call on a thread of its own, while the thread of the caller does other things.
///
/// # Errors
/// What the kernel says when it gives no thread.
pub async fn call<T: Send + 'static>(name: &str, call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    // The caller may have given up.
    start(name, Builder::new(), move || drop(done.send(call())))?;
    result.await.map_err(io::Error::other)
}

/// Calls that may hang, as on a disk: made one at a time, on threads of one name, and waited for within one limit.
///
/// A call that hangs costs the limit once: until it ends, further calls fail at once and start no thread.
#[derive(Clone, Debug)]
pub struct TimedCalls {
    name: &'static str,
    limit: Duration,
    turn: Arc<Turn>,
}

/// Until when the call under way is waited for, if there is one.
#[derive(Debug, Default)]
struct Turn {
    busy_until: Mutex<Option<Instant>>,
    is_free: Condvar,
}

impl TimedCalls {
    /// Starts no thread yet.
    #[must_use]
    pub fn new(name: &'static str, limit: Duration) -> Self {
        Self { name, limit, turn: Arc::default() }
    }

    /// Makes a call, after the one that is under way, and waits for its end. A call that takes too long goes on alone.
    ///
    /// # Errors
    /// `ETIMEDOUT` when this call, or the one before it, takes too long; what the kernel says when it gives no thread.
    pub fn call<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let busy_until = self.turn.lock();
        let left = busy_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        let waited = self.turn.is_free.wait_timeout_while(busy_until, left, |until| until.is_some());
        let (busy_until, _) = waited.unwrap_or_else(PoisonError::into_inner);
        self.start(busy_until, call)?.recv_timeout(self.limit).map_err(|_| timed_out())
    }

    /// Begins a call and does not wait for its end.
    ///
    /// # Errors
    /// `ETIMEDOUT` while another call is under way; what the kernel says when it gives no thread.
    pub fn begin(&self, call: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.start(self.turn.lock(), call).map(drop)
    }

    fn start<T: Send + 'static>(
        &self,
        mut busy_until: MutexGuard<'_, Option<Instant>>,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Receiver<T>> {
        if busy_until.is_some() {
            return Err(timed_out());
        }
        let (done, result) = channel();
        let turn = Arc::clone(&self.turn);
        let body = move || {
            let value = call();
            *turn.lock() = None;
            turn.is_free.notify_one();
            // The caller may have given up.
            let _ = done.send(value);
        };
        start(self.name, Builder::new(), body)?;
        *busy_until = Some(Instant::now() + self.limit);
        Ok(result)
    }
}

impl Turn {
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.busy_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timed_out() -> io::Error {
    io::Error::from_raw_os_error(libc::ETIMEDOUT)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_call_that_hangs_costs_its_limit_once_and_no_further_thread() {
        let calls = TimedCalls::new("test", LIMIT);
        let (mut reader, writer) = io::pipe().unwrap();
        let begin = Instant::now();
        let hung = calls.call(move || reader.read(&mut [0]).is_ok());
        assert_eq!(hung.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() >= LIMIT);
        let begin = Instant::now();
        for _ in 0..1000 {
            let refused = calls.call(|| panic!("this call has no turn"));
            assert_eq!(refused.map(|()| 0).unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        assert!(begin.elapsed() < LIMIT * 20, "{:?}", begin.elapsed());
        // It ends, and others have their turn again.
        drop(writer);
        while calls.call(|| 7).ok() != Some(7) {
            assert!(begin.elapsed() < PATIENCE);
        }
    }

    #[test]
    fn a_call_waits_for_one_that_was_begun() {
        let calls = TimedCalls::new("test", PATIENCE);
        let (mut reader, mut writer) = io::pipe().unwrap();
        calls.begin(move || drop(reader.read(&mut [0]))).unwrap();
        assert_eq!(calls.begin(|| {}).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let other = calls.clone();
        let waiting = std::thread::spawn(move || other.call(|| 7).unwrap());
        io::Write::write_all(&mut writer, &[0]).unwrap();
        assert_eq!(waiting.join().unwrap(), 7);
    }

    #[test]
    fn a_thread_blocks_every_signal_and_its_starter_does_not() {
        let before = SigSet::thread_get_mask().unwrap();
        let calls = TimedCalls::new("test", PATIENCE);
        let inside = calls.call(|| SigSet::thread_get_mask().unwrap());
        assert!(inside.unwrap().contains(nix::sys::signal::Signal::SIGTERM));
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
