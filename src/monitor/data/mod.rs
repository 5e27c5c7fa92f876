//! The facts: snapshots of the cluster and the machine, and the judgements and trends that follow from them.

pub mod app_metrics;
pub mod health;
pub mod history;
pub mod host;
pub mod stats;
pub(crate) mod trends;
