//! Reads the arguments of the calls that change a running cluster: `reload` and `scale`.
//!
//! The application gives them to a method, another process sends them over the control socket. Both are checked here, by the
//! same rules and with the same errors as options.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use serde_json::Value;

pub use super::choices::Strategy;
use super::read::{self, Problem};
use super::show::show_name;
use super::{MAX_WORKERS, Options, invalid};
use crate::error::Error;

/// What a reload was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// In which order.
    pub strategy: Strategy,
    /// Variables to be set in all later workers, or, where `None`, to be left out.
    pub env: BTreeMap<String, Option<String>>,
    /// A reload that runs is called off in favour of this one.
    pub restart: bool,
}

impl Default for Reload {
    fn default() -> Self {
        Self { strategy: Strategy::Rolling, env: BTreeMap::new(), restart: false }
    }
}

impl Reload {
    /// Reads `{strategy, env, restart}`; each may be missing, and so may the object.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with the part that is wrong.
    pub fn parse(raw: &Value) -> Result<Self, Error> {
        let mut reload = Self::default();
        if read::is_falsy(raw) {
            return Ok(reload);
        }
        let refused = |part: &str, problem| invalid(&format!("reload{part}"), problem);
        let parts = read::parts(raw, "must be an object").map_err(|it| refused("", it))?;
        for (name, value) in parts.filter(|(_, value)| !read::is_falsy(value)) {
            match name.as_str() {
                "strategy" => {
                    let strategy = read::one_of(value, Strategy::ALL, Strategy::name);
                    super::replace(&mut reload.strategy, strategy.map_err(|it| refused(".strategy", it))?);
                }
                "env" => reload.env = env(value).map_err(|it| refused(".env", it))?,
                // Of the two truthy texts that a form may send, one says no.
                "restart" => reload.restart = value.as_str() != Some("false"),
                unknown => {
                    let rule = "must not be given: reload takes strategy, env and restart";
                    let problem = Problem::new(rule, value);
                    return Err(refused(&format!(".{}", show_name(unknown)), problem));
                }
            }
        }
        Ok(reload)
    }
}

/// Texts stay, numbers and truth values become theirs, null and undefined take a variable away.
pub(super) fn env(value: &Value) -> Result<BTreeMap<String, Option<String>>, Problem> {
    let rule = "must be an object of environment variables";
    let variables = value.as_object().filter(|_| read::js_marker(value).is_none());
    let variables = variables.ok_or_else(|| Problem::new(rule, value))?;
    variables.iter().map(|(name, value)| Ok((variable_name(name)?, variable(value)?))).collect()
}

fn variable_name(name: &str) -> Result<String, Problem> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(Problem::new("must have names without '=' and null characters", &Value::from(name)));
    }
    Ok(name.to_owned())
}

fn variable(value: &Value) -> Result<Option<String>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if !text.contains('\0') => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        Value::Object(_) if read::is_undefined(value) => Ok(None),
        Value::String(_) | Value::Object(_) | Value::Array(_) => {
            Err(Problem::new("must have texts, numbers, true, false or null as values", value))
        }
    }
}

/// How many workers there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// So many.
    To(NonZeroU16),
    /// So many more, or fewer, but never less than one.
    By(i16),
}

impl Scale {
    /// Reads `{workers}` or `{by}`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with the part that is wrong.
    pub fn parse(raw: &Value) -> Result<Self, Error> {
        let parts = raw.as_object().filter(|_| read::js_marker(raw).is_none());
        if let Some(by) = parts.and_then(|parts| parts.get("by")) {
            let steps = by.as_i64().filter(|steps| steps.unsigned_abs() <= MAX_WORKERS);
            let steps = steps.and_then(|steps| i16::try_from(steps).ok());
            let problem = || Problem::new("must be a whole number from -1024 to 1024", by);
            return Ok(Self::By(steps.ok_or_else(|| invalid("scale.by", problem()))?));
        }
        let workers = parts.and_then(|parts| parts.get("workers")).unwrap_or(&Value::Null);
        let read = read::count(workers, MAX_WORKERS).and_then(|read| {
            let rule = format!("must be a whole number from 1 to {MAX_WORKERS}");
            read.ok_or_else(|| Problem::new(&rule, workers))
        });
        read.map(Self::To).map_err(|problem| invalid("scale.workers", problem))
    }

