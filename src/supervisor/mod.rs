//! Decides what should happen to the workers, then does it.

pub mod backoff;
pub mod fleet;
pub mod slot;
