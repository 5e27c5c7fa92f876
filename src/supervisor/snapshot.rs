//! Keeps the snapshot that the monitor and the command line show.
//!
//! The supervisor's state calls [`State::refresh_stats`] after each input that changed something; the rest of the program
//! reads the result and never reaches in here.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::ecv::Change;
use crate::event::{Event, MonitorRequest};
use crate::fleet::{self, Cause, Phase, Purpose, SlotIndex, State as Life, Why};
use crate::monitor::control::orders::Order;
use crate::monitor::data::stats::{Address, ClusterState, ShownOptions, Stats, Worker, WorkerState, count};
use crate::monitor::routes::Source;
use crate::monitor::views::metrics::AppMetrics;
use crate::options::{self, Options};
use crate::process::control::{Reply, Request};
use crate::scoreboard::Scoreboard;
use crate::scoreboard::layout::Field;
use crate::socket::Bound;
use crate::supervisor::Input;
use crate::supervisor::ecv::Switch;
use crate::supervisor::setup::OWN_ROW;
use crate::supervisor::state::State;

/// One moment on both clocks, by which instants become times of day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    instant: Instant,
    time: SystemTime,
}

impl Clocks {
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), time: SystemTime::now() }
    }

    pub(crate) fn time(self) -> SystemTime {
        self.time
    }

    pub(crate) fn time_of(self, instant: Instant) -> SystemTime {
        let since = instant.saturating_duration_since(self.instant);
        let before = self.instant.saturating_duration_since(instant);
        self.time + since - before
    }
}

/// The monitor's way to look at the cluster, and to take it out of rotation; lives on the supervisor's thread.
pub(crate) struct View {
    pub(crate) stats: Rc<RefCell<Stats>>,
    pub(crate) board: Option<Rc<RefCell<Scoreboard>>>,
    pub(crate) switch: Rc<Switch>,
    /// There are no workers: this process is shown as the one that serves.
    pub(crate) serves_itself: bool,
    pub(crate) app_metrics: AppMetrics,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) publish: Rc<dyn Fn(Event)>,
}

impl Source for View {
    fn stats(&self) -> Stats {
        let mut stats = self.stats.borrow().clone();
        stats.rotation = self.switch.rotation();
        stats.leaving = self.switch.is_leaving();
        stats.board = self.board.as_ref().map(|board| board.borrow().snapshot());
        if self.serves_itself {
            show_itself(&mut stats);
        }
        stats
    }

    fn rotate(&self, disabled: bool, change: Change) {
        self.switch.set(disabled, change);
    }

    fn revision(&self) -> u64 {
        self.stats.borrow().revision
    }

    fn order(&self, order: Order) -> Option<oneshot::Receiver<Value>> {
        if self.serves_itself {
            // There are no workers to be changed.
            return None;
        }
        let Order { call, args, by } = order;
        let pid = args.get("pid").and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok());
        let asked = format!("{call} asked for by {by}");
        self.stats.borrow_mut().remember("order", pid, asked, SystemTime::now());
        let (reply, answer) = Reply::channel();
        let request = Request { call: call.to_owned(), args, reply };
        // A full queue means a supervisor under siege, a closed one that it has ended.
        self.inputs.try_send(Input::Control(request)).ok()?;
        Some(answer)
    }

    fn app_metrics(&self) -> Arc<str> {
        self.app_metrics.get()
    }

    fn ask(&self, request: MonitorRequest) {
        (self.publish)(Event::MonitorRequest(request));
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
    stats.workers = vec![Worker {
        id: OWN_ROW,
        pid,
        slot: None,
        state: life,
        since,
        forked_at: since,
        ready_at,
        generation: 0,
        listening,
        restarts: 0,
    }];
}

/// The snapshot of a cluster that has not begun.
pub(crate) fn first_stats(options: &Options, clocks: Clocks) -> Stats {
    let ports = options.ports.iter().map(|port| match port {
        options::Address::Tcp(port) => port.to_string(),
        options::Address::Path(path) => path.display().to_string(),
    });
    let shown =
        ShownOptions { no_workers: options.no_workers.get().into(), ports: ports.collect(), monitor: None };
    Stats::new(std::process::id(), clocks.time, shown)
}

