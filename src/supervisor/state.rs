//! The supervisor's state, and what one input does to it.
//!
//! [`State::take`] is the one way in. It passes an input to the part that it concerns, which lets the fleet decide where a
//! worker's life is concerned, and then brings everything that follows from that up to date. Nothing here waits.
//! Invariant: an input leaves the state consistent; no effect is left half done for a later one.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::connections::{Board, Connections, Order};
use super::ecv::Switch;
use super::effects::policy;
use super::requesters::Requesters;
use super::setup::Setup;
use super::shutdown::Shutdown;
use super::snapshot::{SharedStats, View, first_stats};
use super::timers::{Due, Timers};
use super::watch::hang::HangWatch;
use super::watch::heartbeat::Heartbeat;
use super::workers::Workers;
use super::{Forked, Input, Shared};
use crate::backlog::{Handles, Waiting};
use crate::ecv::Rotation;
use crate::error::Error;
use crate::event::{Event, Publish};
use crate::fleet::{Fleet, Forks, Step};
use crate::ids::SlotIndex;
use crate::monitor;
use crate::monitor::data::app_metrics::AppMetrics;
use crate::monitor::data::health;
use crate::monitor::rules::Rules;
use crate::monitor::site::Site;
use crate::options::Options;
use crate::os::reserve::Reserve;
use crate::process::cgroup::OomWatch;
use crate::process::control::server::{self, ControlSocket};
use crate::process::disk::PidFiles;
use crate::process::service_manager::ServiceManager;
use crate::process::spawn::{Launch, Spawner};
use crate::tasks::LocalTasks;
use crate::timestamp::Timestamp;

/// Everything the supervisor knows; owned by its one loop.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) forks: Forks,
    pub(super) launch: Launch,
    pub(super) fleet: Fleet,
    pub(super) workers: Workers,
    pub(super) connections: Connections,
    pub(super) shutdown: Shutdown,
    pub(super) requesters: Requesters,
    pub(super) timers: Timers,
    pub(super) hang_watch: HangWatch,
    pub(super) heartbeat: Heartbeat,
    pub(super) oom_watch: OomWatch,
    /// The caller that waits for the fork that the program has ordered.
    pub(super) fork_caller: Option<SyncSender<Forked>>,
    /// Why the last fork failed.
    pub(super) spawn_problem: Option<String>,
    /// Why the last worker of each slot died, and its process.
    pub(super) last_reasons: BTreeMap<SlotIndex, (String, u32)>,
    pub(super) spawner: Spawner,
    /// Descriptors that supervision keeps for itself.
    pub(super) reserve: Rc<Reserve>,
    pub(super) pids: Option<PidFiles>,
    /// Where the pid files are, if not where they should be, until it has been told.
    pids_problem: Option<Error>,
    /// What workers write about themselves; `None` where the system has no shared memory for us.
    pub(super) scoreboard: Board,
    /// Why there is none, until it has been told.
    no_scoreboard: Option<Error>,
    /// In rotation or not.
    pub(super) switch: Arc<Switch>,
    /// What workers without a scoreboard were told of that.
    pub(super) told_out: bool,
    pub(super) stats: SharedStats,
    /// The monitor's snapshot must be made anew.
    pub(super) is_snapshot_outdated: bool,
    app_metrics: AppMetrics,
    site: Option<Arc<Site>>,
    monitor_thread: Option<monitor::server::Running>,
    /// When the master began.
    pub(super) started: Timestamp,
    /// No worker is left or coming, and the sockets are closed.
    pub(super) none_left: bool,
    pub(super) is_over: bool,
    /// The handles of all applications that wait for JavaScript.
    pub(super) handles: Handles,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) tasks: LocalTasks,
    pub(super) publish: Publish,
    /// Of the message that is being heard, until an event goes with it.
    pub(super) waiting: Cell<Option<Waiting>>,
    /// The monitor's port, and whether the application has an app of its own for it.
    monitor: Option<(std::net::TcpListener, bool)>,
    control: Option<ControlSocket>,
    pub(super) service_manager: ServiceManager,
}

