//! The option `monitor`: who may read the monitor, and whether it may be used to steer the cluster.
//!
//! Called by the parent module. Invariant: control without a token doesn't exist.

use serde_json::Value;

use super::nearest;
use super::read::{Problem, is_falsy, is_undefined, js_marker, token};
use crate::ecv::guard::Token;

/// What the monitor lets people do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Monitor {
    /// Whether who brings the token may enable, disable, reload, scale and recycle.
    pub control: bool,
    /// What everything but the health paths asks for.
    pub token: Option<Token>,
}

/// The parts of the option.
pub(super) const NAMES: [&str; 2] = ["control", "token"];

/// An object; falsy values are the default, which is open to read and changes nothing.
pub(super) fn read(value: &Value, warnings: &mut Vec<String>) -> Result<Monitor, Problem> {
    let mut monitor = Monitor::default();
    if is_falsy(value) {
        return Ok(monitor);
    }
    let given = value.as_object().filter(|_| js_marker(value).is_none());
    let given = given.ok_or_else(|| Problem::new("must be an object", value))?;
    for (name, value) in given.iter().filter(|(_, value)| !is_undefined(value)) {
        match name.as_str() {
            "control" => monitor.control = !is_falsy(value),
            "token" => monitor.token = token(value).map_err(|problem| problem.below(".token"))?,
            unknown => warnings.push(nearest::warning("monitor.", unknown, &NAMES)),
        }
    }
    if monitor.control && monitor.token.is_none() {
        let value = given.get("token").unwrap_or(&Value::Null);
        return Err(Problem::new("must be given with `monitor.control`", value).below(".token"));
    }
    Ok(monitor)
}
