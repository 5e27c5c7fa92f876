//! The monitor's only way to the rest of the program: what it may ask of the supervisor.
//!
//! The supervisor implements [`Source`]; the monitor's threads call it. Nothing here holds up the monitor: a lock is held
//! for the copy of a snapshot at most, and only the client who gives an order waits until the supervisor's queue has room.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::ecv::Change;
use crate::event::MonitorRequest;
use crate::monitor::data::stats::Stats;

/// Room for an order in the supervisor's queue, then the answer to come, which is JSON; `None` when the supervisor has
/// ended.
pub type Ordered = Pin<Box<dyn Future<Output = Option<oneshot::Receiver<Bytes>>> + Send>>;

/// What the answers are made from.
pub trait Source: Send + Sync {
    /// A copy of what is known of the cluster at this moment.
    fn stats(&self) -> Stats;

    /// Takes the cluster out of rotation or puts it back; done when it returns.
    fn rotate(&self, disabled: bool, change: Change);

    /// A number that grows with every change of the snapshot, but for what workers write by themselves.
    fn revision(&self) -> u64;

    /// Passes an order on.
    fn order(&self, order: Order) -> Ordered;

    /// What the application adds to the metrics, in Prometheus' text format.
    fn app_metrics(&self) -> Arc<str>;

    /// Hands a request to JavaScript, whose loop may not turn for a while.
    fn ask(&self, request: MonitorRequest);
}

/// Something for the supervisor to do.
#[derive(Debug)]
pub struct Order {
    /// `reload`, `scale` or `recycle`, as on the control socket.
    pub call: &'static str,
    /// Its arguments.
    pub args: Value,
    /// Who wants it, for people.
    pub by: String,
}
