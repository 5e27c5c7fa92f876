//! Reloads and scalings as their callers see them: who asked, with what the workers are started, what is answered.
//!
//! The fleet decides how workers are replaced; this file keeps the callers, in JavaScript or on the control socket, until
//! it has, and the settings ([`Launch`]) with which new workers are forked. A reload brings fresh settings from JavaScript;
//! one that came over the control socket while JavaScript is blocked does with those that are known, and says so.
//! Invariants: every caller is answered once. The settings of a reload are those of every later worker once it has replaced
//! one; until then only the workers that the fleet names are forked with them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::effects::millis;
use super::state::State;
use super::timers::Due;
use super::workers::Worker;
use crate::error::Error;
use crate::event::{Event, Exit, signal_name};
use crate::fleet::Replaced;
use crate::fleet::{self, Phase, Step};
use crate::ids::{SlotIndex, WorkerId};
use crate::monitor::data::stats::Reload;
use crate::options::calls;
use crate::process::control::server::Reply;
use crate::process::spawn::Launch;
use crate::timestamp::Timestamp;

/// How long JavaScript may take to say with what workers are to be started.
const FRESH_SETTINGS: Duration = Duration::from_millis(500);
/// How long a reload that failed waits for the worker's death, which tells the reason.
const REASON_PATIENCE: Duration = Duration::from_secs(1);

/// A caller that waits for an answer.
#[derive(Debug)]
pub enum Requester {
    /// A promise, by its ticket.
    JavaScript(u32),
    /// Another process.
    Control(Reply),
}

/// Everything about reloads that outlasts one input.
#[derive(Debug, Default)]
pub(super) struct Requesters {
    /// Variables that reloads have set for all later workers, or taken away.
    env: BTreeMap<String, Option<String>>,
    /// Requests that wait for fresh settings, and until when.
    waiting: Vec<(Instant, calls::Reload, Requester)>,
    running: Option<Running>,
    failed: Option<Failed>,
    /// Reloads that begin when the last old worker of the one that runs is gone.
    next: Vec<(calls::Reload, Option<Launch>, Requester)>,
    /// Who calls off the reload that is under way.
    cancelled_by: Option<String>,
}

/// A reload under way.
#[derive(Debug)]
struct Running {
    requesters: Vec<Requester>,
    began: Instant,
    /// It starts workers with settings that were not looked up afresh.
    has_stale_settings: bool,
    /// The settings that it brings.
    launch: Launch,
    env: BTreeMap<String, Option<String>>,
    /// Where each worker is, or was, and its process.
    known: HashMap<WorkerId, (Option<SlotIndex>, u32)>,
}

/// A reload that has failed and waits for the whole story.
#[derive(Debug)]
struct Failed {
    requesters: Vec<Requester>,
    worker: WorkerId,
    replaced: usize,
    until: Instant,
}

impl Requesters {
    /// When the next request goes on without fresh settings.
    fn settings_due(&self) -> Option<Instant> {
        self.waiting.iter().map(|(until, ..)| *until).min()
    }

    /// A worker was forked, or has a slot now.
    pub(super) fn note(&mut self, worker: WorkerId, slot: Option<SlotIndex>, pid: u32) {
        if let Some(running) = &mut self.running {
            running.known.insert(worker, (slot, pid));
        }
    }

    /// The settings that the reload under way brings.
    pub(super) fn new_launch(&self) -> Option<&Launch> {
        self.running.as_ref().map(|running| &running.launch)
    }

    fn take_all(&mut self) -> Vec<Requester> {
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|(.., requester)| requester);
        let running = self.running.take().map(|running| running.requesters);
        let failed = self.failed.take().map(|failed| failed.requesters);
        let next = std::mem::take(&mut self.next).into_iter().map(|(.., requester)| requester);
        let waiting = waiting.chain(next);
        waiting.chain(running.into_iter().flatten()).chain(failed.into_iter().flatten()).collect()
    }
}

