//! The page kept up to date: one rendering of each change, sent to all who watch.
//!
//! [`pulse`] runs as a task of the monitor: it looks at the cluster every `trends::STEP`, watched or not, and, while somebody
//! watches, looks for changes a few times a second and renders them once, however many watch. A [`Stream`] is the body of
//! one answer in the form of server-sent events; it takes the latest rendering whenever its client can take one.
//! Invariant: a client that reads slowly misses renderings; it never makes us keep more than one of them for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Frame;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::monitor::data::trends::{Point, STEP, Trends};
use crate::monitor::routes::Site;
use crate::monitor::views::timeline::Timeline;
use crate::monitor::views::view_model::{self, Scene};

/// How soon a change is seen while somebody watches.
const SOON: Duration = Duration::from_millis(250);
/// How many may watch; there must be connections left for probes.
const WATCHERS: usize = 256;
/// How long a browser waits before it connects again, in ms.
const RETRY: u32 = 1000;

/// What was rendered last, and who waits for the next.
#[derive(Default)]
pub(crate) struct Live {
    latest: RefCell<Rendering>,
    trends: RefCell<(u64, Bytes)>,
    watchers: RefCell<BTreeMap<u64, Option<Waker>>>,
    next: Cell<u64>,
    joined: Notify,
}

/// One moment, ready to be sent.
#[derive(Default)]
struct Rendering {
    number: u64,
    /// Of the snapshot and of the trends.
    made_of: (u64, u64),
    status: Bytes,
    /// How many entries the timeline had ever got, and its present form.
    entries: u64,
    timeline: Bytes,
}

/// The events for one client.
pub(crate) struct Stream {
    live: Rc<Live>,
    id: u64,
    greeting: Option<Bytes>,
    seen: u64,
    entries: Option<u64>,
}

impl Live {
    fn is_watched(&self) -> bool {
        !self.watchers.borrow().is_empty()
    }

    /// Whether the rendering that there is no longer says how things are.
    pub(crate) fn is_outdated(&self, revision: u64, look: u64) -> bool {
        let latest = self.latest.borrow();
        latest.number == 0 || latest.made_of != (revision, look)
    }

    /// Renders a moment and wakes all who watch.
    pub(crate) fn publish(&self, scene: &Scene<'_>, revision: u64) {
        let mut latest = self.latest.borrow_mut();
        latest.number += 1;
        latest.made_of = (revision, scene.trends.number());
        latest.status = event("status", &status(scene));
        let entries = scene.stats.history.added();
        if latest.timeline.is_empty() || latest.entries != entries {
            let shown = Timeline(&scene.stats.history).to_string();
            (latest.entries, latest.timeline) = (entries, event("timeline", &json!(shown)));
        }
        drop(latest);
        for waker in self.watchers.borrow_mut().values_mut().filter_map(Option::take) {
            waker.wake();
        }
    }

    /// A stream for a new client; `None` when there are enough. What it shows first must have been published.
    pub(crate) fn join(self: &Rc<Self>, trends: &Trends) -> Option<Stream> {
        if self.watchers.borrow().len() >= WATCHERS {
            return None;
        }
        let mut known = self.trends.borrow_mut();
        if known.1.is_empty() || known.0 != trends.number() {
            *known = (trends.number(), event("trends", &graphs(trends)));
        }
        let id = self.next.replace(self.next.get().wrapping_add(1));
        self.watchers.borrow_mut().insert(id, None);
        self.joined.notify_one();
        Some(Stream { live: Rc::clone(self), id, greeting: Some(known.1.clone()), seen: 0, entries: None })
    }
}

/// Looks at the cluster for as long as the monitor serves.
pub(crate) async fn pulse(site: Rc<Site>) {
    let mut next_look = Instant::now();
    loop {
        let now = Instant::now();
        if now >= next_look {
            site.look();
            next_look = now + STEP;
        }
        let mut due = next_look;
        if site.live().is_watched() {
            site.publish();
            due = due.min(now + SOON);
        }
        tokio::select! {
            () = sleep_until(due.into()) => {}
            () = site.live().joined.notified() => {}
        }
    }
}

