//! The supervisor's whole state, and what one input does to it.
//!
//! [`State::take`] is the one way in. It lets the fleet decide, performs what was decided, and then brings everything that
//! follows from who serves up to date: steering, hand-offs, the door, the snapshot for the monitor. Nothing here waits.
//! Invariant: an input leaves the state consistent; no effect is left half done for a later one.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::ecv::{Change, Rotation};
use crate::error::Error;
use crate::event::{Event, Undelivered};
use crate::fleet::{self, Fleet, Phase};
use crate::ids::WorkerId;
use crate::monitor;
use crate::monitor::data::health;
use crate::monitor::data::stats::Stats;
use crate::monitor::routes::{Rules, Site};
use crate::monitor::views::metrics::AppMetrics;
use crate::options::{Options, calls};
use crate::process::cgroup::OomWatch;
use crate::process::control::{self, AGAIN_AFTER, Reply, Request};
use crate::process::pidfile::PidDir;
use crate::process::spawn::Launch;
use crate::scoreboard::Scoreboard;
use crate::socket::{ListenerId, Sockets};
use crate::supervisor::connections::blocked::Watching;
use crate::supervisor::connections::handoff::HandOff;
use crate::supervisor::crew::{Crew, Leave, Speakers};
use crate::supervisor::ecv::Switch;
use crate::supervisor::effects::{Door, Retiring, policy};
use crate::supervisor::requesters::{Asker, Releases, refusal};
use crate::supervisor::setup::Setup;
use crate::supervisor::snapshot::{Clocks, View, first_stats};
use crate::supervisor::watch::hang::HangWatch;
use crate::supervisor::watch::heartbeat::Heartbeat;
use crate::supervisor::{Call, Input, Shared};
use crate::tasks::LocalTasks;

/// How long the loop sleeps when nothing is due.
const NOTHING_DUE: Duration = Duration::from_secs(3600);

/// Everything the supervisor knows; owned by its one loop.
pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) launch: Launch,
    pub(crate) fleet: Fleet,
    pub(crate) sockets: Sockets,
    pub(crate) crew: Crew,
    pub(crate) handoff: HandOff,
    pub(crate) watching: Watching,
    pub(crate) hang_watch: HangWatch,
    pub(crate) door: Door,
    /// Workers whose channel ended unannounced, and when that counts as leaving.
    pub(crate) farewells: Vec<(WorkerId, Instant)>,
    /// Slots that were given up, with sockets that are still to be closed.
    pub(crate) retiring: Vec<Retiring>,
    pub(crate) releases: Releases,
    /// Why the last fork failed.
    pub(crate) spawn_problem: Option<String>,
    /// The first worker's server data per listener (TLS ticket keys), echoed to all.
    pub(crate) server_data: HashMap<ListenerId, Value>,
    pub(crate) pids: Option<PidDir>,
    pub(crate) stats: Rc<RefCell<Stats>>,
    /// What workers write about themselves; `None` where the system has no shared memory for us.
    pub(crate) scoreboard: Option<Rc<RefCell<Scoreboard>>>,
    /// Why there is none, until it has been told.
    no_scoreboard: Option<Error>,
    /// In rotation or not.
    pub(crate) switch: Rc<Switch>,
    /// What workers without a scoreboard were told of that.
    pub(crate) told_out: bool,
    /// When a shutdown that has been announced begins.
    pub(crate) shutdown_at: Option<Instant>,
    app_metrics: AppMetrics,
    /// What the monitor's port and the control socket tell, from the beginning on.
    site: Option<Rc<Site>>,
    pub(crate) speakers: Speakers,
    pub(crate) undelivered: Undelivered,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) tasks: LocalTasks,
    pub(crate) publish: Rc<dyn Fn(Event)>,
    pub(crate) clocks: Clocks,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) oom_watch: OomWatch,
    /// Nobody is left or coming, and the sockets are closed.
    pub(crate) none_left: bool,
    pub(crate) pending: Pending,
    pub(crate) is_over: bool,
    /// Callers from outside who wait until no new connection can get in.
    shutdown_replies: Vec<Reply>,
    /// The monitor's port, and whether the application has an app of its own for it.
    monitor: Option<(std::net::TcpListener, bool)>,
    control: Option<control::ControlSocket>,
}