impl State {
    /// Sets the number of workers; the answer is the number that is wanted from now on.
    pub(super) fn scale(&mut self, scale: calls::Scale, requester: Requester, now: Instant) {
        if !self.is_keeping() {
            return self.answer_to(requester, refusal(&Error::NotRunning));
        }
        let wanted = match scale.from(self.fleet.wanted(), &self.options) {
            Ok(wanted) => wanted,
            Err(error) => return self.answer_to(requester, refusal(&error)),
        };
        self.step(Step::Scale { wanted }, now);
        self.answer_to(requester, json!({ "ok": true, "wanted": self.fleet.wanted() }));
    }

    /// Another process asks for a reload: JavaScript is asked for fresh settings first.
    pub(super) fn ask_for_launch(&mut self, args: calls::Reload, reply: Reply, now: Instant) {
        self.requesters.waiting.push((now + FRESH_SETTINGS, args, Requester::Control(reply)));
        self.timers.follow(Due::FreshSettings, self.requesters.settings_due(), now);
        self.tell(Event::LaunchAsked);
    }

    /// JavaScript says with what workers are to be started, or why there is no telling.
    pub(super) fn hear_launch(&mut self, launch: &Result<Launch, String>, now: Instant) {
        for (_, args, requester) in std::mem::take(&mut self.requesters.waiting) {
            match launch {
                Ok(launch) => self.reload(args, Some(launch.clone()), requester, now),
                Err(problem) => self.answer_to(requester, refusal(&reload_failed(problem.clone()))),
            }
        }
    }

    /// Replaces all workers, or joins the reload that is under way; without `launch` the known settings are used.
    pub(super) fn reload(
        &mut self,
        args: calls::Reload,
        launch: Option<Launch>,
        requester: Requester,
        now: Instant,
    ) {
        if !self.is_keeping() {
            return self.answer_to(requester, refusal(&Error::NotRunning));
        }
        if args.restart && self.requesters.running.is_some() {
            if !self.fleet.is_replacing() {
                // Nothing is left to be called off: the new release comes when the last old worker is gone.
                self.requesters.next.push((args, launch, requester));
                return;
            }
            self.step(Step::CancelReload, now);
        }
        if let Some(running) = &mut self.requesters.running {
            running.requesters.push(requester);
            return;
        }
        let known = self.workers.iter().map(|(id, worker)| (id, (worker.slot, worker.pid()))).collect();
        let mut env = self.requesters.env.clone();
        env.extend(args.env);
        let has_stale_settings = launch.is_none();
        let mut launch = launch.unwrap_or_else(|| self.launch.clone());
        launch.overlay(&env);
        let script = launch.script.clone();
        let requesters = vec![requester];
        self.requesters.running =
            Some(Running { requesters, began: now, has_stale_settings, launch, env, known });
        self.stats.lock().reload = Some(Reload { began: Timestamp::now(), has_stale_settings });
        if has_stale_settings {
            let late = FRESH_SETTINGS.as_millis();
            self.warn(
                format!(
                    "the master's event loop was blocked for {late} ms: the reload starts the script of before, in the \
                     directory and with the environment of before"
                ),
                json!({ "script": script }),
            );
        }
        self.remember("reload", None, format!("every worker is being replaced, {}", args.strategy.name()));
        self.step(Step::Reload { strategy: strategy(args.strategy) }, now);
    }

    /// The fleet has replaced everybody.
    pub(super) fn reload_done(&mut self, replaced: &[Replaced], now: Instant) {
        let Some(running) = self.end_reload(true) else { return };
        let since = |at: Instant| millis(at.saturating_duration_since(running.began));
        let shown = |one: &Replaced| {
            let (slot, new_pid) = running.known.get(&one.new)?;
            let (_, old_pid) = running.known.get(&one.old)?;
            Some(json!({
                "slot": slot.map(|slot| slot.0),
                "oldPid": old_pid,
                "newPid": new_pid,
                "startMs": since(one.started),
                "readyMs": since(one.ready),
                "goneMs": since(one.gone),
            }))
        };
        let workers: Vec<Value> = replaced.iter().filter_map(shown).collect();
        let took = now.saturating_duration_since(running.began).as_secs_f64();
        self.remember("reloaded", None, format!("{} workers replaced in {took:.1} s", workers.len()));
        let mut answer = json!({ "ok": true, "workers": workers, "ms": since(now) });
        if let (true, Some(answer)) = (running.has_stale_settings, answer.as_object_mut()) {
            answer.insert("staleSettings".to_owned(), true.into());
        }
        for requester in running.requesters {
            self.answer_to(requester, answer.clone());
        }
        if !self.requesters.next.is_empty() {
            self.timers.set(Due::NextReload, now, now);
        }
    }

