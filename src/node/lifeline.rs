//! `endWithMaster`: ties a worker's life to its master's by the lifeline that it inherited.
//!
//! `lib/cluster.js` calls it once per worker, before the application runs.

use napi_derive::napi;

use crate::process::lifeline;
use crate::process::spawn::inherited;

/// Starts the thread that kills this worker when its master is gone.
#[napi]
pub fn end_with_master() {
    // Without a thread the kernel's parent-death signal and the end of the channel remain.
    let _ = lifeline::hold(inherited::LIFELINE);
}
