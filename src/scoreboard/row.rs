//! One row as plain data: the numbers of one worker at one moment.
//!
//! The board reads rows; the supervisor, the monitor and the metrics look at them. What stands there was written by a
//! worker, so nothing in it is trusted: a number that is none, or is below zero, reads as 0.

use super::layout::{FIELD_COUNT, FIELDS, Field, Kind, ROW_SIZE, fatal, histogram, ring};
use crate::os::memory::{Mapping, WORD};

/// What a worker has counted and measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    fields: [f64; FIELD_COUNT],
    histogram: [f64; histogram::BUCKETS],
}

/// What all workers together have counted, the dead included.
///
/// Kept in whole millionths: a sum of integers does not depend on the order of its parts, so no number in it falls by a
/// rounding error when a worker moves from the living to the dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    fields: [u128; FIELD_COUNT],
    histogram: [u128; histogram::BUCKETS],
}

/// A request that the flight recorder holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// When it began, by `CLOCK_MONOTONIC` in ms.
    pub start: f64,
    /// When it ended, in the same way; `None` while it is under way.
    pub end: Option<f64>,
    /// Its status, where one was sent.
    pub status: Option<u16>,
    /// Its method.
    pub method: String,
    /// Its path without the query, cut at about 100 bytes.
    pub path: String,
}

impl Default for Row {
    fn default() -> Self {
        Self { fields: [0.0; FIELD_COUNT], histogram: [0.0; histogram::BUCKETS] }
    }
}

impl Row {
    pub(super) fn read(memory: &Mapping, first_word: usize) -> Self {
        let mut row = Self::default();
        for (word, value) in row.fields.iter_mut().enumerate() {
            *value = number(memory, first_word + word);
        }
        for (bucket, value) in row.histogram.iter_mut().enumerate() {
            *value = number(memory, first_word + histogram::AT + bucket);
        }
        row
    }

    /// A row in which only these fields were written; for tests and examples.
    #[must_use]
    pub fn with(fields: &[(Field, f64)]) -> Self {
        let mut row = Self::default();
        for (field, value) in fields {
            if let Some(place) = row.fields.get_mut(*field as usize) {
                *place = *value;
            }
        }
        row
    }

    /// One number.
    #[must_use]
    pub fn get(&self, field: Field) -> f64 {
        self.fields.get(field as usize).copied().unwrap_or(0.0)
    }

    /// How many requests took as long as each bucket says; see [`histogram::end_of`].
    #[must_use]
    pub fn histogram(&self) -> &[f64] {
        &self.histogram
    }

    /// When the worker's event loop last turned, by `CLOCK_MONOTONIC` in ms; `None` for a worker that never wrote, of
    /// which nothing is known.
    #[must_use]
    pub fn tick(&self) -> Option<f64> {
        Some(self.get(Field::Tick)).filter(|tick| *tick > 0.0)
    }

    /// All fields with their names.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
        FIELDS.iter().map(|info| (info.name, self.get(info.field)))
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self { fields: [0; FIELD_COUNT], histogram: [0; histogram::BUCKETS] }
    }
}

impl Totals {
    /// One counter over all workers; 0 for a gauge, which has no total.
    #[must_use]
    pub fn get(&self, field: Field) -> f64 {
        self.fields.get(field as usize).copied().map_or(0.0, from_micros)
    }

    /// How many requests took as long as each bucket says; see [`histogram::end_of`].
    #[must_use]
    pub fn histogram(&self) -> [f64; histogram::BUCKETS] {
        self.histogram.map(from_micros)
    }

    /// Adds a worker's counters.
    pub fn add(&mut self, row: &Row) {
        for ((total, value), info) in self.fields.iter_mut().zip(row.fields).zip(FIELDS) {
            if info.kind == Kind::Counter {
                *total = total.saturating_add(in_micros(value));
            }
        }
        for (total, value) in self.histogram.iter_mut().zip(row.histogram) {
            *total = total.saturating_add(in_micros(value));
        }
    }
}

const MICROS: u128 = 1_000_000;

/// A counter in whole millionths. Whole counts stay exact, and a larger value never gives a smaller result.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "finite and not below 0, see `number`"
)]
fn in_micros(value: f64) -> u128 {
    let whole = (value.trunc() as u128).saturating_mul(MICROS);
    whole.saturating_add((value.fract() * 1e6).round() as u128)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counters are exact up to 2^53, and rounding keeps their order"
)]
fn from_micros(micros: u128) -> f64 {
    (micros / MICROS) as f64 + (micros % MICROS) as f64 / 1e6
}

/// The flight recorder's entries, oldest first.
pub(super) fn recorded(memory: &Mapping, first_word: usize) -> Vec<Recorded> {
    let entries = (0..ring::ENTRIES).map(|entry| first_word + ring::AT + entry * ring::ENTRY_WORDS);
    let mut found: Vec<Recorded> = entries.filter_map(|at| entry(memory, at)).collect();
    found.sort_by(|one, other| one.start.total_cmp(&other.start));
    found
}

/// The text of the fatal error, if there is one.
pub(super) fn fatal_text(memory: &Mapping, first_word: usize) -> Option<String> {
    let len = length(memory, first_word + fatal::LENGTH, fatal::TEXT_SIZE);
    let text = memory.bytes((first_word + fatal::TEXT) * WORD, len);
    (len > 0).then(|| String::from_utf8_lossy(&text).into_owned())
}

/// Makes the row as it was before the first worker wrote it.
pub(super) fn clear(memory: &Mapping, first_word: usize) {
    for word in first_word..first_word + ROW_SIZE / WORD {
        // A page that was never touched takes no memory, and stays so.
        if memory.word(word) != 0 {
            memory.set_word(word, 0);
        }
    }
}

fn entry(memory: &Mapping, at: usize) -> Option<Recorded> {
    let start = number(memory, at + ring::START);
    if start <= 0.0 {
        return None;
    }
    let end = number(memory, at + ring::END);
    let status = number(memory, at + ring::STATUS);
    let len = length(memory, at + ring::LENGTH, ring::TEXT_SIZE);
    let text = memory.bytes((at + ring::TEXT) * WORD, len);
    let text: String = text.into_iter().map(char::from).collect();
    let (method, path) = text.split_once(' ').unwrap_or((text.as_str(), ""));
    Some(Recorded {
        start,
        end: (end > 0.0).then_some(end),
        status: (100..1000).find(|known| f64::from(*known).total_cmp(&status).is_eq()),
        method: method.to_owned(),
        path: path.to_owned(),
    })
}

pub(super) fn number(memory: &Mapping, word: usize) -> f64 {
    let value = f64::from_bits(memory.word(word));
    if value.is_finite() && value > 0.0 { value } else { 0.0 }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "finite, not below 0, and cut at a limit"
)]
fn length(memory: &Mapping, word: usize, limit: usize) -> usize {
    (number(memory, word) as usize).min(limit)
}
