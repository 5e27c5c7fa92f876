//! What the options mean together, what is reported, and that `index.d.ts` agrees with what is parsed.

mod values;

use serde_json::{Map, Value, json};

use super::*;

fn machine() -> Machine {
    Machine {
        cpus: 4,
        cwd: PathBuf::from("/srv/app"),
        death_timeout: None,
        linux: true,
        is_interface: |zone| matches!(zone, "eth0" | "2"),
    }
}

fn js(shown: &str) -> Value {
    json!({ "$js": shown })
}

fn one(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

fn good(raw: &Value) -> Parsed {
    parse(raw, &machine()).unwrap_or_else(|error| panic!("{raw}: {error}"))
}

fn bad(raw: &Value) -> String {
    match parse(raw, &machine()) {
        Ok(parsed) => panic!("{raw} was read as {:?}", parsed.options),
        Err(error) => {
            assert_eq!(error.code(), "ERR_CLUSTER2_INVALID_OPTION");
            error.to_string()
        }
    }
}

fn falsy() -> Vec<Value> {
    vec![json!(0), json!(-0.0), json!(""), json!(null), json!(false), js("NaN"), js("undefined"), js("0n")]
}

#[test]
fn nothing_given_means_the_defaults() {
    for raw in [json!({}), json!(null), json!(false), js("undefined"), one("port", js("undefined"))] {
        let parsed = good(&raw);
        assert_eq!(parsed.options, Options::defaults(&machine()), "{raw}");
        assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
    }
}

#[test]
fn the_defaults_are_those_of_the_original() {
    let expected = r#"{
        "cluster": true, "port": [3000], "host": "0.0.0.0", "monHost": "0.0.0.0", "monPort": 3001, "monPath": "/",
        "monitor": { "control": false, "token": false },
        "ecv": {
            "path": "/ecv", "monitor": null, "control": false, "validator": false, "timeout": 5000,
            "startDisabled": false, "controlFrom": null, "token": false
        },
        "noWorkers": 4, "spares": 0, "timeout": 30000, "connThreshold": 10000, "uptimeThreshold": 86400,
        "requestThreshold": null, "memoryThreshold": null, "recycleJitter": 0, "cwd": null, "uid": null, "gid": null,
        "heartbeatInterval": 60000, "maxHeartbeatDelay": 180000, "pids": "/srv/app/pids", "logs": "/srv/app/logs",
        "exec": null, "args": [], "nodeArgs": [], "env": {}, "instanceEnv": {}, "waitReady": false,
        "name": null, "log": null, "restartDelay": 100,
        "stop": false, "shutdown": false, "restart": "on-failure", "onUncaughtException": "recycle",
        "shutdownTimeout": 23000, "killTimeout": 2000, "keepAliveGrace": 1000, "startTimeout": 60000,
        "recycleTimeout": 60000, "scheduling": "slots", "backlog": 511,
        "sticky": "none", "hangTimeout": null, "captureStack": false,
        "metrics": true, "flightRecorder": true,
        "drainDelay": 0, "liveMaxAge": 30000, "readyQuorum": 1
    }"#;
    let expected: Value = serde_json::from_str(expected).unwrap();
    assert_eq!(Options::defaults(&machine()).to_json(), expected);
}

#[test]
fn defaults_that_are_given_again_stay_the_same() {
    let defaults = Options::defaults(&machine());
    let parsed = good(&defaults.to_json());
    assert_eq!(parsed.options, defaults);
    assert!(parsed.warnings.is_empty());
}

#[test]
fn a_script_that_is_run_as_it_is_gets_defaults_that_fit_strangers() {
    let options = good(&json!({ "exec": "app.js" })).options;
    let shown = options.to_json();
    let seen = ["exec", "timeout", "connThreshold", "monHost", "monPort"].map(|name| shown[name].clone());
    assert_eq!(seen, [json!("app.js"), json!(0), json!(null), json!("127.0.0.1"), json!(3001)]);
    assert!(options.mon_port_may_move, "nobody chose the port");
    let chosen =
        json!({ "monPort": 4001, "exec": "app.js", "timeout": 5, "connThreshold": 7, "monHost": "::1" });
    let options = good(&chosen).options;
    let shown = options.to_json();
    let seen = ["timeout", "connThreshold", "monHost", "monPort"].map(|name| shown[name].clone());
    assert_eq!(seen, [json!(5), json!(7), json!("::1"), json!(4001)]);
    assert!(!options.mon_port_may_move && !Options::defaults(&machine()).mon_port_may_move);
    assert_eq!(good(&json!({ "exec": "app.js", "monPort": false })).options.mon_port, None);
}

