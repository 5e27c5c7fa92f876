//! `docs/errors.md` lists every error code of the core and of JavaScript and every warning, and no others.

use std::collections::BTreeSet;

const DOCS: &str = include_str!("../../docs/errors.md");
const RUST: &str = include_str!("../../src/error.rs");
const JAVASCRIPT: &str = include_str!("../../lib/shared/errors.js");
const CLUSTER: &str = include_str!("../../lib/cluster.js");

/// Every complete error code in `text`, in order; the bare prefix is none.
fn codes(text: &str) -> Vec<&str> {
    codes_by("ERR_CLUSTER2_", text)
}

fn codes_by<'a>(prefix: &str, text: &'a str) -> Vec<&'a str> {
    let is_part = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    words.filter(|word| word.starts_with(prefix) && *word != prefix).collect()
}

fn set(text: &str) -> BTreeSet<&str> {
    codes(text).into_iter().collect()
}

/// The cells of each row below the heading `section`.
fn rows(section: &str) -> Vec<Vec<&str>> {
    let text = DOCS.split("\n## ").find(|text| text.starts_with(section)).unwrap_or_default();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn listed(section: &str) -> Vec<&str> {
    rows(section).iter().map(|cells| cells[0].trim_matches('`')).collect()
}

#[test]
fn every_code_of_the_core_is_listed_and_no_other() {
    assert_eq!(listed("From the Rust core").into_iter().collect::<BTreeSet<_>>(), set(RUST));
}

#[test]
fn every_code_of_javascript_is_listed_and_no_other() {
    assert_eq!(listed("From JavaScript").into_iter().collect::<BTreeSet<_>>(), set(JAVASCRIPT));
}

#[test]
fn every_warning_of_the_process_is_listed_and_no_other() {
    let warnings: BTreeSet<&str> = codes_by("CLUSTER2_", CLUSTER).into_iter().collect();
    assert_eq!(listed("Warnings of the process").into_iter().collect::<BTreeSet<_>>(), warnings);
}

#[test]
fn every_code_stands_for_one_thing() {
    let all: Vec<&str> = [codes(RUST), codes(JAVASCRIPT)].concat();
    assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "a code is used twice: {all:?}");
    let rows: Vec<&str> = [listed("From the Rust core"), listed("From JavaScript")].concat();
    assert_eq!(rows.len(), all.len(), "a code is listed twice: {rows:?}");
}

#[test]
fn every_row_says_when_and_what_to_do() {
    for cells in
        [rows("From the Rust core"), rows("From JavaScript"), rows("Warnings of the process")].concat()
    {
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{cells:?}");
    }
}
