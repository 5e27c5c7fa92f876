//! `openScoreboard`, `inheritedScoreboard` and `scoreboardLayout`: a worker's own row, as typed arrays over the shared memory.
//!
//! `lib/worker/counting/scoreboard.js` calls it once per worker and writes the row from then on without us. The mapping
//! is given up for good on purpose: arrays may live until the process ends, whatever the garbage collector does, so
//! memory must too.
#![allow(unsafe_code, reason = "only unsafe code can lend foreign memory to V8")]

use std::ptr::NonNull;

use napi::bindgen_prelude::{Float64Array, Uint8Array};
use napi_derive::napi;
use serde_json::{Value, json};

use super::convert::Result;
use crate::error::Error;
use crate::os::fd::duplicate;
use crate::os::memory::{Mapping, WORD};
use crate::process::spawn::inherited;
use crate::scoreboard::layout::{FIELDS, HEADER_SIZE, ROW_SIZE, fatal, header, histogram, ring};
use crate::scoreboard::locate_row;

/// A worker's end of the scoreboard.
#[napi(object)]
pub struct OpenScoreboard {
    /// The header, written by the master; only to be read, but for the worker's own load.
    pub header: Float64Array,
    /// The worker's row, to be written by it alone.
    pub row: Uint8Array,
}

/// The number of the descriptor that a worker inherits the scoreboard by.
#[napi]
#[must_use]
pub fn inherited_scoreboard() -> i32 {
    inherited::SCOREBOARD
}

/// Maps the scoreboard behind the descriptor `fd`, which the caller closes, and checks it.
///
/// # Errors
/// `ERR_CLUSTER2_SCOREBOARD` when the descriptor is no scoreboard of this layout, or has no such row.
#[napi]
pub fn open_scoreboard(fd: i32, row: u32) -> Result<OpenScoreboard> {
    let unmapped = |source| Error::Scoreboard { problem: "it can't be mapped".into(), source };
    let memory = Mapping::of(duplicate(fd).map_err(unmapped)?).map_err(unmapped)?;
    let offset = locate_row(&memory, usize::try_from(row).unwrap_or(usize::MAX))?;
    let start = memory.leak();
    // SAFETY: `locate_row` has checked that a whole row lies at `offset` inside the mapping.
    let own = unsafe { start.add(offset) };
    Ok(OpenScoreboard { header: header_array(start), row: row_array(own) })
}

fn header_array(start: NonNull<u8>) -> Float64Array {
    let words = HEADER_SIZE / WORD;
    // SAFETY: the mapping begins at a page, holds a whole header, and stays until the process ends. The master, and other
    // workers their loads, write it at any moment; aligned doubles are read untorn, and nobody else here refers to it.
    unsafe { Float64Array::with_external_data(start.as_ptr().cast(), words, |_, _| {}) }
}

fn row_array(own: NonNull<u8>) -> Uint8Array {
    // SAFETY: a whole row lies there, and stays until the process ends; nobody else in this process refers to it, and the
    // master only reads it.
    unsafe { Uint8Array::with_external_data(own.as_ptr(), ROW_SIZE, |_, _| {}) }
}

/// Where things stand: `{rowSize, header, fields, histogram, ring, fatal}`, as numbers of words; sizes are in bytes.
#[napi]
#[must_use]
pub fn scoreboard_layout() -> Value {
    let fields: serde_json::Map<String, Value> =
        FIELDS.iter().map(|info| (info.name.to_owned(), json!(info.field as usize))).collect();
    json!({
        "rowSize": ROW_SIZE,
        "header": {
            "ecvState": header::ECV_STATE,
            "ecvSince": header::ECV_SINCE,
            "leaving": header::LEAVING,
            "takers": header::TAKERS,
            "takerRows": header::TAKER_ROWS,
            "loads": header::LOADS,
            "accepted": header::ACCEPTED,
            "claimed": header::CLAIMED,
            "revoked": header::REVOKED,
        },
        "fields": fields,
        "histogram": { "at": histogram::AT, "buckets": histogram::BUCKETS, "parts": histogram::PARTS },
        "ring": {
            "at": ring::AT,
            "entries": ring::ENTRIES,
            "words": ring::ENTRY_WORDS,
            "start": ring::START,
            "end": ring::END,
            "status": ring::STATUS,
            "length": ring::LENGTH,
            "text": ring::TEXT,
            "textSize": ring::TEXT_SIZE,
        },
        "fatal": { "length": fatal::LENGTH, "text": fatal::TEXT, "textSize": fatal::TEXT_SIZE },
    })
}
