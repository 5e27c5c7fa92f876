//! Where everything stands on the scoreboard: the one table that Rust, JavaScript and `docs/scoreboard.md` go by.
//!
//! The board is a header and, behind it, one row per worker. All numbers are doubles in the machine's byte order, counted
//! in words of 8 bytes; zero means "never written". JavaScript gets the table from the border, so it has no copy to keep
//! in step. Every change of the layout raises [`VERSION`].

/// The first word of the header: `c2brd` in bytes.
pub const MAGIC: f64 = 426_047_074_916.0;
/// Raised by every change of the layout.
pub const VERSION: f64 = 4.0;
/// Bytes of the header: a page, and four words for each row.
pub const HEADER_SIZE: usize = 4096 + 4 * ROWS * 8;
/// Bytes of a row.
pub const ROW_SIZE: usize = 16_384;
/// Rows of the board: each of 1024 slots may have a worker and a successor, and there are spares. Untouched ones take no
/// memory.
pub const ROWS: usize = 4096;
/// Bytes of the board.
pub const BOARD_SIZE: usize = HEADER_SIZE + ROWS * ROW_SIZE;

/// Words of the header, which the master alone writes, but for what each worker says of its own connections.
pub mod header {
    /// [`super::MAGIC`].
    pub const MAGIC: usize = 0;
    /// [`super::VERSION`].
    pub const VERSION: usize = 1;
    /// Bytes of the board.
    pub const SIZE: usize = 2;
    /// Bytes of a row.
    pub const ROW_SIZE: usize = 3;
    /// Number of rows.
    pub const ROWS: usize = 4;
    /// The master's process.
    pub const MASTER_PID: usize = 5;
    /// 0 while ECV is enabled, 1 while it is disabled.
    pub const ECV_STATE: usize = 6;
    /// When that changed last, in milliseconds since 1970; 0 if never.
    pub const ECV_SINCE: usize = 7;
    /// 1 once a shutdown has begun, its `drainDelay` included: the answer is DISABLED whatever the state says.
    pub const LEAVING: usize = 8;
    /// How many workers take part in spreading connections evenly; fewer than 2 is none.
    pub const TAKERS: usize = 9;
    /// The numbers of their rows.
    pub const TAKER_ROWS: usize = 10;
    /// How many they can be at most.
    pub const MOST_TAKERS: usize = LOADS - TAKER_ROWS;
    /// How many connections each worker has open, by the number of its row; written by that worker. They stand close
    /// together, since a worker that compares them reads them all.
    pub const LOADS: usize = 512;
    /// The number of the last handed-over connection that each worker has begun to serve, as a whole number, by the number of
    /// its row; written by that worker.
    pub const CLAIMED: usize = LOADS + super::ROWS;
    /// Up to which number the master has taken connections back from each worker, as a whole number, by the number of its row.
    pub const REVOKED: usize = CLAIMED + super::ROWS;
    /// How many connections each worker has ever accepted, by the number of its row; written by that worker.
    pub const ACCEPTED: usize = REVOKED + super::ROWS;
}

/// What becomes of a number when its worker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; the totals keep it.
    Counter,
    /// It says how things are; it goes with the worker.
    Gauge,
}

/// One field of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// The field itself.
    pub field: Field,
    /// Its name in JavaScript.
    pub name: &'static str,
    /// What is counted or measured; empty for a bare code.
    pub unit: &'static str,
    /// What becomes of it.
    pub kind: Kind,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

macro_rules! fields {
    ($($field:ident = $name:literal, $unit:literal, $kind:ident, $meaning:literal;)*) => {
        /// A field's place: the word in the row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $(#[doc = $meaning] $field,)*
        }

        /// All fields, in the order of their words.
        pub const FIELDS: &[FieldInfo] = &[
            $(FieldInfo { field: Field::$field, name: $name, unit: $unit, kind: Kind::$kind, meaning: $meaning },)*
        ];
    };
}

