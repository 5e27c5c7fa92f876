//! `cargo bench --no-default-features --bench fleet`: one step of the supervisor's decisions.
//!
//! The loop takes a step for each message, exit and deadline; a tick with nothing due is the cheapest and by far the
//! commonest.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cluster2::fleet::backoff;
use cluster2::fleet::{Effect, Fleet, Forks, Policy, Restart, Step, WorkerId};
use criterion::{BatchSize, Criterion};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("fleet");
    let now = Instant::now();
    for workers in [4, 64] {
        group.bench_function(format!("tick with {workers} serving"), |bencher| {
            let mut fleet = serving(workers, now);
            bencher.iter(|| black_box(fleet.step(Step::Tick, now)));
        });
        group.bench_function(format!("exit of one of {workers}"), |bencher| {
            bencher.iter_batched(
                || serving(workers, now),
                |mut fleet| black_box(fleet.step(Step::Exited { worker: WorkerId(1), clean: false }, now)),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(format!("start of {workers}"), |bencher| bencher.iter(|| serving(workers, now)));
    }
    group.finish();
    criterion.final_summary();
}

/// A fleet all of whose workers listen.
fn serving(workers: usize, now: Instant) -> Fleet {
    let mut fleet = Fleet::new(policy(workers));
    let mut effects = fleet.step(Step::Start, now);
    while let Some(effect) = effects.pop() {
        if let Effect::Spawn { worker, .. } = effect {
            effects.append(&mut fleet.step(Step::Ready { worker }, now));
        }
    }
    fleet
}

fn policy(wanted: usize) -> Policy {
    let long = Duration::from_secs(30);
    Policy {
        forks: Forks::Kept,
        wanted,
        spares: 0,
        restart: Restart::OnFailure,
        start_timeout: long,
        drain_timeout: long,
        recycle_timeout: long,
        kill_timeout: long,
        backoff: backoff::Spacing::default(),
        settle: Duration::from_millis(1500),
        quiet_settle: Duration::from_millis(250),
        seed: 1,
    }
}
