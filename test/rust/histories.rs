//! What simulations have in common: a seed that is named when its history fails, random choices that follow from it, and
//! what is going to happen when.
//!
//! `fleet_simulation.rs` and `src/supervisor/connections/tests/` include this file.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A number from the environment, or `default`.
pub(super) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Names the seed of a history that fails.
pub(super) struct Shout(pub(super) u64);

impl Drop for Shout {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("replay with SEED={} HISTORIES=1 TRACE=1", self.0);
        }
    }
}

/// `SplitMix64`.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, without it.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Whether something comes true that does so in `chance` of a hundred cases.
    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// From nothing to `most` milliseconds.
    pub(super) fn ms(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most + 1))
    }

    /// One of these, if there is one.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let at = self.below(u64::try_from(from.len()).unwrap().max(1));
        from.get(usize::try_from(at).unwrap()).copied()
    }
}

/// What is going to happen, each thing at its time; what comes at the same time comes in the order in which it was added.
pub(super) struct Agenda<T> {
    pub(super) entries: BTreeMap<(Instant, u64), T>,
    added: u64,
}

/// What comes next.
pub(super) enum Next<T> {
    Happening(T),
    /// The deadline that was named.
    Deadline,
}

impl<T> Agenda<T> {
    pub(super) fn new() -> Self {
        Self { entries: BTreeMap::new(), added: 0 }
    }

    pub(super) fn add(&mut self, at: Instant, happening: T) {
        self.added += 1;
        self.entries.insert((at, self.added), happening);
    }

    /// Lets the time `now` pass until the next happening or `deadline`; `None` where that would be after `end`.
    pub(super) fn next(
        &mut self,
        now: &mut Instant,
        deadline: Option<Instant>,
        end: Option<Instant>,
    ) -> Option<Next<T>> {
        let happening = self.entries.keys().next().map(|(at, _)| *at);
        let deadline = deadline.map(|at| at.max(*now));
        let next = happening.into_iter().chain(deadline).min();
        let Some(next) = next.filter(|next| end.is_none_or(|end| *next <= end)) else {
            *now = end.map_or(*now, |end| end.max(*now));
            return None;
        };
        *now = next.max(*now);
        if happening == Some(next) {
            self.entries.pop_first().map(|(_, happening)| Next::Happening(happening))
        } else {
            Some(Next::Deadline)
        }
    }
}
