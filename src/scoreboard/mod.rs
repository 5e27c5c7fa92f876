//! Shared memory in which each worker writes how it is, so that the master knows without asking.
//!
//! The master makes one [`Scoreboard`], gives each worker a row at its fork and keeps the header to itself. A worker maps
//! the board through `node::worker_row` and writes its row from JavaScript with plain stores: no message, no call. The master
//! reads at any moment, and also after the worker's death. `layout` says what stands where, `row` turns it into data.
//! The [`Scoreboard`] belongs to the supervisor's thread; other threads of the master get a [`SharedBoard`].
//!
//! Invariant: a row has one writer at a time; it is cleared and given away again only when its worker is gone.
//! Invariant: no total ever falls: what a dead worker had counted is added to the departed before its row is cleared.

pub mod layout;
pub mod row;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::ids::WorkerId;
use crate::os::memory::{self, Mapping, WORD};
use layout::{BOARD_SIZE, Field, HEADER_SIZE, MAGIC, ROW_SIZE, ROWS, VERSION, header};
pub use row::{Recorded, Row, Totals};

/// A row's number on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowIndex(usize);

impl RowIndex {
    /// The number, as it goes into a worker's environment.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }

    fn first_word(self) -> usize {
        (HEADER_SIZE + self.0 * ROW_SIZE) / WORD
    }
}

/// Everything that is on the board at one moment, as plain data.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The workers that have a row, oldest first.
    pub rows: Vec<(WorkerId, Row)>,
    /// What these and all that are gone have counted.
    pub totals: Totals,
    /// What of the dead is still of interest to the living.
    pub traces: Traces,
}

/// The last that was seen of any worker that is gone, by `CLOCK_MONOTONIC` in ms; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traces {
    /// When an event loop last turned.
    pub tick: f64,
    /// When the last self-check for ECV ended.
    pub check_at: f64,
    /// Its result, as in [`layout::Field::CheckResult`].
    pub check_result: f64,
}

impl Traces {
    /// Takes in what a row says, where that is later.
    pub fn follow(&mut self, row: &Row) {
        self.tick = self.tick.max(row.get(Field::Tick));
        if row.get(Field::CheckAt) > self.check_at {
            self.check_at = row.get(Field::CheckAt);
            self.check_result = row.get(Field::CheckResult);
        }
    }
}

/// The master's end of the board; owns the descriptor that workers inherit.
#[derive(Debug)]
pub struct Scoreboard {
    fd: OwnedFd,
    ledger: Arc<Ledger>,
    free: Vec<RowIndex>,
    shared: SharedBoard,
}

/// Which worker has which row, and what the workers that are gone have left.
#[derive(Clone, Debug, Default)]
struct Ledger {
    rows: BTreeMap<WorkerId, RowIndex>,
    departed: Totals,
    traces: Traces,
}

/// What other threads of the master may do with the board: read all rows, and write the words of ECV.
#[derive(Clone, Debug)]
pub struct SharedBoard {
    memory: Arc<Mapping>,
    /// Replaced before a row is cleared. The lock is held for the copy of a pointer.
    ledger: Arc<Mutex<Arc<Ledger>>>,
}

impl SharedBoard {
    /// All rows and the totals.
    ///
    /// The supervisor may clear a row and give it away meanwhile. It replaces the ledger first: if the ledger is still the
    /// same after the rows were read, no row that was read had been cleared by then; otherwise they are read again.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut ledger = self.ledger();
        loop {
            let snapshot = ledger.read(&self.memory);
            let latest = self.ledger();
            if Arc::ptr_eq(&ledger, &latest) {
                return snapshot;
            }
            ledger = latest;
        }
    }

    /// Takes the cluster out of rotation or puts it back; every worker's next answer goes by it. `since` is the time of the
    /// change in milliseconds since 1970, 0 if there was none.
    pub fn set_ecv(&self, disabled: bool, since: f64) {
        self.set_header(header::ECV_SINCE, since);
        self.set_header(header::ECV_STATE, if disabled { 1.0 } else { 0.0 });
    }

    /// A shutdown has begun: from now on every worker's answer is DISABLED.
    pub fn set_leaving(&self) {
        self.set_header(header::LEAVING, 1.0);
    }

    fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_header(&self, word: usize, value: f64) {
        self.memory.set_word(word, value.to_bits());
    }
}

