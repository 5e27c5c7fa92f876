//! The option `exec`, a script that was not written for this package, and the options that belong to it.
//!
//! Called by the parent module. JavaScript looks for the script and starts it; here only the form of what was given is
//! checked. Invariant: options that say how the script is run are there only together with `exec`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::read::{Problem, is_falsy, is_undefined, js_marker, text_where};
use super::{Options, calls, invalid};
use crate::error::Error;

/// How workers run a script as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// `exec`: the script, as the user wrote it; `None` is the script that runs in the master as well.
    pub exec: Option<String>,
    /// `args`: its arguments.
    pub args: Vec<String>,
    /// `nodeArgs`: flags of Node itself.
    pub node_args: Vec<String>,
    /// `env`: variables that are set for workers, or taken away.
    pub env: BTreeMap<String, Option<String>>,
    /// `instanceEnv`: variables that count up: each is this number plus that of the worker's slot.
    pub instance_env: BTreeMap<String, i64>,
    /// `waitReady`: a worker is ready when it says so by `process.send('ready')`.
    pub wait_ready: bool,
}

/// The largest and the smallest number of `instanceEnv`.
const MAX_NUMBER: i64 = 2_147_483_647;

/// Whether a script is to be run as it is.
pub(super) fn is_given(raw: &Value) -> bool {
    raw.get("exec").is_some_and(|exec| !is_falsy(exec))
}

pub(super) fn exec(value: &Value) -> Result<Option<String>, Problem> {
    text_where(value, "must be the path of a script", |text| !text.contains('\0'))
}

pub(super) fn name(value: &Value) -> Result<Option<String>, Problem> {
    let fits = |text: &str| text.chars().count() <= 64 && !text.chars().any(char::is_control);
    text_where(value, "must be a text of at most 64 characters without control characters", fits)
}

/// A list of words, or one text in which they stand between spaces.
pub(super) fn words(value: &Value) -> Result<Option<Vec<String>>, Problem> {
    let problem = || Problem::new("must be a list of texts, or one text with spaces between them", value);
    if is_falsy(value) {
        return Ok(None);
    }
    let fits = |text: &&str| !text.contains('\0');
    match value {
        Value::Array(items) => {
            let word = |item: &Value| item.as_str().filter(fits).map(str::to_owned).ok_or_else(problem);
            items.iter().map(word).collect::<Result<_, _>>().map(Some)
        }
        Value::String(text) if fits(&text.as_str()) => {
            Ok(Some(text.split_whitespace().map(str::to_owned).collect()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(problem())
        }
    }
}

pub(super) fn env(value: &Value) -> Result<Option<BTreeMap<String, Option<String>>>, Problem> {
    if is_falsy(value) { Ok(None) } else { calls::env(value).map(Some) }
}

/// Variables with whole numbers.
pub(super) fn numbers(value: &Value) -> Result<Option<BTreeMap<String, i64>>, Problem> {
    let rule = format!("must be an object of variables with whole numbers up to {MAX_NUMBER}");
    let problem = || Problem::new(&rule, value);
    if is_falsy(value) {
        return Ok(None);
    }
    let given = value.as_object().filter(|_| js_marker(value).is_none()).ok_or_else(problem)?;
    let number = |given: &Value| match given.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => given.as_i64(),
    };
    let one = |(name, given): (&String, &Value)| {
        let number = number(given).filter(|number| (-MAX_NUMBER..=MAX_NUMBER).contains(number));
        let is_name = !name.is_empty() && !name.contains(['=', '\0']);
        number.filter(|_| is_name).map(|number| (name.clone(), number)).ok_or_else(problem)
    };
    given.iter().map(one).collect::<Result<_, _>>().map(Some)
}

/// What goes together with a script that is run as it is, and what does not.
pub(super) fn check(raw: &Value, options: &Options) -> Result<(), Error> {
    let given = |name: &str| raw.get(name).filter(|value| !is_undefined(value) && !is_falsy(value));
    if options.script.exec.is_none() {
        for (name, is_list) in [("args", true), ("nodeArgs", true), ("waitReady", false)] {
            let is_nothing = |value: &&Value| is_list && value.as_array().is_some_and(Vec::is_empty);
            if let Some(value) = given(name).filter(|value| !is_nothing(value)) {
                return Err(invalid(name, Problem::new("must be given together with `exec`", value)));
            }
        }
        return Ok(());
    }
    if !options.cluster {
        let rule = "must not be false together with `exec`, which is run in workers";
        return Err(invalid("cluster", Problem::new(rule, &Value::Bool(false))));
    }
    for name in ["port", "host"] {
        if let Some(value) = given(name) {
            let rule = "must not be given together with `exec`: the script itself says where it listens, as a rule by \
                        a variable (`env: {PORT: 8080}`)";
            return Err(invalid(name, Problem::new(rule, value)));
        }
    }
    Ok(())
}
