//! Keeps the snapshot that the monitor and the command line show.
//!
//! The supervisor's state calls [`State::refresh_stats`] after each input that changed something; the monitor's threads copy
//! the result through [`View`], and that is their only way in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use serde_json::Value;
use tokio::sync::mpsc;

use crate::ecv::Change;
use crate::event::{Event, MonitorRequest, Publish};
use crate::fleet::{self, DeathReason, MemberState, Phase, Purpose, SlotIndex};
use crate::ids::WorkerId;
use crate::monitor::data::app_metrics::AppMetrics;
use crate::monitor::data::stats::{
    Address, ClusterState, Crashing, ShownOptions, Stats, Worker, WorkerState, count,
};
use crate::monitor::source::{Order, Ordered, Source};
use crate::options::{self, Options};
use crate::process::control::server::{Reply, Request};
use crate::process::service_manager::Condition;
use crate::scoreboard::SharedBoard;
use crate::scoreboard::layout::Field;
use crate::socket::Bound;
use crate::supervisor::Input;
use crate::supervisor::ecv::Switch;
use crate::supervisor::setup::OWN_ROW;
use crate::supervisor::state::State;
use crate::timestamp::Timestamp;

/// The snapshot, between the supervisor's thread and the monitor's; a cheap handle.
///
/// The supervisor changes it in place, the monitor copies it. Neither does anything else while it holds the lock.
#[derive(Clone, Debug)]
pub(crate) struct SharedStats(Arc<Mutex<Stats>>);

