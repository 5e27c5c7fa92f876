//! A moment on both clocks: one that never jumps, for ages, and the wall clock, for people.
//!
//! Whoever remembers when something happened keeps a [`Timestamp`]; the wall clock may be set back or forth at any moment,
//! so its part is shown and never subtracted.

use std::time::{Duration, Instant, SystemTime};

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// By the clock that never jumps.
    pub instant: Instant,
    /// By the wall clock at that moment.
    pub time: SystemTime,
}

impl Timestamp {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self { instant: Instant::now(), time: SystemTime::now() }
    }

    /// What the wall clock showed at `instant`, seen from this moment.
    #[must_use]
    pub fn at(self, instant: Instant) -> Self {
        let since = instant.saturating_duration_since(self.instant);
        let before = self.instant.saturating_duration_since(instant);
        Self { instant, time: self.time + since - before }
    }

    /// How long ago it was at `now`.
    #[must_use]
    pub fn age(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_does_not_depend_on_the_wall_clock() {
        let began = Timestamp::now();
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        for time in [began.time + second, began.time - hour, began.time + hour] {
            let now = Timestamp { instant: began.instant + second, time };
            assert_eq!(began.age(now.instant), second);
            assert_eq!(now.at(began.instant), Timestamp { instant: began.instant, time: time - second });
            assert_eq!(began.at(now.instant).time, began.time + second);
        }
        assert_eq!(began.at(began.instant + second).age(began.instant), Duration::ZERO);
    }
}
