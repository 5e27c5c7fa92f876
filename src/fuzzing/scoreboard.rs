//! A worker that writes whatever it likes into the memory that it shares with the master, its own row or not.
//!
//! The bytes are stores, one behind the other: where, and what. Then the master looks at everything that it makes of the rows:
//! heartbeats, what is told of a death, metrics, the page and the JSON.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::input::Input;
use crate::event::{Event, Exit};
use crate::fleet::DeathReason;
use crate::ids::WorkerId;
use crate::monitor::data::health::{Limits, Moment};
use crate::monitor::data::host::Host;
use crate::monitor::data::stats::{ShownOptions, Stats, Worker, WorkerState};
use crate::monitor::data::trends::Trends;
use crate::monitor::views::metrics::{Format, render};
use crate::monitor::views::page::Page;
use crate::monitor::views::status::status;
use crate::monitor::views::view_model::ViewModel;
use crate::options::{Machine, Options};
use crate::os::clock::monotonic_ms;
use crate::os::memory::Mapping;
use crate::scoreboard::layout::{FIELDS, HEADER_SIZE, Kind, ROW_SIZE, fatal, header, histogram, ring};
use crate::scoreboard::{Row, Scoreboard, Totals};
use crate::supervisor::watch::cause::Evidence;
use crate::timestamp::Timestamp;

const WORD: usize = 8;
const HOSTILE: WorkerId = WorkerId(1);
const HONEST: WorkerId = WorkerId(2);

/// What is rendered of a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Figures,
    Page,
}

struct World {
    board: Scoreboard,
    /// As a worker maps it.
    memory: Mapping,
}

thread_local! {
    static WORLD: std::cell::RefCell<World> = World::new().into();
}

impl World {
    fn new() -> Self {
        let board = Scoreboard::create(42).unwrap();
        let memory = Mapping::of(board.fd()).unwrap();
        Self { board, memory }
    }
}

/// Whatever stands there, figures are finite, texts are short and harmless, and no total falls when the worker is gone.
pub fn check(bytes: &[u8]) {
    WORLD.with_borrow_mut(|world| {
        let rows = [HOSTILE, HONEST].map(|id| world.board.assign(id).unwrap().get());
        let mut input = Input::new(bytes);
        // To render takes longer than everything else.
        let shown = [Shown::Nothing, Shown::Figures, Shown::Page, Shown::Nothing, Shown::Nothing];
        let shown = input.one_of(&shown);
        let written = write(&world.memory, rows[0], &mut input);
        look(&mut world.board, shown);
        for id in [HOSTILE, HONEST] {
            let before = world.board.snapshot().totals;
            world.board.release(id);
            is_not_less(&world.board.snapshot().totals, &before);
        }
        // The next worker in the row begins with nothing.
        let next = world.board.assign(HOSTILE).unwrap();
        assert_eq!(world.board.row(HOSTILE), Some(Row::default()));
        assert!(world.board.requests(HOSTILE).is_empty() && world.board.fatal(HOSTILE).is_none());
        assert!(rows.contains(&next.get()));
        world.board.release(HOSTILE);
        // The header is the master's; for the next case it is as it was.
        for (word, value) in written.into_iter().rev() {
            world.memory.set_word(word, value);
        }
        world.board.forget_the_departed();
    });
}

/// Writes what the bytes say, and gives what stood in the header before.
fn write(memory: &Mapping, row: usize, input: &mut Input<'_>) -> Vec<(usize, u64)> {
    const VALUES: [f64; 16] = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        -1.0,
        -0.0,
        1.0,
        2.0,
        200.0,
        1e15,
        9_007_199_254_740_993.0,
        1.8e19,
        4e300,
        0.1,
        112.0,
    ];
    let first = (HEADER_SIZE + row * ROW_SIZE) / WORD;
    let mut overwritten = Vec::new();
    while !input.is_empty() {
        let word = match input.below(8) {
            0 | 1 => first + input.below(FIELDS.len()),
            2 => first + histogram::AT + input.below(histogram::BUCKETS),
            3 | 4 => {
                first
                    + ring::AT
                    + input.below(ring::ENTRIES) * ring::ENTRY_WORDS
                    + input.below(ring::ENTRY_WORDS)
            }
            5 => first + fatal::LENGTH + input.below(4),
            6 => first + input.below(ROW_SIZE / WORD),
            _ => {
                let at = input.one_of(&[
                    header::LOADS + row,
                    header::CLAIMED + row,
                    header::TAKERS,
                    header::MAGIC,
                    header::ROWS,
                ]);
                overwritten.push((at, memory.word(at)));
                at
            }
        };
        let value = match input.below(3) {
            0 => input.one_of(&VALUES).to_bits(),
            1 => input.word(),
            _ => (monotonic_ms() - f64::from(input.byte())).to_bits(),
        };
        memory.set_word(word, value);
    }
    overwritten
}

