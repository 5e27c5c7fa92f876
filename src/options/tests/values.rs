//! Tables of good and bad values, each option by itself.

use serde_json::json;

use super::{bad, good, js, one};

/// Each value beside what `to_json` says of it afterwards.
#[test]
fn good_values_are_taken_over() {
    let cases = [
        ("cluster", json!("yes"), json!(true)),
        ("cluster", json!([]), json!(true)),
        ("port", json!(8080), json!([8080])),
        ("port", json!(8080.0), json!([8080])),
        ("port", json!("8080"), json!([8080])),
        ("port", json!(" 8080 "), json!([8080])),
        ("port", json!(0), json!([0])),
        ("port", json!("0"), json!([0])),
        ("port", json!(65535), json!([65535])),
        ("port", json!("/run/app.sock"), json!(["/run/app.sock"])),
        ("port", json!("./app.sock"), json!(["./app.sock"])),
        ("port", json!([8080, "8081", "/run/app.sock"]), json!([8080, 8081, "/run/app.sock"])),
        ("port", json!([0, 0]), json!([0, 0])),
        ("port", json!(vec![0; 1024]), json!(vec![0; 1024])),
        ("host", json!("localhost"), json!("localhost")),
        ("host", json!("::1"), json!("::1")),
        ("host", json!("fe80::1%eth0"), json!("fe80::1%eth0")),
        ("monHost", json!("::1%2"), json!("::1%2")),
        ("monHost", json!("my_host-1.example"), json!("my_host-1.example")),
        ("monPort", json!(0), json!(false)),
        ("monPort", json!("0"), json!(false)),
        ("monPort", json!(false), json!(false)),
        ("monPort", json!("9001"), json!(9001)),
        ("monPath", json!("/monitor"), json!("/monitor")),
        ("noWorkers", json!(1), json!(1)),
        ("noWorkers", json!("2"), json!(2)),
        ("noWorkers", json!(1024), json!(1024)),
        ("timeout", json!(1), json!(1)),
        ("timeout", json!(2_147_483_647), json!(2_147_483_647)),
        ("timeout", json!("5e3"), json!(5000)),
        ("connThreshold", json!(9_007_199_254_740_991_u64), json!(9_007_199_254_740_991_u64)),
        ("uptimeThreshold", json!(5), json!(5)),
        ("uptimeThreshold", json!("0.5"), json!(0.5)),
        ("requestThreshold", json!("7"), json!(7)),
        ("memoryThreshold", json!(4096), json!(4096)),
        ("memoryThreshold", json!("512mb"), json!(536_870_912)),
        ("memoryThreshold", json!("1.5GB"), json!(1_610_612_736)),
        ("memoryThreshold", json!("64k"), json!(65536)),
        ("recycleJitter", json!(0.25), json!(0.25)),
        ("recycleJitter", json!(1), json!(1)),
        ("cwd", json!("run"), json!("/srv/app/run")),
        ("uid", json!(0), json!(0)),
        ("uid", json!("33"), json!(33)),
        ("gid", json!(4_294_967_294_u64), json!(4_294_967_294_u64)),
        ("gid", json!(false), json!(null)),
        ("heartbeatInterval", json!(100), json!(100)),
        ("maxHeartbeatDelay", json!(1000.0), json!(1000)),
        ("pids", json!("run/./pids/"), json!("/srv/app/run/pids")),
        ("pids", json!("../pids"), json!("/srv/app/../pids")),
        ("logs", json!("/var/log"), json!("/var/log")),
        ("exec", json!("bin/app"), json!("bin/app")),
        ("env", json!({ "A": 1, "B": null }), json!({ "A": "1", "B": null })),
        ("instanceEnv", json!({ "PORT": "3000" }), json!({ "PORT": 3000 })),
        ("name", json!("api é"), json!("api é")),
        ("log", json!("run/app.log"), json!("/srv/app/run/app.log")),
        ("restartDelay", json!("250"), json!(250)),
        ("stop", json!("yes"), json!(true)),
        ("stop", js("[Function: f]"), json!(true)),
        ("shutdown", json!(1), json!(true)),
        ("restart", json!("always"), json!("always")),
        ("onUncaughtException", json!("continue"), json!("continue")),
        ("onUncaughtException", json!("exit"), json!("exit")),
        ("shutdownTimeout", json!(10), json!(10)),
        ("killTimeout", json!(10), json!(10)),
        ("keepAliveGrace", json!(0), json!(0)),
        ("keepAliveGrace", js("-0"), json!(0)),
        ("keepAliveGrace", json!("0"), json!(0)),
        ("keepAliveGrace", json!(7), json!(7)),
        ("startTimeout", json!(10), json!(10)),
        ("recycleTimeout", json!(10), json!(10)),
        ("spares", json!(0), json!(0)),
        ("spares", json!(null), json!(0)),
        ("spares", json!("2"), json!(2)),
        ("scheduling", json!("shared"), json!("shared")),
        ("scheduling", json!("rr"), json!("rr")),
        ("sticky", json!("address"), json!("address")),
        ("hangTimeout", json!("5000"), json!(5000)),
        ("captureStack", json!(1), json!(true)),
        ("backlog", json!(65535), json!(65535)),
        ("metrics", json!(false), json!(false)),
        ("metrics", json!("yes"), json!(true)),
        ("metrics", json!({}), json!(true)),
        ("metrics", json!({ "gc": false }), json!(true)),
        ("metrics", json!({ "gc": 1 }), json!({ "gc": true })),
        ("flightRecorder", json!(0), json!(false)),
        ("drainDelay", json!(0), json!(0)),
        ("liveMaxAge", json!("9"), json!(9)),
        ("readyQuorum", json!(1024), json!(1024)),
    ];
    for (name, value, expected) in cases {
        let parsed = good(&one(name, value.clone()));
        assert_eq!(parsed.options.to_json()[name], expected, "{name}: {value}");
        assert!(parsed.warnings.is_empty(), "{name}: {value}: {:?}", parsed.warnings);
    }
}