fields! {
    Tick = "tick", "ms", Gauge, "When the event loop last turned, by `CLOCK_MONOTONIC`; 0 is unknown.";
    Pid = "pid", "", Gauge, "The worker's process.";
    State = "state", "", Gauge, "1 starting, 2 serving, 3 draining.";
    StartedAt = "startedAt", "ms since 1970", Gauge, "When the process began.";
    ConnectionsOpen = "connectionsOpen", "connections", Gauge, "Accepted and not closed.";
    ConnectionsTotal = "connectionsTotal", "connections", Counter, "Ever accepted.";
    TimedOutSockets = "timedOutSockets", "connections", Counter, "Cut by the option `timeout`.";
    RequestsUnderWay = "requestsUnderWay", "requests", Gauge, "Begun and not ended.";
    RequestsTotal = "requestsTotal", "requests", Counter, "Ever begun.";
    Status1xx = "status1xx", "requests", Counter, "Answered with a status from 100 to 199.";
    Status2xx = "status2xx", "requests", Counter, "Answered with a status from 200 to 299.";
    Status3xx = "status3xx", "requests", Counter, "Answered with a status from 300 to 399.";
    Status4xx = "status4xx", "requests", Counter, "Answered with a status from 400 to 499.";
    Status5xx = "status5xx", "requests", Counter, "Answered with a status from 500 on.";
    Aborted = "aborted", "requests", Counter, "Their connection closed before the answer was out.";
    RequestMs = "requestMs", "ms", Counter, "Time from the headers to the end of the answer, over all answered.";
    BytesRead = "bytesRead", "bytes", Counter, "Received on all connections; open ones are looked at now and then.";
    BytesWritten = "bytesWritten", "bytes", Counter, "Sent on all connections; open ones are looked at now and then.";
    LoopLag = "loopLag", "ms", Gauge, "How late the last timer was.";
    LoopLagMax = "loopLagMax", "ms", Gauge, "How late a timer was at most in the last 30 to 60 seconds.";
    LoopUtilisation = "loopUtilisation", "share", Gauge, "How much of the last second the event loop worked, 0 to 1.";
    HeapUsed = "heapUsed", "bytes", Gauge, "V8's heap in use.";
    HeapTotal = "heapTotal", "bytes", Gauge, "V8's heap as it was taken from the system.";
    HeapLimit = "heapLimit", "bytes", Gauge, "What V8's heap may become, young objects included; 0 in the first second.";
    HeapOldLimit = "heapOldLimit", "bytes", Gauge, "What its part for old objects may become, where a flag says so.";
    External = "external", "bytes", Gauge, "Memory outside the heap that objects in it own.";
    Rss = "rss", "bytes", Gauge, "Resident memory of the process.";
    CpuUser = "cpuUser", "ms", Counter, "Processor time of the process's own code.";
    CpuSystem = "cpuSystem", "ms", Counter, "Processor time that the kernel spent for the process.";
    GcMinor = "gcMinor", "collections", Counter, "Collections of young objects; like the next three 0 without `metrics: {gc: true}`.";
    GcMajor = "gcMajor", "collections", Counter, "Collections of the whole heap.";
    GcIncremental = "gcIncremental", "collections", Counter, "Steps of incremental marking.";
    GcPauseMs = "gcPauseMs", "ms", Counter, "Time in all of these, and in weak callbacks.";
    Transactions = "transactions", "transactions", Counter, "`rootTransaction` events of the application.";
    TransactionMs = "transactionMs", "ms", Counter, "Their durations.";
    Errors = "errors", "transactions", Counter, "`errorTransaction` events of the application.";
    CheckResult = "checkResult", "", Gauge, "The last self-check for ECV: 1 it was well, 2 it was not; 0 is none yet.";
    CheckAt = "checkAt", "ms", Gauge, "When that check ended, by `CLOCK_MONOTONIC`.";
}

impl Field {
    /// What [`Field::State`] says of a process that serves.
    pub const SERVING: f64 = 2.0;
}

/// How many fields there are.
pub const FIELD_COUNT: usize = FIELDS.len();