#[test]
fn what_belongs_to_a_script_needs_one() {
    let cases = [
        (json!({ "args": ["x"] }), "option `args` must be given together with `exec`, got [ 'x' ]"),
        (json!({ "nodeArgs": "-x" }), "option `nodeArgs` must be given together with `exec`, got '-x'"),
        (json!({ "waitReady": true }), "option `waitReady` must be given together with `exec`, got true"),
        (json!({ "waitReady": [] }), "option `waitReady` must be given together with `exec`, got []"),
        (
            json!({ "exec": "app.js", "cluster": false }),
            "option `cluster` must not be false together with `exec`, which is run in workers, got false",
        ),
        (
            json!({ "exec": "app.js", "port": 8080 }),
            "option `port` must not be given together with `exec`: the script itself says where it listens, as a rule \
             by a variable (`env: {PORT: 8080}`), got 8080",
        ),
    ];
    for (given, message) in cases {
        assert_eq!(bad(&given), message);
    }
}

#[test]
fn falsy_values_mean_the_default_where_the_original_took_them_so() {
    let defaults = Options::defaults(&machine()).to_json();
    for name in read::names(&defaults) {
        for value in falsy() {
            let is_zero = value.as_f64() == Some(0.0);
            let is_meant = match name {
                "cluster" | "metrics" | "flightRecorder" => value != js("undefined"),
                "port" | "uid" | "gid" | "keepAliveGrace" => is_zero,
                "monPort" => is_zero || value == json!(false),
                "ecv" => value == json!(false),
                _ => false,
            };
            let read = good(&one(name, value.clone())).options.to_json()[name].clone();
            assert_eq!(read == defaults[name], !is_meant, "{name}: {value} was read as {read}");
        }
    }
}

#[test]
fn a_string_that_says_zero_is_as_good_as_zero() {
    for name in ["noWorkers", "timeout", "connThreshold", "uptimeThreshold", "backlog"] {
        assert_eq!(good(&one(name, json!("0"))).options, Options::defaults(&machine()), "{name}");
    }
}

#[test]
fn nan_means_the_default_but_is_reported() {
    assert_eq!(
        good(&one("noWorkers", js("NaN"))).warnings,
        ["option `noWorkers` is NaN, which counts as not given"]
    );
    assert!(good(&one("cluster", js("NaN"))).warnings.is_empty(), "for a yes or no it is a plain no");
}

#[test]
fn a_wrong_port_in_a_list_is_named_by_its_place() {
    let rule = "must be a port from 0 to 65535 or the path of a unix socket (with a '/')";
    assert_eq!(bad(&json!({ "port": [1, null] })), format!("option `port[1]` {rule}, got null"));
    assert_eq!(bad(&json!({ "port": [[1]] })), format!("option `port[0]` {rule}, got [ 1 ]"));
    assert_eq!(bad(&json!({ "port": [1, "1"] })), "option `port[1]` must not be in the list twice, got '1'");
}

#[test]
fn the_monitor_cannot_have_a_port_of_the_application() {
    let sentence = "monitor port & application port cannot use the same!";
    for raw in [
        json!({ "port": 3005, "monPort": 3005 }),
        json!({ "monPort": "3005", "port": [3004, "3005"] }),
        json!({ "port": 3001 }),
        json!({ "monPort": 3000 }),
    ] {
        let text = bad(&raw);
        assert!(text.starts_with("option `monPort` must not be") && text.contains(sentence), "{text}");
        assert!(text.ends_with(", got 3005") || text.ends_with(", got 3001") || text.ends_with(", got 3000"));
    }
    good(&json!({ "port": 0, "monPort": 0 }));
    good(&json!({ "port": 3001, "monPort": false }));
    good(&json!({ "port": "/run/3001" }));
}