impl SharedStats {
    pub(crate) fn new(stats: Stats) -> Self {
        Self(Arc::new(Mutex::new(stats)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Stats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The monitor's way to look at the cluster, to take it out of rotation, and to pass orders on. The monitor's threads own it.
pub(crate) struct View {
    pub(crate) stats: SharedStats,
    pub(crate) board: Option<SharedBoard>,
    pub(crate) switch: Arc<Switch>,
    /// There are no workers: this process is shown as the one that serves.
    pub(crate) serves_itself: bool,
    pub(crate) app_metrics: AppMetrics,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) publish: Publish,
}

impl Source for View {
    fn stats(&self) -> Stats {
        let mut stats = self.stats.lock().clone();
        stats.rotation = self.switch.rotation();
        stats.leaving = self.switch.is_leaving();
        stats.board = self.board.as_ref().map(SharedBoard::snapshot);
        if self.serves_itself {
            show_itself(&mut stats);
        }
        stats
    }

    fn rotate(&self, disabled: bool, change: Change) {
        self.switch.set(disabled, change, None);
    }

    fn revision(&self) -> u64 {
        self.stats.lock().revision
    }

    fn order(&self, order: Order) -> Ordered {
        if self.serves_itself {
            // There are no workers to be changed.
            return Box::pin(async { None });
        }
        let Order { call, args, by } = order;
        let pid = args.get("pid").and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok());
        let asked = format!("{call} asked for by {by}");
        self.stats.lock().remember("order", pid, asked, SystemTime::now());
        let (reply, answer) = Reply::channel();
        let request = Request { call: call.to_owned(), args, reply };
        let inputs = self.inputs.clone();
        Box::pin(async move { inputs.send(Input::Control(request)).await.ok().map(|()| answer) })
    }

    fn app_metrics(&self) -> Arc<str> {
        self.app_metrics.get()
    }

    fn ask(&self, request: MonitorRequest) {
        (self.publish)(Event::MonitorRequest(request), None);
    }
}

/// Shows this process as the one worker that there is, as its row says.
fn show_itself(stats: &mut Stats) {
    let says = stats.row(OWN_ROW).map_or(0.0, |row| row.get(Field::State));
    let is = |state: f64| says.total_cmp(&state).is_eq();
    let life = match (stats.leaving, is(Field::SERVING)) {
        (true, _) => WorkerState::Draining,
        (false, true) => WorkerState::Serving,
        (false, false) => WorkerState::Starting,
    };
    stats.state = match life {
        WorkerState::Starting | WorkerState::Spare => ClusterState::Starting,
        WorkerState::Serving => ClusterState::Serving,
        WorkerState::Draining => ClusterState::ShuttingDown,
    };
    let (since, pid) = (stats.started, stats.master_pid);
    let ready_at = (life == WorkerState::Serving).then_some(since);
    let listening = u32::from(ready_at.is_some());
    stats.wanted = 1;
    stats.workers = vec![Worker { state: life, ready_at, listening, ..Worker::new(OWN_ROW, pid, since) }];
}

/// The snapshot of a cluster that has not begun.
pub(crate) fn first_stats(
    options: &Options,
    script: &str,
    started: Timestamp,
    monitor: Option<SocketAddr>,
) -> Stats {
    let ports = options.ports.iter().map(|port| match port {
        options::Address::Tcp(port) => port.to_string(),
        options::Address::Path(path) => path.display().to_string(),
    });
    let shown = ShownOptions {
        no_workers: options.no_workers.get().into(),
        ports: ports.collect(),
        counts_gc: options.metrics.is_some_and(|metrics| metrics.gc),
        monitor,
        name: options.name.clone(),
        script: script.to_owned(),
        log: options.log.clone(),
    };
    Stats::new(std::process::id(), started, shown)
}

impl State {
    /// Brings the snapshot up to date, in the same turn in which something has changed: what is new is new as of this moment.
    pub(crate) fn refresh_stats(&mut self, now: Instant) {
        let known = self.stats.lock().workers.clone();
        let known: BTreeMap<WorkerId, Worker> = known.into_iter().map(|worker| (worker.id, worker)).collect();
        let shown = |view: fleet::MemberView| self.worker_shown(&view, known.get(&view.worker));
        let workers: Vec<Worker> = self.fleet.workers().filter_map(shown).collect();
        let addresses = self.connections.addresses().into_iter().filter_map(address).collect();
        let crashing: Vec<Crashing> =
            self.fleet.crashing().map(|slot| self.crashing_shown(slot, now)).collect();
        let is_crashing =
            !crashing.is_empty() && workers.iter().all(|worker| worker.state != WorkerState::Serving);
        let mut stats = self.stats.lock();
        stats.state = match self.fleet.phase() {
            Phase::Running if self.none_left => ClusterState::NoWorkerLeft,
            Phase::Running if is_crashing => ClusterState::Crashing,
            Phase::Running if workers.iter().any(|worker| worker.ready_at.is_some()) => ClusterState::Serving,
            Phase::Running => match stats.state {
                // A cluster that has served is not starting again because all its workers died.
                ClusterState::Serving => ClusterState::Serving,
                ClusterState::Crashing
                | ClusterState::Starting
                | ClusterState::NoWorkerLeft
                | ClusterState::ShuttingDown => ClusterState::Starting,
            },
            Phase::Closing | Phase::ShuttingDown | Phase::Stopping | Phase::Finished => {
                ClusterState::ShuttingDown
            }
        };
        stats.wanted = self.fleet.wanted();
        stats.workers = workers;
        stats.crashing = crashing;
        stats.revision += 1;
        stats.addresses = addresses;
        stats.queues = self.connections.queue_probes();
    }

    /// Tells the service manager what the snapshot says.
    pub(crate) fn tell_service_manager(&mut self, now: Instant) {
        if !self.service_manager.listens() {
            return;
        }
        let stats = self.stats.lock();
        let serving = stats.serving();
        let is_stopping = stats.state == ClusterState::ShuttingDown;
        let condition = Condition {
            is_ready: serving >= usize::from(self.options.ready_quorum.get()),
            is_reloading: stats.reload.is_some(),
            is_stopping,
            status: format!("{serving} of {} workers serve", stats.wanted),
        };
        drop(stats);
        self.service_manager.follow(condition, now);
    }

    fn crashing_shown(&self, slot: fleet::Crashing, now: Instant) -> Crashing {
        let fleet::Crashing { slot, failures, next_try } = slot;
        Crashing {
            slot,
            failures,
            reason: self.last_reasons.get(&slot).map(|(reason, _)| reason.clone()).unwrap_or_default(),
            next_try: next_try.map(|next| Timestamp::now().after(next.saturating_duration_since(now))),
        }
    }

    /// A worker as the monitor shows it; `known` is how it was shown before.
    fn worker_shown(&self, view: &fleet::MemberView, known: Option<&Worker>) -> Option<Worker> {
        let worker = self.workers.get(view.worker)?;
        let state = match view.state {
            MemberState::Starting => WorkerState::Starting,
            MemberState::Spare => WorkerState::Spare,
            MemberState::Serving => WorkerState::Serving,
            MemberState::Draining => WorkerState::Draining,
        };
        let since = known.filter(|known| known.state == state).map(|known| known.since);
        let restarts = view.slot.and_then(|slot| self.stats.lock().tallies.slot_restarts.get(&slot).copied());
        Some(Worker {
            id: view.worker,
            pid: worker.pid(),
            slot: view.slot,
            state,
            since: since.unwrap_or_else(Timestamp::now),
            forked_at: worker.forked,
            ready_at: worker.ready,
            generation: view.generation,
            listening: worker.apps_listening,
            restarts: restarts.unwrap_or(0),
        })
    }
}

impl State {
    /// Puts something on the timeline that is no event of the application's.
    pub(crate) fn remember(&self, event: &'static str, pid: Option<u32>, text: String) {
        self.stats.lock().remember(event, pid, text.clone(), SystemTime::now());
        self.tell(Event::Noted { event, pid, text });
    }

    /// A worker is about to be forked.
    pub(crate) fn count_fork(&self, slot: Option<SlotIndex>, purpose: Purpose) {
        let mut stats = self.stats.lock();
        match purpose {
            // A spare counts when it takes over.
            Purpose::First | Purpose::Spare => {}
            // Whoever asks for a new release wants no worker restarted.
            Purpose::Successor { .. } if stats.reload.is_some() => {}
            Purpose::Refill | Purpose::Successor { .. } => {
                stats.restarts += 1;
                if let Some(slot) = slot {
                    *stats.tallies.slot_restarts.entry(slot).or_default() += 1;
                }
            }
        }
        if let (Purpose::Refill, Some(slot)) = (purpose, slot) {
            let reason = stats.tallies.last_deaths.get(&slot).copied().unwrap_or("crash");
            count(&mut stats.tallies.restarts, reason);
        }
    }

    /// A worker is gone, and the fleet knows what part it had in that.
    pub(crate) fn count_death(&self, slot: Option<SlotIndex>, cause: DeathReason) {
        let reason = cause.name();
        let tallies = &mut self.stats.lock().tallies;
        count(&mut tallies.deaths, reason);
        if let Some(slot) = slot {
            tallies.last_deaths.insert(slot, reason);
        }
        if let DeathReason::Recycled(due) = cause {
            count(&mut tallies.recycles, due.name());
        }
    }
}

fn address(bound: Bound) -> Option<Address> {
    bound.path.map(Address::Path).or(bound.address.map(Address::Ip))
}
