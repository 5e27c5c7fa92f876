//! What is shown: snapshots of the cluster and the machine, and what is derived from them.

pub mod health;
pub mod history;
pub mod host;
pub mod stats;
pub(crate) mod trends;
