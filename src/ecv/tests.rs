//! What the answers look like to the letter, and who may change the state.

use std::net::IpAddr;
use std::time::Duration;

use super::cross_site::Origin;
use super::guard::{Guard, Network, Token};
use super::*;

const FACTS: Facts<'static> = Facts {
    ip: "127.0.0.1",
    hostname: "somehost",
    port: "3000",
    time: "Sun Nov 22 2026 08:45:14 GMT+0000 (UTC)",
    since: "Sun Nov 22 2026 08:40:00 GMT+0000 (UTC)",
};

#[test]
fn the_three_answers_are_those_of_the_original() {
    for (verdict, status, words) in [
        (Verdict::Available, 200, "status=AVAILABLE&ServeTraffic=true"),
        (Verdict::Warning, 500, "status=WARNING&ServeTraffic=false"),
        (Verdict::Disabled, 400, "status=DISABLED&ServeTraffic=false"),
    ] {
        let Answer { status: got, headers, body } = answer(verdict, &FACTS);
        let rest = "&ip=127.0.0.1&hostname=somehost&port=3000&time=Sun Nov 22 2026 08:45:14 GMT+0000 (UTC)";
        assert_eq!((got, body), (status, format!("{words}{rest}")));
        let names: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            names,
            [
                "content-type: text/plain",
                "since: Sun Nov 22 2026 08:40:00 GMT+0000 (UTC)",
                "cache-control: no-cache",
                "X-Powered-By: Cluster2",
                "Connection: close",
            ]
        );
    }
}

#[test]
fn control_requests_are_answered_without_a_body() {
    let names = |answer: &Answer| answer.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let (off, on) = (done(true, FACTS.since), done(false, FACTS.since));
    assert_eq!(
        (off.status, names(&off)),
        (204, vec!["since", "cache-control", "X-Powered-By", "Connection"])
    );
    assert_eq!((on.status, names(&on), on.body), (204, vec![], String::new()));
    assert_eq!(refused().status, 403);
}

#[test]
fn the_state_counts_before_the_check() {
    assert_eq!(Verdict::of(true, true), Verdict::Disabled);
    assert_eq!(Verdict::of(true, false), Verdict::Disabled);
    assert_eq!(Verdict::of(false, true), Verdict::Available);
    assert_eq!(Verdict::of(false, false), Verdict::Warning);
}

#[test]
fn who_when_and_why_are_those_of_the_change_that_counted() {
    let start = Timestamp::now();
    let at = |seconds| start.after(Duration::from_secs(seconds));
    let mut rotation = Rotation::at_start(false, at(0));
    assert_eq!(rotation, Rotation::default());
    assert!(rotation.set(true, Change::new("a", at(1), Some("new disk"))));
    assert!(!rotation.set(true, Change::new("b", at(2), None)));
    let change = rotation.change.clone().unwrap();
    assert_eq!((change.by.as_str(), change.at, change.reason.as_deref()), ("a", at(1), Some("new disk")));
    assert!(rotation.set(false, Change::new("c", at(3), Some(""))));
    assert_eq!(rotation.change.unwrap().reason, None);
    assert!(Rotation::at_start(true, at(0)).disabled);
    assert_eq!(Change::new(&"x".repeat(1000), at(0), None).by.len(), 200);
}

#[test]
fn all_handles_of_the_word_say_the_same() {
    let word = Word::default();
    let other = word.clone();
    for is_out in [false, true, false] {
        word.write(is_out);
        assert_eq!(other.is_out(), is_out);
    }
}

#[test]
fn paths_are_ours_only_to_the_letter() {
    for (path, expected) in [
        ("/ecv", Some(Asked::Health)),
        ("/ecv/", Some(Asked::Health)),
        ("/ecv/disable", Some(Asked::Disable)),
        ("/ecv/enable/", Some(Asked::Enable)),
        ("/ecvs", None),
        ("/ecv/other", None),
        ("/ecv/disable/x", None),
        ("/", None),
    ] {
        assert_eq!(asked("/ecv", path), expected, "{path}");
    }
    assert_eq!((asked("/", "/"), asked("/", "/disable")), (Some(Asked::Health), Some(Asked::Disable)));
    assert_eq!(asked("/a/", "/a"), Some(Asked::Health));
}