    /// The number that comes of it where `wanted` are wanted now.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where the other options don't allow so many.
    pub fn from(self, wanted: usize, options: &Options) -> Result<usize, Error> {
        match self {
            Self::To(workers) => {
                options.check_workers("scale.workers", workers)?;
                Ok(usize::from(workers.get()))
            }
            Self::By(steps) => {
                Ok(wanted.saturating_add_signed(isize::from(steps)).clamp(1, options.most_workers()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::options::{Machine, Sticky};

    fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_reload_takes_a_strategy_and_variables() {
        assert_eq!(Reload::parse(&Value::Null).unwrap(), Reload::default());
        let given = json!({ "strategy": "all-first", "env": { "A": "x", "B": 1, "C": true, "D": null } });
        let read = Reload::parse(&given).unwrap();
        assert_eq!(read.strategy, Strategy::AllFirst);
        let env: Vec<_> = read.env.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        assert_eq!(env, [("A", Some("x")), ("B", Some("1")), ("C", Some("true")), ("D", None)]);
    }

    #[test]
    fn what_a_reload_can_not_take_is_named() {
        let cases = [
            (json!(7), "option `reload` must be an object, got 7"),
            (
                json!({ "strategy": "blue" }),
                "option `reload.strategy` must be 'rolling' or 'all-first', got 'blue'",
            ),
            (json!({ "env": [] }), "option `reload.env` must be an object of environment variables, got []"),
            (
                json!({ "env": { "A": {} } }),
                "option `reload.env` must have texts, numbers, true, false or null as values, got {}",
            ),
            (
                json!({ "env": { "A=B": "x" } }),
                "option `reload.env` must have names without '=' and null characters, got 'A=B'",
            ),
            (
                json!({ "envs": {"A": "b" } }),
                "option `reload.envs` must not be given: reload takes strategy, env and restart, got { A: 'b' }",
            ),
        ];
        for (given, message) in cases {
            assert_eq!(refusal(Reload::parse(&given)), message);
        }
    }

    #[test]
    fn a_part_that_a_reload_does_not_know_is_shown_in_one_short_line() {
        for name in ["a\nb\u{1b}[2J".to_owned(), "x".repeat(100_000)] {
            let text = refusal(Reload::parse(&Value::Object([(name, json!(1))].into_iter().collect())));
            assert!(text.len() < 300 && !text.contains(char::is_control), "{text}");
        }
    }

    #[test]
    fn a_scale_is_to_a_number_or_by_one() {
        let options = Options::defaults(&Machine::plain());
        let scaled = |raw: Value, wanted| Scale::parse(&raw).and_then(|scale| scale.from(wanted, &options));
        let to = |workers: Value| scaled(json!({ "workers": workers }), 9);
        assert_eq!(to(json!(3)).unwrap(), 3);
        assert_eq!(to(json!("1024")).unwrap(), 1024);
        for (given, shown) in
            [(json!(0), "0"), (json!(0.5), "0.5"), (json!(1025), "1025"), (json!("x"), "'x'")]
        {
            let rule = "option `scale.workers` must be a whole number from 1 to 1024";
            assert_eq!(refusal(to(given)), format!("{rule}, got {shown}"));
        }
        assert!(Scale::parse(&Value::Null).is_err() && Scale::parse(&json!({ "by": 2000 })).is_err());
        let by = |steps: i64, wanted| scaled(json!({ "by": steps }), wanted).unwrap();
        assert_eq!((by(1, 4), by(-1, 4), by(-1, 1), by(1, 0), by(1, 1024)), (5, 3, 1, 1, 1024));
    }

    #[test]
    fn a_scale_goes_no_further_than_the_kernel_can_choose_by_address() {
        let mut options = Options::defaults(&Machine::plain());
        options.sticky = Sticky::Address;
        let scaled = |raw: Value, wanted| Scale::parse(&raw).and_then(|scale| scale.from(wanted, &options));
        assert_eq!(scaled(json!({ "workers": 220 }), 4).unwrap(), 220);
        assert_eq!(scaled(json!({ "by": 1 }), 220).unwrap(), 220);
        assert_eq!(
            refusal(scaled(json!({ "workers": 221 }), 4)),
            "option `scale.workers` must be at most 220 with `sticky: 'address'`, got 221"
        );
    }
}
