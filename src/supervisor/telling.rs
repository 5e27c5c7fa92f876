//! Keeps the snapshot that the monitor and the command line show.
//!
//! The supervisor's state calls [`State::refresh_stats`] after each input that changed something; the rest of the program
//! reads the result and never reaches in here.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use super::fleet::{Phase, State as Life, View};
use super::state::State;
use crate::monitor::stats::{Address, ClusterState, ShownOptions, Stats, Worker, WorkerState};
use crate::options::{self, Options};
use crate::socket::Bound;

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

    pub(crate) fn time_of(self, instant: Instant) -> SystemTime {
        let since = instant.saturating_duration_since(self.instant);
        let before = self.instant.saturating_duration_since(instant);
        self.time + since - before
    }
}

/// The snapshot of a cluster that has not begun.
pub(crate) fn first_stats(options: &Options, clocks: Clocks) -> Stats {
    let ports = options.ports.iter().map(|port| match port {
        options::Address::Tcp(port) => port.to_string(),
        options::Address::Path(path) => path.display().to_string(),
    });
    let shown = ShownOptions { no_workers: options.no_workers.get().into(), ports: ports.collect() };
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
        stats.addresses = self.sockets.addresses().into_iter().filter_map(address).collect();
    }

    fn worker_shown(&self, view: &View) -> Option<Worker> {
        let worker = self.crew.get(&view.worker)?;
        Some(Worker {
            id: view.worker,
            pid: worker.pid(),
            slot: Some(view.slot),
            state: match view.state {
                Life::Starting => WorkerState::Starting,
                Life::Serving => WorkerState::Serving,
                Life::Draining => WorkerState::Draining,
            },
            since: self.clocks.time_of(view.since),
            forked_at: self.clocks.time_of(worker.forked),
            ready_at: worker.ready.map(|ready| self.clocks.time_of(ready)),
            generation: view.generation,
            listening: worker.apps_listening,
        })
    }
}

fn address(bound: Bound) -> Option<Address> {
    match (bound.path, bound.address, bound.port) {
        (Some(path), ..) => Some(Address::Path(path)),
        (None, Some(address), Some(port)) => Some(Address::Ip(SocketAddr::new(address, port))),
        (None, ..) => None,
    }
}