impl State {
    pub(super) fn new(setup: Setup, inputs: mpsc::Sender<Input>, shared: Shared, publish: Publish) -> Self {
        let (started, now, tasks) = (Timestamp::now(), Instant::now(), LocalTasks::default());
        let options = setup.options;
        let monitor = setup.monitor.as_ref().and_then(|listener| listener.local_addr().ok());
        let stats = SharedStats::new(first_stats(&options, &setup.launch.script, started, monitor));
        let Shared { writers, rotation: word, app_metrics } = shared;
        let (scoreboard, no_scoreboard) = match setup.scoreboard {
            Ok(board) => (Some(Rc::new(RefCell::new(board))), None),
            Err(error) => (None, Some(error)),
        };
        let start_disabled = options.ecv.as_ref().is_some_and(|ecv| ecv.start_disabled);
        let noted = noting(stats.clone(), Arc::clone(&publish));
        let rotation = Rotation::at_start(start_disabled, started);
        let shared_board = scoreboard.as_ref().map(|board| board.borrow().shared());
        let switch = Switch::new(rotation, word, shared_board, noted, inputs.clone());
        let board = scoreboard.clone();
        let reserve = Rc::new(setup.reserve);
        Self {
            hang_watch: HangWatch::new(&options, now),
            fleet: Fleet::new(policy(&options, setup.forks)),
            connections: Connections::new(
                setup.sockets,
                &options,
                setup.forks,
                board,
                tasks.clone(),
                inputs.clone(),
            ),
            workers: Workers::new(writers),
            shutdown: Shutdown::default(),
            requesters: Requesters::default(),
            timers: Timers::default(),
            heartbeat: Heartbeat::default(),
            oom_watch: OomWatch::start(),
            fork_caller: None,
            spawn_problem: None,
            last_reasons: BTreeMap::new(),
            spawner: setup.spawner,
            reserve,
            pids: setup.pids,
            pids_problem: setup.pids_problem,
            scoreboard,
            no_scoreboard,
            switch: Arc::new(switch),
            told_out: false,
            stats,
            is_snapshot_outdated: true,
            app_metrics,
            site: None,
            monitor_thread: None,
            started,
            none_left: false,
            is_over: false,
            handles: Handles::default(),
            inputs,
            tasks,
            publish,
            waiting: Cell::default(),
            monitor: setup.monitor.map(|listener| (listener, setup.has_monitor_app)),
            control: setup.control,
            service_manager: ServiceManager::from_environment(now),
            launch: setup.launch,
            forks: setup.forks,
            options,
        }
    }

