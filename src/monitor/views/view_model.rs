//! What there is to see at one moment, in words and figures for people.
//!
//! The renderer makes it from a snapshot, the trends and the machine. The page writes it as HTML, the stream as JSON, so
//! that both say the same in the same form, and JavaScript in the browser formats nothing. Pure.
//! Invariant: colour (the mood of a cell) never says what its words don't.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use serde_json::Value;

use crate::monitor::data::health::Moment;
use crate::monitor::data::host::{Host, approximate};
use crate::monitor::data::stats::{Address, ClusterState, Crashing, Stats, Worker, WorkerState};
use crate::monitor::data::trends::{Figures, Trends};
use crate::monitor::views::calendar::{iso, span};
use crate::socket::Ip;
use crate::timestamp::Timestamp;

const UNKNOWN: &str = "–";
const MEBIBYTE: f64 = 1_048_576.0;
/// A loop that is later than this is worth a look, in ms.
const LATE: f64 = 100.0;
/// A loop that stands still is told by this age, in ms; see `health::STILL`.
const STILL: f64 = 1000.0;

/// One moment.
pub(crate) struct ViewModel<'a> {
    pub(crate) stats: &'a Stats,
    pub(crate) trends: &'a Trends,
    pub(crate) moment: Moment<'a>,
    pub(crate) host: &'a Host,
    pub(crate) busy: Option<f64>,
    pub(crate) queues: &'a BTreeMap<u16, u64>,
    pub(crate) now: Timestamp,
}

/// How good news is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Fair,
    Poor,
}

/// One thing that is shown, by the name under which the page has a place for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) mood: Option<Mood>,
}

impl Mood {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
        }
    }
}

impl Cell {
    fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, text: text.into(), mood: None }
    }

    fn in_mood(self, mood: Mood) -> Self {
        Self { mood: Some(mood), ..self }
    }
}

