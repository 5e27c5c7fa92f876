//! How long a slot waits before it forks again after a death; pure.
//!
//! The fleet keeps one `Backoff` per slot. Back-off is the spacing between forks, not a pause after a death: a worker
//! that ran for longer than the delay is replaced at once. Invariant: no delay is longer than its cap, jitter included.

use std::time::{Duration, Instant};

/// The least and the most that is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spacing {
    /// Between forks after the second death in a row; doubled with each further one.
    pub min: Duration,
    /// The most, where one worker after the other is started and never gets ready.
    pub max: Duration,
    /// The most, as long as workers get ready, or can't be forked for a while: their place must not stay empty for long.
    pub max_once_ready: Duration,
    /// A worker that served for this long ends a row of deaths.
    pub stable_after: Duration,
    /// Until the second try after a successor has failed; doubled with each further failure.
    pub retry_min: Duration,
    /// The most between two successors of one worker.
    pub retry_max: Duration,
}

impl Default for Spacing {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(100),
            max: Duration::from_secs(30),
            max_once_ready: Duration::from_secs(1),
            stable_after: Duration::from_secs(5),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
        }
    }
}

impl Spacing {
    /// The spacing of forks after `failures` deaths in a row, the last `unready` of them of workers that never got ready.
    ///
    /// What is doubled stops a sixth below the cap, so that slots that fail together stay spread by their jitter even
    /// at the cap, and the cap is never passed.
    fn delay(&self, failures: u32, unready: u32, jitter: &mut Jitter) -> Duration {
        let up_to = |cap: Duration, failures: u32| {
            let wait =
                failures.checked_sub(2).map_or(Duration::ZERO, |doublings| doubled(self.min, doublings));
            wait.min(cap.saturating_mul(5) / 6)
        };
        // A start that fails says nothing of those before it that did not.
        let base = up_to(self.max_once_ready, failures).max(up_to(self.max, unready));
        jitter.spread(base).min(self.max)
    }

    /// How long to wait after the `failures`th successor of one worker has failed.
    pub(super) fn retry_delay(&self, failures: u32) -> Duration {
        doubled(self.retry_min, failures.saturating_sub(1)).min(self.retry_max)
    }
}

fn doubled(base: Duration, times: u32) -> Duration {
    base.saturating_mul(1 << times.min(30))
}

/// `now + wait`; a wait too long for the clock becomes the longest that fits a century.
pub(super) fn after(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now.checked_add(wait.min(CENTURY)).unwrap_or(now)
}

/// What the end of a worker says of the start of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// It took clients for so long.
    For(Duration),
    /// It never got ready.
    Never,
    /// It was not forked: the system was short of something. That says nothing.
    NotForked,
}

/// What one slot remembers of its forks and deaths.
#[derive(Debug)]
pub(super) struct Backoff {
    last_fork: Instant,
    failures: u32,
    /// Deaths in a row before the worker was ready.
    unready: u32,
}

impl Backoff {
    /// A slot whose first fork is now.
    pub(super) fn new(now: Instant) -> Self {
        Self { last_fork: now, failures: 0, unready: 0 }
    }

    /// Deaths in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes note of a fork in the slot.
    pub(super) fn forked(&mut self, now: Instant) {
        self.last_fork = now;
    }

    /// Takes note of a death; says when the slot may fork again.
    pub(super) fn died(&mut self, service: Service, spacing: &Spacing, jitter: &mut Jitter) -> Instant {
        let was_stable = matches!(service, Service::For(time) if time >= spacing.stable_after);
        self.failures = if was_stable { 1 } else { self.failures.saturating_add(1) };
        self.unready = match service {
            Service::For(_) => 0,
            Service::Never => self.unready.saturating_add(1),
            Service::NotForked => self.unready,
        };
        after(self.last_fork, spacing.delay(self.failures, self.unready, jitter))
    }
}

