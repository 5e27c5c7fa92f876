//! Is the cluster live, is it ready, is it well: judged from a snapshot and the ages of the event loops.
//!
//! Pure: the time is an argument, on clocks that never jump. The routes and the metrics ask. A loop that has stood still for
//! [`STILL`] no longer counts as turning. Of a worker that never wrote a row (it does not load our library, or the system
//! has no shared memory) nothing is known; when it says that it serves, that is believed.
//! Invariant: no answer rests on what a worker said longer ago than the limit that the answer names.

use std::time::Duration;

use serde_json::{Value, json};

use crate::ecv::Verdict;
use crate::monitor::data::stats::{Stats, Worker, WorkerState};
use crate::scoreboard::layout::Field;
use crate::scoreboard::{Row, Traces};

/// A loop writes ten times a second; if it has not written for so long, it stands still.
pub const STILL: Duration = Duration::from_secs(1);
/// What [`Field::CheckResult`] says of a self-check that failed.
const NOT_WELL: f64 = 2.0;

/// What counts as live and ready.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `liveMaxAge`.
    pub live_max_age: Duration,
    /// `readyQuorum`.
    pub ready_quorum: usize,
}

/// An answer, with what it rests on.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Yes or no.
    pub holds: bool,
    /// The whole answer as it is sent.
    pub body: Value,
}

/// One moment of a cluster, ready to be judged.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    stats: &'a Stats,
    limits: Limits,
    /// By `CLOCK_MONOTONIC`, in ms.
    now: f64,
    /// How long ago the master began, in ms.
    uptime: f64,
}

impl<'a> Moment<'a> {
    /// A snapshot, judged at `now` (`CLOCK_MONOTONIC`, ms), `uptime` after the master's start.
    #[must_use]
    pub fn new(stats: &'a Stats, limits: Limits, now: f64, uptime: Duration) -> Self {
        Self { stats, limits, now, uptime: millis(uptime) }
    }

    /// How long the loop of a worker has stood still, in ms; `None` if that isn't known.
    #[must_use]
    pub fn loop_age(&self, worker: &Worker) -> Option<f64> {
        let tick = self.stats.row(worker.id)?.tick()?;
        Some((self.now - tick).max(0.0))
    }

    /// Whether a worker takes connections and its loop turns.
    #[must_use]
    pub fn is_ready(&self, worker: &Worker) -> bool {
        worker.state == WorkerState::Serving && self.loop_age(worker).is_none_or(|age| age <= millis(STILL))
    }

    /// Whether some event loop turned within `liveMaxAge`; the master's start counts as a turn, so that a cluster has
    /// that long to begin.
    #[must_use]
    pub fn live(&self) -> Judgement {
        let traces = self.traces();
        let last = if traces.tick > 0.0 { (self.now - traces.tick).max(0.0) } else { f64::INFINITY };
        let is_unknown =
            |worker: &Worker| worker.state == WorkerState::Serving && self.loop_age(worker).is_none();
        let youngest = if self.stats.workers.iter().any(is_unknown) { 0.0 } else { last.min(self.uptime) };
        let limit = millis(self.limits.live_max_age);
        let holds = youngest <= limit;
        let why =
            if holds { Value::Null } else { json!(format!("no event loop has turned for {youngest:.0} ms")) };
        let body = json!({
            "live": holds,
            "why": why,
            "lastTurn": known(last),
            "liveMaxAge": limit,
            "workers": self.loops(),
        });
        Judgement { holds, body }
    }

    /// Whether traffic should come: enabled, enough workers that serve and whose loops turn, no shutdown.
    #[must_use]
    pub fn ready(&self) -> Judgement {
        let (stats, quorum) = (self.stats, self.limits.ready_quorum);
        let ready = self.ready_workers();
        let mut why = Vec::new();
        if stats.leaving {
            why.push("it is shutting down".to_owned());
        }
        if stats.rotation.disabled {
            let change = stats.rotation.change.as_ref();
            let by = change.map(|change| format!(" by {}", change.by)).unwrap_or_default();
            let reason = change.and_then(|change| change.reason.as_ref());
            why.push(format!("it is disabled{by}{}", reason.map(|it| format!(": {it}")).unwrap_or_default()));
        }
        if ready < quorum {
            why.push(format!("{ready} workers serve and turn, {quorum} are needed"));
        }
        let holds = why.is_empty();
        let body = json!({
            "ready": holds,
            "why": why,
            "enabled": !stats.rotation.disabled,
            "serving": stats.serving(),
            "turning": ready,
            "readyQuorum": quorum,
            "workers": self.loops(),
        });
        Judgement { holds, body }
    }

