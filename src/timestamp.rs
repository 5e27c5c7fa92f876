//! A moment on both clocks of the machine: one that never jumps, for ages, and the wall clock, for people.
//!
//! Whoever remembers for people when something happened keeps a [`Timestamp`]; the wall clock may be set back or forth at
//! any moment, so its part is shown and never subtracted.
//! The supervisor counts its deadlines in `Instant`s of its fair clock, which falls behind the clocks of the machine. So no
//! function takes an `Instant` here: the two can't be mixed.

use std::time::{Duration, Instant, SystemTime};

/// When something happened, or will happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// By the clock that never jumps.
    instant: Instant,
    /// By the wall clock at that moment.
    pub time: SystemTime,
}

impl Timestamp {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self { instant: Instant::now(), time: SystemTime::now() }
    }

    /// The moment so much later, as the wall clock shows it if nobody sets it.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { instant: self.instant + wait, time: self.time + wait }
    }

    /// How long ago it was at `now`; nothing, if it is yet to come.
    #[must_use]
    pub fn age(self, now: Self) -> Duration {
        now.instant.saturating_duration_since(self.instant)
    }

    /// The same moment, by a wall clock that shows another time.
    #[must_use]
    pub fn with_time(self, time: SystemTime) -> Self {
        Self { time, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_does_not_depend_on_the_wall_clock() {
        let began = Timestamp::now();
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        let later = began.after(second);
        assert_eq!(later.time, began.time + second);
        for time in [later.time, began.time - hour, began.time + hour] {
            assert_eq!(began.age(later.with_time(time)), second);
        }
        assert_eq!(later.age(began), Duration::ZERO);
    }
}
