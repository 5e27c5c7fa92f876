//! The page kept up to date: one rendering of each change, sent to all who watch, as server-sent events.
//!
//! The renderer makes an [`Update`] of each change and shows it to all watchers at once. A [`Stream`] is the body of one
//! answer; it takes the latest update whenever its client can take one.
//! Invariant: a client that reads slowly misses updates; it never makes us keep more than one of them for it.

use std::io;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::monitor::data::stats::Worker;
use crate::monitor::data::trends::{Point, Trends};
use crate::monitor::reply::{Body, unfold};
use crate::monitor::views::timeline::Timeline;
use crate::monitor::views::view_model::{Cell, ViewModel};

/// How long a browser waits before it connects again, in ms.
const RETRY: u32 = 1000;

/// One moment, ready to be sent. The default is a moment before the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Update {
    number: u64,
    status: Bytes,
    /// How many entries the timeline had ever got, and its present form.
    entries: u64,
    timeline: Bytes,
}

/// The events for one client.
pub(crate) struct Stream {
    greeting: Option<Bytes>,
    seen: u64,
    entries: Option<u64>,
    updates: watch::Receiver<Update>,
}

impl Update {
    /// The update that follows this one.
    pub(crate) fn next(mut self, model: &ViewModel<'_>) -> Self {
        self.number += 1;
        self.status = event("status", &status(model));
        let entries = model.stats.history.added();
        if self.timeline.is_empty() || self.entries != entries {
            let shown = Timeline(&model.stats.history).to_string();
            (self.entries, self.timeline) = (entries, event("timeline", &json!(shown)));
        }
        self
    }
}

/// What a new client is sent first: the graphs of the last minutes.
pub(crate) fn greeting(trends: &Trends) -> Bytes {
    event("trends", &graphs(trends))
}

impl Stream {
    pub(crate) fn new(greeting: Bytes, updates: watch::Receiver<Update>) -> Self {
        Self { greeting: Some(greeting), seen: 0, entries: None, updates }
    }

    pub(crate) fn body(self) -> Body {
        unfold(self, Self::next)
    }

    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        loop {
            if let Some(bytes) = self.take() {
                return Some((Ok(bytes), self));
            }
            self.updates.changed().await.ok()?;
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        let latest = self.updates.borrow();
        if latest.number == self.seen {
            return None;
        }
        // The timeline is long and changes seldom.
        if self.entries.replace(latest.entries) != Some(latest.entries) {
            return Some(latest.timeline.clone());
        }
        self.seen = latest.number;
        Some(latest.status.clone())
    }
}

/// One server-sent event. JSON has no line breaks of its own.
fn event(name: &str, data: &Value) -> Bytes {
    format!("retry: {RETRY}\nevent: {name}\ndata: {data}\n\n").into()
}

/// What changes all the time: `{look, facts, points, workers: [{id, cells, points}]}`.
fn status(model: &ViewModel<'_>) -> Value {
    let worker = |worker: &Worker| {
        let points = model.trends.last_point(worker.id).map(point);
        json!({ "id": worker.id.0, "cells": cells(model.cells(worker)), "points": points })
    };
    json!({
        "look": model.trends.number(),
        "facts": cells(model.facts()),
        "points": model.trends.points().last().map(point),
        "workers": model.stats.workers.iter().map(worker).collect::<Vec<_>>(),
    })
}

/// By name: the text, or the text and its mood.
fn cells(cells: Vec<Cell>) -> Map<String, Value> {
    let one = |cell: Cell| {
        let value = match cell.mood {
            Some(mood) => json!([cell.text, mood.name()]),
            None => Value::from(cell.text),
        };
        (cell.name.to_owned(), value)
    };
    cells.into_iter().map(one).collect()
}

/// The graphs of the last minutes: `{look, points, workers: {id: points}}`.
fn graphs(trends: &Trends) -> Value {
    let workers: Map<String, Value> = trends
        .points_of_workers()
        .map(|(id, points)| (id.to_string(), points.map(point).collect()))
        .collect();
    json!({
        "look": trends.number(),
        "points": trends.points().map(point).collect::<Vec<_>>(),
        "workers": workers,
    })
}

