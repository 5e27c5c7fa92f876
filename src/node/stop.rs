//! `stopMasters`: ends the clusters of a pids directory from another process.
//!
//! Runs on a thread of libuv's pool, since it waits for the masters.

use std::path::PathBuf;
use std::time::Duration;

use napi::{Env, Task};
use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;
use serde_json::{Value, json};

use crate::process::stop::{Verb, stop_all};

/// The wait for all masters of a directory.
pub struct StopMasters {
    dir: PathBuf,
    verb: Verb,
    patience: Duration,
}

impl Task for StopMasters {
    type Output = Value;
    type JsValue = Value;

    fn compute(&mut self) -> napi::Result<Value> {
        let outcome = stop_all(&self.dir, self.verb, self.patience)
            .map_err(|error| napi::Error::from_reason(format!("{}: {error}", error.code())))?;
        Ok(json!({ "masters": outcome.masters, "own": outcome.own, "staleRemoved": outcome.stale_removed }))
    }

    fn resolve(&mut self, _env: Env, output: Value) -> napi::Result<Value> {
        Ok(output)
    }
}

/// Stops (`stop`) or gracefully shuts down (`shutdown`) every live master of `dir`; resolves with
/// `{masters: [pid], own: boolean, staleRemoved: count}`.
#[napi]
#[must_use]
pub fn stop_masters(dir: String, gracefully: bool, patience_ms: u32) -> AsyncTask<StopMasters> {
    let verb = if gracefully { Verb::Shutdown } else { Verb::Stop };
    let patience = Duration::from_millis(patience_ms.into());
    AsyncTask::new(StopMasters { dir: dir.into(), verb, patience })
}