/// Everything that the master does with the rows of living workers, and with that of a dead one.
fn look(board: &mut Scoreboard, shown: Shown) {
    let row = board.row(HOSTILE).unwrap();
    for (name, value) in row.named() {
        assert!(value.is_finite() && value >= 0.0, "{name} is {value}");
    }
    assert!(board.load(HOSTILE).is_finite() && board.revoke(HOSTILE, 7).is_some());
    board.set_takers(&[HOSTILE, HONEST]);
    board.set_takers(&[]);
    let (requests, last_words) = (board.requests(HOSTILE), board.fatal(HOSTILE));
    assert!(requests.len() <= ring::ENTRIES && requests.is_sorted_by(|one, other| one.start <= other.start));
    for request in &requests {
        assert!(request.method.chars().count() + request.path.chars().count() <= ring::TEXT_SIZE);
        assert!(request.status.is_none_or(|status| (100..1000).contains(&status)));
    }
    assert!(last_words.as_ref().is_none_or(|text| text.chars().count() <= fatal::TEXT_SIZE));

    let mut stats = stats(board);
    let evidence = Evidence {
        exit: Exit::Signal(libc::SIGABRT),
        cause: DeathReason::Unasked,
        row: Some(row),
        requests,
        last_words,
        peak_rss: Some(1 << 30),
        out_of_memory: false,
    };
    let (reason, facts) = (evidence.reason(&options()), evidence.facts());
    assert!(!reason.contains("NaN"));
    stats.note(
        &Event::Died { worker: HOSTILE, pid: 4001, exit: evidence.exit, reason, facts },
        SystemTime::now(),
    );
    show(&stats, shown);
}

fn stats(board: &Scoreboard) -> Stats {
    let started = Timestamp::now();
    let mut stats =
        Stats::new(4000, started, ShownOptions { no_workers: 2, counts_gc: true, ..ShownOptions::default() });
    let worker = |id: WorkerId| Worker {
        state: WorkerState::Serving,
        ready_at: Some(started),
        ..Worker::new(id, 4000 + id.0, started)
    };
    stats.workers = [HOSTILE, HONEST].map(worker).into();
    stats.board = Some(board.snapshot());
    stats
}

fn show(stats: &Stats, shown: Shown) {
    let limits = Limits { live_max_age: Duration::from_secs(30), ready_quorum: 1 };
    let now = monotonic_ms();
    let moment = || Moment::new(stats, limits, now, Duration::from_secs(60));
    for judged in [moment().live(), moment().ready()] {
        assert!(!judged.body.to_string().contains("NaN"));
    }
    let _ = moment().verdict();
    if shown == Shown::Nothing {
        return;
    }
    let format = if shown == Shown::Page { Format::OpenMetrics } else { Format::Prometheus };
    for line in render(format, &moment(), stats, "").lines() {
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        assert!(line.starts_with('#') || value.is_some_and(|value| value >= 0.0), "{line}");
    }
    let mut trends = Trends::default();
    trends.look(stats, now);
    trends.look(stats, now + 2000.0);
    let host = Host::default();
    let model = ViewModel {
        stats,
        trends: &trends,
        moment: moment(),
        host: &host,
        busy: None,
        queues: &std::collections::BTreeMap::new(),
        now: Timestamp::now(),
    };
    let text = status(&model, &host).to_string();
    assert!(serde_json::from_str::<Value>(&text).is_ok());
    if shown == Shown::Page {
        let page = Page::new(&model, 1, true).to_string();
        assert!(!page.contains("NaN"), "a figure is none");
        assert_eq!(page.matches("<script").count(), 1);
        assert!(!page.chars().any(|letter| letter.is_control() && letter != '\n' && letter != '\t'));
    }
}

fn is_not_less(after: &Totals, before: &Totals) {
    for info in FIELDS.iter().filter(|info| info.kind == Kind::Counter) {
        assert!(after.get(info.field) >= before.get(info.field), "{} fell", info.name);
    }
    assert!(after.histogram().iter().zip(before.histogram()).all(|(after, before)| *after >= before));
}

fn options() -> Options {
    Options::defaults(&Machine::plain())
}
