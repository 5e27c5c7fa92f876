//! How the workers are: hangs, heartbeats, and why one died.

pub(crate) mod cause;
pub(crate) mod hang;
pub(crate) mod heartbeat;
