//! `cargo bench --no-default-features --bench metrics`: the text of `/metrics` from a snapshot.
//!
//! Rendering, what the process reads about itself, and the question to the kernel about the queue of one port.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use cluster2::ids::{SlotIndex, WorkerId};
use cluster2::monitor::data::health::{Limits, Moment};
use cluster2::monitor::data::stats::{Address, ShownOptions, Stats, Worker, WorkerState};
use cluster2::monitor::views::metrics::{Format, render};
use cluster2::scoreboard::Snapshot;
use cluster2::scoreboard::layout::Field;
use cluster2::scoreboard::row::Row;
use cluster2::timestamp::Timestamp;
use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("metrics");
    let limits = Limits { live_max_age: Duration::from_secs(30), ready_quorum: 1 };
    for workers in [1, 8, 64] {
        let stats = stats(workers);
        for (name, format) in [("Prometheus", Format::Prometheus), ("OpenMetrics", Format::OpenMetrics)] {
            group.bench_function(format!("{name}, {workers} workers"), |bencher| {
                bencher.iter(|| {
                    let moment = Moment::new(&stats, limits, 5000.0, Duration::from_secs(60));
                    black_box(render(format, &moment, &stats, ""))
                });
            });
        }
    }
    group.finish();
    criterion.final_summary();
}

fn stats(workers: u16) -> Stats {
    let started = Timestamp::now();
    let mut stats =
        Stats::new(1, started, ShownOptions { no_workers: workers.into(), ..ShownOptions::default() });
    stats.workers = (0..workers)
        .map(|slot| Worker {
            slot: Some(SlotIndex(slot)),
            state: WorkerState::Serving,
            ready_at: Some(started),
            listening: 1,
            ..Worker::new(WorkerId(u32::from(slot) + 1), 1000 + u32::from(slot), started)
        })
        .collect();
    stats.addresses = vec![Address::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)))];
    let row = Row::with(&[(Field::Tick, 4990.0), (Field::ConnectionsTotal, 12_345.0)]);
    let rows = stats.workers.iter().map(|worker| (worker.id, row.clone())).collect();
    stats.board = Some(Snapshot { rows, ..Snapshot::default() });
    stats
}
