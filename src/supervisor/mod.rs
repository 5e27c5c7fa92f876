//! Decides what should happen to the workers, then does it.

pub mod backoff;
pub mod contract;
pub mod fleet;
mod recycle;
mod reload;
mod scale;
pub mod slot;

#[cfg(test)]
mod fleet_tests;
#[cfg(test)]
mod reload_tests;