    /// A reload has ended on which others waited.
    pub(super) fn begin_next_reload(&mut self, now: Instant) {
        for (args, launch, requester) in std::mem::take(&mut self.requesters.next) {
            self.reload(calls::Reload { restart: false, ..args }, launch, requester, now);
        }
    }

    /// The fleet has stopped a reload; why is told when the worker that failed is dead.
    pub(super) fn reload_failed(&mut self, worker: WorkerId, replaced: usize, now: Instant) {
        let Some(Running { requesters, .. }) = self.end_reload(replaced > 0) else { return };
        self.tell_failure(true);
        let until = now + REASON_PATIENCE;
        self.requesters.failed = Some(Failed { requesters, worker, replaced, until });
        self.timers.set(Due::FailedReload, until, now);
        // What sent a worker away is known at once, and its exit, which follows from that, tells nothing more.
        self.tell_failure(false);
    }

    /// A reload ends, and its settings stay or not; gives what it was.
    fn end_reload(&mut self, is_kept: bool) -> Option<Running> {
        let running = self.requesters.running.take()?;
        self.stats.lock().reload = None;
        if is_kept {
            self.launch.clone_from(&running.launch);
            self.requesters.env.clone_from(&running.env);
        }
        Some(running)
    }

    /// Calls off the reload that is under way, or answers that there is none.
    pub(super) fn cancel_reload(&mut self, by: &str, requester: Requester, now: Instant) {
        let problem = match (&self.requesters.running, self.fleet.is_replacing()) {
            (Some(_), true) => {
                self.requesters.cancelled_by = Some(by.to_owned());
                self.step(Step::CancelReload, now);
                return self.answer_to(requester, json!({ "ok": true }));
            }
            (Some(_), false) => "every worker has been replaced, and the last old ones drain",
            (None, _) => "none is under way",
        };
        self.answer_to(requester, refusal(&Error::NoReload { problem: problem.into() }));
    }

    /// The fleet has called off the reload.
    pub(super) fn reload_cancelled(&mut self, replaced: usize) {
        let by = self.requesters.cancelled_by.take().map(|by| format!("by {by}"));
        let by = by.unwrap_or_else(|| "a new one takes its place".to_owned());
        let Some(Running { requesters, .. }) = self.end_reload(replaced > 0) else { return };
        let error = Error::ReloadCancelled { problem: format!("{by}; {}", fate(replaced)) };
        self.remember("reload cancelled", None, format!("{by}; {}", fate(replaced)));
        for requester in requesters {
            self.answer_to(requester, refusal(&error));
        }
    }

    /// Looks whether it is known now why a reload failed.
    pub(super) fn advance_requesters(&mut self, now: Instant) {
        let is_late = self.requesters.failed.as_ref().is_some_and(|failed| failed.until <= now);
        self.tell_failure(is_late);
    }

    /// JavaScript did not say in time with what workers are to be started: the known settings must do.
    pub(super) fn use_known_settings(&mut self, now: Instant) {
        let waiting = std::mem::take(&mut self.requesters.waiting);
        let (due, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(until, ..)| *until <= now);
        self.requesters.waiting = waiting;
        self.timers.follow(Due::FreshSettings, self.requesters.settings_due(), now);
        for (_, args, requester) in due {
            self.reload(args, None, requester, now);
        }
    }