impl Ledger {
    fn read(&self, memory: &Mapping) -> Snapshot {
        let read = |(worker, index): (&WorkerId, &RowIndex)| (*worker, Row::read(memory, index.first_word()));
        let rows: Vec<(WorkerId, Row)> = self.rows.iter().map(read).collect();
        let mut totals = self.departed.clone();
        for (_, row) in &rows {
            totals.add(row);
        }
        Snapshot { rows, totals, traces: self.traces }
    }
}

impl Scoreboard {
    /// Makes an empty board.
    ///
    /// # Errors
    /// [`Error::Scoreboard`] where the system has no such memory; the cluster can do without.
    pub fn create(master_pid: u32) -> Result<Self, Error> {
        let failed = |source| Error::Scoreboard { problem: "shared memory is not to be had".into(), source };
        let fd = memory::create(c"cluster2-scoreboard", BOARD_SIZE as u64).map_err(failed)?;
        let memory = Arc::new(Mapping::of(&fd).map_err(failed)?);
        let free = (0..ROWS).rev().map(RowIndex).collect();
        let shared = SharedBoard { memory, ledger: Arc::default() };
        let board = Self { fd, ledger: Arc::default(), free, shared };
        board.set_header(header::VERSION, VERSION);
        board.set_header(header::SIZE, exact(BOARD_SIZE));
        board.set_header(header::ROW_SIZE, exact(ROW_SIZE));
        board.set_header(header::ROWS, exact(ROWS));
        board.set_header(header::MASTER_PID, f64::from(master_pid));
        board.set_header(header::MAGIC, MAGIC);
        Ok(board)
    }

