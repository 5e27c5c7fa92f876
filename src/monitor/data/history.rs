//! What happened last: the timeline that operators read.
//!
//! Part of the snapshot; the supervisor adds to it as it publishes, the page and the JSON show it. Texts may come from
//! outside (the words of a dying worker, the path of a request) and are kept as they are; the views escape them.
//! Invariant: its size is bounded, in entries and in what each of them keeps.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

/// How many events are remembered.
const EVENTS_KEPT: usize = 100;
/// How many characters of an event's text are kept; the last words of a worker may be megabytes long.
const TEXT_KEPT: usize = 500;
/// How many requests of a dead worker are kept.
const LOST_KEPT: usize = 16;

/// The last events, oldest first; clones share the entries.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: VecDeque<Arc<Entry>>,
    added: u64,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub time: SystemTime,
    /// Its name, as the application knows it where it has one there.
    pub event: &'static str,
    /// The process it happened to, where it was one.
    pub pid: Option<u32>,
    /// The rest, for people; may hold text from outside.
    pub text: String,
    /// Of a death: the requests that were under way, the oldest first.
    pub lost: Vec<Lost>,
    /// How many there were, also where not all are kept.
    pub lost_count: usize,
    /// Of a death: the worker exited with status 0, as it was told to.
    pub is_orderly: bool,
}

/// A request that its worker did not live to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its method.
    pub method: String,
    /// Its path without the query, from outside.
    pub path: String,
    /// For how long it had been under way, in ms.
    pub ms: u64,
}

impl History {
    /// Remembers one more entry, with its text cut to a length that fits a page; the oldest makes room.
    pub fn add(&mut self, mut entry: Entry) {
        if let Some((end, _)) = entry.text.char_indices().nth(TEXT_KEPT) {
            entry.text.truncate(end);
            entry.text.push('…');
            entry.text.shrink_to_fit();
        }
        entry.lost.truncate(LOST_KEPT);
        if self.entries.len() >= EVENTS_KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Arc::new(entry));
        self.added += 1;
    }

    /// How many were ever added.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.added
    }

    /// The entries, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter().map(Arc::as_ref)
    }
}

impl Lost {
    /// The requests among the facts of a death, which tell the longest first.
    pub(crate) fn in_facts(facts: &Value) -> Vec<Self> {
        let read = |request: &Value| {
            let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            // It is a rounded float, which JSON may write with a point.
            let ms = request.get("ms").and_then(Value::as_f64).unwrap_or(0.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates, for show"
            )]
            Self { method: text("method"), path: text("path"), ms: ms as u64 }
        };
        facts.get("requests").and_then(Value::as_array).into_iter().flatten().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(text: String) -> Entry {
        let time = SystemTime::UNIX_EPOCH;
        Entry { time, event: "warning", pid: None, text, lost: Vec::new(), lost_count: 0, is_orderly: false }
    }

    #[test]
    fn only_the_last_hundred_events_are_kept() {
        let mut history = History::default();
        for number in 0..250 {
            history.add(entry(number.to_string()));
        }
        let texts: Vec<_> = history.iter().map(|entry| entry.text.as_str()).collect();
        assert_eq!((texts.len(), texts[0], texts[99]), (100, "150", "249"));
        assert_eq!(history.added(), 250);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut history = History::default();
        history.add(entry("ä".repeat(1_000_000)));
        let text = &history.iter().next().unwrap().text;
        assert_eq!(text.chars().count(), TEXT_KEPT + 1);
        assert!(text.ends_with("ä…"));
    }

    #[test]
    fn some_of_the_requests_of_a_death_are_kept() {
        let request = json!({ "method": "GET", "path": "/slow", "ms": 1234.0 });
        let lost = Lost::in_facts(&json!({ "row": null, "requests": vec![request; 64] }));
        assert_eq!(lost[0], Lost { method: "GET".into(), path: "/slow".into(), ms: 1234 });
        let mut history = History::default();
        history.add(Entry { lost_count: lost.len(), lost, ..entry(String::new()) });
        let kept = history.iter().next().unwrap();
        assert_eq!((kept.lost.len(), kept.lost_count), (LOST_KEPT, 64));
        assert_eq!(Lost::in_facts(&Value::Null), []);
    }
}
