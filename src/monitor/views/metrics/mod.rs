//! `/metrics`: the cluster in numbers, for Prometheus.
//!
//! The renderer calls it with a snapshot. No process is asked for anything, so a scrape costs the workers nothing.
//! Counters come from the totals, in which the dead still count, so none ever falls; gauges come from the rows of the
//! living. All names begin with `cluster2_`. `docs/metrics.md` lists them.

mod app;
#[cfg(test)]
mod tests;
mod text;

use std::time::UNIX_EPOCH;

#[cfg(any(test, fuzzing))]
pub(crate) use app::adapted;
pub use text::Format;
use text::{Kind, Text};

use crate::monitor::data::health::Moment;
use crate::monitor::data::stats::{Stats, Worker, WorkerState};
use crate::os::process_facts;
use crate::reasons::{DeathReason, RecycleReason};
use crate::scoreboard::Row;
use crate::scoreboard::layout::{Field, histogram};
use crate::scoreboard::row::Totals;

/// Of the scoreboard's buckets, how many go into one of ours: each is then half a power of two wide.
const BUCKETS_JOINED: usize = 2;
const MILLI: f64 = 0.001;

/// The whole page.
#[must_use]
pub fn render(format: Format, moment: &Moment<'_>, stats: &Stats, added: &str) -> String {
    let mut text = Text::new(format);
    about_the_cluster(&mut text, moment, stats);
    about_lives(&mut text, stats);
    about_queues(&mut text, stats);
    if let Some(board) = &stats.board {
        about_requests(&mut text, &board.totals);
        about_resources(&mut text, &board.totals);
        if stats.options.counts_gc {
            about_collections(&mut text, &board.totals);
        }
    }
    about_workers(&mut text, moment, stats);
    about_the_master(&mut text);
    text.verbatim(&app::adapted(format, added));
    text.finish()
}

