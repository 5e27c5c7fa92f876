//! How the cluster has done in the last minutes: figures that need two looks, since a row tells of one moment.
//!
//! The renderer looks every [`STEP`]: a look reads the snapshot that it is given and costs some microseconds per worker.
//! Figures are those of the last look, so that everything that is shown (page, stream, JSON) says the same. Pure; the
//! time, by the clock of the scoreboard, is an argument.
//! Invariant: what is kept is bounded: [`POINTS`] points and three histograms for each living worker, and for all together.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::ids::WorkerId;
use crate::monitor::data::stats::Stats;
use crate::scoreboard::layout::{Field, histogram};
use crate::scoreboard::{Row, Totals};

/// From one look to the next.
pub(crate) const STEP: Duration = Duration::from_secs(2);
/// How many points of a graph are kept: four minutes.
pub(crate) const POINTS: usize = 120;
/// For how many looks a histogram stays the base of the percentiles, which are those of the last one to two such times.
const LOOKS_PER_BASE: u64 = 15;
/// After so many steps without a look one is late.
const PATIENCE: f64 = 1.25;
/// Looks closer together than this say nothing about rates.
const LEAST_GAP: f64 = 100.0;
const MEBIBYTE: f64 = 1_048_576.0;

/// What is shown of a worker, or of all together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// Requests begun in a second, since the look before.
    pub(crate) requests_per_second: Option<f64>,
    /// Half of the requests of the last 30 to 60 seconds took no longer, in ms.
    pub(crate) p50: Option<f64>,
    /// Of these, 99 % took no longer.
    pub(crate) p99: Option<f64>,
    /// Connections that are open.
    pub(crate) connections: f64,
    /// Requests begun and not ended.
    pub(crate) under_way: f64,
    /// How late the last timer was, in ms; of all together the largest.
    pub(crate) lag: f64,
    /// How late one was at most in the last 30 to 60 seconds, in ms; of all together the largest.
    pub(crate) lag_max: f64,
    /// How much of the last second the loop worked, 0 to 1; of all together the mean.
    pub(crate) utilisation: f64,
    /// Percent of one core, since the look before.
    pub(crate) cpu: Option<f64>,
    /// Resident memory in bytes.
    pub(crate) rss: f64,
    /// V8's heap in use, in bytes.
    pub(crate) heap: f64,
}

/// One step of the graphs: requests a second, lag in ms, percent of a core, resident MiB.
pub(crate) type Point = [f32; 4];

/// The counters at one look, to be compared with the next.
#[derive(Clone, Debug)]
struct Mark {
    at: f64,
    requests: f64,
    cpu: f64,
}

/// One worker over time, or all together.
#[derive(Clone, Debug, Default)]
struct Track {
    mark: Option<Mark>,
    /// The histogram when the present base began, and when the one before did.
    bases: [Vec<f64>; 2],
    looks: u64,
    figures: Figures,
    points: VecDeque<Point>,
}

/// The memory of the monitor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trends {
    number: u64,
    looked_at: Option<f64>,
    all: Track,
    workers: BTreeMap<WorkerId, Track>,
}

impl Trends {
    /// Takes in how things are at `now` (`CLOCK_MONOTONIC`, ms).
    pub(crate) fn look(&mut self, stats: &Stats, now: f64) {
        self.number += 1;
        self.looked_at = Some(now);
        let Some(board) = &stats.board else { return };
        let mut sum = Figures::default();
        let mut count = 0.0;
        let mut seen = BTreeMap::new();
        for worker in &stats.workers {
            // A row that was never written says nothing, not zero.
            let Some(row) = stats.row(worker.id).filter(|row| row.tick().is_some()) else { continue };
            let mut track = self.workers.remove(&worker.id).unwrap_or_default();
            track.take(figures_of(row), &Counted::by(row), now);
            sum.add(&track.figures);
            count += 1.0;
            seen.insert(worker.id, track);
        }
        self.workers = seen;
        if count > 0.0 {
            sum.utilisation /= count;
        }
        self.all.take(sum, &Counted::in_all(&board.totals), now);
    }

    /// Whether a look is overdue, so that there are no regular looks.
    pub(crate) fn is_late(&self, now: f64) -> bool {
        let patience = STEP.as_secs_f64() * 1000.0 * PATIENCE;
        self.looked_at.is_none_or(|before| now - before > patience)
    }

    /// How many looks there were.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// All together; `None` where nothing is known of any worker.
    pub(crate) fn all(&self) -> Option<&Figures> {
        (!self.workers.is_empty()).then_some(&self.all.figures)
    }

    /// One worker; `None` while nothing is known of it.
    pub(crate) fn worker(&self, id: WorkerId) -> Option<&Figures> {
        self.workers.get(&id).map(|track| &track.figures)
    }

