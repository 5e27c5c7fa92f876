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

use super::page::Timeline;
use super::routes::Site;
use super::scene::{self, Scene};
use super::trends::{Point, STEP, Trends};

/// How soon a change is seen while somebody watches.
const SOON: Duration = Duration::from_millis(250);
/// How many may watch; there must be connections left for probes.
const WATCHERS: usize = 256;
/// How long a browser waits before it connects again, in ms.
const RETRY: u32 = 1000;

/// What was rendered last, and who waits for the next.
#[derive(Default)]
pub(super) struct Live {
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
pub(super) struct Stream {
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
    pub(super) fn is_outdated(&self, revision: u64, look: u64) -> bool {
        let latest = self.latest.borrow();
        latest.number == 0 || latest.made_of != (revision, look)
    }

    /// Renders a moment and wakes all who watch.
    pub(super) fn publish(&self, scene: &Scene<'_>, revision: u64) {
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
    pub(super) fn join(self: &Rc<Self>, trends: &Trends) -> Option<Stream> {
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
pub(super) async fn pulse(site: Rc<Site>) {
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
    let worker = |worker: &super::stats::Worker| {
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
fn cells(cells: Vec<scene::Cell>) -> Map<String, Value> {
    let one = |cell: scene::Cell| {
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
