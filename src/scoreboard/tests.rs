//! The board seen from both ends: a master, and a writer that plays a worker.

#![cfg(target_os = "linux")]

use super::layout::{Field, fatal, histogram, ring};
use super::*;

/// A worker's end of the board.
struct Writer {
    memory: Mapping,
    first_word: usize,
}

impl Writer {
    fn new(board: &mut Scoreboard) -> Self {
        let index = board.assign(WorkerId(1)).unwrap();
        let memory = Mapping::of(board.fd()).unwrap();
        let first_word = locate_row(&memory, index.get()).unwrap() / WORD;
        Self { memory, first_word }
    }

    fn set(&self, word: usize, value: f64) {
        self.memory.set_word(self.first_word + word, value.to_bits());
    }

    fn set_text(&self, word: usize, text: &str) {
        for (at, chunk) in text.as_bytes().chunks(WORD).enumerate() {
            let mut bytes = [0; WORD];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.memory.set_word(self.first_word + word + at, u64::from_ne_bytes(bytes));
        }
    }
}

fn board() -> Scoreboard {
    Scoreboard::create(42).unwrap()
}

#[test]
fn the_master_reads_what_a_worker_writes() {
    let mut board = board();
    let writer = Writer::new(&mut board);
    assert_eq!(board.row(WorkerId(1)).unwrap().tick(), None);
    writer.set(Field::Tick as usize, 12.5);
    writer.set(Field::ConnectionsTotal as usize, 7.0);
    let row = board.row(WorkerId(1)).unwrap();
    assert_eq!((row.tick(), row.get(Field::ConnectionsTotal)), (Some(12.5), 7.0));
    assert_eq!(board.row(WorkerId(2)), None);
}

#[test]
fn the_header_names_who_compares_loads_by_their_rows() {
    let mut board = board();
    for id in 1..=3 {
        board.assign(WorkerId(id)).unwrap();
    }
    let rows = |board: &Scoreboard| -> Vec<f64> {
        let word = |at| f64::from_bits(board.memory().word(at));
        (0..3).map(|at| word(header::TAKERS + at)).collect()
    };
    board.set_takers(&[WorkerId(1), WorkerId(3), WorkerId(9)]);
    assert_eq!(rows(&board), [2.0, 0.0, 2.0], "and nobody without a row");
    board.set_takers(&[]);
    assert!(rows(&board)[0] < 1.0);
    board.memory().set_word(header::LOADS + 2, 7.0_f64.to_bits());
    board.release(WorkerId(3));
    assert_eq!(board.memory().word(header::LOADS + 2), 0, "the next one in the row begins with none");
}

#[test]
fn totals_keep_what_the_dead_have_counted_and_their_rows_are_given_away_empty() {
    let mut board = board();
    let writer = Writer::new(&mut board);
    writer.set(Field::RequestsTotal as usize, 10.0);
    writer.set(Field::HeapUsed as usize, 1e6);
    writer.set(histogram::AT + 5, 10.0);
    writer.set(ring::AT, 3.0);
    writer.set(fatal::LENGTH, 3.0);
    board.release(WorkerId(1));
    assert_eq!(board.assign(WorkerId(2)), Some(RowIndex(0)));
    assert_eq!(board.row(WorkerId(2)).unwrap(), Row::default());
    assert!(board.requests(WorkerId(2)).is_empty() && board.fatal(WorkerId(2)).is_none());
    writer.set(Field::RequestsTotal as usize, 5.0);
    let totals = board.snapshot().totals;
    assert_eq!((totals.get(Field::RequestsTotal), totals.histogram()[5]), (15.0, 10.0));
    assert!(totals.get(Field::HeapUsed) < 1.0);
}

#[test]
fn nonsense_in_a_row_is_read_as_nothing() {
    let mut board = board();
    let writer = Writer::new(&mut board);
    for (word, value) in [f64::NAN, -1.0, f64::INFINITY].into_iter().enumerate() {
        writer.set(word, value);
    }
    writer.set(ring::AT, 1.0);
    writer.set(ring::AT + ring::STATUS, 1e300);
    writer.set(ring::AT + ring::LENGTH, 1e300);
    writer.set(fatal::LENGTH, f64::MAX);
    assert_eq!(board.row(WorkerId(1)).unwrap(), Row::default());
    assert_eq!(board.requests(WorkerId(1))[0].status, None);
    assert_eq!(board.fatal(WorkerId(1)).unwrap().len(), fatal::TEXT_SIZE);
}