    /// The points of the graph of all together, oldest first.
    pub(crate) fn points(&self) -> impl ExactSizeIterator<Item = &Point> {
        self.all.points.iter()
    }

    /// The points of each worker's graphs, oldest first; the last of each belong to the same look.
    pub(crate) fn points_of_workers(
        &self,
    ) -> impl Iterator<Item = (WorkerId, impl ExactSizeIterator<Item = &Point>)> {
        self.workers.iter().map(|(id, track)| (*id, track.points.iter()))
    }

    /// The last point of a worker's graphs.
    pub(crate) fn last_point(&self, id: WorkerId) -> Option<&Point> {
        self.workers.get(&id).and_then(|track| track.points.back())
    }
}

/// What only grows.
struct Counted<'a> {
    requests: f64,
    cpu: f64,
    histogram: Cow<'a, [f64]>,
}

impl<'a> Counted<'a> {
    fn by(row: &'a Row) -> Self {
        let cpu = row.get(Field::CpuUser) + row.get(Field::CpuSystem);
        Self { requests: row.get(Field::RequestsTotal), cpu, histogram: row.histogram().into() }
    }

    fn in_all(totals: &'a Totals) -> Self {
        let cpu = totals.get(Field::CpuUser) + totals.get(Field::CpuSystem);
        Self {
            requests: totals.get(Field::RequestsTotal),
            cpu,
            histogram: totals.histogram().to_vec().into(),
        }
    }
}

impl Track {
    fn take(&mut self, present: Figures, counted: &Counted<'_>, now: f64) {
        let before = self.mark.replace(Mark { at: now, requests: counted.requests, cpu: counted.cpu });
        let gap = before.as_ref().map_or(0.0, |mark| now - mark.at);
        let known = before.filter(|_| gap >= LEAST_GAP);
        let rate = |before: f64, after: f64| (after - before).max(0.0) / gap;
        let lately = self.lately(&counted.histogram);
        self.figures = Figures {
            requests_per_second: known.as_ref().map(|mark| rate(mark.requests, counted.requests) * 1000.0),
            cpu: known.as_ref().map(|mark| rate(mark.cpu, counted.cpu) * 100.0),
            p50: percentile(&lately, 0.5),
            p99: percentile(&lately, 0.99),
            ..present
        };
        if self.looks.is_multiple_of(LOOKS_PER_BASE) {
            self.bases.swap(0, 1);
            self.bases[0] = counted.histogram.to_vec();
        }
        self.looks += 1;
        if self.points.len() >= POINTS {
            self.points.pop_front();
        }
        self.points.push_back(self.figures.point());
    }

    /// The durations since the older base; in the first half minute of a worker since its start.
    fn lately(&self, counts: &[f64]) -> Vec<f64> {
        let [_, base] = &self.bases;
        let since = |(bucket, count): (usize, &f64)| {
            let before = base.get(bucket).copied().unwrap_or(0.0);
            (count - before).max(0.0)
        };
        counts.iter().enumerate().map(since).collect()
    }
}

impl Figures {
    fn add(&mut self, worker: &Self) {
        self.connections += worker.connections;
        self.under_way += worker.under_way;
        self.lag = self.lag.max(worker.lag);
        self.lag_max = self.lag_max.max(worker.lag_max);
        self.utilisation += worker.utilisation;
        self.rss += worker.rss;
        self.heap += worker.heap;
    }

    #[expect(clippy::cast_possible_truncation, reason = "a graph is some hundred pixels wide")]
    fn point(&self) -> Point {
        let rate = self.requests_per_second.unwrap_or(0.0);
        [rate, self.lag, self.cpu.unwrap_or(0.0), self.rss / MEBIBYTE].map(|number| number as f32)
    }
}

fn figures_of(row: &Row) -> Figures {
    Figures {
        connections: row.get(Field::ConnectionsOpen),
        under_way: row.get(Field::RequestsUnderWay),
        lag: row.get(Field::LoopLag),
        lag_max: row.get(Field::LoopLagMax),
        utilisation: row.get(Field::LoopUtilisation),
        rss: row.get(Field::Rss),
        heap: row.get(Field::HeapUsed),
        ..Figures::default()
    }
}