    /// What a balancer is told for the whole cluster. A self-check counts while it is no older than `liveMaxAge`: no
    /// check is run on this port, so an old failure would stand for ever.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let is_out = self.stats.rotation.disabled || self.stats.leaving;
        Verdict::of(is_out, self.ready_workers() > 0 && self.check() != Some(false))
    }

    /// How the last self-check went, if there was one lately.
    #[must_use]
    pub fn check(&self) -> Option<bool> {
        let traces = self.traces();
        let is_recent =
            traces.check_at > 0.0 && self.now - traces.check_at <= millis(self.limits.live_max_age);
        is_recent.then_some(traces.check_result < NOT_WELL)
    }

    /// How many workers serve and turn.
    #[must_use]
    pub fn ready_workers(&self) -> usize {
        self.stats.workers.iter().filter(|worker| self.is_ready(worker)).count()
    }

    /// The last that is known of any worker, living or dead.
    fn traces(&self) -> Traces {
        let Some(board) = &self.stats.board else { return Traces::default() };
        let mut traces = board.traces;
        // A spare serves no client, so its loop is no sign of life.
        let workers = &self.stats.workers;
        let is_spare = |id| workers.iter().any(|it| it.id == id && it.state == WorkerState::Spare);
        let rows = board.rows.iter().filter(|(id, _): &&(_, Row)| !is_spare(*id));
        rows.for_each(|(_, row)| traces.follow(row));
        traces
    }

    fn loops(&self) -> Value {
        let one = |worker: &Worker| {
            let utilisation = self.stats.row(worker.id).map(|row| row.get(Field::LoopUtilisation));
            json!({
                "pid": worker.pid,
                "state": worker.state.name(),
                "loopAge": self.loop_age(worker).map(f64::round),
                "loopUtilisation": utilisation,
            })
        };
        self.stats.workers.iter().map(one).collect()
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn known(age: f64) -> Value {
    if age.is_finite() { json!(age.round()) } else { Value::Null }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::WorkerId;
    use crate::timestamp::Timestamp;

    const LIMITS: Limits = Limits { live_max_age: Duration::from_secs(30), ready_quorum: 1 };

    /// A cluster that began at `started` and whose one worker turned last at `tick` (`CLOCK_MONOTONIC`, ms).
    fn cluster(started: Timestamp, tick: f64) -> Stats {
        Stats::with_serving(started, vec![(WorkerId(1), Row::with(&[(Field::Tick, tick)]))])
    }

    #[test]
    fn a_wall_clock_that_is_set_changes_neither_live_nor_ready() {
        let (began, hour) = (Timestamp::now(), Duration::from_secs(3600));
        for time in [began.time, began.time - hour, began.time + hour] {
            let started = began.with_time(time);
            // All loops have stood still for a minute; then one turns again.
            let age = started.age(began.after(Duration::from_secs(60)));
            let still = cluster(started, 100_000.0);
            let judged = Moment::new(&still, LIMITS, 160_000.0, age);
            assert!(!judged.live().holds && !judged.ready().holds);
            let turning = cluster(started, 159_950.0);
            let judged = Moment::new(&turning, LIMITS, 160_000.0, age);
            assert!(judged.live().holds && judged.ready().holds);
            // Nothing has turned yet, and the cluster began ten seconds ago.
            let mut booting = cluster(started, 0.0);
            booting.workers[0].state = WorkerState::Starting;
            let age = started.age(began.after(Duration::from_secs(10)));
            assert!(Moment::new(&booting, LIMITS, 160_000.0, age).live().holds);
        }
    }
}
