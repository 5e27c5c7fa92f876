//! Options, and the arguments of the calls that change a running cluster.
//!
//! The first byte says what is read and in which form the rest is: a text of JSON, or choices among names and values that
//! come near to what is allowed.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::input::Input;
use crate::error::Error;
use crate::options::calls::{Reload, Scale};
use crate::options::{Machine, Options, Parsed, Scheduling, Sticky, parse};

/// The longest sentence that people are told; values and names are cut long before.
const LONGEST: usize = 600;

/// Whatever is given is understood within its limits, means the same when given again, or is refused in one short line.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let raw = if choice & 1 == 0 {
        let Ok(raw) = serde_json::from_slice(input.rest()) else { return };
        raw
    } else {
        made_up(&mut input)
    };
    match choice >> 1 & 3 {
        0 | 1 => options(&raw, choice & 8 == 0),
        2 => match Reload::parse(&raw) {
            Ok(reload) => {
                assert!(reload.env.keys().all(|name| !name.is_empty() && !name.contains(['=', '\0'])));
            }
            Err(error) => is_sentence(&error),
        },
        _ => match Scale::parse(&raw) {
            Ok(scale) => {
                let options = Options::defaults(&Machine::plain());
                let wanted = scale.from(usize::from(choice) * 8 + 1, &options);
                assert!(wanted.is_ok_and(|wanted| (1..=1024).contains(&wanted)));
            }
            Err(error) => is_sentence(&error),
        },
    }
}

fn options(raw: &Value, linux: bool) {
    let machine = Machine {
        cpus: 4,
        cwd: PathBuf::from("/srv/app"),
        death_timeout: raw.get("killTimeout").and_then(Value::as_str).map(str::to_owned),
        linux,
        is_interface: |zone| matches!(zone, "eth0" | "2"),
    };
    let Parsed { options, warnings } = match parse(raw, &machine) {
        Ok(parsed) => parsed,
        Err(error) => return is_sentence(&error),
    };
    for warning in warnings {
        assert!(is_short_line(&warning), "{warning:?}");
    }
    are_within_limits(&options);
    // Given again, this one variable would be taken for a value that JSON can't hold.
    if options.script.env.len() == 1 && options.script.env.contains_key("$js") {
        return;
    }
    let again = match parse(&given_again(&options), &machine) {
        Ok(parsed) => parsed.options,
        Err(error) => panic!("{error} in {}", options.to_json()),
    };
    assert_eq!(as_it_can_be_given(again, &options), options);
}

fn are_within_limits(options: &Options) {
    const LONGEST_TIMER: Duration = Duration::from_millis(2_147_483_647);
    assert!(!options.ports.is_empty());
    assert!(options.sticky == Sticky::None || options.no_workers.get() <= 220);
    assert!(options.no_workers.get() <= 1024 && options.spares <= 1024 && options.ready_quorum.get() <= 1024);
    assert!(options.recycle_jitter.0 <= 1_000_000);
    assert!(options.uptime_threshold >= Duration::from_millis(1));
    for time in [options.timeout, options.heartbeat_interval, options.kill_timeout, options.drain_delay] {
        assert!(time <= LONGEST_TIMER);
    }
    assert!(!options.monitor.control || options.monitor.token.is_some());
    assert!(options.sticky == Sticky::None || options.scheduling == Scheduling::Slots);
    assert!(options.mon_path.starts_with('/') && !options.mon_path.contains(['?', '#', ' ', '\r', '\n']));
    for path in [Some(&options.pids), Some(&options.logs), options.cwd.as_ref(), options.log.as_ref()] {
        let text = path.map(|path| path.to_string_lossy().into_owned());
        assert!(text.is_none_or(|text| text.starts_with('/') && !text.contains('\0')));
    }
    let mut words = options.script.args.iter().chain(&options.script.node_args).chain(&options.script.exec);
    assert!(words.all(|word| !word.contains('\0')));
    let numbers = options.script.instance_env.values();
    assert!(numbers.copied().all(|number| (-2_147_483_647..=2_147_483_647).contains(&number)));
}

