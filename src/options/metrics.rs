//! The option `metrics`: what workers count.
//!
//! Called by the parent module. Falsy values switch it off; true, and every other truthy value, is the default.

use serde_json::{Value, json};

use super::nearest;
use super::read::{is_falsy, parts};

/// What workers count beside their connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Whether collections of garbage are counted too, which costs a busy worker about 2 % of its time.
    pub gc: bool,
}

impl Metrics {
    /// The option as a user could have written it.
    pub(super) fn to_json(self) -> Value {
        if self.gc { json!({ "gc": true }) } else { Value::Bool(true) }
    }
}

pub(super) fn read(value: &Value, warnings: &mut Vec<String>) -> Option<Metrics> {
    let mut metrics = Metrics::default();
    // Old scripts may say yes with any truthy value.
    for (name, value) in parts(value, "").into_iter().flatten() {
        match name.as_str() {
            "gc" => metrics.gc = !is_falsy(value),
            unknown => warnings.push(nearest::warning("metrics.", unknown, ["gc"])),
        }
    }
    (!is_falsy(value)).then_some(metrics)
}