impl ViewModel<'_> {
    /// Everything about the cluster as a whole.
    pub(crate) fn facts(&self) -> Vec<Cell> {
        let stats = self.stats;
        let mut cells = vec![self.state(), self.rotation(), self.rotation_change(), self.ready(), self.why()];
        let (serving, wanted) = (stats.serving(), stats.wanted);
        let mood = if serving >= wanted { Mood::Good } else { Mood::Fair };
        cells.push(Cell::new("workers", format!("{serving} of {wanted}")).in_mood(mood));
        cells.extend(figures(self.trends.all()));
        let waiting: u64 = self.queues.values().sum();
        let queue =
            Cell::new("queue", if self.queues.is_empty() { UNKNOWN.into() } else { waiting.to_string() });
        cells.push(if waiting > 0 { queue.in_mood(Mood::Fair) } else { queue });
        cells.push(Cell::new("queues", self.queues_by_port()));
        cells.push(Cell::new("since", format!("{} UTC", readable(stats.started.time))));
        cells.push(Cell::new("age", span(stats.started.age(self.now))));
        let lives = format!("{} forked, {} died, {} restarts", stats.forked, stats.died, stats.restarts);
        cells.push(Cell::new("lives", lives));
        cells.push(Cell::new("pid", stats.master_pid.to_string()));
        cells.push(Cell::new("addresses", addresses(&stats.addresses)));
        cells.extend(self.machine());
        cells
    }

    /// Everything about one worker.
    pub(crate) fn cells(&self, worker: &Worker) -> Vec<Cell> {
        let still = self.moment.loop_age(worker).filter(|age| *age > STILL);
        let (text, mood) = match (worker.state, still) {
            (WorkerState::Serving, Some(still)) => (format!("stuck for {:.0} s", still / 1000.0), Mood::Poor),
            (WorkerState::Serving, None) | (WorkerState::Spare, _) => {
                (worker.state.name().into(), Mood::Good)
            }
            (WorkerState::Starting | WorkerState::Draining, _) => (worker.state.name().into(), Mood::Fair),
        };
        let mut cells = vec![
            Cell::new("pid", worker.pid.to_string()),
            Cell::new("state", text).in_mood(mood),
            Cell::new("age", span(worker.forked_at.age(self.now))),
            Cell::new("restarts", worker.restarts.to_string()),
            Cell::new("generation", worker.generation.to_string()),
        ];
        cells.extend(figures(self.trends.worker(worker.id)));
        cells
    }

    fn state(&self) -> Cell {
        let stats = self.stats;
        let mood = match stats.state {
            ClusterState::Serving if stats.serving() >= stats.wanted => Mood::Good,
            ClusterState::Serving if stats.serving() == 0 => Mood::Poor,
            ClusterState::Serving | ClusterState::Starting | ClusterState::ShuttingDown => Mood::Fair,
            ClusterState::NoWorkerLeft | ClusterState::Crashing => Mood::Poor,
        };
        Cell::new("state", stats.state.name()).in_mood(mood)
    }

    fn rotation(&self) -> Cell {
        let (text, mood) = match (self.stats.rotation.disabled, self.stats.leaving) {
            (true, _) => ("disabled", Mood::Poor),
            (false, true) => ("leaving", Mood::Fair),
            (false, false) => ("enabled", Mood::Good),
        };
        Cell::new("ecv", text).in_mood(mood)
    }

    /// Who changed the rotation last, when and why; empty if it never changed.
    fn rotation_change(&self) -> Cell {
        let Some(change) = &self.stats.rotation.change else { return Cell::new("change", "") };
        let reason = change.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let ago = span(change.at.age(self.now));
        let state =
            if self.stats.rotation.disabled { "Taken out of rotation" } else { "Put back into rotation" };
        Cell::new(
            "change",
            format!("{state} by {}, {} UTC ({ago} ago){reason}.", change.by, readable(change.at.time)),
        )
    }

    fn ready(&self) -> Cell {
        let (text, mood) = if self.moment.ready().holds { ("yes", Mood::Good) } else { ("no", Mood::Poor) };
        Cell::new("ready", text).in_mood(mood)
    }

    /// Why it is not ready, but for the rotation, of which more is told.
    fn why(&self) -> Cell {
        let body = self.moment.ready().body;
        let reasons =
            body.get("why").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let others: Vec<&str> = reasons.filter(|reason| !reason.starts_with("it is disabled")).collect();
        let not_ready = (!others.is_empty()).then(|| format!("Not ready: {}.", others.join("; ")));
        let sentences: Vec<String> = not_ready.into_iter().chain(self.crashing()).collect();
        Cell::new("why", sentences.join(" "))
    }

    /// A sentence for each slot whose workers die again and again.
    fn crashing(&self) -> impl Iterator<Item = String> {
        self.stats.crashing.iter().map(|Crashing { slot, failures, reason, next_try }| {
            let next = match next_try.map(|next| self.now.age(next)) {
                Some(wait) => format!("next try in {}", millis(wait.as_secs_f64() * 1000.0)),
                None => "trying now".to_owned(),
            };
            format!("Slot {slot} is crashing ({failures} deaths in a row): {reason}; {next}.")
        })
    }

    fn queues_by_port(&self) -> String {
        let each = self.queues.iter().map(|(port, waiting)| format!("{port}: {waiting}"));
        let all = each.collect::<Vec<_>>().join(", ");
        if all.is_empty() { UNKNOWN.into() } else { all }
    }

    fn machine(&self) -> [Cell; 4] {
        let host = self.host;
        let cores = match self.busy {
            Some(busy) => format!("{}, {busy:.0}% busy", host.cores),
            None => host.cores.to_string(),
        };
        let memory = match (host.total_memory, host.free_memory) {
            (Some(total), Some(free)) => {
                format!("{} free of {}", bytes(approximate(free)), bytes(approximate(total)))
            }
            _ => UNKNOWN.into(),
        };
        let load = host.load.map(|load| load.map(|average| format!("{average:.2}")).join(" "));
        [
            Cell::new("host", format!("{}, {}", host.hostname, host.os)),
            Cell::new("cores", cores),
            Cell::new("memory", memory),
            Cell::new("load", load.unwrap_or_else(|| UNKNOWN.into())),
        ]
    }
}

