//! Every seed that is kept, and everything that was ever found, once more.

use std::fs;
use std::path::Path;

use super::{channel, control, frames, http, kernel, messages, modules, options, scoreboard};

fn each_of(target: &str, check: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut tried = 0;
    for kept in ["corpus", "regressions"] {
        let mut cases: Vec<_> =
            fs::read_dir(fuzz.join(kept).join(target)).into_iter().flatten().flatten().collect();
        cases.sort_by_key(fs::DirEntry::path);
        for case in cases {
            // Shown with the failure of the test only.
            eprintln!("{}", case.path().display());
            check(&fs::read(case.path()).unwrap());
            tried += 1;
        }
    }
    assert!(tried > 0, "there are no seeds for {target}");
}

#[test]
fn channel_holds_for_all_seeds() {
    each_of("channel", channel::check);
}

#[test]
fn control_holds_for_all_seeds() {
    each_of("control", control::check);
}

#[test]
fn frames_holds_for_all_seeds() {
    each_of("frames", frames::check);
}

#[test]
fn http_holds_for_all_seeds() {
    each_of("http", http::check);
}

#[test]
fn kernel_holds_for_all_seeds() {
    each_of("kernel", kernel::check);
}

#[test]
fn messages_holds_for_all_seeds() {
    each_of("messages", messages::check);
}

#[test]
fn modules_holds_for_all_seeds() {
    each_of("modules", modules::check);
}

#[test]
fn options_holds_for_all_seeds() {
    each_of("options", options::check);
}

#[test]
fn scoreboard_holds_for_all_seeds() {
    each_of("scoreboard", scoreboard::check);
}