    /// Opens the monitor and the control socket, and forks the first workers.
    pub(super) fn begin(&mut self, now: Instant) {
        if let Some((listener, has_app)) = self.monitor.take() {
            match monitor::server::start(listener, self.site(has_app)) {
                Ok(running) => self.monitor_thread = Some(running),
                Err(source) => {
                    let error = Error::Thread { source };
                    self.warn(format!("{error}; there is no monitor"), json!({ "code": error.code() }));
                }
            }
        }
        if let Some(socket) = self.control.take() {
            let inputs = self.inputs.clone();
            let forward = async move |request| {
                // A loop that has ended drops the request, which its client is told.
                let _ = inputs.send(Input::Control(request)).await;
            };
            self.tasks.spawn(async move {
                // A socket that can't be watched leaves signals and pid files as ways to end the cluster.
                let _ = server::serve(socket, forward).await;
            });
        }
        if let Some(error) = self.no_scoreboard.take() {
            self.warn(format!("{error}; the cluster runs without"), json!({ "code": error.code() }));
        }
        if let Some(problem) = self.pids_problem.take() {
            self.warn(problem.full_text(), json!({ "code": problem.code() }));
        }
        if self.scoreboard.is_some() {
            self.timers.set(Due::HangLook, self.hang_watch.next_look(), now);
        }
        if self.options.cluster {
            self.step(Step::Start, now);
        }
        self.publish(Event::Started);
        self.settle(now);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// When something is due next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether a deadline of a worker or of a client is pending, in which time must pass fairly.
    pub(super) fn is_judging(&self) -> bool {
        self.fleet.next_deadline().is_some() || self.shutdown.has_deadline()
    }

    /// Takes in one input, or the time alone, and does everything that follows from it.
    pub(super) fn take(&mut self, input: Option<Input>, now: Instant) {
        match input {
            Some(Input::Call(call)) => self.obey(call, now),
            Some(Input::Control(request)) => self.answer(request, now),
            Some(Input::Said(worker, message, fd, waiting)) => {
                self.waiting.set(Some(waiting));
                self.hear(worker, message, fd, now);
                self.waiting.set(None);
            }
            Some(Input::NotDelivered(worker, hand_over)) => {
                self.connections.handed_over(worker, hand_over, false);
            }
            Some(Input::TooLong(worker)) => self.message_dropped(worker),
            Some(Input::ChannelClosed(worker)) => self.channel_ended(worker, now),
            Some(Input::Exited(worker, exit)) => self.bury(worker, exit, now),
            Some(Input::Waiting) => self.connections.wake(now),
            Some(Input::Examined(worker, age, stack)) => self.report_hung(worker, age, stack, now),
            Some(Input::Reached(marker)) => drop(marker),
            // What follows below looks at every queue that nobody serves, and at the rotation.
            Some(Input::Stranded | Input::Rotated | Input::Shortage) | None => {}
        }
        while let Some(due) = self.timers.pop(now) {
            self.fire(due, now);
        }
        self.settle(now);
    }

    /// Does what is due.
    fn fire(&mut self, due: Due, now: Instant) {
        match due {
            Due::Fleet => self.step(Step::Tick, now),
            Due::WakeOrder => self.connections.order_wakes(),
            Due::QueueLook => self.connections.look(now),
            Due::HangLook => self.look_for_hung(now),
            Due::Heartbeat => self.beat(now),
            Due::ChannelEnded(worker) => self.still_lives(worker, now),
            Due::ReadyUnlessAnnounced(worker) => self.ready_by_itself(worker, now),
            Due::ReadyWithoutServer(worker) => self.ready_without_server(worker, now),
            Due::ReadyWithoutListen(worker) => self.ready_without_listen(worker, now),
            Due::DrainDelay => self.shut_down(now),
            Due::Closing => {
                let drain_timeout = self.options.shutdown_timeout;
                if self.shutdown.look(&mut self.connections, &mut self.timers, drain_timeout, now) {
                    self.step(Step::Closed, now);
                }
            }
            Due::CloseSlot(slot) => {
                self.shutdown.close_slot(slot, &mut self.connections, &mut self.timers, now);
            }
            Due::LendAgain => self.lend_again(now),
            Due::TakeBack => self.connections.take_back_unserved(now),
            Due::GiveUp => self.connections.give_up_abandoned(now),
            Due::DiskLook => {
                let troubles = self.pids.as_mut().map(|pids| pids.look(now)).unwrap_or_default();
                self.warn_of_disk(troubles);
            }
            Due::ServiceManager => self.service_manager.act(now),
            Due::FreshSettings => self.use_known_settings(now),
            Due::NextReload => self.begin_next_reload(now),
            Due::FailedReload => self.advance_requesters(now),
            // Settling looks at all that waits for a worker.
            Due::PassOver | Due::AcceptAgain => {}
        }
    }

    /// Lets the fleet decide and performs what it decided, failures included.
    pub(super) fn step(&mut self, step: Step, now: Instant) {
        self.is_snapshot_outdated = true;
        let mut steps = VecDeque::from([step]);
        while let Some(step) = steps.pop_front() {
            for effect in self.fleet.step(step, now) {
                steps.extend(self.perform(effect, now));
            }
            // Orders that came of it are given before what comes next.
            self.give_orders();
        }
    }

    /// Publishes an event, and remembers it for the monitor.
    pub(super) fn publish(&self, event: Event) {
        self.stats.lock().note(&event, SystemTime::now());
        self.tell(event);
    }

    /// Publishes an event that the monitor does not show.
    pub(super) fn tell(&self, event: Event) {
        (self.publish)(event, self.waiting.take());
    }

    pub(super) fn warn(&self, message: String, facts: Value) {
        self.publish(Event::Warning { message, facts });
    }

    /// Ends every task and lets the operating system see our sockets and files gone, then says so.
    pub(super) async fn finish(mut self) {
        self.shutdown.answer_all();
        // The control socket's answers leave in the turns that follow.
        tokio::task::yield_now().await;
        self.connections.close_all();
        drop(self.pids.take());
        if let Some(running) = self.monitor_thread.take() {
            running.end().await;
        }
        self.tell(Event::Ended);
    }

    /// Brings everything up to date that follows from what has just happened.
    fn settle(&mut self, now: Instant) {
        self.tell_rotation();
        let fleet = &self.fleet;
        self.connections.set_taking(|worker| fleet.takes_clients(worker), fleet.is_complete());
        self.connections.settle(now);
        self.give_orders();
        self.stats.lock().tallies.moves = self.connections.moves();
        self.shutdown.settle(&self.connections);
        self.timers.follow(Due::Fleet, self.fleet.next_deadline(), now);
        for (due, at) in self.connections.deadlines() {
            self.timers.follow(due, at, now);
        }
        self.timers.follow(Due::DiskLook, self.pids.as_ref().and_then(PidFiles::next_look), now);
        self.timers.follow(Due::Heartbeat, self.heartbeat_due(), now);
        if self.reserve.is_worth_telling(now) {
            self.warn(
                "descriptors or memory are short: connections wait, and workers may start late".into(),
                json!({ "limit": crate::os::process_facts::read().max_fds }),
            );
        }
        if std::mem::take(&mut self.is_snapshot_outdated) {
            self.refresh_stats(now);
            self.tell_service_manager(now);
        }
        self.timers.follow(Due::ServiceManager, self.service_manager.due(), now);
    }

    /// Tells workers what came of their connections.
    fn give_orders(&mut self) {
        for (worker, up_to) in self.connections.take_withdrawn() {
            if let Some(worker) = self.workers.get(worker) {
                worker.writer.withdraw(up_to);
            }
        }
        for Order { worker, message, fd } in self.connections.take_orders() {
            let Some(worker) = self.workers.get(worker) else { continue };
            match fd {
                Some(fd) => worker.writer.say_with(&message, fd),
                None => worker.writer.say(&message),
            }
        }
        for message in self.connections.take_warnings() {
            self.warn(message, Value::Null);
        }
    }

    /// What the monitor shows, and what it may do.
    fn view(&self) -> View {
        View {
            stats: self.stats.clone(),
            board: self.scoreboard.as_ref().map(|board| board.borrow().shared()),
            switch: Arc::clone(&self.switch),
            serves_itself: !self.options.cluster,
            app_metrics: self.app_metrics.clone(),
            inputs: self.inputs.clone(),
            publish: Arc::clone(&self.publish),
        }
    }

    /// What the monitor's port and the control socket tell; made when it is asked for first.
    pub(super) fn site(&mut self, has_app: bool) -> Arc<Site> {
        if let Some(site) = &self.site {
            return Arc::clone(site);
        }
        let site = Arc::new(Site::new(self.site_rules(has_app), self.view()));
        self.site = Some(Arc::clone(&site));
        site
    }

    fn site_rules(&self, has_app: bool) -> Rules {
        Rules {
            mon_path: self.options.mon_path.clone(),
            monitor: self.options.monitor.clone(),
            ecv: self.options.ecv.clone(),
            limits: health::Limits {
                live_max_age: self.options.live_max_age,
                ready_quorum: self.options.ready_quorum.get().into(),
            },
            logs: self.options.logs.clone(),
            log: self.options.log.clone(),
            dir: self.options.cwd.clone(),
            has_app,
        }
    }
}

/// Events that are remembered for the monitor on their way to JavaScript.
fn noting(stats: SharedStats, publish: Publish) -> Publish {
    Arc::new(move |event, waiting| {
        stats.lock().note(&event, SystemTime::now());
        publish(event, waiting);
    })
}