    /// Forgets what the workers that are gone have counted, so that one case of a fuzz target tells the next nothing.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn forget_the_departed(&mut self) {
        let ledger = Arc::make_mut(&mut self.ledger);
        (ledger.departed, ledger.traces) = <(Totals, Traces)>::default();
        self.share();
    }

    /// What workers inherit.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Gives a new worker an empty row; `None` when all are taken.
    pub fn assign(&mut self, worker: WorkerId) -> Option<RowIndex> {
        let index = self.free.pop()?;
        Arc::make_mut(&mut self.ledger).rows.insert(worker, index);
        self.share();
        Some(index)
    }

    /// Takes the row of a worker that is gone for good, and keeps what it has counted.
    pub fn release(&mut self, worker: WorkerId) {
        let Some(index) = self.row_of(worker) else { return };
        let last = Row::read(self.memory(), index.first_word());
        let ledger = Arc::make_mut(&mut self.ledger);
        ledger.rows.remove(&worker);
        ledger.departed.add(&last);
        ledger.traces.follow(&last);
        // From here on no other thread looks for the worker in its row.
        self.share();
        row::clear(self.memory(), index.first_word());
        for word in [header::LOADS, header::CLAIMED, header::REVOKED, header::ACCEPTED] {
            self.memory().set_word(word + index.get(), 0);
        }
        self.free.push(index);
    }

    /// What other threads may do with the board.
    #[must_use]
    pub fn shared(&self) -> SharedBoard {
        self.shared.clone()
    }

    /// Where a worker's row is.
    #[must_use]
    pub fn row_of(&self, worker: WorkerId) -> Option<RowIndex> {
        self.ledger.rows.get(&worker).copied()
    }

    /// What a worker has written; `None` when it has no row.
    #[must_use]
    pub fn row(&self, worker: WorkerId) -> Option<Row> {
        self.row_of(worker).map(|index| Row::read(self.memory(), index.first_word()))
    }

    /// One number that a worker has written; `None` when it has no row.
    #[must_use]
    pub fn number(&self, worker: WorkerId, field: Field) -> Option<f64> {
        let index = self.row_of(worker)?;
        Some(row::number(self.memory(), index.first_word() + field as usize))
    }

    /// The last requests of a worker, oldest first; empty without the flight recorder.
    #[must_use]
    pub fn requests(&self, worker: WorkerId) -> Vec<Recorded> {
        self.row_of(worker).map_or_else(Vec::new, |index| row::recorded(self.memory(), index.first_word()))
    }

    /// The text of the last error that a worker did not catch.
    #[must_use]
    pub fn fatal(&self, worker: WorkerId) -> Option<String> {
        self.row_of(worker).and_then(|index| row::fatal_text(self.memory(), index.first_word()))
    }

    /// All rows and the totals.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.ledger.read(self.memory())
    }

    /// Says which workers compare their loads and give connections back that are too many. More than the header has room
    /// for are none at all: with so many, chance spreads evenly enough.
    pub fn set_takers(&self, workers: &[WorkerId]) {
        let rows: Vec<usize> = workers.iter().filter_map(|id| self.row_of(*id)).map(RowIndex::get).collect();
        let rows = if rows.len() > header::MOST_TAKERS { &[][..] } else { &rows[..] };
        // A worker that reads between two of these stores compares with a wrong row; the master decides in the end.
        for (at, row) in rows.iter().enumerate() {
            self.set_header(header::TAKER_ROWS + at, exact(*row));
        }
        self.set_header(header::TAKERS, exact(rows.len()));
    }

    /// How many connections a worker has, those included that it has not decided on; 0 when it has no row.
    #[must_use]
    pub fn load(&self, worker: WorkerId) -> f64 {
        self.row_of(worker).map_or(0.0, |index| row::number(self.memory(), header::LOADS + index.get()))
    }

    fn memory(&self) -> &Mapping {
        &self.shared.memory
    }

    /// Takes back from a worker every connection up to this number that it has not begun to serve; gives the number of the
    /// last one that it has begun to serve, which with all before stays its own. `None` when it has no row.
    #[must_use]
    pub fn revoke(&self, worker: WorkerId, up_to: u64) -> Option<u64> {
        let index = self.row_of(worker)?.get();
        self.memory().set_word(header::REVOKED + index, up_to);
        // The worker stores into the one word before it loads the other, and so do we.
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        Some(self.memory().word(header::CLAIMED + index))
    }

    fn set_header(&self, word: usize, value: f64) {
        self.shared.set_header(word, value);
    }

    /// Shows the ledger, as it is now, to other threads.
    fn share(&self) {
        *self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&self.ledger);
    }
}

/// Checks that a mapping is a board of this very layout, and says where a row begins, in bytes.
///
/// # Errors
/// [`Error::Scoreboard`] with what does not fit: another program's memory, another version, a row that is not there.
pub fn locate_row(memory: &Mapping, row: usize) -> Result<usize, Error> {
    let expected = [
        ("magic number", header::MAGIC, MAGIC),
        ("version", header::VERSION, VERSION),
        ("size", header::SIZE, exact(BOARD_SIZE)),
        ("row size", header::ROW_SIZE, exact(ROW_SIZE)),
        ("number of rows", header::ROWS, exact(ROWS)),
    ];
    let misfit =
        |problem: String| Error::Scoreboard { problem, source: std::io::ErrorKind::InvalidData.into() };
    if memory.size() != BOARD_SIZE {
        return Err(misfit(format!("its size is {}, not {BOARD_SIZE} bytes", memory.size())));
    }
    for (what, word, wanted) in expected {
        let found = f64::from_bits(memory.word(word));
        if found.total_cmp(&wanted).is_ne() {
            return Err(misfit(format!("its {what} is {found}, not {wanted}")));
        }
    }
    if row >= ROWS {
        return Err(misfit(format!("it has {ROWS} rows and no row {row}")));
    }
    Ok(HEADER_SIZE + row * ROW_SIZE)
}

/// Sizes are small enough to be exact.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn exact(size: usize) -> f64 {
    size as f64
}