impl Stream {
    fn take(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        let latest = self.live.latest.borrow();
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

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(bytes) = self.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        self.live.watchers.borrow_mut().insert(self.id, Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.live.watchers.borrow_mut().remove(&self.id);
    }
}

/// One server-sent event. JSON has no line breaks of its own.
fn event(name: &str, data: &Value) -> Bytes {
    format!("retry: {RETRY}\nevent: {name}\ndata: {data}\n\n").into()
}

/// What changes all the time: `{look, facts, points, workers: [{id, cells, points}]}`.
fn status(scene: &Scene<'_>) -> Value {
    let worker = |worker: &crate::monitor::data::stats::Worker| {
        let points = scene.trends.last_point(worker.id).map(point);
        json!({ "id": worker.id.0, "cells": cells(scene.cells(worker)), "points": points })
    };
    json!({
        "look": scene.trends.number(),
        "facts": cells(scene.facts()),
        "points": scene.trends.points().last().map(point),
        "workers": scene.stats.workers.iter().map(worker).collect::<Vec<_>>(),
    })
}

/// By name: the text, or the text and its mood.
fn cells(cells: Vec<view_model::Cell>) -> Map<String, Value> {
    let one = |cell: view_model::Cell| {
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

/// Rounded to what a graph shows.
fn point(point: &Point) -> Value {
    point.iter().map(|number| json!((f64::from(*number) * 10.0).round() / 10.0)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use hyper::body::Body;

    use super::*;
    use crate::ids::{SlotIndex, WorkerId};
    use crate::monitor::data::health::{Limits, Moment};
    use crate::monitor::data::host::Host;
    use crate::monitor::data::stats::{ShownOptions, Stats, Worker, WorkerState};
    use crate::scoreboard::layout::Field;
    use crate::scoreboard::{Row, Snapshot};

    /// A cluster of so many workers, looked at as often as graphs are long.
    fn cluster(workers: u32) -> (Stats, Trends) {
        let at = SystemTime::UNIX_EPOCH;
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
        for look in 0..crate::monitor::data::trends::POINTS {
            trends.look(&stats, f64::from(u32::try_from(look).unwrap()) * 2000.0);
        }
        (stats, trends)
    }

    fn publish(live: &Live, stats: &Stats, trends: &Trends) {
        let limits = Limits { live_max_age: STEP, ready_quorum: 1 };
        let moment = Moment::new(stats, limits, 500.0, STEP);
        let (host, queues, now) = (Host::default(), BTreeMap::new(), SystemTime::UNIX_EPOCH);
        let scene = Scene { stats, trends, moment, host: &host, busy: None, queues: &queues, now };
        live.publish(&scene, stats.revision);
    }

    /// What a client would be sent if it took all that there is.
    fn take_all(stream: &mut Stream) -> Vec<String> {
        let mut context = Context::from_waker(Waker::noop());
        let mut taken = Vec::new();
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut *stream).poll_frame(&mut context) {
            taken.push(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap());
        }
        taken
    }

    fn names(events: &[String]) -> Vec<&str> {
        events.iter().map(|event| event.lines().nth(1).unwrap().strip_prefix("event: ").unwrap()).collect()
    }

    #[test]
    fn a_client_first_gets_the_graphs_and_everything_then_what_is_new() {
        let (mut stats, trends) = cluster(2);
        let live = Rc::new(Live::default());
        publish(&live, &stats, &trends);
        let mut stream = live.join(&trends).unwrap();
        assert_eq!(names(&take_all(&mut stream)), ["trends", "timeline", "status"]);
        assert!(take_all(&mut stream).is_empty());
        publish(&live, &stats, &trends);
        assert_eq!(names(&take_all(&mut stream)), ["status"]);
        stats.remember("scaled", None, "<b>3 workers".into(), SystemTime::UNIX_EPOCH);
        publish(&live, &stats, &trends);
        let events = take_all(&mut stream);
        assert_eq!(names(&events), ["timeline", "status"]);
        assert!(events[0].contains("&lt;b&gt;3 workers"), "{}", events[0]);
        assert!(events.iter().all(|event| event.ends_with("\n\n") && event.matches("\n\n").count() == 1));
    }

    #[test]
    fn a_client_that_reads_slowly_gets_the_latest_only() {
        let (mut stats, trends) = cluster(2);
        let live = Rc::new(Live::default());
        publish(&live, &stats, &trends);
        let mut stream = live.join(&trends).unwrap();
        for number in 0..1000 {
            stats.wanted = number;
            publish(&live, &stats, &trends);
        }
        let events = take_all(&mut stream);
        assert_eq!(names(&events), ["trends", "timeline", "status"]);
        assert!(events[2].contains("2 of 999"), "{}", events[2]);
    }

    #[test]
    fn who_watches_is_counted_until_gone() {
        let (stats, trends) = cluster(1);
        let live = Rc::new(Live::default());
        publish(&live, &stats, &trends);
        assert!(!live.is_watched());
        let mut streams: Vec<Stream> = (0..WATCHERS).map(|_| live.join(&trends).unwrap()).collect();
        assert!(live.join(&trends).is_none());
        streams.pop();
        assert!(live.join(&trends).is_some());
        streams.clear();
        assert!(!live.is_watched());
    }

    #[test]
    fn an_update_of_64_workers_costs_little_however_many_watch() {
        let (mut stats, mut trends) = cluster(64);
        let live = Rc::new(Live::default());
        publish(&live, &stats, &trends);
        let mut streams: Vec<Stream> = (0..50).map(|_| live.join(&trends).unwrap()).collect();
        let mut least = Duration::MAX;
        for turn in 1..=20 {
            let began = Instant::now();
            stats.remember("scaled", None, String::new(), SystemTime::UNIX_EPOCH);
            trends.look(&stats, 1e6 + f64::from(turn) * 2000.0);
            publish(&live, &stats, &trends);
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
