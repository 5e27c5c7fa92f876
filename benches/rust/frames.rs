//! `cargo bench --no-default-features --bench frames`: cutting what arrives on a worker's channel into messages.
//!
//! A worker that says something pays for it here, and so does each message of an application.

use std::hint::black_box;

use cluster2::ipc::frame::Frames;
use criterion::{Criterion, Throughput};

/// What a channel is read with at most.
const READ: usize = 64 * 1024;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("frames");
    for (name, payload) in [("200 B", 150), ("2 kB", 2000), ("200 kB", 200_000)] {
        let message = format!("{{\"type\":\"delegate\",\"delegate\":\"{}\"}}\n", "x".repeat(payload));
        let stream = message.repeat((READ / message.len()).max(1));
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(format!("messages of {name}"), |bencher| {
            let mut frames = Frames::default();
            bencher.iter(|| {
                for chunk in stream.as_bytes().chunks(READ) {
                    frames.push(chunk);
                    while let Some(line) = frames.next_message() {
                        black_box(line);
                    }
                }
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