#[test]
fn bad_values_are_named_with_their_rule() {
    let millis = "must be a whole number of milliseconds from 1 to 2147483647, got ";
    let ports =
        "must be a port from 0 to 65535, the path of a unix socket (with a '/') or a list of these, got ";
    let host = "must be a host name or an IP address, got ";
    let workers = "must be a whole number from 1 to 1024, got ";
    let cases = [
        ("port", json!(-1), format!("{ports}-1")),
        ("port", json!(65536), format!("{ports}65536")),
        ("port", json!(3000.5), format!("{ports}3000.5")),
        ("port", json!("3000.5"), format!("{ports}'3000.5'")),
        ("port", json!("http"), format!("{ports}'http'")),
        ("port", json!("/a\0b"), format!("{ports}'/a\\x00b'")),
        ("port", json!([]), format!("{ports}[]")),
        ("port", json!(true), format!("{ports}true")),
        ("port", json!(vec![0; 100_000]), "must be a list of at most 1024 entries, got 100000".into()),
        ("port", json!({ "a": 1, "b c": [true] }), format!("{ports}{{ a: 1, 'b c': [ true ] }}")),
        ("host", json!(5), format!("{host}5")),
        ("host", json!("http://localhost"), format!("{host}'http://localhost'")),
        ("host", json!("localhost:80"), format!("{host}'localhost:80'")),
        ("host", json!("[::1]"), format!("{host}'[::1]'")),
        ("monHost", json!("a b"), format!("{host}'a b'")),
        (
            "monPort",
            json!(true),
            "must be a port from 1 to 65535, or 0 or false for no monitor, got true".into(),
        ),
        (
            "monPort",
            json!([1]),
            "must be a port from 1 to 65535, or 0 or false for no monitor, got [ 1 ]".into(),
        ),
        (
            "monPath",
            json!("x"),
            "must be a path that starts with '/', without spaces, '?' and '#', got 'x'".into(),
        ),
        ("ecv", json!("/ecv"), "must be an object, true or false, got '/ecv'".into()),
        ("ecv", js("[Function: f]"), "must be an object, true or false, got [Function: f]".into()),
        ("noWorkers", json!(0.5), format!("{workers}0.5")),
        ("noWorkers", json!(-2), format!("{workers}-2")),
        ("noWorkers", json!(1025), format!("{workers}1025")),
        ("noWorkers", json!("many"), format!("{workers}'many'")),
        ("noWorkers", json!("1e400"), format!("{workers}'1e400'")),
        ("noWorkers", json!("inf"), format!("{workers}'inf'")),
        ("noWorkers", json!(1e21), format!("{workers}1e+21")),
        ("noWorkers", json!(1e-7), format!("{workers}1e-7")),
        ("noWorkers", js("Infinity"), format!("{workers}Infinity")),
        ("noWorkers", js("4n"), format!("{workers}4n")),
        ("noWorkers", js("[Function: f]"), format!("{workers}[Function: f]")),
        ("noWorkers", json!(true), format!("{workers}true")),
        ("timeout", json!(0.5), format!("{millis}0.5")),
        ("timeout", json!(2_147_483_648_u64), format!("{millis}2147483648")),
        ("timeout", json!("30s"), format!("{millis}'30s'")),
        (
            "connThreshold",
            json!(9_007_199_254_740_992_u64),
            "must be a whole number from 1 to 9007199254740991, got 9007199254740992".into(),
        ),
        ("uptimeThreshold", json!(-5), "must be a number of seconds from 0.001 to 2147483647, got -5".into()),
        (
            "uptimeThreshold",
            json!("1e300"),
            "must be a number of seconds from 0.001 to 2147483647, got '1e300'".into(),
        ),
        (
            "uptimeThreshold",
            json!(0.0004),
            "must be a number of seconds from 0.001 to 2147483647, got 0.0004".into(),
        ),
        ("heartbeatInterval", json!(-1), format!("{millis}-1")),
        ("pids", json!(7), "must be the path of a directory, got 7".into()),
        ("logs", json!("a\0"), "must be the path of a directory, got 'a\\x00'".into()),
        ("restart", json!("never"), "must be 'on-failure' or 'always', got 'never'".into()),
        ("restart", json!(true), "must be 'on-failure' or 'always', got true".into()),
        (
            "onUncaughtException",
            json!("it's"),
            "must be 'recycle', 'continue' or 'exit', got 'it\\'s'".into(),
        ),
        ("shutdownTimeout", json!(1.5), format!("{millis}1.5")),
        ("killTimeout", json!("x"), format!("{millis}'x'")),
        ("keepAliveGrace", json!(-1), format!("{}-1", millis.replace("from 1", "from 0"))),
        ("startTimeout", json!({}), format!("{millis}{{}}")),
        ("recycleTimeout", json!(1e10), format!("{millis}10000000000")),
        ("scheduling", json!("fair"), "must be 'slots', 'shared' or 'rr', got 'fair'".into()),
        ("sticky", json!("cookie"), "must be 'none' or 'address', got 'cookie'".into()),
        ("backlog", json!(65536), "must be a whole number from 1 to 65535, got 65536".into()),
    ];
    for (name, value, problem) in cases {
        assert_eq!(bad(&one(name, value)), format!("option `{name}` {problem}"));
    }
    assert_eq!(bad(&json!(5)), "option `options` must be an object, got 5");
    assert_eq!(bad(&json!([])), "option `options` must be an object, got []");
}

