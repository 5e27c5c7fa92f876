//! The master's `heartbeat`: what the scoreboard says of all workers, under the names of cluster2 0.4.
//!
//! The first one comes a `heartbeatInterval` after the first of a worker, so that it tells of whole cycles. Counts are sums,
//! the dead included; times are averages over the workers that write. What starts again after each beat is the difference
//! from the beat before.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::event::Event;
use crate::ids::WorkerId;
use crate::scoreboard::layout::Field;
use crate::scoreboard::{Row, Snapshot, Totals};
use crate::supervisor::setup::OWN_ROW;
use crate::supervisor::state::State;
use crate::timestamp::Timestamp;

/// When the next heartbeat is due, and the totals of the last one.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    due: Option<Instant>,
    last: Option<Instant>,
    totals: Totals,
}

impl Heartbeat {
    /// A worker serves; the first one sets the time.
    pub(crate) fn begin(&mut self, interval: Duration, now: Instant) {
        if self.last.is_none() {
            let first_of_worker = now + interval;
            self.last = Some(first_of_worker);
            self.due = Some(first_of_worker + interval);
        }
    }

    /// The facts of the event, if it is due.
    fn beat(
        &mut self,
        snapshot: impl FnOnce() -> Snapshot,
        uptime: impl Fn(WorkerId) -> Duration,
        interval: Duration,
        now: Instant,
    ) -> Option<Value> {
        self.due.filter(|due| *due <= now)?;
        self.due = Some(now + interval);
        let cycle = now.saturating_duration_since(self.last.replace(now)?);
        let Snapshot { rows, totals, .. } = snapshot();
        let rows: Vec<(Row, f64)> = rows
            .into_iter()
            .filter(|(_, row)| row.tick().is_some())
            .map(|(id, row)| (row, uptime(id).as_secs_f64()))
            .collect();
        let facts = facts(&rows, &totals, &self.totals, cycle);
        self.totals = totals;
        Some(facts)
    }
}

impl State {
    /// When the next heartbeat is due: never without a scoreboard, which has all that it tells.
    pub(crate) fn heartbeat_due(&self) -> Option<Instant> {
        self.scoreboard.as_ref().and(self.heartbeat.due)
    }

    /// Publishes a heartbeat when one is due.
    pub(crate) fn beat(&mut self, now: Instant) {
        let Some(board) = &self.scoreboard else { return };
        let interval = self.options.heartbeat_interval;
        let snapshot = || {
            let mut snapshot = board.borrow().snapshot();
            // A spare has nothing to tell yet, and would lower every average.
            snapshot.rows.retain(|(id, _)| *id == OWN_ROW || self.fleet.slot_of(*id).is_some());
            snapshot
        };
        // Without workers this process began with the master.
        let started = |id| self.workers.get(id).map_or(self.started, |worker| worker.forked);
        let uptime = |id| started(id).age(Timestamp::now());
        if let Some(facts) = self.heartbeat.beat(snapshot, uptime, interval, now) {
            self.publish(Event::Heartbeat { facts });
        }
    }
}

/// The numbers, from the rows of the living and the uptime of each in seconds.
fn facts(rows: &[(Row, f64)], totals: &Totals, before: &Totals, cycle: Duration) -> Value {
    let percent = |(row, uptime): &(Row, f64), field| row.get(field) / 10.0 / uptime.max(0.001);
    let since = |field| totals.get(field) - before.get(field);
    json!({
        "usertime": average(rows, |row| percent(row, Field::CpuUser)),
        "systime": average(rows, |row| percent(row, Field::CpuSystem)),
        "uptime": average(rows, |(_, uptime)| *uptime),
        "totalConnections": totals.get(Field::ConnectionsTotal),
        "pendingConnections": rows.iter().map(|(row, _)| row.get(Field::ConnectionsOpen)).sum::<f64>(),
        "timedoutConnections": totals.get(Field::TimedOutSockets),
        "fullGCs": since(Field::GcMajor),
        "incrementalGCs": since(Field::GcIncremental),
        "pauseMS": since(Field::GcPauseMs),
        "totalTransactions": since(Field::Transactions),
        "totalDuration": since(Field::TransactionMs),
        "errors": since(Field::Errors),
        "interval": (cycle.as_secs_f64() * 1e3).round(),
        "threads": rows.len(),
    })
}

fn average(rows: &[(Row, f64)], of: impl Fn(&(Row, f64)) -> f64) -> f64 {
    let sum: f64 = rows.iter().map(of).sum();
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX).max(1);
    sum / f64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(60);

    fn snapshot(connections: &[f64], departed: &Row) -> Snapshot {
        let mut totals = Totals::default();
        totals.add(departed);
        let row = |count: &f64| {
            Row::with(&[
                (Field::Tick, 1.0),
                (Field::ConnectionsTotal, *count),
                (Field::ConnectionsOpen, 1.0),
                (Field::Transactions, *count),
                (Field::CpuUser, 6_000.0),
            ])
        };
        let rows: Vec<_> = connections.iter().map(|count| (WorkerId(1), row(count))).collect();
        for (_, row) in &rows {
            totals.add(row);
        }
        Snapshot { rows, totals, ..Snapshot::default() }
    }

    #[test]
    fn the_first_comes_an_interval_after_the_first_of_a_worker() {
        let (mut heartbeat, now) = (Heartbeat::default(), Instant::now());
        let uptime = |_| INTERVAL;
        let none = Row::default();
        assert_eq!(heartbeat.due, None);
        heartbeat.begin(INTERVAL, now);
        heartbeat.begin(INTERVAL, now + INTERVAL);
        assert_eq!(heartbeat.due, Some(now + 2 * INTERVAL));
        assert_eq!(heartbeat.beat(|| snapshot(&[5.0], &none), uptime, INTERVAL, now + INTERVAL), None);
        let facts = heartbeat.beat(|| snapshot(&[5.0], &none), uptime, INTERVAL, now + 2 * INTERVAL).unwrap();
        assert_eq!((&facts["totalConnections"], &facts["interval"]), (&json!(5.0), &json!(60_000.0)));
        assert_eq!(heartbeat.due, Some(now + 3 * INTERVAL));
    }

    #[test]
    fn counts_are_sums_with_the_dead_and_times_are_averages() {
        let (mut heartbeat, now) = (Heartbeat::default(), Instant::now());
        let uptime = |_| INTERVAL;
        let departed = Row::with(&[(Field::ConnectionsTotal, 7.0), (Field::Transactions, 7.0)]);
        heartbeat.begin(INTERVAL, now);
        let facts = heartbeat
            .beat(|| snapshot(&[5.0, 3.0], &departed), uptime, INTERVAL, now + 2 * INTERVAL)
            .unwrap();
        assert_eq!((&facts["totalConnections"], &facts["pendingConnections"]), (&json!(15.0), &json!(2.0)));
        assert_eq!(
            (&facts["uptime"], &facts["usertime"], &facts["threads"]),
            (&json!(60.0), &json!(10.0), &json!(2))
        );
        assert_eq!(facts["totalTransactions"], json!(15.0));
        let facts = heartbeat
            .beat(|| snapshot(&[5.0, 4.0], &departed), uptime, INTERVAL, now + 3 * INTERVAL)
            .unwrap();
        assert_eq!((&facts["totalConnections"], &facts["totalTransactions"]), (&json!(16.0), &json!(1.0)));
    }
}
