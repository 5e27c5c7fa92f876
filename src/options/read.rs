//! Reads one raw value: what it may be, and what it means once it is right.
//!
//! Called by the parent module, one function per kind of option. Most answer `None` for a falsy value, by which old scripts
//! mean the default, and a [`Problem`] for a value that breaks the rule. A numeric string counts as its number.

use std::net::Ipv6Addr;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::show::show;
use super::{Address, Machine, Millionths, Scheduling};
use crate::ecv::guard::Token;

/// The longest time that a timer of JavaScript can hold.
const MAX_MILLIS: u64 = 2_147_483_647;

/// 68 years.
const MAX_SECONDS: u64 = 2_147_483_647;

/// The largest number up to which JavaScript counts without gaps (`Number.MAX_SAFE_INTEGER`).
pub(super) const MAX_SAFE: u64 = 9_007_199_254_740_991;

/// How many addresses a list may have. A worker asks for them one by one, so that several thousand take minutes.
const MOST_ADDRESSES: usize = 1024;

/// Why a value is refused.
#[derive(Debug)]
pub(super) struct Problem {
    /// What stands after the option's name where only a part is wrong, for example `.path` or `[1]`.
    pub(super) below: String,
    /// The rule and the value.
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(rule: &str, value: &Value) -> Self {
        Self { below: String::new(), text: format!("{rule}, got {}", show(value)) }
    }

    pub(super) fn below(self, part: &str) -> Self {
        Self { below: format!("{part}{}", self.below), ..self }
    }
}

/// The text of a value that JSON can't hold.
pub(super) fn js_marker(value: &Value) -> Option<&str> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get("$js")?.as_str()
}

/// The parts of an object that are given; `rule` says what the option may be.
pub(super) fn parts<'a>(
    value: &'a Value,
    rule: &str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)> + use<'a>, Problem> {
    let given = value.as_object().filter(|_| js_marker(value).is_none());
    let given = given.ok_or_else(|| Problem::new(rule, value))?;
    Ok(given.iter().filter(|(_, value)| !is_undefined(value)))
}

/// The names of the parts that an object has.
pub(super) fn names(object: &Value) -> impl Iterator<Item = &str> {
    object.as_object().into_iter().flat_map(|parts| parts.keys().map(String::as_str))
}

pub(super) fn is_undefined(value: &Value) -> bool {
    js_marker(value) == Some("undefined")
}

pub(super) fn is_nan(value: &Value) -> bool {
    js_marker(value) == Some("NaN")
}

/// Whether `!value` holds in JavaScript.
pub(super) fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(given) => !given,
        Value::Number(given) => given.as_f64() == Some(0.0),
        Value::String(given) => given.is_empty(),
        Value::Array(_) => false,
        Value::Object(_) => {
            js_marker(value).is_some_and(|text| matches!(text, "undefined" | "NaN" | "-0" | "0n" | "-0n"))
        }
    }
}

/// A whole number from 1 to `max`.
pub(super) fn count<T: TryFrom<NonZeroU64>>(value: &Value, max: u64) -> Result<Option<T>, Problem> {
    positive(value, max, &format!("must be a whole number from 1 to {max}"))
}

/// A whole number from 0 to `max`, where 0 is a value of its own and not the default.
pub(super) fn count_from_0<T: TryFrom<u64>>(value: &Value, max: u64) -> Result<Option<T>, Problem> {
    if is_falsy(value) && !is_zero(value) {
        return Ok(None);
    }
    let number = natural(value).filter(|number| *number <= max).and_then(|number| T::try_from(number).ok());
    number.map(Some).ok_or_else(|| Problem::new(&format!("must be a whole number from 0 to {max}"), value))
}

/// Whole milliseconds, at least `least`; 0 means the default unless it is allowed.
pub(super) fn millis_from(least: u64, value: &Value) -> Result<Option<Duration>, Problem> {
    if is_falsy(value) && !is_zero(value) || is_zero(value) && least > 0 {
        return Ok(None);
    }
    let rule = format!("must be a whole number of milliseconds from {least} to {MAX_MILLIS}");
    let millis = natural(value).filter(|millis| (least..=MAX_MILLIS).contains(millis));
    millis.map(|millis| Some(Duration::from_millis(millis))).ok_or_else(|| Problem::new(&rule, value))
}

/// Whole milliseconds, at least one.
pub(super) fn millis(value: &Value) -> Result<Option<Duration>, Problem> {
    millis_from(1, value)
}

/// Seconds, with fractions down to a millisecond.
pub(super) fn seconds(value: &Value) -> Result<Option<Duration>, Problem> {
    if is_unset(value) {
        return Ok(None);
    }
    let seconds = number(value).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match seconds {
        Some(given) if given >= Duration::from_millis(1) && given <= Duration::from_secs(MAX_SECONDS) => {
            Ok(Some(given))
        }
        Some(_) | None => {
            Err(Problem::new(&format!("must be a number of seconds from 0.001 to {MAX_SECONDS}"), value))
        }
    }
}

