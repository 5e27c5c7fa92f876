//! Who gets which client.

pub(crate) mod blocked;
pub(crate) mod handoff;
pub(crate) mod rebalance;
