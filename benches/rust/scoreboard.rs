//! `cargo bench --no-default-features --bench scoreboard`: reading every worker's row, as each scrape and page does.

#![expect(clippy::expect_used, reason = "without shared memory there is nothing to measure")]

use std::hint::black_box;

use cluster2::ids::WorkerId;
use cluster2::scoreboard::Scoreboard;
use cluster2::scoreboard::layout::Field;
use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("scoreboard");
    for workers in [1, 8, 64] {
        let mut board = Scoreboard::create(1).expect("shared memory");
        for id in 1..=workers {
            board.assign(WorkerId(id)).expect("a row for each");
        }
        group.bench_function(format!("snapshot of {workers}"), |bencher| {
            bencher.iter(|| black_box(board.snapshot()));
        });
        // What the look at the loops' ages reads, which is all that an idle master does.
        group.bench_function(format!("ticks of {workers}"), |bencher| {
            bencher
                .iter(|| (1..=workers).filter_map(|id| board.number(WorkerId(id), Field::Tick)).sum::<f64>());
        });
    }
    group.finish();
    criterion.final_summary();
}