fn about_the_cluster(text: &mut Text, moment: &Moment<'_>, stats: &Stats) {
    text.family(Kind::Gauge, "build_info", "The version of cluster2-rs; always 1.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let started = stats.started.time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    text.one(Kind::Gauge, "start_time_seconds", "When the master began, since 1970.", started);
    let flags = [
        ("live", "Whether /live says yes.", moment.live().holds),
        ("ready", "Whether /ready says yes.", moment.ready().holds),
        ("ecv_enabled", "Whether operators have the cluster in rotation.", !stats.rotation.disabled),
        ("shutting_down", "Whether a graceful shutdown has been announced or has begun.", stats.leaving),
    ];
    for (name, help, holds) in flags {
        text.one(Kind::Gauge, name, help, flag(holds));
    }
    text.family(Kind::Gauge, "ecv_status", "The HTTP status of the ECV answer for the whole cluster.");
    text.sample(&[], f64::from(moment.verdict().status()));
    text.family(
        Kind::Gauge,
        "ecv_check_success",
        "Whether the last self-check went well; absent without a recent one.",
    );
    if let Some(is_well) = moment.check() {
        text.sample(&[], flag(is_well));
    }
    text.one(Kind::Gauge, "workers_wanted", "How many workers there should be.", count(stats.wanted));
    text.family(Kind::Gauge, "workers", "Workers that live, by what they do.");
    for state in WorkerState::ALL {
        let number = stats.workers.iter().filter(|worker| worker.state == state).count();
        text.sample(&[("state", state.name())], count(number));
    }
}

fn about_lives(text: &mut Text, stats: &Stats) {
    let tallies = &stats.tallies;
    text.one(Kind::Counter, "worker_forks", "Workers that were ever forked.", wide(stats.forked));
    let by_reason = [
        ("worker_deaths", "Workers that died, by the reason.", &DeathReason::NAMES[..], &tallies.deaths),
        (
            "worker_restarts",
            "Workers forked in place of one that died, by its reason.",
            &DeathReason::NAMES[..],
            &tallies.restarts,
        ),
        (
            "worker_recycles",
            "Workers that were recycled, by what made them due.",
            &RecycleReason::ALL.map(RecycleReason::name)[..],
            &tallies.recycles,
        ),
    ];
    for (name, help, reasons, counts) in by_reason {
        text.family(Kind::Counter, name, help);
        for reason in reasons {
            text.sample(&[("reason", reason)], wide(counts.get(reason).copied().unwrap_or(0)));
        }
    }
    let help = "Connections that were taken from a queue that nobody emptied and given to a worker.";
    text.one(Kind::Counter, "connections_rescued", help, wide(tallies.moves.rescued));
    let help = "Fresh connections that a worker with more than others gave back, and another one took.";
    text.one(Kind::Counter, "connections_moved", help, wide(tallies.moves.moved));
    let help = "Moved connections that went past a worker whose loop did not show in time that it turns.";
    text.one(Kind::Counter, "connections_passed_over", help, wide(tallies.moves.passed_over));
    let help = "Connections that were closed because every worker had refused them again and again.";
    text.one(Kind::Counter, "connections_refused", help, wide(tallies.moves.refused));
}

fn about_queues(text: &mut Text, stats: &Stats) {
    let help = "Connections that wait to be accepted, by the port of the application.";
    text.family(Kind::Gauge, "listen_queue_connections", help);
    for (port, waiting) in stats.queue_lengths() {
        text.sample(&[("port", &port.to_string())], wide(waiting));
    }
}

fn about_requests(text: &mut Text, totals: &Totals) {
    let counters = [
        ("connections", "Connections accepted.", Field::ConnectionsTotal),
        ("connections_timed_out", "Connections cut by the option timeout.", Field::TimedOutSockets),
        ("http_requests", "HTTP requests begun.", Field::RequestsTotal),
        (
            "http_requests_aborted",
            "HTTP requests whose connection closed before the answer was out.",
            Field::Aborted,
        ),
        ("received_bytes", "Bytes received on all connections.", Field::BytesRead),
        ("sent_bytes", "Bytes sent on all connections.", Field::BytesWritten),
        ("transactions", "Transactions that the application reported.", Field::Transactions),
        ("transaction_errors", "Failed transactions that the application reported.", Field::Errors),
    ];
    for (name, help, field) in counters {
        text.one(Kind::Counter, name, help, totals.get(field));
    }
    let help = "The durations of these transactions.";
    text.one(Kind::Counter, "transaction_seconds", help, totals.get(Field::TransactionMs) * MILLI);
    text.family(Kind::Counter, "http_responses", "HTTP requests answered, by the class of the status.");
    for (class, field) in [
        ("1xx", Field::Status1xx),
        ("2xx", Field::Status2xx),
        ("3xx", Field::Status3xx),
        ("4xx", Field::Status4xx),
        ("5xx", Field::Status5xx),
    ] {
        text.sample(&[("code", class)], totals.get(field));
    }
    durations(text, totals);
}

fn durations(text: &mut Text, totals: &Totals) {
    let help = "Time from a request's headers to the end of its answer.";
    text.family(Kind::Histogram, "http_request_duration_seconds", help);
    let mut below = 0.0;
    for (at, joined) in totals.histogram().chunks(BUCKETS_JOINED).enumerate() {
        below += joined.iter().sum::<f64>();
        let end = histogram::end_of(at * BUCKETS_JOINED + joined.len() - 1) * MILLI;
        text.suffixed("_bucket", &[("le", &text::number(end))], below);
    }
    text.suffixed("_sum", &[], totals.get(Field::RequestMs) * MILLI);
    text.suffixed("_count", &[], below);
}

fn about_resources(text: &mut Text, totals: &Totals) {
    text.family(Kind::Counter, "worker_cpu_seconds", "Processor time of all workers.");
    text.sample(&[("mode", "user")], totals.get(Field::CpuUser) * MILLI);
    text.sample(&[("mode", "system")], totals.get(Field::CpuSystem) * MILLI);
}

fn about_collections(text: &mut Text, totals: &Totals) {
    text.family(Kind::Counter, "gc_collections", "Garbage collections of all workers, by kind.");
    for (kind, field) in
        [("minor", Field::GcMinor), ("major", Field::GcMajor), ("incremental", Field::GcIncremental)]
    {
        text.sample(&[("kind", kind)], totals.get(field));
    }
    let help = "Time that all workers spent in garbage collection.";
    text.one(Kind::Counter, "gc_pause_seconds", help, totals.get(Field::GcPauseMs) * MILLI);
}

fn about_workers(text: &mut Text, moment: &Moment<'_>, stats: &Stats) {
    per_worker(text, stats, "worker_up", "1 for each worker that lives.", |_, _| Some(1.0));
    let help = "Whether a worker takes connections and its event loop turns.";
    per_worker(text, stats, "worker_ready", help, |worker, _| Some(flag(moment.is_ready(worker))));
    let help = "How long ago a worker's event loop last turned.";
    per_worker(text, stats, "worker_loop_age_seconds", help, |worker, _| {
        moment.loop_age(worker).map(|age| age * MILLI)
    });
    let gauges = [
        ("worker_connections", "Connections open.", Field::ConnectionsOpen, 1.0),
        ("worker_requests_under_way", "Requests begun and not ended.", Field::RequestsUnderWay, 1.0),
        ("worker_loop_lag_seconds", "How late the last timer of the event loop was.", Field::LoopLag, MILLI),
        (
            "worker_loop_lag_max_seconds",
            "How late one was at most in the last 30 to 60 seconds.",
            Field::LoopLagMax,
            MILLI,
        ),
        (
            "worker_loop_utilization_ratio",
            "How much of the last second the loop worked.",
            Field::LoopUtilisation,
            1.0,
        ),
        ("worker_heap_used_bytes", "V8's heap in use.", Field::HeapUsed, 1.0),
        ("worker_heap_size_bytes", "V8's heap as it was taken from the system.", Field::HeapTotal, 1.0),
        ("worker_heap_limit_bytes", "What V8's heap may become.", Field::HeapLimit, 1.0),
        (
            "worker_external_memory_bytes",
            "Memory outside the heap that objects in it own.",
            Field::External,
            1.0,
        ),
        ("worker_resident_memory_bytes", "Resident memory.", Field::Rss, 1.0),
        ("worker_start_time_seconds", "When the process began, since 1970.", Field::StartedAt, MILLI),
    ];
    for (name, help, field, scale) in gauges {
        per_worker(text, stats, name, help, |_, row| row.map(|row| row.get(field) * scale));
    }
}

/// A gauge with one sample for each worker of which the number is known.
fn per_worker(
    text: &mut Text,
    stats: &Stats,
    name: &str,
    help: &str,
    value: impl Fn(&Worker, Option<&Row>) -> Option<f64>,
) {
    text.family(Kind::Gauge, name, help);
    for worker in &stats.workers {
        // A row that was never written says nothing, not zero.
        let row = stats.row(worker.id).filter(|row| row.tick().is_some());
        if let Some(value) = value(worker, row) {
            let (id, pid) = (worker.id.to_string(), worker.pid.to_string());
            text.sample(&[("worker", &id), ("pid", &pid)], value);
        }
    }
}

fn about_the_master(text: &mut Text) {
    let facts = process_facts::read();
    if let Some(seconds) = facts.cpu_seconds {
        text.one(Kind::Counter, "master_cpu_seconds", "Processor time of the master.", seconds);
    }
    let gauges = [
        ("master_resident_memory_bytes", "Resident memory of the master.", facts.resident_bytes),
        ("master_open_fds", "Descriptors that the master has open.", facts.open_fds),
        ("master_max_fds", "Descriptors that the master may have open.", facts.max_fds),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            text.one(Kind::Gauge, name, help, value);
        }
    }
}

fn flag(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts of this size are exact")]
fn wide(count: u64) -> f64 {
    count as f64
}

fn count(number: usize) -> f64 {
    wide(number as u64)
}
