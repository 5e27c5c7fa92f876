//! Threads that no signal of the application is ever delivered to, and calls that may hang, made on such a thread.
//!
//! A thread inherits the signal mask of the thread that starts it. So every signal is blocked for the moment of the start.

use std::io;
use std::sync::mpsc::channel;
use std::thread::Builder;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};

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

/// Makes a call on a thread of its own and waits for its end, for `limit` at most. A call that takes longer goes on alone.
///
/// # Errors
/// `ETIMEDOUT` when the call takes too long; what the kernel says when it gives no thread.
pub fn call_within<T: Send + 'static>(
    limit: Duration,
    name: &str,
    call: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, result) = channel();
    // The caller may have given up.
    let body = move || drop(done.send(call()));
    start(name, Builder::new(), body)?;
    result.recv_timeout(limit).map_err(|_| io::Error::from_raw_os_error(libc::ETIMEDOUT))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_call_gives_its_result_and_one_that_hangs_costs_the_limit() {
        const LIMIT: Duration = Duration::from_millis(50);
        assert_eq!(call_within(Duration::from_secs(20), "test", || 7).unwrap(), 7);
        let (mut reader, writer) = io::pipe().unwrap();
        let begin = Instant::now();
        let hung = call_within(LIMIT, "test", move || reader.read(&mut [0]).is_ok());
        assert_eq!(hung.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((LIMIT..LIMIT * 20).contains(&begin.elapsed()), "{:?}", begin.elapsed());
        drop(writer);
    }

    #[test]
    fn a_thread_blocks_every_signal_and_its_starter_does_not() {
        let before = SigSet::thread_get_mask().unwrap();
        let inside = call_within(Duration::from_secs(20), "test", || SigSet::thread_get_mask().unwrap());
        assert!(inside.unwrap().contains(nix::sys::signal::Signal::SIGTERM));
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