/// A small seeded generator (`SplitMix64`): the same seed spreads a fleet's delays in the same way again.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `wait`, up to a fifth shorter or longer.
    fn spread(&mut self, wait: Duration) -> Duration {
        let permille = 800 + u32::try_from(self.next() % 401).unwrap_or(200);
        wait.saturating_mul(permille) / 1000
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(service: Service, deaths: usize) -> Vec<Duration> {
        let (spacing, mut jitter, now) = (Spacing::default(), Jitter::new(7), Instant::now());
        let mut backoff = Backoff::new(now);
        (0..deaths).map(|_| backoff.died(service, &spacing, &mut jitter) - now).collect()
    }

    #[test]
    fn the_first_death_is_answered_at_once_and_later_ones_wait_twice_as_long_each() {
        let delays = delays(Service::Never, 8);
        assert_eq!(delays[0], Duration::ZERO);
        for (delay, middle) in delays[1..].iter().zip([100, 200, 400, 800, 1600, 3200, 6400]) {
            let range = Duration::from_millis(middle * 4 / 5)..=Duration::from_millis(middle * 6 / 5);
            assert!(range.contains(delay), "{delay:?} is not around {middle} ms");
        }
    }

    #[test]
    fn the_caps_hold_with_jitter_and_still_spread() {
        let never_ready = delays(Service::Never, 60);
        let served = delays(Service::For(Duration::from_millis(10)), 60);
        let not_forked = delays(Service::NotForked, 60);
        for (delays, cap) in [(never_ready, 30_000), (served, 1000), (not_forked, 1000)] {
            let cap = Duration::from_millis(cap);
            assert!(delays.iter().all(|delay| *delay <= cap));
            let at_cap = &delays[20..];
            assert!(at_cap.iter().all(|delay| *delay >= cap * 3 / 5));
            assert!(at_cap.iter().any(|delay| *delay != at_cap[0]));
        }
    }

    #[test]
    fn one_start_that_fails_after_many_deaths_in_service_leaves_the_place_empty_no_longer_than_they_did() {
        let (spacing, mut jitter, now) = (Spacing::default(), Jitter::new(7), Instant::now());
        let mut backoff = Backoff::new(now);
        for _ in 0..12 {
            backoff.died(Service::For(Duration::from_secs(1)), &spacing, &mut jitter);
        }
        for _ in 0..4 {
            assert!(backoff.died(Service::Never, &spacing, &mut jitter) - now <= spacing.max_once_ready);
        }
        let last = (0..8).map(|_| backoff.died(Service::Never, &spacing, &mut jitter)).last().unwrap();
        assert!(last - now >= Duration::from_secs(20), "starts that keep failing wait as ever");
    }

    #[test]
    fn a_shortage_neither_makes_a_crash_loop_nor_hides_one() {
        let (spacing, mut jitter, now) = (Spacing::default(), Jitter::new(7), Instant::now());
        let mut backoff = Backoff::new(now);
        for _ in 0..20 {
            backoff.died(Service::NotForked, &spacing, &mut jitter);
        }
        assert!(backoff.died(Service::Never, &spacing, &mut jitter) - now <= spacing.max_once_ready);
        for _ in 0..12 {
            backoff.died(Service::Never, &spacing, &mut jitter);
        }
        let next = backoff.died(Service::NotForked, &spacing, &mut jitter);
        assert!(next - now >= Duration::from_secs(20), "starts that keep failing wait as ever");
    }

    #[test]
    fn a_stable_worker_ends_the_row() {
        let (spacing, mut jitter, now) = (Spacing::default(), Jitter::new(7), Instant::now());
        let mut backoff = Backoff::new(now);
        for _ in 0..5 {
            backoff.died(Service::Never, &spacing, &mut jitter);
        }
        assert_eq!(backoff.died(Service::For(spacing.stable_after), &spacing, &mut jitter), now);
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn a_failing_successor_is_tried_again_between_a_second_and_a_minute_later() {
        let seconds = [1, 2, 3, 6, 7, 1000].map(|n| Spacing::default().retry_delay(n).as_secs());
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn a_wait_beyond_the_clock_is_no_panic() {
        let now = Instant::now();
        assert!(after(now, Duration::MAX) > now);
    }
}
