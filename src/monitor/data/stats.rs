//! What the monitor shows of the cluster: plain data, a snapshot.
//!
//! The supervisor brings one [`Stats`] up to date after each change; the monitor's threads copy it and render the copy.
//! Nothing here reads a clock, a file or a socket.
//! Invariant: its size is bounded, by the number of live workers and slots, and by [`History`]'s own limits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::ecv::Rotation;
use crate::event::Event;
use crate::ids::{SlotIndex, WorkerId};
use crate::monitor::data::history::{Entry, History, Lost};
use crate::scoreboard::{Row, Snapshot};
use crate::socket::QueueProbe;
use crate::timestamp::Timestamp;

/// Everything that is known of the cluster at one moment.
#[derive(Clone, Debug)]
pub struct Stats {
    /// The master's process.
    pub master_pid: u32,
    /// When the master began.
    pub started: Timestamp,
    /// What the cluster as a whole is doing.
    pub state: ClusterState,
    /// How many workers should serve.
    pub wanted: usize,
    /// How many workers were ever forked.
    pub forked: u64,
    /// How many workers ever died, however they ended.
    pub died: u64,
    /// How many workers were forked to replace one that died or was recycled.
    pub restarts: u64,
    /// The workers that live; the dead are forgotten.
    pub workers: Vec<Worker>,
    /// The addresses that the application is bound to, in the order of its options.
    pub addresses: Vec<Address>,
    /// What tells how many connections wait there to be accepted; asked when something is shown.
    pub queues: Vec<QueueProbe>,
    /// The options that an operator looks for.
    pub options: ShownOptions,
    /// Slots whose workers die again and again.
    pub crashing: Vec<Crashing>,
    /// The reload that is under way.
    pub reload: Option<Reload>,
    /// What happened last.
    pub history: History,
    /// In rotation or not.
    pub rotation: Rotation,
    /// A shutdown has been announced or has begun.
    pub leaving: bool,
    /// What workers say of themselves; `None` where the system has no shared memory for that.
    pub board: Option<Snapshot>,
    /// What was counted by reason.
    pub tallies: Tallies,
    /// Grows with every change of the fields above, except the board.
    pub revision: u64,
}

/// A reload that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Reload {
    /// When it began.
    pub began: Timestamp,
    /// It starts workers with the script, directory and environment of before, which could not be looked up.
    pub has_stale_settings: bool,
}

/// Counts by reason; the reasons are names of `reasons`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Workers that died.
    pub deaths: BTreeMap<&'static str, u64>,
    /// Workers that were forked to replace one that died, by the reason of that death.
    pub restarts: BTreeMap<&'static str, u64>,
    /// Workers that were recycled, by what made them due.
    pub recycles: BTreeMap<&'static str, u64>,
    /// Connections that did not stay where the kernel had put them.
    pub moves: Moves,
    /// How the last worker of each slot ended.
    pub last_deaths: BTreeMap<SlotIndex, &'static str>,
    /// How often a slot got another worker.
    pub slot_restarts: BTreeMap<SlotIndex, u64>,
}

/// Counts of connections that did not stay where the kernel had put them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Taken from a queue that its workers did not empty, and given to another one.
    pub rescued: u64,
    /// Given back by a worker that had more than others, and taken by another one.
    pub moved: u64,
    /// How often such a connection was handed over while some worker had not shown in time that its loop turns.
    pub passed_over: u64,
    /// Closed, since every worker had refused it again and again.
    pub refused: u64,
}

/// Adds one to a count.
pub fn count(counts: &mut BTreeMap<&'static str, u64>, reason: &'static str) {
    *counts.entry(reason).or_default() += 1;
}

/// What the cluster as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// No worker has served yet.
    Starting,
    /// The cluster is at work.
    Serving,
    /// No worker serves, and those that are forked die again and again.
    Crashing,
    /// It was told to end.
    ShuttingDown,
    /// Every worker left by itself, and none is coming.
    NoWorkerLeft,
}

/// One live worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Node's `cluster.worker.id`.
    pub id: WorkerId,
    /// Its process.
    pub pid: u32,
    /// The place that it fills; a spare has none.
    pub slot: Option<SlotIndex>,
    /// Where it is in its life.
    pub state: WorkerState,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// When it was forked.
    pub forked_at: Timestamp,
    /// When it first said that it listens.
    pub ready_at: Option<Timestamp>,
    /// The number of the reload that brought its release; 0 is that of the start.
    pub generation: u32,
    /// How often it has reported a listening server.
    pub listening: u32,
    /// How many workers its place had before.
    pub restarts: u64,
}

