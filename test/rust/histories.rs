//! What simulations have in common: a seed that is named when its history fails, and random choices that follow from it.
//!
//! `fleet_simulation.rs` and `src/supervisor/connections/tests/` include this file.

use std::time::Duration;

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
