//! The option `monitor`: who may read the monitor, and whether it may be used to steer the cluster.
//!
//! Called by the parent module. Invariant: there is no control without a token.

use serde_json::Value;

use super::nearest;
use super::read::{Problem, is_falsy, parts, token};
use crate::ecv::guard::Token;

/// What the monitor lets people do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Monitor {
    /// Whether a client with the token may enable, disable, reload, scale and recycle.
    pub control: bool,
    /// The secret that everything but the health paths asks for.
    pub token: Option<Token>,
}

/// An object; falsy values are the default, which is open to read and changes nothing.
pub(super) fn read(value: &Value, warnings: &mut Vec<String>) -> Result<Monitor, Problem> {
    let mut monitor = Monitor::default();
    if is_falsy(value) {
        return Ok(monitor);
    }
    for (name, value) in parts(value, "must be an object")? {
        match name.as_str() {
            "control" => monitor.control = !is_falsy(value),
            "token" => monitor.token = token(value).map_err(|problem| problem.below(".token"))?,
            unknown => warnings.push(nearest::warning("monitor.", unknown, ["control", "token"])),
        }
    }
    if monitor.control && monitor.token.is_none() {
        let value = value.get("token").unwrap_or(&Value::Null);
        return Err(Problem::new("must be given with `monitor.control`", value).below(".token"));
    }
    Ok(monitor)
}