#[test]
fn the_first_wrong_option_in_the_order_given_is_named() {
    assert!(bad(&json!({ "timeout": -1, "port": -1 })).starts_with("option `timeout`"));
    assert!(bad(&json!({ "port": -1, "timeout": -1 })).starts_with("option `port`"));
    assert!(bad(&json!({ "port": 1, "monPort": 1, "ecv": 5 })).starts_with("option `ecv`"));
}

#[test]
fn ecv_is_merged_with_its_own_defaults() {
    let read = |value: Value| good(&one("ecv", value)).options.ecv;
    assert_eq!(read(json!(false)), None);
    assert_eq!(read(json!(true)), Some(Ecv::default()));
    assert_eq!(read(json!({ "control": 1 })), Some(Ecv { control: true, ..Ecv::default() }));
    let nothing = json!({ "path": "", "monitor": null, "control": 0, "validator": js("undefined") });
    assert_eq!(read(nothing), Some(Ecv::default()));
    let all =
        json!({ "path": "/up", "monitor": "/deep?x=1", "control": true, "validator": js("[Function: v]") });
    let expected = Ecv {
        path: "/up".into(),
        monitor: Some("/deep?x=1".into()),
        control: true,
        validator: true,
        ..Ecv::default()
    };
    assert_eq!(read(all), Some(expected));
    let ecv = read(
        json!({ "controlFrom": ["10.0.0.0/8", "::1"], "token": "t", "timeout": "70", "startDisabled": 1 }),
    );
    let ecv = ecv.unwrap();
    assert_eq!((ecv.timeout.as_millis(), ecv.start_disabled), (70, true));
    let here = crate::ecv::cross_site::Origin::default();
    assert!(ecv.guard.admits(Some("10.9.9.9".parse().unwrap()), Some("Bearer t"), here));
    assert!(!ecv.guard.admits(Some("11.9.9.9".parse().unwrap()), Some("Bearer t"), here));
    assert_eq!(read(json!({ "controlFrom": "::1" })).unwrap().guard.from.len(), 1);
    for shown in ["[AsyncFunction: v]", "[Function (anonymous)]"] {
        assert!(read(json!({ "validator": js(shown) })).is_some_and(|ecv| ecv.validator));
    }
}

#[test]
fn a_wrong_part_of_ecv_is_named_by_its_path() {
    let cases = [
        (json!({ "path": "ecv" }), "option `ecv.path` must be a path that starts with '/'"),
        (json!({ "path": "/e?x" }), "option `ecv.path` must be a path that starts with '/'"),
        (json!({ "monitor": "/a b" }), "option `ecv.monitor` must be a path of the application"),
        (json!({ "monitor": "http://localhost/" }), "option `ecv.monitor` must be a path of the application"),
        (json!({ "validator": true }), "option `ecv.validator` must be a function, got true"),
        (json!({ "validator": "[Function: v]" }), "option `ecv.validator` must be a function, got '[Fun"),
        (json!({ "validator": js("[class A]") }), "option `ecv.validator` must be a function, got [class A]"),
        (
            json!({ "monitor": "/ecv?x" }),
            "option `ecv.monitor` must be another path than `ecv.path`, got '/ecv?x'",
        ),
        (json!({ "path": "/" }), "option `ecv.monitor` must be another path than `ecv.path`"),
        (json!({ "controlFrom": [] }), "option `ecv.controlFrom` must not be an empty list"),
        (json!({ "controlFrom": "here" }), "option `ecv.controlFrom` must be an IP address or a block"),
        (
            json!({ "controlFrom": ["::1", "10.0.0.0/64"] }),
            "option `ecv.controlFrom[1]` must be an IP address",
        ),
        (
            json!({ "token": "s3 cret" }),
            "option `ecv.token` must be a string of visible ASCII characters without spaces",
        ),
        (json!({ "timeout": -1 }), "option `ecv.timeout` must be a whole number of milliseconds"),
    ];
    for (value, opening) in cases {
        let text = bad(&one("ecv", value));
        assert!(text.starts_with(opening), "{text}");
    }
}