#[test]
fn bad_thresholds_are_named_with_their_rule() {
    let bytes = "must be a number of bytes from 1, or one with a unit such as '512mb' or '1.5gb', got ";
    let cases = [
        ("requestThreshold", json!(0.5), "must be a whole number from 1 to 9007199254740991, got 0.5".into()),
        ("memoryThreshold", json!("512 apples"), format!("{bytes}'512 apples'")),
        ("memoryThreshold", json!("0.2b"), format!("{bytes}'0.2b'")),
        ("memoryThreshold", json!(-1), format!("{bytes}-1")),
        ("memoryThreshold", json!("1e400"), format!("{bytes}'1e400'")),
        (
            "instanceEnv",
            json!({ "PORT": i64::MIN }),
            "must be an object of variables with whole numbers up to 2147483647, got { PORT: -9223372036854775808 }".into(),
        ),
        ("recycleJitter", json!(1.1), "must be a number from 0 to 1, got 1.1".into()),
        ("recycleJitter", json!("-0.1"), "must be a number from 0 to 1, got '-0.1'".into()),
        ("cwd", json!(7), "must be the path of a directory, got 7".into()),
    ];
    for (name, value, problem) in cases {
        assert_eq!(bad(&one(name, value)), format!("option `{name}` {problem}"));
    }
}

#[test]
fn values_that_mean_nothing_on_this_machine_are_named_with_their_rule() {
    let zone = "must name a network interface of this machine behind the '%', got ";
    let id = "must be a whole number from 0 to 4294967294, got ";
    let least = "must be a whole number of milliseconds from 1000 to 2147483647, got ";
    let cases = [
        ("uid", json!(-1), format!("{id}-1")),
        ("uid", json!("www-data"), format!("{id}'www-data'")),
        ("gid", json!(4_294_967_295_u64), format!("{id}4294967295")),
        ("host", json!("fe80::1%eth1"), format!("{zone}'fe80::1%eth1'")),
        ("monHost", json!("::1%"), format!("{zone}'::1%'")),
        ("maxHeartbeatDelay", json!([]), format!("{least}[]")),
        ("maxHeartbeatDelay", json!(999), format!("{least}999")),
        ("hangTimeout", json!(-5), format!("{least}-5")),
        ("hangTimeout", json!(100), format!("{least}100")),
    ];
    for (name, value, problem) in cases {
        assert_eq!(bad(&one(name, value)), format!("option `{name}` {problem}"));
    }
}