impl State {
    /// Brings the snapshot up to date.
    pub(crate) fn refresh_stats(&mut self) {
        let workers: Vec<Worker> = self.fleet.workers().filter_map(|view| self.worker_shown(&view)).collect();
        let mut stats = self.stats.borrow_mut();
        stats.state = match self.fleet.phase() {
            Phase::Running if self.none_left => ClusterState::NoWorkerLeft,
            Phase::Running if workers.iter().any(|worker| worker.ready_at.is_some()) => ClusterState::Serving,
            Phase::Running => match stats.state {
                // A cluster that has served is not starting again because all its workers died.
                ClusterState::Serving => ClusterState::Serving,
                ClusterState::Starting | ClusterState::NoWorkerLeft | ClusterState::ShuttingDown => {
                    ClusterState::Starting
                }
            },
            Phase::ShuttingDown | Phase::Stopping | Phase::Finished => ClusterState::ShuttingDown,
        };
        stats.wanted = self.fleet.wanted();
        stats.workers = workers;
        stats.revision += 1;
        stats.addresses = self.sockets.addresses().into_iter().filter_map(address).collect();
    }

    fn worker_shown(&self, view: &fleet::View) -> Option<Worker> {
        let worker = self.crew.get(&view.worker)?;
        let restarts =
            view.slot.and_then(|slot| self.stats.borrow().tallies.slot_restarts.get(&slot).copied());
        Some(Worker {
            id: view.worker,
            pid: worker.pid(),
            slot: view.slot,
            state: match view.state {
                Life::Starting => WorkerState::Starting,
                Life::Spare => WorkerState::Spare,
                Life::Serving => WorkerState::Serving,
                Life::Draining => WorkerState::Draining,
            },
            since: self.clocks.time_of(view.since),
            forked_at: self.clocks.time_of(worker.forked),
            ready_at: worker.ready.map(|ready| self.clocks.time_of(ready)),
            generation: view.generation,
            listening: worker.apps_listening,
            restarts: restarts.unwrap_or(0),
        })
    }
}

impl State {
    /// Puts something on the timeline that is no event of the application's.
    pub(crate) fn remember(&self, event: &'static str, pid: Option<u32>, text: String) {
        self.stats.borrow_mut().remember(event, pid, text, SystemTime::now());
    }

    /// A worker is about to be forked.
    pub(crate) fn count_fork(&self, slot: Option<SlotIndex>, purpose: Purpose) {
        let mut stats = self.stats.borrow_mut();
        match purpose {
            // A spare counts when it takes over.
            Purpose::First | Purpose::Spare => {}
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
    pub(crate) fn count_death(&self, slot: Option<SlotIndex>, cause: Cause) {
        let (reason, due) = reasons(cause);
        let tallies = &mut self.stats.borrow_mut().tallies;
        count(&mut tallies.deaths, reason);
        if let Some(slot) = slot {
            tallies.last_deaths.insert(slot, reason);
        }
        if let Some(due) = due {
            count(&mut tallies.recycles, due);
        }
    }
}

/// A cause in the words of labels, and what made a recycled worker due.
fn reasons(cause: Cause) -> (&'static str, Option<&'static str>) {
    match cause {
        Cause::Unasked => ("crash", None),
        Cause::StartTimeout => ("start_timeout", None),
        Cause::Drained => ("shutdown", None),
        Cause::Left => ("left", None),
        Cause::Recycled(why) => ("recycle", Some(due(why))),
        Cause::Reloaded => ("reload", None),
        Cause::ScaledDown => ("scale_down", None),
        Cause::Stopped => ("stop", None),
        Cause::Overdue => ("overdue", None),
        Cause::GivenUp => ("given_up", None),
    }
}

fn due(why: Why) -> &'static str {
    match why {
        Why::Asked => "asked",
        Why::Connections => "connections",
        Why::Requests => "requests",
        Why::Uptime => "uptime",
        Why::Memory => "memory",
        Why::Exception => "exception",
        Why::Hung => "hung",
    }
}

fn address(bound: Bound) -> Option<Address> {
    match (bound.path, bound.address, bound.port) {
        (Some(path), ..) => Some(Address::Path(path)),
        (None, Some(address), Some(port)) => Some(Address::Ip(SocketAddr::new(address, port))),
        (None, ..) => None,
    }
}
