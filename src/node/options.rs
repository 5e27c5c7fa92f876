//! `parseOptions`: the one place where options are checked, for master and workers alike.

use std::path::PathBuf;

use napi_derive::napi;
use serde_json::{Value, json};

use super::convert::Result;
use crate::options::{self, Machine, Options};

/// The facts of this process and machine that the parser needs.
pub(crate) fn machine() -> Machine {
    Machine {
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        death_timeout: std::env::var("DEATH_TIMEOUT").ok(),
        linux: cfg!(target_os = "linux"),
        is_interface: |zone| crate::socket::ip::interface(zone).is_some(),
    }
}

/// Checks `raw` and gives back `{options, warnings}`, every default filled in.
///
/// # Errors
/// `ERR_CLUSTER2_INVALID_OPTION`.
#[napi]
pub fn parse_options(raw: Value) -> Result<Value> {
    let parsed = options::parse(&raw, &machine())?;
    Ok(json!({ "options": parsed.options.to_json(), "warnings": parsed.warnings }))
}

/// Every option with its default, as `Cluster.defaultOptions` shows them.
#[napi]
#[must_use]
pub fn default_options() -> Value {
    Options::defaults(&machine()).to_json()
}