#[test]
fn the_monitor_is_steered_with_a_token_only() {
    let read = |value| good(&one("monitor", value)).options.monitor;
    for open in [json!({}), json!(false), json!(null), json!({ "control": 0, "token": "" })] {
        assert_eq!(read(open), Monitor::default());
    }
    let closed = read(json!({ "token": "s3cret" }));
    assert!(!closed.control && closed.token.is_some_and(|token| token.is("s3cret")));
    assert!(read(json!({ "token": "s3cret", "control": true })).control);
    let cases = [
        (json!(true), "option `monitor` must be an object, got true"),
        (json!("s3cret"), "option `monitor` must be an object, got 's3cret'"),
        (json!({ "control": true }), "option `monitor.token` must be given with `monitor.control`, got null"),
        (
            json!({ "token": "s3 cret" }),
            "option `monitor.token` must be a string of visible ASCII characters without spaces",
        ),
    ];
    for (value, text) in cases {
        assert_eq!(bad(&one("monitor", value)), text);
    }
    let parsed = good(&one("monitor", json!({ "contrl": true })));
    assert_eq!(parsed.warnings, ["unknown option `monitor.contrl`, did you mean `monitor.control`?"]);
}

#[test]
fn unknown_options_are_reported_with_the_nearest_name() {
    let cases = [
        ("noworkers", "unknown option `noworkers`, did you mean `noWorkers`?"),
        ("workers", "unknown option `workers`, did you mean `noWorkers`?"),
        ("prot", "unknown option `prot`, did you mean `port`?"),
        ("monport", "unknown option `monport`, did you mean `monPort`?"),
        ("shutdownTimout", "unknown option `shutdownTimout`, did you mean `shutdownTimeout`?"),
        ("pidz2", "unknown option `pidz2` is ignored"),
        ("colour", "unknown option `colour` is ignored"),
        ("", "unknown option `` is ignored"),
        ("a\n`b", "unknown option `a\\n\\`b` is ignored"),
    ];
    for (name, warning) in cases {
        let parsed = good(&one(name, js("[Function: f]")));
        assert_eq!(parsed.warnings, [warning]);
        assert_eq!(parsed.options, Options::defaults(&machine()));
    }
    let parsed = good(&json!({ "ecv": { "pth": "/x", "colour": 1 }, "x": js("undefined"), "zzz": 1 }));
    let expected = [
        "unknown option `ecv.pth`, did you mean `ecv.path`?",
        "unknown option `ecv.colour` is ignored",
        "unknown option `zzz` is ignored",
    ];
    assert_eq!(parsed.warnings, expected);
    let long = good(&one(&"x".repeat(1_000_000), json!(1))).warnings;
    assert_eq!(long, [format!("unknown option `{}…` is ignored", "x".repeat(80))]);
}

#[test]
fn long_values_are_cut_in_messages() {
    let ends_with_80 = |text: &str| text.split_once("got ").is_some_and(|(_, got)| got.chars().count() == 81);
    let mut nested = json!(1);
    for _ in 0..100 {
        nested = json!([nested]);
    }
    for value in [json!("ü".repeat(1_000_000)), Value::Array(vec![json!(1); 100_000]), nested] {
        let text = bad(&one("timeout", value));
        assert!(text.ends_with('…') && ends_with_80(&text), "{text}");
    }
}

#[test]
fn death_timeout_sets_two_defaults() {
    let with = |death_timeout: &str| Machine { death_timeout: Some(death_timeout.into()), ..machine() };
    let parsed = parse(&json!({}), &with("1500")).unwrap();
    assert_eq!(parsed.options.start_timeout, Duration::from_millis(1500));
    assert_eq!(parsed.options.recycle_timeout, Duration::from_millis(1500));
    let parsed = parse(&json!({ "startTimeout": 7 }), &with("1500")).unwrap();
    assert_eq!(parsed.options.start_timeout, Duration::from_millis(7));
    assert_eq!(parsed.options.recycle_timeout, Duration::from_millis(1500));
    for (value, is_reported) in
        [("soon", true), ("0", true), ("1.5", true), ("2147483648", true), ("", false)]
    {
        let parsed = parse(&json!({}), &with(value)).unwrap();
        assert_eq!(parsed.options, Options::defaults(&machine()), "{value}");
        let is_named =
            |text: &String| text.contains("`DEATH_TIMEOUT`") && text.contains(&format!("got '{value}'"));
        assert_eq!(parsed.warnings.iter().any(is_named), is_reported, "{value}");
    }
}