/// What the last inputs made out of date; brought up to date once per turn.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Who takes new connections.
    pub(crate) steering: bool,
    /// What the monitor shows.
    pub(crate) showing: bool,
}

impl State {
    pub(crate) fn new(
        setup: Setup,
        inputs: mpsc::Sender<Input>,
        shared: Shared,
        undelivered: Undelivered,
        publish: Rc<dyn Fn(Event)>,
    ) -> Self {
        let clocks = Clocks::now();
        let stats = Rc::new(RefCell::new(first_stats(&setup.options, clocks)));
        stats.borrow_mut().options.monitor =
            setup.monitor.as_ref().and_then(|listener| listener.local_addr().ok());
        let Shared { speakers, rotation: word, app_metrics } = shared;
        let (scoreboard, no_scoreboard) = match setup.scoreboard {
            Ok(board) => (Some(Rc::new(RefCell::new(board))), None),
            Err(error) => (None, Some(error)),
        };
        let start_disabled = setup.options.ecv.as_ref().is_some_and(|ecv| ecv.start_disabled);
        let noted = noting(Rc::clone(&stats), Rc::clone(&publish));
        let rotation = Rotation::at_start(start_disabled, clocks.time());
        let switch = Switch::new(rotation, word, scoreboard.clone(), noted, inputs.clone());
        Self {
            hang_watch: HangWatch::new(&setup.options, Instant::now()),
            fleet: Fleet::new(policy(&setup.options)),
            options: setup.options,
            launch: setup.launch,
            sockets: setup.sockets,
            crew: Crew::new(),
            handoff: HandOff::default(),
            watching: Watching::default(),
            door: Door::Open,
            farewells: Vec::new(),
            retiring: Vec::new(),
            releases: Releases::default(),
            spawn_problem: None,
            server_data: HashMap::new(),
            pids: setup.pids,
            stats,
            scoreboard,
            no_scoreboard,
            switch: Rc::new(switch),
            told_out: false,
            shutdown_at: None,
            app_metrics,
            site: None,
            speakers,
            undelivered,
            inputs,
            tasks: LocalTasks::default(),
            publish,
            clocks,
            heartbeat: Heartbeat::default(),
            oom_watch: OomWatch::start(),
            none_left: false,
            pending: Pending { steering: true, showing: true },
            is_over: false,
            shutdown_replies: Vec::new(),
            monitor: setup.monitor.map(|listener| (listener, setup.has_monitor_app)),
            control: setup.control,
        }
    }

    /// Opens the monitor and the control socket, and forks the first workers.
    pub(crate) fn begin(&mut self) {
        let site = self.site();
        if let Some((listener, _)) = self.monitor.take() {
            self.tasks.spawn(monitor::server::serve(listener, site, LocalTasks::default()));
        }
        if let Some(socket) = self.control.take() {
            let inputs = self.inputs.clone();
            let forward = move |request: Request| {
                // A full queue means a supervisor under siege: the caller is told by the dropped reply.
                let _ = inputs.try_send(Input::Control(request));
            };
            self.tasks.spawn(async move {
                // A socket that can't be watched leaves signals and pid files as ways to end the cluster.
                let _ = control::serve(socket, forward).await;
            });
        }
        if let Some(error) = self.no_scoreboard.take() {
            self.warn(format!("{error}; the cluster runs without"), json!({ "code": error.code() }));
        }
        if self.options.cluster {
            self.step(fleet::Input::Start, Instant::now());
        }
        self.publish(Event::Started);
        self.settle(Instant::now());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) fn next_deadline(&self) -> Instant {
        let retiring = self.retiring.iter().map(|retiring| retiring.at);
        let releases = self.releases.deadline().into_iter();
        let farewells = self.farewells.iter().map(|(_, at)| *at);
        let fleet = self.fleet.next_deadline().into_iter();
        let hang_look = self.scoreboard.as_ref().map(|_| self.hang_watch.next_look());
        let looks = self.watching.next_look().into_iter().chain(hang_look);
        let due = fleet
            .chain(self.door.next_look())
            .chain(retiring)
            .chain(releases)
            .chain(farewells)
            .chain(self.heartbeat.due())
            .chain(self.shutdown_at)
            .chain(self.handoff.excess_due)
            .chain(looks)
            .min();
        due.unwrap_or_else(|| Instant::now() + NOTHING_DUE)
    }

