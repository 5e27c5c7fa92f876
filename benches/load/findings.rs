//! How the clients fared: counted while the load runs, told as JSON at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Serialize;

use crate::histogram::Histogram;

/// What can become of a request other than a whole answer with status 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody listens.
    Refused,
    /// The connection was reset.
    Reset,
    /// No whole answer within the time-out.
    TimedOut,
    /// A whole answer with another status, or no HTTP at all.
    BadStatus,
    /// The connection ended before the answer did.
    CutShort,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failures {
    refused: u64,
    reset: u64,
    timed_out: u64,
    bad_status: u64,
    cut_short: u64,
}

impl Failures {
    fn add(&mut self, other: Self) {
        self.refused += other.refused;
        self.reset += other.reset;
        self.timed_out += other.timed_out;
        self.bad_status += other.bad_status;
        self.cut_short += other.cut_short;
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    answered: u64,
    failures: Failures,
    latency: Histogram,
    by_mark: BTreeMap<u8, u64>,
    connections: u64,
    /// How long requests were begun, and the answers that came by then.
    window: Option<Duration>,
    in_time: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Findings {
    answered: u64,
    /// Answers a second while requests were begun; those that came later are not in it.
    per_second: f64,
    elapsed_ms: f64,
    connections: u64,
    failed: Failures,
    latency_us: BTreeMap<&'static str, u64>,
    /// Answers that took longer than so many milliseconds.
    slower: BTreeMap<&'static str, u64>,
    workers: BTreeMap<String, u64>,
    /// This process's own, user and system.
    cpu_ms: f64,
}

impl Tally {
    pub(crate) fn answer(&mut self, took: Duration, mark: u8) {
        self.answered += 1;
        self.latency.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        *self.by_mark.entry(mark).or_default() += 1;
    }

    pub(crate) fn connection(&mut self) {
        self.connections += 1;
    }

    pub(crate) fn fail(&mut self, failure: Failure) {
        let count = match failure {
            Failure::Refused => &mut self.failures.refused,
            Failure::Reset => &mut self.failures.reset,
            Failure::TimedOut => &mut self.failures.timed_out,
            Failure::BadStatus => &mut self.failures.bad_status,
            Failure::CutShort => &mut self.failures.cut_short,
        };
        *count += 1;
    }

    /// Requests are begun no more: answers from now on came too late for the rate.
    pub(crate) fn close_window(&mut self, window: Duration) {
        if self.window.is_none() {
            self.window = Some(window);
            self.in_time = self.answered;
        }
    }

    /// Adds what another thread found at the same time.
    pub(crate) fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.in_time += other.in_time;
        self.window = self.window.max(other.window);
        self.failures.add(other.failures);
        self.latency.add(&other.latency);
        for (mark, count) in &other.by_mark {
            *self.by_mark.entry(*mark).or_default() += count;
        }
        self.connections += other.connections;
    }

    pub(crate) fn findings(&self) -> Findings {
        let latency = &self.latency;
        let in_time = u32::try_from(self.in_time).unwrap_or(u32::MAX);
        let window = self.window.unwrap_or_default();
        Findings {
            answered: self.answered,
            per_second: f64::from(in_time) / window.as_secs_f64(),
            elapsed_ms: window.as_secs_f64() * 1000.0,
            connections: self.connections,
            failed: self.failures,
            latency_us: [("p50", 500), ("p90", 900), ("p99", 990), ("p999", 999)]
                .map(|(name, permille)| (name, latency.at_permille(permille)))
                .into_iter()
                .chain([("longest", latency.longest())])
                .collect(),
            slower: [("35", 35), ("100", 100), ("1000", 1000)]
                .map(|(name, ms)| (name, latency.above(ms * 1000)))
                .into(),
            workers: self
                .by_mark
                .iter()
                .map(|(mark, count)| (char::from(*mark).to_string(), *count))
                .collect(),
            cpu_ms: own_cpu().as_secs_f64() * 1000.0,
        }
    }
}

fn own_cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