fn figures(known: Option<&Figures>) -> [Cell; 9] {
    let text =
        |shown: &dyn Fn(&Figures) -> Option<String>| known.and_then(shown).unwrap_or_else(|| UNKNOWN.into());
    let lag = Cell::new("lag", text(&|it| Some(millis(it.lag))));
    [
        Cell::new("rate", text(&|it| it.requests_per_second.map(figure))),
        Cell::new("p50", text(&|it| it.p50.map(millis))),
        Cell::new("p99", text(&|it| it.p99.map(millis))),
        Cell::new("connections", text(&|it| Some(format!("{:.0}", it.connections)))),
        Cell::new("under-way", text(&|it| Some(format!("{:.0}", it.under_way)))),
        if known.is_some_and(|it| it.lag >= LATE) { lag.in_mood(Mood::Fair) } else { lag },
        Cell::new("loop", text(&|it| Some(format!("{:.0}%", it.utilisation * 100.0)))),
        Cell::new("cpu", text(&|it| it.cpu.map(|percent| format!("{percent:.0}%")))),
        Cell::new("rss", text(&|it| Some(bytes(it.rss)))),
    ]
}

/// Where the application listens, one after another.
fn addresses(addresses: &[Address]) -> String {
    let shown = addresses.iter().map(|address| match address {
        Address::Ip(SocketAddr::V4(at)) => at.to_string(),
        Address::Ip(at) => format!("[{}]:{}", Ip::from(*at), at.port()),
        Address::Path(path) => path.to_string_lossy().into_owned(),
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    if shown.is_empty() { "nothing yet".into() } else { shown }
}

/// `2023-11-14 22:13:20`.
pub(crate) fn readable(moment: SystemTime) -> String {
    let exact = iso(moment);
    exact.get(..19).unwrap_or(&exact).replace('T', " ")
}

/// Small numbers with a decimal, large ones without.
fn figure(number: f64) -> String {
    if number > 0.0 && number < 9.95 { format!("{number:.1}") } else { format!("{number:.0}") }
}

/// `0.3 ms`, `27 ms`, `1.2 s`.
pub(crate) fn millis(ms: f64) -> String {
    if ms < 999.5 { format!("{} ms", figure(ms)) } else { format!("{} s", figure(ms / 1000.0)) }
}

/// `52 MB`, `1.2 GB`, by powers of 1024.
fn bytes(bytes: f64) -> String {
    let mebibytes = bytes / MEBIBYTE;
    if mebibytes < 999.5 {
        format!("{} MB", figure(mebibytes))
    } else {
        format!("{} GB", figure(mebibytes / 1024.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_as_many_digits_as_help() {
        assert_eq!(
            [0.0, 0.04, 3.12, 9.96, 12.5, 1234.0].map(figure),
            ["0", "0.0", "3.1", "10", "12", "1234"]
        );
        assert_eq!(
            [0.31, 27.0, 999.4, 1200.0, 61_000.0].map(millis),
            ["0.3 ms", "27 ms", "999 ms", "1.2 s", "61 s"]
        );
        assert_eq!([3.5, 52.4, 999.9].map(|size| bytes(size * MEBIBYTE)), ["3.5 MB", "52 MB", "1.0 GB"]);
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_no_zero() {
        assert!(figures(None).iter().all(|cell| cell.text == UNKNOWN));
        let known = figures(Some(&Figures { lag: 250.0, ..Figures::default() }));
        let lag = known.iter().find(|cell| cell.name == "lag").unwrap();
        assert_eq!((lag.text.as_str(), lag.mood), ("250 ms", Some(Mood::Fair)));
        assert_eq!(known[0].text, UNKNOWN, "a rate takes two looks");
        assert_eq!(known[3].text, "0");
    }
}
