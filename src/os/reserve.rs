//! Descriptors that are kept back, so that supervision goes on when the process or the system has none left.
//!
//! The supervisor makes one [`Reserve`] and runs through it what must not fail for want of descriptors: a fork. An
//! operation that fails for want of descriptors gets those of the reserve and runs once more. Before a worker sends a
//! descriptor again that this process had no room for, the reserve is let go as well. It fills itself up again at the next
//! operation.
//! Each kept descriptor is an open file of its own, so that letting it go helps against the system's limit as well.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

/// How many descriptors supervision keeps for itself: those of a fork (two ends of a channel, what the child inherits, the
/// pidfd), and of connections and handles that arrive meanwhile.
pub const FOR_SUPERVISION: usize = 16;
/// How soon something is tried again that failed because descriptors or the kernel's memory were short.
pub const TRY_AGAIN: Duration = Duration::from_millis(50);
/// How rarely a shortage is told.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// A number of descriptors that are held for the moment in which there are no others.
#[derive(Debug)]
pub struct Reserve {
    size: usize,
    held: RefCell<Vec<File>>,
    /// It had to be let go since that was last told.
    is_news: Cell<bool>,
    told: Cell<Option<Instant>>,
}

impl Reserve {
    /// Takes `size` descriptors, or as many of them as there are.
    #[must_use]
    pub fn new(size: usize) -> Self {
        let reserve =
            Self { size, held: RefCell::default(), is_news: Cell::new(false), told: Cell::new(None) };
        reserve.fill();
        reserve
    }

    /// Runs `operation`; if it fails for want of descriptors, lets the reserve go and runs it once more.
    ///
    /// # Errors
    /// What the last run of `operation` says.
    pub fn run<T>(&self, mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.fill();
        match operation() {
            Err(error) if is_want_of_descriptors(&error) && self.let_go() => operation(),
            done => done,
        }
    }

    fn fill(&self) {
        let mut held = self.held.borrow_mut();
        while held.len() < self.size {
            let Ok(file) = File::open("/dev/null") else { return };
            held.push(file);
        }
    }

    /// Something had to do without a descriptor, or wait for the kernel.
    pub fn note_shortage(&self) {
        self.is_news.set(true);
    }

    /// Lets the reserve go, for a descriptor that is about to arrive; says whether there was anything to let go.
    pub fn let_go(&self) -> bool {
        self.note_shortage();
        !self.held.take().is_empty()
    }

    /// Whether people should be told that descriptors are short: it was let go, and that was not told lately.
    #[must_use]
    pub fn is_worth_telling(&self, now: Instant) -> bool {
        let is_old = self.told.get().is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY);
        let is_due = self.is_news.take() && is_old;
        if is_due {
            self.told.set(Some(now));
        }
        is_due
    }
}

/// Whether an operation failed because the process (`EMFILE`) or the system (`ENFILE`) has no descriptor left.
#[must_use]
pub fn is_want_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Whether a message could not pass a socket because the kernel is short of something that it will have again: memory, or
/// room for descriptors under way. All that programs of this user have sent and nobody has received count for that.
#[must_use]
pub fn is_shortage_in_kernel(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ETOOMANYREFS | libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_without_descriptors_gets_those_of_the_reserve_once() {
        let reserve = Reserve::new(2);
        let held = || reserve.held.borrow().len();
        let mut runs = Vec::new();
        let done = reserve.run(|| {
            runs.push(held());
            if held() > 0 { Err(io::Error::from_raw_os_error(libc::EMFILE)) } else { Ok(7) }
        });
        assert_eq!((done.unwrap(), runs), (7, vec![2, 0]));
        reserve.run(|| Ok(())).unwrap();
        assert_eq!(held(), 2, "it fills itself up again");

        let mut runs = 0;
        let failed = reserve.run(|| {
            runs += 1;
            Err::<(), _>(io::Error::from_raw_os_error(libc::ENFILE))
        });
        assert_eq!((failed.unwrap_err().raw_os_error(), runs), (Some(libc::ENFILE), 2));
    }

    #[test]
    fn an_operation_that_fails_for_another_reason_runs_once_and_leaves_the_reserve() {
        let reserve = Reserve::new(1);
        let mut runs = 0;
        let failed = reserve.run(|| {
            runs += 1;
            Err::<(), _>(io::Error::from_raw_os_error(libc::EPERM))
        });
        assert_eq!((failed.unwrap_err().raw_os_error(), runs), (Some(libc::EPERM), 1));
        assert_eq!(reserve.held.borrow().len(), 1);
    }
}