/// What was understood, in the form in which a user could have written it.
fn given_again(options: &Options) -> Value {
    let mut json = options.to_json();
    // Secrets and functions are not shown, and a script chooses its ports by itself.
    json["monitor"].take();
    for part in ["token", "validator"] {
        if let Some(place) = json.pointer_mut(&format!("/ecv/{part}")) {
            place.take();
        }
    }
    if options.ecv.is_none() {
        json["ecv"] = json!(false);
    }
    if options.script.exec.is_some() {
        json["port"].take();
        json["host"].take();
    }
    json
}

/// The same with what can't be given again.
fn as_it_can_be_given(mut again: Options, options: &Options) -> Options {
    again.monitor = options.monitor.clone();
    again.mon_port_may_move = options.mon_port_may_move;
    if let (Some(again), Some(ecv)) = (&mut again.ecv, &options.ecv) {
        again.validator = ecv.validator;
        again.guard.token.clone_from(&ecv.guard.token);
    }
    again
}

fn is_sentence(error: &Error) {
    assert_eq!(error.code(), "ERR_CLUSTER2_INVALID_OPTION");
    assert!(is_short_line(&error.to_string()), "{error:?}");
}

/// Whether a text can stand in a log: one line, not long, and nothing that a terminal obeys.
fn is_short_line(text: &str) -> bool {
    text.len() <= LONGEST && !text.chars().any(char::is_control)
}

/// An object whose names are known or nearly so.
fn made_up(input: &mut Input<'_>) -> Value {
    const OTHERS: [&str; 14] = [
        "token",
        "path",
        "controlFrom",
        "validator",
        "startDisabled",
        "control",
        "gc",
        "strategy",
        "restart",
        "workers",
        "by",
        "$js",
        "nothing",
        "",
    ];
    let defaults = Options::defaults(&Machine::plain());
    let json = defaults.to_json();
    let mut names: Vec<&str> = json.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
    names.extend(OTHERS);
    object(input, &names, 3)
}

fn object(input: &mut Input<'_>, names: &[&str], depth: usize) -> Value {
    let mut object = Map::new();
    while !input.is_empty() && object.len() < 8 {
        let name = match input.below(256) {
            255 => return Value::Object(object),
            254 => text(input),
            at => names[at % names.len()].to_owned(),
        };
        object.insert(name, value(input, names, depth));
    }
    Value::Object(object)
}

fn value(input: &mut Input<'_>, names: &[&str], depth: usize) -> Value {
    const TEXTS: [&str; 30] = [
        "",
        "0",
        "-0",
        " 12 ",
        "1e3",
        "0.5",
        "512mb",
        "1.5gb",
        "9999999999999gb",
        "slots",
        "rr",
        "shared",
        "address",
        "none",
        "always",
        "on-failure",
        "recycle",
        "exit",
        "all-first",
        "rolling",
        "::1",
        "fe80::1%eth0",
        "::%x",
        "10.0.0.0/8",
        "/a/../b",
        "./x//y",
        "/tmp/x.sock",
        "s3cret",
        "a b",
        "-9223372036854775808",
    ];
    const MARKERS: [&str; 9] = [
        "undefined",
        "NaN",
        "-0",
        "0n",
        "[Function: f]",
        "[AsyncFunction: g]",
        "Infinity",
        "Symbol(a)",
        "x\ny",
    ];
    const NUMBERS: [i64; 18] = [
        0,
        1,
        -1,
        2,
        80,
        999,
        1000,
        1024,
        1025,
        65_535,
        65_536,
        2_147_483_647,
        2_147_483_648,
        4_294_967_294,
        4_294_967_295,
        9_007_199_254_740_991,
        i64::MIN,
        i64::MAX,
    ];
    match input.below(12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 | 4 => json!(input.one_of(&NUMBERS)),
        5 => json!(f64::from_bits(input.word())),
        6 | 7 => json!(input.one_of(&TEXTS)),
        8 => json!({ "$js": input.one_of(&MARKERS) }),
        9 => json!(text(input)),
        10 if depth > 0 => {
            let count = input.below(4);
            (0..count).map(|_| value(input, names, depth - 1)).collect()
        }
        _ if depth > 0 => object(input, names, depth - 1),
        _ => json!(input.word()),
    }
}

fn text(input: &mut Input<'_>) -> String {
    let length = input.below(32);
    String::from_utf8_lossy(input.bytes(length)).into_owned()
}
