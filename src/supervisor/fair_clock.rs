//! A clock that stands still while the master itself does; pure.
//!
//! Deadlines judge workers, and clients that wait in a queue. When everything was stopped for a while (`docker pause`, a
//! suspended machine, a stopped process group), nobody could do in that time what was to be done, so it counts against
//! nobody. While such a deadline is pending the loop wakes every [`PULSE`]; a wake-up that comes much later shows how long
//! everything stood still.

use std::time::{Duration, Instant};

/// How often the loop wakes while somebody is judged.
pub(crate) const PULSE: Duration = Duration::from_millis(250);
/// A wake-up that is later than this by itself shows that the master did not run.
const LATE: Duration = Duration::from_millis(500);

/// The clock.
#[derive(Debug)]
pub(crate) struct FairClock {
    /// The time that does not count.
    stood_still: Duration,
    last: Instant,
    /// The loop was to wake within [`PULSE`].
    is_pulsing: bool,
}

impl FairClock {
    /// A clock that begins now.
    pub(crate) fn new(now: Instant) -> Self {
        Self { stood_still: Duration::ZERO, last: now, is_pulsing: false }
    }

    /// Takes in the real time of a wake-up; gives the fair time.
    pub(crate) fn wake(&mut self, real: Instant) -> Instant {
        let gap = real.saturating_duration_since(self.last);
        if self.is_pulsing && gap > PULSE + LATE {
            self.stood_still += gap.saturating_sub(PULSE);
        }
        self.last = real;
        self.fair(real)
    }

    /// When to wake, by the real clock, for what is due at `fair`; at the latest for the next pulse while somebody is judged.
    pub(crate) fn sleep_until(&mut self, fair: Option<Instant>, is_judging: bool) -> Option<Instant> {
        self.is_pulsing = is_judging;
        let due = fair.map(|at| at + self.stood_still);
        let pulse = is_judging.then(|| self.last + PULSE);
        due.into_iter().chain(pulse).min()
    }

    fn fair(&self, real: Instant) -> Instant {
        real.checked_sub(self.stood_still).unwrap_or(real)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_in_which_everything_stood_still_does_not_count() {
        let start = Instant::now();
        let mut clock = FairClock::new(start);
        let deadline = start + SECOND * 5;
        let mut real = start;
        assert_eq!(clock.sleep_until(Some(deadline), true), Some(start + PULSE));
        real += PULSE;
        assert_eq!(clock.wake(real), real);
        clock.sleep_until(Some(deadline), true);
        // Stopped for six seconds.
        real += SECOND * 6;
        let fair = clock.wake(real);
        assert!(fair < start + SECOND, "{:?}", fair - start);
        clock.sleep_until(Some(deadline), true);
        while real < start + SECOND * 10 {
            real += PULSE;
            assert!(clock.wake(real) < deadline);
            clock.sleep_until(Some(deadline), true);
        }
    }

    #[test]
    fn a_long_sleep_without_anybody_to_judge_is_an_ordinary_one() {
        let start = Instant::now();
        let mut clock = FairClock::new(start);
        let due = start + SECOND * 60;
        assert_eq!(clock.sleep_until(Some(due), false), Some(due));
        assert_eq!(clock.wake(due), due);
    }

    #[test]
    fn a_busy_loop_that_wakes_often_loses_no_time() {
        let start = Instant::now();
        let mut clock = FairClock::new(start);
        for step in 1..1000 {
            clock.sleep_until(None, true);
            let real = start + Duration::from_millis(300) * step;
            assert_eq!(clock.wake(real), real);
        }
    }
}