    /// Nothing will be reloaded any more.
    pub(super) fn abandon_reloads(&mut self) {
        self.stats.lock().reload = None;
        for requester in self.requesters.take_all() {
            self.answer_to(requester, refusal(&Error::NotRunning));
        }
    }

    /// Tells why a reload failed if that is known, or at any rate `now`.
    fn tell_failure(&mut self, now: bool) {
        let Some(failed) = &self.requesters.failed else { return };
        let worker = self.workers.get(failed.worker);
        // A worker that still lives and has told its error was sent away because of it.
        if worker.is_some_and(|worker| worker.reason.is_none() && worker.last_words.is_none()) && !now {
            return;
        }
        let Some(failed) = self.requesters.failed.take() else { return };
        let worker = self.workers.get(failed.worker);
        let reason = match worker {
            Some(worker) => worker
                .reason
                .clone()
                .or_else(|| Some(format!("uncaught exception: {}", worker.last_words.as_ref()?)))
                .unwrap_or_else(|| "it left".to_owned()),
            None => self.spawn_problem.take().unwrap_or_else(|| "it could not be started".to_owned()),
        };
        let (pid, exit) = (worker.map(Worker::pid), worker.and_then(|worker| worker.exit));
        let error = reload_failed(format!("a new worker failed ({reason}); {}", fate(failed.replaced)));
        let (exit_code, signal) = match exit {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(signal)) => (None, Some(signal_name(signal))),
            None => (None, None),
        };
        let facts = json!({ "pid": pid, "exitCode": exit_code, "signal": signal, "reason": reason });
        let mut answer = refusal(&error);
        if let (Some(answer), Some(facts)) = (answer.as_object_mut(), facts.as_object()) {
            answer.insert("facts".to_owned(), Value::from(facts.clone()));
        }
        self.warn(error.to_string(), with_code(facts, &error));
        for requester in failed.requesters {
            self.answer_to(requester, answer.clone());
        }
    }

    /// The control socket's `recycle`, of the worker `{"pid": ...}`.
    pub(super) fn recycle_by_pid(&mut self, args: &Value, reply: Reply, now: Instant) {
        let pid = args.get("pid").and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok());
        let found = pid.and_then(|pid| self.workers.with_pid(pid));
        let found = found.filter(|worker| self.is_keeping() && self.fleet.takes_clients(*worker));
        let Some(worker) = found else {
            let message = "no worker with that pid is in service";
            return reply
                .send(json!({ "ok": false, "code": "ERR_CLUSTER2_WORKER_GONE", "message": message }));
        };
        self.step(Step::Recycle { worker, why: fleet::RecycleReason::Asked }, now);
        reply.send(json!({ "ok": true }));
    }

    fn answer_to(&self, requester: Requester, answer: Value) {
        match requester {
            Requester::JavaScript(ticket) => self.tell(Event::Answered { ticket, answer }),
            Requester::Control(reply) => reply.send(answer),
        }
    }

    fn is_keeping(&self) -> bool {
        self.fleet.phase() == Phase::Running && !self.is_over
    }
}

/// An error as an answer.
pub(super) fn refusal(error: &Error) -> Value {
    json!({ "ok": false, "code": error.code(), "message": error.to_string() })
}

/// What the end of a reload means for the service.
fn fate(replaced: usize) -> String {
    match replaced {
        0 => "the old workers serve on".to_owned(),
        1 => "1 worker had been replaced, the other old ones serve on".to_owned(),
        more => format!("{more} workers had been replaced, the other old ones serve on"),
    }
}

fn reload_failed(problem: String) -> Error {
    Error::ReloadFailed { problem }
}

fn with_code(mut facts: Value, error: &Error) -> Value {
    if let Some(facts) = facts.as_object_mut() {
        facts.insert("code".to_owned(), error.code().into());
    }
    facts
}

fn strategy(wanted: calls::Strategy) -> fleet::Strategy {
    match wanted {
        calls::Strategy::Rolling => fleet::Strategy::Rolling,
        calls::Strategy::AllFirst => fleet::Strategy::AllFirst,
    }
}
