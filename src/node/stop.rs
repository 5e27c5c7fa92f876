//! `stopMasters`: ends the clusters of a pids directory from another process.
//!
//! Runs on a thread of libuv's pool, since it waits for the masters.

use std::path::PathBuf;
use std::time::Duration;

use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Task};
use napi_derive::napi;

use crate::process::stop::{Verb, stop_all};

/// The wait for all masters of a directory.
pub struct StopMasters {
    dir: PathBuf,
    verb: Verb,
    patience: Duration,
}

/// What was done. An error is a value here, since a rejection by napi would lose its code.
#[napi(object)]
#[derive(Default)]
pub struct MastersStopped {
    /// Pids of the masters that have ended (stop) or take no more connections (shutdown).
    pub masters: Vec<u32>,
    /// Whether this process is one of them; it was left alone.
    pub own: bool,
    /// Files of dead masters that were removed.
    pub stale_removed: u32,
    /// The code of what failed.
    pub error_code: Option<String>,
    /// What failed.
    pub error_text: Option<String>,
}

impl Task for StopMasters {
    type Output = MastersStopped;
    type JsValue = MastersStopped;

    fn compute(&mut self) -> napi::Result<MastersStopped> {
        Ok(match stop_all(&self.dir, self.verb, self.patience) {
            Ok(outcome) => MastersStopped {
                masters: outcome.masters,
                own: outcome.own,
                stale_removed: u32::try_from(outcome.stale_removed).unwrap_or(u32::MAX),
                ..MastersStopped::default()
            },
            Err(error) => MastersStopped {
                error_code: Some(error.code().to_owned()),
                error_text: Some(error.full_text()),
                ..MastersStopped::default()
            },
        })
    }

    fn resolve(&mut self, _env: Env, output: MastersStopped) -> napi::Result<MastersStopped> {
        Ok(output)
    }
}

/// Stops every live master of `dir`, or gracefully shuts it down.
#[napi]
#[must_use]
pub fn stop_masters(dir: String, gracefully: bool, patience_ms: u32) -> AsyncTask<StopMasters> {
    let verb = if gracefully { Verb::Shutdown } else { Verb::Stop };
    let patience = Duration::from_millis(patience_ms.into());
    AsyncTask::new(StopMasters { dir: dir.into(), verb, patience })
}