/// The histogram of request durations: one counter per bucket.
///
/// A duration in sixteenths of a millisecond, rounded down, goes by its leading bit and the two bits after it, so a bucket
/// is a quarter of a power of two wide. Below 4 each value has its own bucket; the last bucket takes everything longer.
pub mod histogram {
    /// Word of the first bucket.
    pub const AT: usize = 128;
    /// Number of buckets.
    pub const BUCKETS: usize = 96;
    /// Parts of a millisecond that durations are counted in.
    pub const PARTS: u32 = 16;

    /// Where the bucket ends, in milliseconds; a duration of just so much is in the next one. The last has no end.
    #[must_use]
    pub fn end_of(bucket: usize) -> f64 {
        let Ok(bucket) = u32::try_from(bucket) else { return f64::INFINITY };
        let parts = match bucket {
            0..4 => f64::from(bucket + 1),
            _ => f64::from(bucket % 4 + 5) * f64::from(bucket / 4 - 1).exp2(),
        };
        if bucket as usize >= BUCKETS - 1 { f64::INFINITY } else { parts / f64::from(PARTS) }
    }
}

/// The flight recorder: the last requests, in entries of fixed size, used again in no particular order.
pub mod ring {
    /// Word of the first entry.
    pub const AT: usize = 256;
    /// Number of entries.
    pub const ENTRIES: usize = 64;
    /// Words of an entry.
    pub const ENTRY_WORDS: usize = 18;
    /// In an entry: when the request began, by `CLOCK_MONOTONIC` in ms; 0 is a free entry.
    pub const START: usize = 0;
    /// In an entry: when it ended, in the same way; 0 is under way.
    pub const END: usize = 1;
    /// In an entry: the status; 0 where none was sent.
    pub const STATUS: usize = 2;
    /// In an entry: how many bytes of text follow.
    pub const LENGTH: usize = 3;
    /// In an entry: the text, `GET /path` without its query, one byte per character.
    pub const TEXT: usize = 4;
    /// How much of the text is kept, in bytes.
    pub const TEXT_SIZE: usize = (ENTRY_WORDS - TEXT) * 8;
}

/// The text of the error that ended the worker, or will.
pub mod fatal {
    /// Word with the number of bytes.
    pub const LENGTH: usize = 1536;
    /// Word where the text begins, in UTF-8.
    pub const TEXT: usize = 1537;
    /// How much is kept, in bytes.
    pub const TEXT_SIZE: usize = 2048;
}

/// The parts of a row stand one behind the other and don't overlap.
const _: () = {
    assert!((header::ACCEPTED + ROWS) * 8 <= HEADER_SIZE);
    assert!(FIELD_COUNT <= histogram::AT);
    assert!(histogram::AT + histogram::BUCKETS <= ring::AT);
    assert!(ring::AT + ring::ENTRIES * ring::ENTRY_WORDS <= fatal::LENGTH);
    assert!(fatal::TEXT * 8 + fatal::TEXT_SIZE <= ROW_SIZE);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_grow_by_a_quarter_of_a_power_of_two() {
        let ends: Vec<f64> = (0..12).map(|bucket| histogram::end_of(bucket) * 16.0).collect();
        assert_eq!(ends, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 14.0, 16.0]);
        assert!(histogram::end_of(95).is_infinite());
        assert!((1..96).all(|bucket| histogram::end_of(bucket) > histogram::end_of(bucket - 1)));
    }

    #[test]
    fn the_document_shows_this_table() {
        let document = include_str!("../../docs/scoreboard.md");
        assert!(document.contains(&format!("This is version {VERSION} of the layout.")));
        for (word, info) in FIELDS.iter().enumerate() {
            let kind = if info.kind == Kind::Counter { "counter" } else { "gauge" };
            let line = format!("| {word} | `{}` | {} | {kind} | {} |", info.name, info.unit, info.meaning);
            assert!(document.contains(&line), "docs/scoreboard.md lacks the line\n{line}");
        }
        let rows = document.lines().filter(|line| line.starts_with("| ") && line.contains(" | `")).count();
        assert_eq!(rows, FIELD_COUNT + 15, "docs/scoreboard.md has a line too many");
    }
}