/// A slot whose workers die again and again.
#[derive(Clone, Debug)]
pub struct Crashing {
    /// Which.
    pub slot: SlotIndex,
    /// How many died in a row.
    pub failures: u32,
    /// Why the last one died, in a sentence.
    pub reason: String,
    /// When the next one is forked; `None` while one starts.
    pub next_try: Option<Timestamp>,
}

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Forked, and not listening yet.
    Starting,
    /// It has booted and stands by until another one dies.
    Spare,
    /// It takes connections.
    Serving,
    /// It finishes what it has and takes nothing new.
    Draining,
}

/// Where the application listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port, with the port that the kernel chose where any would do.
    Ip(SocketAddr),
    /// A unix socket.
    Path(PathBuf),
}

/// The options that an operator looks for, as they were parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownOptions {
    /// `noWorkers`.
    pub no_workers: usize,
    /// `port`, each as the user wrote it: a number or a path.
    pub ports: Vec<String>,
    /// `metrics.gc`: whether workers count their collections of garbage.
    pub counts_gc: bool,
    /// Where the monitor listens.
    pub monitor: Option<SocketAddr>,
    /// `name`: what people call the cluster.
    pub name: Option<String>,
    /// The script that workers run.
    pub script: String,
    /// `log`: the file to which workers append what they write.
    pub log: Option<PathBuf>,
}

impl Stats {
    /// A cluster of which nothing has happened yet.
    #[must_use]
    pub fn new(master_pid: u32, started: Timestamp, options: ShownOptions) -> Self {
        Self {
            master_pid,
            started,
            state: ClusterState::Starting,
            wanted: options.no_workers,
            forked: 0,
            died: 0,
            restarts: 0,
            workers: Vec::new(),
            addresses: Vec::new(),
            queues: Vec::new(),
            options,
            crashing: Vec::new(),
            reload: None,
            history: History::default(),
            rotation: Rotation::default(),
            leaving: false,
            board: None,
            tallies: Tallies::default(),
            revision: 0,
        }
    }

    /// What a worker has written about itself.
    #[must_use]
    pub fn row(&self, id: WorkerId) -> Option<&Row> {
        let rows = &self.board.as_ref()?.rows;
        rows.iter().find(|(worker, _)| *worker == id).map(|(_, row)| row)
    }

    /// How many connections wait to be accepted at this moment, by TCP port; all sockets of a port together.
    #[must_use]
    pub fn queue_lengths(&self) -> BTreeMap<u16, u64> {
        let mut lengths = BTreeMap::new();
        for (port, length) in self.queues.iter().filter_map(|probe| Some((probe.port, probe.length()?))) {
            *lengths.entry(port).or_default() += u64::from(length);
        }
        lengths
    }

    /// Whether there are no workers, and the master serves by itself.
    #[must_use]
    pub fn serves_itself(&self) -> bool {
        self.workers.iter().any(|worker| worker.pid == self.master_pid)
    }