/// A number of bytes, or a text of a number and a unit, as `512mb`.
pub(super) fn bytes(value: &Value) -> Result<Option<NonZeroU64>, Problem> {
    if is_unset(value) {
        return Ok(None);
    }
    let read = match value.as_str() {
        Some(text) => with_unit(text),
        None => number(value).filter(|bytes| bytes.fract() == 0.0),
    };
    let bytes = read.and_then(|bytes| whole(bytes.floor())).filter(|bytes| *bytes <= MAX_SAFE);
    let rule = "must be a number of bytes from 1, or one with a unit such as '512mb' or '1.5gb'";
    bytes.and_then(NonZeroU64::new).map(Some).ok_or_else(|| Problem::new(rule, value))
}

/// Units are powers of 1024, in any case, with or without the `b`.
fn with_unit(text: &str) -> Option<f64> {
    let lower = text.trim().to_ascii_lowercase();
    let figures = lower.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let scale: u32 = match lower.get(figures.len()..)? {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    Some(numeric(figures)? * f64::from(scale))
}

/// A secret that fits into a header. The message does not repeat a wrong one.
pub(super) fn token(value: &Value) -> Result<Option<Token>, Problem> {
    if is_falsy(value) {
        return Ok(None);
    }
    let is_sendable = |text: &&str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let rule = "must be a string of visible ASCII characters without spaces";
    let problem = || Problem { below: String::new(), text: rule.to_owned() };
    let text = value.as_str().filter(is_sendable).ok_or_else(problem)?;
    Ok(Some(Token::new(text.to_owned())))
}

/// A number from 0 to 1.
pub(super) fn fraction(value: &Value) -> Result<Option<Millionths>, Problem> {
    if is_unset(value) {
        return Ok(None);
    }
    let part = number(value).filter(|part| (0.0..=1.0).contains(part));
    let millionths =
        part.and_then(|part| whole((part * 1e6).round())).and_then(|part| u32::try_from(part).ok());
    let rule = "must be a number from 0 to 1";
    millionths.map(|part| Some(Millionths(part))).ok_or_else(|| Problem::new(rule, value))
}

/// The application's addresses: one, or a list of them.
pub(super) fn addresses(value: &Value) -> Result<Option<Vec<Address>>, Problem> {
    const RULE: &str =
        "must be a port from 0 to 65535, the path of a unix socket (with a '/') or a list of these";
    if is_falsy(value) && !is_zero(value) {
        return Ok(None);
    }
    match value.as_array() {
        Some(items) if items.len() > MOST_ADDRESSES => {
            let rule = format!("must be a list of at most {MOST_ADDRESSES} entries");
            Err(Problem::new(&rule, &items.len().into()))
        }
        Some(items) if !items.is_empty() => each_address(items).map(Some),
        Some(_) | None => {
            let address = address(value).ok_or_else(|| Problem::new(RULE, value))?;
            Ok(Some(vec![address]))
        }
    }
}

fn each_address(items: &[Value]) -> Result<Vec<Address>, Problem> {
    let mut addresses = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let wrong = |rule: &str| Problem::new(rule, item).below(&format!("[{index}]"));
        let address = address(item).ok_or_else(|| {
            wrong("must be a port from 0 to 65535 or the path of a unix socket (with a '/')")
        })?;
        if address != Address::Tcp(0) && addresses.contains(&address) {
            return Err(wrong("must not be in the list twice"));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

fn address(value: &Value) -> Option<Address> {
    match value.as_str() {
        Some(text) if numeric(text).is_none() => {
            (text.contains('/') && !text.contains('\0')).then(|| Address::Path(PathBuf::from(text)))
        }
        Some(_) | None => u16::try_from(natural(value)?).ok().map(Address::Tcp),
    }
}

/// The monitor's port: 0 and false switch it off, other falsy values leave `default`.
pub(super) fn mon_port(value: &Value, default: Option<NonZeroU16>) -> Result<Option<NonZeroU16>, Problem> {
    if value == &Value::Bool(false) || is_zero(value) {
        return Ok(None);
    }
    let rule = "must be a port from 1 to 65535, or 0 or false for no monitor";
    positive(value, u64::from(u16::MAX), rule).map(|port| port.or(default))
}

/// A host name or an IP address; the zone of an IPv6 address (`fe80::1%eth0`) is an interface of this machine.
pub(super) fn host(value: &Value, is_interface: fn(&str) -> bool) -> Result<Option<String>, Problem> {
    let host = text_where(value, "must be a host name or an IP address", is_host)?;
    let zone = host.as_deref().and_then(|host| host.split_once('%'));
    match zone {
        Some((_, zone)) if !is_interface(zone) => {
            Err(Problem::new("must name a network interface of this machine behind the '%'", value))
        }
        Some(_) | None => Ok(host),
    }
}

/// Whether `text` has the form of a host: no scheme, no port, no brackets.
fn is_host(text: &str) -> bool {
    if text.contains(':') {
        let address = text.split_once('%').map_or(text, |(address, _zone)| address);
        return address.parse::<Ipv6Addr>().is_ok();
    }
    text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_'))
}

/// The path of a URL, without query.
pub(super) fn url_path(value: &Value) -> Result<Option<String>, Problem> {
    let rule = "must be a path that starts with '/', without spaces, '?' and '#'";
    text_where(value, rule, |text| is_target(text) && !text.contains('?'))
}

/// Whether `text` may stand in the first line of a request: a path, with or without query.
pub(super) fn is_target(text: &str) -> bool {
    text.starts_with('/')
        && !text.chars().any(|letter| letter.is_whitespace() || letter.is_control() || letter == '#')
}

/// A directory, made absolute with the help of `cwd`.
pub(super) fn directory(value: &Value, cwd: &Path) -> Result<Option<PathBuf>, Problem> {
    let text = text_where(value, "must be the path of a directory", |text| !text.contains('\0'))?;
    // Collecting the components drops "." and doubled slashes; ".." stays, since symbolic links decide what it means.
    Ok(text.map(|text| cwd.join(text).components().collect()))
}

/// A file, made absolute with the help of `cwd`.
pub(super) fn file(value: &Value, cwd: &Path) -> Result<Option<PathBuf>, Problem> {
    let is_file = |text: &str| !text.contains('\0') && !text.ends_with('/');
    let text = text_where(value, "must be the path of a file", is_file)?;
    Ok(text.map(|text| cwd.join(text).components().collect()))
}

/// One of the names of an enum.
pub(super) fn one_of<T: Copy>(
    value: &Value,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<Option<T>, Problem> {
    if is_falsy(value) {
        return Ok(None);
    }
    let found = all.iter().copied().find(|choice| value.as_str() == Some(name(*choice)));
    found.map(Some).ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|choice| format!("'{}'", name(*choice))).collect();
        Problem::new(&format!("must be {}", listed(&names)), value)
    })
}

fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// How connections are spread; only Linux has sockets that can be steered to a slot.
pub(super) fn scheduling(value: &Value, linux: bool) -> Result<Option<Scheduling>, Problem> {
    let read = one_of(value, Scheduling::ALL, Scheduling::name)?;
    if read == Some(Scheduling::Slots) && !linux {
        return Err(Problem::new(
            "must be 'shared' or 'rr' on this system, since 'slots' needs Linux",
            value,
        ));
    }
    Ok(read)
}

/// `DEATH_TIMEOUT`, if it can be used.
pub(super) fn env_millis(machine: &Machine) -> Option<Duration> {
    let number = numeric(machine.death_timeout.as_deref()?).and_then(whole)?;
    (1..=MAX_MILLIS).contains(&number).then(|| Duration::from_millis(number))
}

/// A sentence about `DEATH_TIMEOUT` if it is set and can't be used.
pub(super) fn ignored_env(machine: &Machine) -> Vec<String> {
    let given =
        machine.death_timeout.as_ref().filter(|text| !text.is_empty() && env_millis(machine).is_none());
    let sentence = |text: &String| {
        let rule = format!("must be a whole number of milliseconds from 1 to {MAX_MILLIS}");
        let got = show(&Value::String(text.clone()));
        format!("environment variable `DEATH_TIMEOUT` {rule}, got {got}; it is ignored")
    };
    given.map(sentence).into_iter().collect()
}

fn positive<T: TryFrom<NonZeroU64>>(value: &Value, max: u64, rule: &str) -> Result<Option<T>, Problem> {
    if is_unset(value) {
        return Ok(None);
    }
    let number = natural(value).filter(|number| *number <= max).and_then(NonZeroU64::new);
    let number = number.and_then(|number| T::try_from(number).ok());
    number.map(Some).ok_or_else(|| Problem::new(rule, value))
}

/// Whether a number means its default: it is falsy, or a string that says zero.
fn is_unset(value: &Value) -> bool {
    is_falsy(value) || is_zero(value)
}

fn is_zero(value: &Value) -> bool {
    number(value) == Some(0.0)
}

fn natural(value: &Value) -> Option<u64> {
    if is_zero(value) { Some(0) } else { number(value).and_then(whole) }
}

/// A whole number that is not negative. Rust prints whole floats without a point or exponent, so only they can be read back as
/// integers; infinity, NaN and fractions can't.
fn whole(number: f64) -> Option<u64> {
    number.to_string().parse().ok()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(given) => given.as_f64(),
        Value::String(text) => numeric(text),
        Value::Null | Value::Bool(_) | Value::Array(_) => None,
        Value::Object(_) => (js_marker(value) == Some("-0")).then_some(0.0),
    }
}

/// The number that a string stands for, in decimal notation; words such as `inf` are not numbers here.
fn numeric(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if digits_only { text.parse().ok() } else { None }
}

pub(super) fn text_where(
    value: &Value,
    rule: &str,
    fits: impl Fn(&str) -> bool,
) -> Result<Option<String>, Problem> {
    if is_falsy(value) {
        return Ok(None);
    }
    match value.as_str().filter(|text| fits(text)) {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(Problem::new(rule, value)),
    }
}