/// A point of a graph, with the digits that a graph shows.
fn point(point: &Point) -> Value {
    point.iter().map(|number| json!((f64::from(*number) * 10.0).round() / 10.0)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant, SystemTime};

    use super::*;
    use crate::ids::{SlotIndex, WorkerId};
    use crate::monitor::data::health::{Limits, Moment};
    use crate::monitor::data::host::Host;
    use crate::monitor::data::stats::{ShownOptions, Stats, WorkerState};
    use crate::monitor::data::trends::{POINTS, STEP};
    use crate::scoreboard::layout::Field;
    use crate::scoreboard::{Row, Snapshot};
    use crate::timestamp::Timestamp;

    /// A cluster of so many workers, looked at as often as graphs are long.
    fn cluster(workers: u32) -> (Stats, Trends) {
        let at = Timestamp::now();
        let mut stats = Stats::new(1, at, ShownOptions::default());
        let mut board = Snapshot::default();
        for id in (1..=workers).map(WorkerId) {
            stats.workers.push(Worker {
                id,
                pid: 4000 + id.0,
                slot: u16::try_from(id.0).ok().map(SlotIndex),
                state: WorkerState::Serving,
                since: at,
                forked_at: at,
                ready_at: Some(at),
                generation: 0,
                listening: 1,
                restarts: 3,
            });
            let row = Row::with(&[(Field::Tick, 1.0), (Field::RequestsTotal, 1e9), (Field::Rss, 1e8)]);
            board.rows.push((id, row));
        }
        stats.board = Some(board);
        let mut trends = Trends::default();
        for look in 0..POINTS {
            trends.look(&stats, f64::from(u32::try_from(look).unwrap()) * 2000.0);
        }
        (stats, trends)
    }

    /// Shows the watchers how things are.
    fn publish(updates: &watch::Sender<Update>, stats: &Stats, trends: &Trends) {
        let limits = Limits { live_max_age: STEP, ready_quorum: 1 };
        let moment = Moment::new(stats, limits, 500.0, STEP);
        let (host, queues, now) = (Host::default(), BTreeMap::new(), Timestamp::now());
        let model = ViewModel { stats, trends, moment, host: &host, busy: None, queues: &queues, now };
        updates.send_modify(|update| *update = std::mem::take(update).next(&model));
    }

    fn join(updates: &watch::Sender<Update>, trends: &Trends) -> Stream {
        Stream::new(greeting(trends), updates.subscribe())
    }

    /// What a client would be sent if it took all that there is.
    fn take_all(stream: &mut Stream) -> Vec<String> {
        let taken = std::iter::from_fn(|| stream.take());
        taken.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    fn names(events: &[String]) -> Vec<&str> {
        events.iter().map(|event| event.lines().nth(1).unwrap().strip_prefix("event: ").unwrap()).collect()
    }

    #[test]
    fn a_client_first_gets_the_graphs_and_everything_then_what_is_new() {
        let (mut stats, trends) = cluster(2);
        let updates = watch::Sender::new(Update::default());
        publish(&updates, &stats, &trends);
        let mut stream = join(&updates, &trends);
        assert_eq!(names(&take_all(&mut stream)), ["trends", "timeline", "status"]);
        assert!(take_all(&mut stream).is_empty());
        publish(&updates, &stats, &trends);
        assert_eq!(names(&take_all(&mut stream)), ["status"]);
        stats.remember("scaled", None, "<b>3 workers".into(), SystemTime::UNIX_EPOCH);
        publish(&updates, &stats, &trends);
        let events = take_all(&mut stream);
        assert_eq!(names(&events), ["timeline", "status"]);
        assert!(events[0].contains("&lt;b&gt;3 workers"), "{}", events[0]);
        assert!(events.iter().all(|event| event.ends_with("\n\n") && event.matches("\n\n").count() == 1));
    }

    #[test]
    fn a_client_that_reads_slowly_gets_the_latest_only() {
        let (mut stats, trends) = cluster(2);
        let updates = watch::Sender::new(Update::default());
        publish(&updates, &stats, &trends);
        let mut stream = join(&updates, &trends);
        for number in 0..1000 {
            stats.wanted = number;
            publish(&updates, &stats, &trends);
        }
        let events = take_all(&mut stream);
        assert_eq!(names(&events), ["trends", "timeline", "status"]);
        assert!(events[2].contains("2 of 999"), "{}", events[2]);
    }

    #[tokio::test]
    async fn a_client_that_has_taken_all_is_told_of_the_next_change() {
        let (stats, trends) = cluster(1);
        let updates = watch::Sender::new(Update::default());
        publish(&updates, &stats, &trends);
        let mut stream = join(&updates, &trends);
        take_all(&mut stream);
        let (told, ()) = tokio::join!(stream.next(), async { publish(&updates, &stats, &trends) });
        assert!(told.unwrap().0.unwrap().starts_with(b"retry: 1000\nevent: status\n"));
    }

    #[test]
    fn an_update_of_64_workers_costs_little_however_many_watch() {
        let (mut stats, mut trends) = cluster(64);
        let updates = watch::Sender::new(Update::default());
        publish(&updates, &stats, &trends);
        let mut streams: Vec<Stream> = (0..50).map(|_| join(&updates, &trends)).collect();
        let mut least = Duration::MAX;
        for turn in 1..=20 {
            let began = Instant::now();
            stats.remember("scaled", None, String::new(), SystemTime::UNIX_EPOCH);
            trends.look(&stats, 1e6 + f64::from(turn) * 2000.0);
            publish(&updates, &stats, &trends);
            for stream in &mut streams {
                assert!(matches!(stream.take(), Some(bytes) if !bytes.is_empty()));
            }
            least = least.min(began.elapsed());
        }
        if std::env::var_os("SHOW").is_some() {
            println!("an update takes {least:?}");
        }
        // Without optimisation; with it, a tenth of that.
        assert!(least < Duration::from_millis(50), "{least:?}");
    }
}