    /// How many workers take connections.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.workers.iter().filter(|worker| worker.state == WorkerState::Serving).count()
    }

    /// Counts a published event and remembers it if it belongs to the life of the cluster.
    pub fn note(&mut self, event: &Event, time: SystemTime) {
        let (mut lost, mut is_orderly) = (Vec::new(), false);
        let (event, pid, text) = match event {
            Event::Forked { worker, pid } => {
                self.forked = self.forked.saturating_add(1);
                ("forked", Some(*pid), format!("worker {worker}"))
            }
            Event::Listening { worker, pid } => ("listening", Some(*pid), format!("worker {worker}")),
            Event::LeavesOnPurpose { worker } => {
                ("leaving", self.pid_of(*worker), format!("worker {worker} leaves by itself"))
            }
            Event::Died { worker, pid, exit, reason, facts } => {
                self.died = self.died.saturating_add(1);
                (lost, is_orderly) = (Lost::in_facts(facts), exit.is_clean());
                ("died", Some(*pid), format!("worker {worker}: {reason}"))
            }
            Event::Hung { worker, pid, age, .. } => {
                let stands =
                    format!("worker {worker}: its event loop has stood still for {} ms", age.as_millis());
                ("hung", Some(*pid), stands)
            }
            Event::Spare { worker, pid } => ("spare", Some(*pid), format!("worker {worker} stands by")),
            Event::Warning { message, .. } => ("warning", None, message.clone()),
            Event::Rotated { changed: true, disabled, by, reason, .. } => {
                let event = if *disabled { "disabled" } else { "enabled" };
                let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                (event, None, format!("by {by}{reason}"))
            }
            Event::Started => ("started", Some(self.master_pid), String::new()),
            Event::ShutdownAsked => {
                ("shutdown", Some(self.master_pid), "another process asked for it".into())
            }
            Event::StopAsked => ("stop", Some(self.master_pid), "another process asked for it".into()),
            Event::Ended => ("ended", Some(self.master_pid), String::new()),
            // Steps of a start or an end that is told above, what changed nothing, and the application's own talk.
            Event::Rotated { .. }
            | Event::Online { .. }
            | Event::Noted { .. }
            | Event::LaunchAsked
            | Event::Answered { .. }
            | Event::ServerListening { .. }
            | Event::Disconnected { .. }
            | Event::Messages { .. }
            | Event::HandleMessage { .. }
            | Event::Component { .. }
            | Event::MonitorRequest(_)
            | Event::Heartbeat { .. } => return,
        };
        self.revision += 1;
        self.history.add(Entry { time, event, pid, text, lost_count: lost.len(), lost, is_orderly });
    }

    /// Remembers something that the application isn't told, or not by an event.
    pub fn remember(&mut self, event: &'static str, pid: Option<u32>, text: String, time: SystemTime) {
        self.revision += 1;
        self.history.add(Entry {
            time,
            event,
            pid,
            text,
            lost: Vec::new(),
            lost_count: 0,
            is_orderly: false,
        });
    }

    fn pid_of(&self, id: WorkerId) -> Option<u32> {
        self.workers.iter().find(|worker| worker.id == id).map(|worker| worker.pid)
    }
}

impl Worker {
    /// A worker that was just forked: it fills no slot and does not listen.
    #[must_use]
    pub fn new(id: WorkerId, pid: u32, forked_at: Timestamp) -> Self {
        Self {
            id,
            pid,
            slot: None,
            state: WorkerState::Starting,
            since: forked_at,
            forked_at,
            ready_at: None,
            generation: 0,
            listening: 0,
            restarts: 0,
        }
    }
}

impl ClusterState {
    /// What people and programs are shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Crashing => "crashing",
            Self::ShuttingDown => "shutting down",
            Self::NoWorkerLeft => "no worker left",
        }
    }
}

impl WorkerState {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Starting, Self::Spare, Self::Serving, Self::Draining];

    /// What people and programs are shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Spare => "spare",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

#[cfg(test)]
impl Stats {
    /// For tests: a cluster whose workers have served since `started`, each in a slot and with a row of its own.
    pub(crate) fn with_serving(started: Timestamp, rows: Vec<(WorkerId, Row)>) -> Self {
        let mut stats = Self::new(1, started, ShownOptions::default());
        let mut board = Snapshot::default();
        for (slot, (id, row)) in (0..).zip(&rows) {
            stats.workers.push(Worker {
                slot: Some(SlotIndex(slot)),
                state: WorkerState::Serving,
                ready_at: Some(started),
                listening: 1,
                ..Worker::new(*id, 1000 + id.0, started)
            });
            board.totals.add(row);
        }
        board.rows = rows;
        stats.board = Some(board);
        stats
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::event::Exit;

    fn stats() -> Stats {
        Stats::new(1, Timestamp::now(), ShownOptions::default())
    }

    #[test]
    fn forks_and_deaths_are_counted_and_told() {
        let (mut stats, now) = (stats(), SystemTime::UNIX_EPOCH);
        let worker = WorkerId(1);
        stats.note(&Event::Forked { worker, pid: 7 }, now);
        stats.note(&Event::Online { worker }, now);
        stats.note(
            &Event::Died {
                worker,
                pid: 7,
                exit: Exit::Signal(9),
                reason: "killed".into(),
                facts: Value::Null,
            },
            now,
        );
        assert_eq!((stats.forked, stats.died), (1, 1));
        let told: Vec<_> = stats.history.iter().map(|entry| (entry.event, entry.pid)).collect();
        assert_eq!(told, [("forked", Some(7)), ("died", Some(7))]);
    }
}
