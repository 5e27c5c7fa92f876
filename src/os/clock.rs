//! The clock of the scoreboard: `CLOCK_MONOTONIC`, which all processes of a machine read alike.

use nix::time::{ClockId, clock_gettime};

/// Now, in milliseconds since some moment before the machine's first process.
#[must_use]
pub fn monotonic_ms() -> f64 {
    // Every Linux has this clock; without it nothing would seem to age.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from).unwrap_or_default();
    now.as_secs_f64() * 1000.0
}
