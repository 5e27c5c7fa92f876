//! What a page of metrics looks like, and that its counters never fall.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use super::*;
use crate::ids::WorkerId;
use crate::monitor::data::health::Limits;
use crate::monitor::data::stats::Tallies;
use crate::timestamp::Timestamp;

fn stats() -> Stats {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let started = Timestamp::now().with_time(time);
    let mut stats = Stats::with_serving(started, vec![(WorkerId(3), Row::default())]);
    stats.options.counts_gc = true;
    stats.tallies = Tallies { deaths: BTreeMap::from([("crash", 2)]), ..Tallies::default() };
    stats
}

fn page(format: Format) -> String {
    let limits = Limits { live_max_age: Duration::from_secs(30), ready_quorum: 1 };
    let stats = stats();
    render(
        format,
        &Moment::new(&stats, limits, 5000.0, Duration::ZERO),
        &stats,
        "# TYPE mine gauge\nmine 1\n",
    )
}

#[test]
fn every_family_is_declared_once_and_before_its_samples() {
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let text = page(format);
        let mut declared = HashSet::new();
        let mut current = String::new();
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().unwrap().to_owned();
                assert!(declared.insert(name.clone()), "{name} comes twice");
                current = name;
            } else if !line.starts_with('#') {
                assert!(line.starts_with(&current), "{line} stands under {current}");
                line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
            }
        }
        assert!(declared.contains("mine"));
    }
}

#[test]
fn the_two_formats_name_counters_each_in_its_way() {
    let (plain, open) = (page(Format::Prometheus), page(Format::OpenMetrics));
    for (text, declared) in [
        (
            &plain,
            "# TYPE cluster2_worker_deaths_total counter\ncluster2_worker_deaths_total{reason=\"crash\"} 2\n",
        ),
        (&open, "# TYPE cluster2_worker_deaths counter\ncluster2_worker_deaths_total{reason=\"crash\"} 2\n"),
        (&open, "# TYPE cluster2_gc_pause_seconds counter\n# UNIT cluster2_gc_pause_seconds seconds\n"),
        (&plain, "cluster2_worker_up{worker=\"3\",pid=\"1003\"} 1\n"),
        (&plain, "cluster2_http_request_duration_seconds_bucket{le=\"+Inf\"} 0\n"),
    ] {
        assert!(text.contains(declared), "{declared}\nis missing in\n{text}");
    }
    assert!(open.ends_with("\n# EOF\n") && !plain.contains("EOF"));
}

#[test]
fn of_a_row_that_was_never_written_nothing_is_said() {
    assert!(!page(Format::Prometheus).contains("cluster2_worker_heap_used_bytes{"));
}

#[test]
fn the_document_lists_every_family() {
    let document = include_str!("../../../../docs/metrics.md");
    let text = page(Format::Prometheus);
    let named = text.lines().filter_map(|line| line.strip_prefix("# TYPE cluster2_"));
    for name in named.filter_map(|line| line.split(' ').next()) {
        assert!(document.contains(&format!("| `cluster2_{name}` |")), "docs/metrics.md lacks {name}");
    }
}