#[test]
fn a_reason_is_read_from_the_query() {
    assert_eq!(reason_in("reason=new+disk%21").as_deref(), Some("new disk!"));
    assert_eq!(reason_in("x=1&reason=a&reason=b").as_deref(), Some("a"));
    for odd in ["", "reason=", "x=reason"] {
        assert_eq!(reason_in(odd), None);
    }
    assert_eq!(reason_in("reason=%zz%4%").as_deref(), Some("%zz%4%"), "what is no code stands for itself");
}

fn guard(from: &[&str], token: Option<&str>) -> Guard {
    let from = from.iter().map(|text| text.parse().unwrap()).collect();
    Guard { from, token: token.map(|token| Token::new(token.to_owned())) }
}

#[test]
fn control_is_granted_by_address() {
    let guard = guard(&["10.1.0.0/16", "192.168.7.7", "fd00::/8", "::1"], None);
    let admits =
        |address: &str| guard.admits(Some(address.parse::<IpAddr>().unwrap()), None, Origin::default());
    for near in ["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "192.168.7.7", "fdab::1", "::1"] {
        assert!(admits(near), "{near}");
    }
    for far in ["10.2.0.0", "10.0.255.255", "192.168.7.8", "fe00::1", "::2", "::ffff:11.1.2.3", "127.0.0.1"] {
        assert!(!admits(far), "{far}");
    }
    assert!(!guard.admits(None, None, Origin::default()));
}

#[test]
fn blocks_of_every_size_hold_what_they_should() {
    let holds = |net: &str, address: &str| net.parse::<Network>().unwrap().contains(address.parse().unwrap());
    assert!(holds("0.0.0.0/0", "255.255.255.255") && !holds("0.0.0.0/0", "::1"));
    assert!(holds("::/0", "fe80::1") && !holds("::/0", "1.2.3.4"));
    assert!(holds("10.9.9.9/8", "10.1.1.1"));
    assert!(holds("1.2.3.4/32", "1.2.3.4") && !holds("1.2.3.4/32", "1.2.3.5"));
    assert!(holds("2001:db8::/127", "2001:db8::1") && !holds("2001:db8::/127", "2001:db8::2"));
    assert!(holds("::ffff:10.0.0.0/104", "10.200.0.1") && !holds("::ffff:10.0.0.0/104", "11.0.0.1"));
    for wrong in
        ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "localhost", "1.2.3.4/8/8"]
    {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
}

#[test]
fn control_is_granted_by_token() {
    let guard = guard(&[], Some("s3cret"));
    for right in ["Bearer s3cret", "bearer  s3cret", " BEARER s3cret "] {
        assert!(guard.admits(None, Some(right), Origin::default()), "{right}");
    }
    for wrong in [
        "Bearer s3cre",
        "Bearer s3crets",
        "Bearer s3crets3cret",
        "Bearer ",
        "Bearer",
        "Basic s3cret",
        "s3cret",
    ] {
        assert!(!guard.admits(None, Some(wrong), Origin::default()), "{wrong}");
    }
    assert!(!guard.admits(None, None, Origin::default()));
    assert!(!format!("{guard:?}").contains("s3cret"));
}

#[test]
fn address_and_token_are_both_needed_where_both_are_asked_for() {
    let guard = guard(&["127.0.0.0/8"], Some("t"));
    let (near, far) = ("127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
    let here = Origin::default();
    assert!(guard.admits(Some(near), Some("Bearer t"), here));
    assert!(!guard.admits(Some(far), Some("Bearer t"), here));
    assert!(!guard.admits(Some(near), Some("Bearer u"), here));
    assert!(Guard::default().admits(None, None, here));
    let elsewhere = Origin { site: Some("cross-site"), ..here };
    assert!(!guard.admits(Some(near), Some("Bearer t"), elsewhere));
    assert!(!Guard::default().admits(None, None, elsewhere));
}