/// The duration, in ms, that this part of the requests did not exceed, as if they were spread evenly within each bucket.
fn percentile(counts: &[f64], part: f64) -> Option<f64> {
    let total: f64 = counts.iter().sum();
    if total <= 0.0 {
        return None;
    }
    let mut missing = total * part;
    for (bucket, count) in counts.iter().enumerate() {
        if *count > 0.0 && *count >= missing {
            let start = bucket.checked_sub(1).map_or(0.0, histogram::end_of);
            let end = histogram::end_of(bucket);
            // The last bucket has no end: what took longer than half an hour took at least that.
            return Some(if end.is_finite() { start + (end - start) * missing / count } else { start });
        }
        missing -= count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    const ONE: WorkerId = WorkerId(1);

    fn cluster(workers: &[(WorkerId, Row)]) -> Stats {
        Stats::with_serving(Timestamp::now(), workers.to_vec())
    }

    fn row(requests: f64, cpu: f64) -> Row {
        let counted = [(Field::RequestsTotal, requests), (Field::CpuUser, cpu)];
        Row::with(&[counted[0], counted[1], (Field::Tick, 1.0), (Field::Rss, 3.0 * MEBIBYTE)])
    }

    #[test]
    fn rates_are_those_since_the_look_before() {
        let mut trends = Trends::default();
        trends.look(&cluster(&[(ONE, row(100.0, 50.0))]), 1000.0);
        let first = *trends.worker(ONE).unwrap();
        assert_eq!((first.requests_per_second, first.cpu), (None, None));
        trends.look(&cluster(&[(ONE, row(150.0, 1050.0))]), 3000.0);
        let second = trends.worker(ONE).unwrap();
        assert_eq!((second.requests_per_second, second.cpu), (Some(25.0), Some(50.0)));
        assert_eq!(trends.last_point(ONE), Some(&[25.0, 0.0, 50.0, 3.0]));
        assert_eq!(trends.all().unwrap().requests_per_second, Some(25.0));
    }

    #[test]
    fn a_worker_that_is_gone_is_forgotten_and_a_mute_one_is_not_known() {
        let mut trends = Trends::default();
        trends.look(&cluster(&[(ONE, row(1.0, 1.0)), (WorkerId(2), Row::with(&[]))]), 1000.0);
        assert!(trends.worker(ONE).is_some() && trends.worker(WorkerId(2)).is_none());
        trends.look(&cluster(&[]), 3000.0);
        assert!(trends.worker(ONE).is_none() && trends.all().is_none());
        assert_eq!(trends.points_of_workers().count(), 0);
    }

    #[test]
    fn graphs_keep_their_last_points_only() {
        let mut trends = Trends::default();
        for look in 0..1000 {
            trends.look(&cluster(&[(ONE, row(f64::from(look), 0.0))]), f64::from(look) * 2000.0);
        }
        assert_eq!(trends.points().len(), POINTS);
        assert_eq!(trends.points_of_workers().map(|(_, points)| points.len()).collect::<Vec<_>>(), [POINTS]);
        assert_eq!(trends.number(), 1000);
    }

    #[test]
    fn a_look_is_late_when_there_was_none_and_some_time_after_its_step() {
        let mut trends = Trends::default();
        assert!(trends.is_late(0.0));
        trends.look(&cluster(&[]), 1000.0);
        let step = STEP.as_secs_f64() * 1000.0;
        assert!(!trends.is_late(1000.0 + step));
        assert!(trends.is_late(1000.0 + step * 1.5));
    }

    #[test]
    fn percentiles_lie_within_their_bucket() {
        let mut counts = vec![0.0; histogram::BUCKETS];
        assert_eq!(percentile(&counts, 0.5), None);
        counts[11] = 98.0;
        counts[15] = 2.0;
        let (p50, p99) = (percentile(&counts, 0.5).unwrap(), percentile(&counts, 0.99).unwrap());
        assert!(p50 > histogram::end_of(10) && p50 <= histogram::end_of(11), "{p50}");
        assert!(p99 > histogram::end_of(14) && p99 <= histogram::end_of(15), "{p99}");
        let mut last = vec![0.0; histogram::BUCKETS];
        last[histogram::BUCKETS - 1] = 1.0;
        assert_eq!(percentile(&last, 0.99), Some(histogram::end_of(histogram::BUCKETS - 2)));
    }

    #[test]
    fn percentiles_forget_what_is_longer_ago_than_two_bases() {
        fn counted(histogram: &[f64]) -> Counted<'_> {
            Counted { requests: 0.0, cpu: 0.0, histogram: histogram.into() }
        }
        let mut track = Track::default();
        let mut counts = vec![0.0; histogram::BUCKETS];
        counts[40] = 1000.0;
        for _ in 0..LOOKS_PER_BASE {
            track.take(Figures::default(), &counted(&counts), 0.0);
            assert!(track.figures.p50.unwrap() > histogram::end_of(39));
        }
        for _ in 0..=LOOKS_PER_BASE {
            track.take(Figures::default(), &counted(&counts), 0.0);
        }
        counts[8] = 1.0;
        track.take(Figures::default(), &counted(&counts), 0.0);
        assert!(track.figures.p99.unwrap() <= histogram::end_of(8), "{:?}", track.figures);
    }
}
