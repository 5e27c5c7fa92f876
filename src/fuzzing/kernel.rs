//! What the kernel says of processes, groups of them, the machine and its sockets, and the metrics of an application.
//!
//! Names in it are other people's: a process or a group may have any. The first byte says which text the rest is.

use std::path::Path;

use super::input::Input;
use crate::monitor::data::host;
use crate::monitor::views::metrics::{Format, adapted};
use crate::os::ending::says_ending;
use crate::os::peer::stat_fields;
use crate::os::process_facts::resident_in;
use crate::process::cgroup::{files_of, kills_in};
use crate::process::inspector::listening_line;
use crate::socket::handshakes::cut;

const PAGE: u64 = 4096;

/// Every text is read to its end, whatever is in it, and a name never passes for something else.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.below(7);
    match choice {
        0 => name_of_a_process(&mut input),
        1 => netlink(input.rest()),
        2 => group(&mut input),
        _ => text(choice, &String::from_utf8_lossy(input.rest())),
    }
}

/// Whatever a process calls itself, its state and its parent are those that stand behind the name.
fn name_of_a_process(input: &mut Input<'_>) {
    let length = input.below(20);
    let (name, state) = (input.bytes(length), input.one_of(&["R", "S", "D", "Z", "X", "T"]));
    let (parent, flags) = (input.below(65_536), input.below(256));
    let rest = format!(") {state} {parent} 1 1 0 -1 {flags} 0 0\n");
    let stat = [b"7 (", name, rest.as_bytes()].concat();
    let fields: Vec<&str> = stat_fields(&stat).unwrap().collect();
    assert_eq!((fields[0], fields[1]), (state, parent.to_string().as_str()));
    assert_eq!(says_ending(&stat), matches!(state, "Z" | "X") || flags & 4 != 0);
    // And nothing but the name may be broken.
    let broken = input.rest();
    let _ = (stat_fields(broken).map(Iterator::count), says_ending(broken));
}

/// Each message is shorter than what is left, so that a reading ends.
fn netlink(mut bytes: &[u8]) {
    while let Some((_, message, rest)) = cut(bytes) {
        assert!(message.len() >= 16 && rest.len() < bytes.len());
        bytes = rest;
    }
}

/// The files of a group lie where groups do; the group's own path comes first.
fn group(input: &mut Input<'_>) {
    let root = Path::new("/sys/fs/cgroup");
    let text = String::from_utf8_lossy(input.rest());
    for file in files_of(&text, root) {
        assert!(file.starts_with(root), "{}", file.display());
        assert!(file.ends_with("memory.events") || file.ends_with("memory.oom_control"));
    }
    let name = text.replace(['\n', '\r'], "");
    let path = name.trim_start_matches('/');
    let found = files_of(&format!("3:cpu:/x\n0::/{path}\n"), root);
    assert_eq!(found.first(), Some(&root.join(path).join("memory.events")));
    let _ = kills_in(&text);
    assert_eq!(kills_in(&format!("oom 3\noom_kill {}\n", name.len())), u64::try_from(name.len()).ok());
}

fn text(choice: usize, text: &str) {
    match choice {
        3 => {
            assert!(host::cores(text) > 0);
            if let Some(ticks) = host::cpu_ticks(text) {
                assert!(ticks.busy <= ticks.total);
            }
            let _ = (host::memory_line(text, "MemTotal:"), host::load(text));
            assert!(text.starts_with(host::series(text)));
        }
        4 => {
            let loopback = |line: &str| listening_line(line).is_none_or(|it| it.address.ip().is_loopback());
            assert!(text.lines().all(loopback));
        }
        5 => assert!(resident_in(text, PAGE).is_none_or(|bytes| bytes >= 0.0)),
        _ => {
            for format in [Format::Prometheus, Format::OpenMetrics] {
                let added = adapted(format, text);
                assert!(added.is_empty() || added.ends_with('\n'));
                assert!(added.lines().all(|line| !line.trim_start().starts_with("cluster2_")), "{added}");
                assert!(!added.lines().any(|line| line.trim() == "# EOF"));
                assert!(added.len() <= text.len() + 64 * (text.lines().count() + 1));
            }
            let once = adapted(Format::Prometheus, text);
            assert_eq!(adapted(Format::Prometheus, &once), once, "once more changes nothing");
        }
    }
}
