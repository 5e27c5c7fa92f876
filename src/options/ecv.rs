//! The option `ecv`: its parts and what they mean.
//!
//! Called by the parent module. Invariant: the path that the self-check asks for is not the path of the health answer.

use std::time::Duration;

use serde_json::Value;

use super::nearest;
use super::read::{
    Problem, is_falsy, is_target, js_marker, millis, names, parts, text_where, token, url_path,
};
use crate::ecv::guard::{Guard, Network};

/// The health answer ("extended content verification") on the application's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ecv {
    /// Path of the health answer.
    pub path: String,
    /// Path of the application that the self-check asks for; `None` is `/`.
    pub monitor: Option<String>,
    /// Whether clients may enable and disable the answer.
    pub control: bool,
    /// Whether a validator function was given; the function itself stays in JavaScript.
    pub validator: bool,
    /// How long the request for `monitor` may take.
    pub timeout: Duration,
    /// Whether the cluster begins disabled.
    pub start_disabled: bool,
    /// Who may enable and disable: `controlFrom` and `token`.
    pub guard: Guard,
}

impl Default for Ecv {
    fn default() -> Self {
        Self {
            path: "/ecv".to_owned(),
            monitor: None,
            control: false,
            validator: false,
            timeout: Duration::from_secs(5),
            start_disabled: false,
            guard: Guard::default(),
        }
    }
}

/// The health answer: false is off; true, and falsy values other than false, are all defaults.
pub(super) fn read(value: &Value, warnings: &mut Vec<String>) -> Result<Option<Ecv>, Problem> {
    if value == &Value::Bool(false) {
        return Ok(None);
    }
    let mut ecv = Ecv::default();
    if value == &Value::Bool(true) || is_falsy(value) {
        return Ok(Some(ecv));
    }
    for (name, value) in parts(value, "must be an object, true or false")? {
        ecv_part(&mut ecv, name, value, warnings).map_err(|problem| problem.below(&format!(".{name}")))?;
    }
    check_monitor(&ecv)?;
    Ok(Some(ecv))
}

fn ecv_part(ecv: &mut Ecv, name: &str, value: &Value, warnings: &mut Vec<String>) -> Result<(), Problem> {
    match name {
        "path" => ecv.path = url_path(value)?.unwrap_or_else(|| Ecv::default().path),
        "monitor" => {
            let rule = "must be a path of the application that starts with '/', without spaces and '#'";
            ecv.monitor = text_where(value, rule, is_target)?;
        }
        "control" => ecv.control = !is_falsy(value),
        "validator" => ecv.validator = validator(value)?,
        "timeout" => ecv.timeout = millis(value)?.unwrap_or_else(|| Ecv::default().timeout),
        "startDisabled" => ecv.start_disabled = !is_falsy(value),
        "controlFrom" => ecv.guard.from = networks(value)?,
        "token" => ecv.guard.token = token(value)?,
        unknown => {
            let known = Ecv::default().to_json();
            warnings.push(nearest::warning("ecv.", unknown, names(&known)));
        }
    }
    Ok(())
}

/// A self-check of the health answer's own path would wait for itself.
fn check_monitor(ecv: &Ecv) -> Result<(), Problem> {
    let monitor = ecv.monitor.as_deref().unwrap_or("/");
    let path = monitor.split('?').next().unwrap_or(monitor);
    if crate::ecv::asked(&ecv.path, path) != Some(crate::ecv::Asked::Health) {
        return Ok(());
    }
    let rule = "must be another path than `ecv.path`";
    Err(Problem::new(rule, &Value::String(monitor.to_owned())).below(".monitor"))
}

/// Addresses and blocks of addresses: one, or a list.
fn networks(value: &Value) -> Result<Vec<Network>, Problem> {
    const RULE: &str = "must be an IP address or a block such as '10.0.0.0/8'";
    if is_falsy(value) {
        return Ok(Vec::new());
    }
    let read = |item: &Value| item.as_str().and_then(|text| text.parse().ok());
    let Some(items) = value.as_array() else {
        let one = read(value).ok_or_else(|| Problem::new(&format!("{RULE}, or a list of these"), value))?;
        return Ok(vec![one]);
    };
    if items.is_empty() {
        return Err(Problem::new("must not be an empty list", value));
    }
    let each = |(index, item): (usize, &Value)| {
        read(item).ok_or_else(|| Problem::new(RULE, item).below(&format!("[{index}]")))
    };
    items.iter().enumerate().map(each).collect()
}

fn validator(value: &Value) -> Result<bool, Problem> {
    let is_function =
        |text: &str| ["[Function", "[AsyncFunction"].iter().any(|opening| text.starts_with(opening));
    match js_marker(value) {
        Some(text) if is_function(text) => Ok(true),
        Some(_) | None if is_falsy(value) => Ok(false),
        Some(_) | None => Err(Problem::new("must be a function", value)),
    }
}