#[test]
fn recorded_requests_and_the_fatal_error_are_read_oldest_first() {
    let mut board = board();
    let writer = Writer::new(&mut board);
    for (entry, (start, text)) in [(20.0, "GET /b"), (10.0, "POST /a")].into_iter().enumerate() {
        let at = ring::AT + entry * ring::ENTRY_WORDS;
        writer.set_text(at + ring::TEXT, text);
        writer.set(at + ring::LENGTH, f64::from(u32::try_from(text.len()).unwrap()));
        writer.set(at + ring::START, start);
    }
    writer.set(ring::AT + ring::END, 25.0);
    writer.set(ring::AT + ring::STATUS, 204.0);
    writer.set_text(fatal::TEXT, "Error: ä");
    writer.set(fatal::LENGTH, 9.0);
    let requests = board.requests(WorkerId(1));
    let seen: Vec<_> =
        requests.iter().map(|one| (one.method.as_str(), one.path.as_str(), one.end, one.status)).collect();
    assert_eq!(seen, [("POST", "/a", None, None), ("GET", "/b", Some(25.0), Some(204))]);
    assert_eq!(board.fatal(WorkerId(1)).as_deref(), Some("Error: ä"));
}

#[test]
fn a_board_of_another_layout_is_refused_with_what_differs() {
    let board = board();
    let memory = Mapping::of(board.fd()).unwrap();
    assert!(locate_row(&memory, ROWS - 1).is_ok());
    assert!(locate_row(&memory, ROWS).unwrap_err().to_string().contains("no row 4096"));
    memory.set_word(header::VERSION, 99.0_f64.to_bits());
    let error = locate_row(&memory, 0).unwrap_err();
    assert_eq!(error.code(), "ERR_CLUSTER2_SCOREBOARD");
    assert!(error.to_string().contains(&format!("version is 99, not {VERSION}")), "{error}");
    let other = Mapping::of(memory::create(c"other", 4096).unwrap()).unwrap();
    assert!(locate_row(&other, 0).unwrap_err().to_string().contains("4096"));
}

#[test]
fn rows_run_out_and_come_back() {
    let mut board = board();
    let given = (0..5000).filter(|id| board.assign(WorkerId(*id)).is_some()).count();
    assert_eq!(given, ROWS);
    board.release(WorkerId(0));
    assert!(board.assign(WorkerId(6000)).is_some());
}

#[test]
fn the_ecv_word_is_seen_by_every_mapping() {
    let board = board();
    let memory = Mapping::of(board.fd()).unwrap();
    let words = || [header::ECV_STATE, header::ECV_SINCE].map(|at| memory.word(at));
    assert_eq!(words(), [0, 0]);
    board.shared().set_ecv(true, 1_790_000_000_000.0);
    assert_eq!(words(), [1.0, 1_790_000_000_000.0].map(f64::to_bits));
}

#[test]
fn totals_do_not_depend_on_the_order_in_which_workers_die() {
    // Xorshift: the same numbers in every run.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        for (left, shift) in [(true, 13), (false, 7), (true, 17)] {
            seed ^= if left { seed << shift } else { seed >> shift };
        }
        f64::from(u32::try_from(seed >> 32).unwrap()) / 1e3
    };
    for _ in 0..200 {
        let rows: Vec<Row> = (0..8)
            .map(|_| Row::with(&[(Field::CpuUser, random()), (Field::GcPauseMs, random() / 7.0)]))
            .collect();
        let total = |order: &mut dyn Iterator<Item = &Row>| {
            let mut totals = Totals::default();
            order.for_each(|row| totals.add(row));
            totals
        };
        let expected = total(&mut rows.iter());
        for dead in 1..8 {
            let (living, gone) = rows.split_at(dead);
            let other = total(&mut gone.iter().chain(living));
            for field in [Field::CpuUser, Field::GcPauseMs] {
                assert_eq!(other.get(field).to_bits(), expected.get(field).to_bits());
            }
        }
    }
}

#[test]
fn totals_keep_whole_counts_exact_and_never_fall_as_a_counter_grows() {
    let total = |value: f64| {
        let mut totals = Totals::default();
        totals.add(&Row::with(&[(Field::BytesRead, value)]));
        totals.get(Field::BytesRead)
    };
    for exact in [0.0, 1.0, 1_234_567_890_123.0, 9_007_199_254_740_991.0] {
        assert_eq!(total(exact).to_bits(), f64::to_bits(exact));
    }
    let mut before = 0.0;
    let mut value = 0.999_999_1;
    while value < 1.000_001 {
        assert!(total(value) >= before);
        before = total(value);
        value += 1e-9;
    }
    assert!(total(f64::MAX).is_finite());
}

#[test]
fn another_thread_sees_no_total_fall_while_workers_come_and_go() {
    let mut board = board();
    let shared = board.shared();
    let (ends, end) = std::sync::mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        let (mut before, mut looks) = (0.0, 0_u32);
        while end.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            let total = shared.snapshot().totals.get(Field::RequestsTotal);
            assert!(total >= before, "{total} after {before}");
            (before, looks) = (total, looks + 1);
        }
        looks
    });
    for turn in 1..2000_u32 {
        let writer = Writer::new(&mut board);
        writer.set(Field::RequestsTotal as usize, f64::from(turn));
        board.release(WorkerId(1));
    }
    drop(ends);
    assert!(reader.join().unwrap() > 0);
    assert!(board.snapshot().totals.get(Field::RequestsTotal) > 1_998_000.0);
}