    /// Takes in one input and does everything that follows from it.
    pub(crate) fn take(&mut self, input: Input, now: Instant) {
        match input {
            Input::Call(call) => self.obey(call, now),
            Input::Control(request) => self.answer(request, now),
            Input::Said(worker, message, fd) => self.hear(worker, message, fd, now),
            Input::ChannelClosed(worker) => self.hang_up(worker, now),
            Input::Exited(worker, exit) => self.bury(worker, exit, now),
            // The hand-off below looks at every stranded socket, and whoever must be told of the rotation is.
            Input::Stranded | Input::Rotated => {}
            Input::Waiting => self.wake(now),
            Input::Examined(worker, age, stack) => self.report_hung(worker, age, stack),
            // Most wake-ups are for a look at the queues, which is no news for the fleet.
            Input::Tick if self.fleet.next_deadline().is_none_or(|due| due > now) => {}
            Input::Tick => self.step(fleet::Input::Tick, now),
        }
        self.look_if_due(now);
        self.look_for_hung(now);
        self.settle(now);
    }

    /// Lets the fleet decide and performs what it decided, failures included.
    pub(crate) fn step(&mut self, input: fleet::Input, now: Instant) {
        self.pending.showing = true;
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.fleet.step(input, now) {
                inputs.extend(self.perform(effect, now));
            }
        }
    }

    pub(crate) fn publish(&self, event: Event) {
        self.stats.borrow_mut().note(&event, SystemTime::now());
        (self.publish)(event);
    }

    /// What the monitor shows, and what it may do.
    fn view(&self) -> View {
        View {
            stats: Rc::clone(&self.stats),
            board: self.scoreboard.clone(),
            switch: Rc::clone(&self.switch),
            serves_itself: !self.options.cluster,
            app_metrics: self.app_metrics.clone(),
            inputs: self.inputs.clone(),
            publish: Rc::clone(&self.publish),
        }
    }

    pub(crate) fn warn(&self, message: String, facts: Value) {
        self.publish(Event::Warning { message, facts });
    }

    /// Ends every task and lets the operating system see our sockets and files gone, then says so.
    pub(crate) async fn finish(mut self) {
        for reply in self.shutdown_replies.drain(..) {
            reply.send(json!({ "ok": true }));
        }
        // The control socket's answers leave in the turns that follow.
        tokio::task::yield_now().await;
        self.put_away();
        (self.publish)(Event::Ended);
    }

    fn put_away(&mut self) {
        self.sockets.close_all();
        if let Some(mut pids) = self.pids.take() {
            pids.close();
        }
    }

    fn obey(&mut self, call: Call, now: Instant) {
        match call {
            Call::Signal { worker, signal } => {
                if let Some(worker) = self.crew.get(&worker) {
                    // A worker that is gone can't be signalled; its death is reported anyway.
                    let _ = worker.child.signal(signal);
                }
            }
            Call::Disconnect { worker } => {
                if let Some(worker) = self.crew.get_mut(&worker) {
                    worker.leave = Leave::Disconnecting;
                    self.pending.steering = true;
                    worker.speaker.say(&crate::ipc::message::ToWorker::Disconnect);
                }
            }
            Call::Recycle { worker } => {
                self.step(fleet::Input::Recycle { worker, why: fleet::Why::Asked }, now);
            }
            Call::Reload { args, launch, asker } => self.reload(args, Some(launch), asker, now),
            Call::Launch(launch) => self.hear_launch(&launch, now),
            Call::Scale { scale, asker } => self.scale(scale, asker, now),
            Call::Shutdown => self.begin_shutdown(now),
            Call::Stop => self.stop(now),
            Call::Rotate { ticket, disabled, by, reason } => {
                self.switch.set(disabled, Change::new(&by, SystemTime::now(), reason.as_deref()));
                (self.publish)(Event::Answered { ticket, answer: json!({ "ok": true }) });
            }
            Call::Leave => self.switch.leave(),
            Call::Close => self.is_over = true,
        }
    }

    pub(crate) fn shut_down(&mut self, now: Instant) {
        if self.fleet.phase() == Phase::Running {
            if let Err(error) = self.sockets.shut_the_door() {
                // Clients may then still get in, and are reset when the sockets are closed.
                self.warn(format!("cannot keep new connections out: {error}"), Value::Null);
            }
            self.door = Door::closing(now);
        }
        self.step(fleet::Input::Shutdown, now);
        self.abandon_reloads();
    }

    fn stop(&mut self, now: Instant) {
        self.step(fleet::Input::Stop, now);
        self.abandon_reloads();
    }

    fn answer(&mut self, request: Request, now: Instant) {
        let Request { call, args, reply } = request;
        match call.as_str() {
            "status" => reply.send(self.site().status()),
            "shutdown" => {
                if !self.switch.is_leaving() {
                    (self.publish)(Event::ShutdownAsked);
                }
                self.begin_shutdown(now);
                match self.shutdown_at {
                    // Whoever wants to know when nobody gets in any more has to ask again then.
                    Some(at) => {
                        let wait = at.saturating_duration_since(now).as_millis();
                        reply.send(
                            json!({ "ok": true, AGAIN_AFTER: u64::try_from(wait).unwrap_or(u64::MAX) }),
                        );
                    }
                    None => self.shutdown_replies.push(reply),
                }
            }
            "stop" => {
                reply.send(json!({ "ok": true }));
                (self.publish)(Event::StopAsked);
                self.stop(now);
            }
            "disable" | "enable" => {
                self.rotate_by_control(call == "disable", &args);
                reply.send(json!({ "ok": true }));
            }
            "reload" => match calls::Reload::parse(&args) {
                Ok(args) => self.ask_for_launch(args, reply, now),
                Err(error) => reply.send(refusal(&error)),
            },
            "scale" => match calls::Scale::parse(&args) {
                Ok(scale) => self.scale(scale, Asker::Control(reply), now),
                Err(error) => reply.send(refusal(&error)),
            },
            "recycle" => self.recycle_by_pid(&args, reply, now),
            unknown => reply.refuse(&format!("unknown call '{unknown}'")),
        }
    }

    /// Brings everything that follows from who serves up to date.
    fn settle(&mut self, now: Instant) {
        self.end_drain_delay(now);
        self.tell_rotation();
        if std::mem::take(&mut self.pending.steering) {
            self.steer();
        }
        self.say_farewells(now);
        self.spread_excess(now);
        self.hand_off(now);
        self.watch_door(now);
        self.retire_slots(now);
        self.beat(now);
        self.advance_releases(now);
        if self.door.is_shut() && self.crew.values().all(|worker| worker.loans.is_empty()) {
            for reply in self.shutdown_replies.drain(..) {
                reply.send(json!({ "ok": true }));
            }
        }
        if std::mem::take(&mut self.pending.showing) {
            self.refresh_stats();
        }
    }

    fn site(&mut self) -> Rc<Site> {
        if let Some(site) = &self.site {
            return Rc::clone(site);
        }
        let site = Rc::new(Site::new(self.site_rules(), self.view()));
        self.site = Some(Rc::clone(&site));
        site
    }

    fn site_rules(&self) -> Rules {
        Rules {
            mon_path: self.options.mon_path.clone(),
            monitor: self.options.monitor.clone(),
            ecv: self.options.ecv.clone(),
            limits: health::Limits {
                live_max_age: self.options.live_max_age,
                ready_quorum: self.options.ready_quorum.get().into(),
            },
            logs: self.options.logs.clone(),
            dir: self.options.cwd.clone(),
            has_app: self.monitor.as_ref().is_some_and(|(_, has_app)| *has_app),
        }
    }

    pub(crate) fn worker_mut(&mut self, id: WorkerId) -> Option<&mut crate::supervisor::crew::Worker> {
        self.crew.get_mut(&id)
    }
}

/// Events that are remembered for the monitor on their way to JavaScript.
fn noting(stats: Rc<RefCell<Stats>>, publish: Rc<dyn Fn(Event)>) -> Rc<dyn Fn(Event)> {
    Rc::new(move |event| {
        stats.borrow_mut().note(&event, SystemTime::now());
        publish(event);
    })
}