#[test]
fn clients_stick_to_slots_only() {
    parse(&json!({ "sticky": "address" }), &machine()).unwrap();
    for scheduling in ["shared", "rr"] {
        let error = bad(&json!({ "sticky": "address", "scheduling": scheduling }));
        assert!(
            error.starts_with("option `sticky` must be 'none' with") && error.contains(scheduling),
            "{error}"
        );
    }
}

#[test]
fn clients_stick_to_as_many_workers_as_the_kernel_can_choose_from() {
    parse(&json!({ "sticky": "address", "noWorkers": 220 }), &machine()).unwrap();
    assert_eq!(
        bad(&json!({ "sticky": "address", "noWorkers": 221 })),
        "option `noWorkers` must be at most 220 with `sticky: 'address'`, got 221"
    );
}

#[test]
fn slots_need_linux() {
    let other = Machine { linux: false, ..machine() };
    assert_eq!(Options::defaults(&other).scheduling, Scheduling::Shared);
    let error = parse(&json!({ "scheduling": "slots" }), &other).unwrap_err().to_string();
    assert!(
        error.contains("must be 'shared' or 'rr' on this system") && error.contains("got 'slots'"),
        "{error}"
    );
    parse(&json!({ "scheduling": "shared" }), &other).unwrap();
}

#[test]
fn the_default_number_of_workers_stays_in_range() {
    for (cpus, workers) in [(0, 1), (1, 1), (96, 96), (1024, 1024), (5000, 1024)] {
        assert_eq!(Options::defaults(&Machine { cpus, ..machine() }).no_workers.get(), workers);
    }
}

/// The members of `interface <name>` with the `@default` that their comment gives.
fn typed_members(name: &str) -> Vec<(String, String)> {
    let types = include_str!("../../../index.d.ts");
    let (_, body) = types.split_once(&format!("interface {name} {{")).unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let mut default = String::new();
    let mut members = Vec::new();
    for line in body.lines() {
        if let Some((_, given)) = line.split_once("@default ") {
            given.trim().clone_into(&mut default);
        }
        if let Some((member, _)) = line.strip_prefix("  ").and_then(|line| line.split_once("?:")) {
            members.push((member.to_owned(), std::mem::take(&mut default)));
        }
    }
    members
}

#[test]
fn index_d_ts_names_the_same_options_and_defaults() {
    let defaults = Options::defaults(&machine()).to_json();
    let members = typed_members("ClusterOptions");
    assert_eq!(
        members.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        read::names(&defaults).collect::<Vec<_>>()
    );
    for (name, default) in members {
        let expected = match name.as_str() {
            "port" => "3000".to_owned(),
            "ecv" => "{path: '/ecv', control: false}".to_owned(),
            "monitor" => "{control: false}".to_owned(),
            "noWorkers" => "os.availableParallelism()".to_owned(),
            "pids" | "logs" => format!("'<cwd>/{name}'"),
            "startTimeout" | "recycleTimeout" => {
                "60000, or the environment variable DEATH_TIMEOUT".to_owned()
            }
            "scheduling" => "'slots' on Linux, else 'shared'".to_owned(),
            _ => defaults[&name].to_string().replace('"', "'"),
        };
        assert_eq!(default, expected, "@default of {name}");
    }
    let given = json!({ "metrics": { "gc": true } });
    let metrics = good(&given).options.to_json()["metrics"].clone();
    for (interface, parts) in [
        ("EcvOptions", &defaults["ecv"]),
        ("MonitorOptions", &defaults["monitor"]),
        ("MetricsOptions", &metrics),
    ] {
        let typed = typed_members(interface).into_iter().map(|(name, _)| name);
        assert_eq!(typed.collect::<Vec<_>>(), read::names(parts).collect::<Vec<_>>());
    }
}
