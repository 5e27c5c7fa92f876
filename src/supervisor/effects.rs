//! Does what the fleet wants done.
//!
//! One small function per effect. Effects that fail come back as inputs for the fleet. A graceful shutdown passes through
//! the [`Door`]: nothing new is let in, what the kernel had already accepted is taken, and only then are workers told to
//! drain and the sockets closed, so that no connection is reset unseen.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::event::{Event, Undelivered};
use crate::fleet::{self, Cause, Effect, Phase, Policy, Report};
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::channel::{self, Heard, Listener};
use crate::ipc::message::ToWorker;
use crate::options::{Options, Restart};
use crate::process::exit::{Child, Exit};
use crate::process::spawn::{Place, Spawned};
use crate::scoreboard::RowIndex;
use crate::scoreboard::layout::Field;
use crate::supervisor::Input;
use crate::supervisor::crew::{Leave, Worker};
use crate::supervisor::state::State;
use crate::supervisor::watch::cause::Evidence;

/// How long a queue may take to be emptied when the door has shut.
const QUEUES: Duration = Duration::from_secs(2);
/// How often the queues are looked at meanwhile.
const LOOK: Duration = Duration::from_millis(2);
/// How long the sockets of a slot that was given up are kept for handshakes under way: longer than a round trip takes.
const RETIRING: Duration = Duration::from_secs(1);
/// How long they are kept at most while somebody still waits there whom no worker can take.
const LONGEST_RETIRING: Duration = Duration::from_secs(5);
/// How long the death of a process waits for the end of its channel, in which its last words may be.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// How long the first successor of a reload must live before old workers go.
const SETTLE: Duration = Duration::from_millis(1500);
/// The same where nothing is pending in it that could still end it; time enough for its first clients to do so.
const QUIET_SETTLE: Duration = Duration::from_millis(250);

/// A slot that was given up and whose sockets are kept for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retiring {
    pub(crate) slot: SlotIndex,
    /// When to close them if nobody waits there.
    pub(crate) at: Instant,
    /// When to close them in any case.
    pub(crate) by: Instant,
}

/// Whether new connections may still come in.
#[derive(Debug)]
pub(crate) enum Door {
    Open,
    /// Nothing new gets in; the workers that shall drain wait until the queues are empty.
    Closing {
        since: Instant,
        drains: Vec<WorkerId>,
    },
    Shut,
}

impl Door {
    pub(crate) fn closing(now: Instant) -> Self {
        Self::Closing { since: now, drains: Vec::new() }
    }

    pub(crate) fn is_shut(&self) -> bool {
        matches!(self, Self::Shut)
    }

    pub(crate) fn next_look(&self) -> Option<Instant> {
        matches!(self, Self::Closing { .. }).then(|| Instant::now() + LOOK)
    }
}

/// What the options mean for the fleet.
pub(crate) fn policy(options: &Options) -> Policy {
    Policy {
        wanted: usize::from(options.no_workers.get()),
        spares: usize::from(options.spares),
        restart: match options.restart {
            Restart::OnFailure => fleet::Restart::OnFailure,
            Restart::Always => fleet::Restart::Always,
        },
        start_timeout: options.start_timeout,
        drain_timeout: options.shutdown_timeout,
        recycle_timeout: options.recycle_timeout,
        kill_timeout: options.kill_timeout,
        backoff: crate::fleet::backoff::Policy::default(),
        settle: SETTLE,
        quiet_settle: QUIET_SETTLE,
        seed: u64::from(std::process::id()),
    }
}

impl State {
    /// Does one thing; what failed comes back as news for the fleet.
    pub(crate) fn perform(&mut self, effect: Effect, now: Instant) -> Option<fleet::Input> {
        match effect {
            Effect::Spawn { worker, slot, purpose } => {
                self.none_left = false;
                self.count_fork(slot, purpose);
                // A slot that was given up a moment ago is needed again, and so are its sockets.
                self.retiring.retain(|retiring| Some(retiring.slot) != slot);
                return self.fork(worker, slot, now);
            }
            Effect::Serve { worker, slot } => {
                self.count_fork(Some(slot), fleet::Purpose::Refill);
                self.retiring.retain(|retiring| retiring.slot != slot);
                return self.let_listen(worker, slot);
            }
            Effect::Drain { worker, .. } => self.ask_to_drain(worker),
            Effect::End { worker } => self.say(worker, &ToWorker::End),
            Effect::Kill { worker } => {
                if let Some(worker) = self.crew.get(&worker) {
                    // It may be a zombie that is not reaped yet, which is dead enough.
                    let _ = worker.child.signal(libc::SIGKILL);
                }
            }
            Effect::CloseSlot { slot } => {
                self.retiring.push(Retiring { slot, at: now + RETIRING, by: now + LONGEST_RETIRING });
            }
            Effect::CloseSockets => {
                self.handoff.forget();
                self.sockets.close_all();
            }
            Effect::Report(report) => self.report(&report, now),
        }
        None
    }

    fn fork(&mut self, id: WorkerId, slot: Option<SlotIndex>, now: Instant) -> Option<fleet::Input> {
        let spawned = self.spawn(id).and_then(|spawned| {
            let failed = |source| crate::error::Error::Spawn { exec: self.launch.exec_path.clone(), source };
            let child = Child::watch(spawned.pid).map_err(failed)?;
            let (speaker, listener) = channel::open(spawned.channel).map_err(failed)?;
            Ok((child, speaker, listener))
        });
        let (child, speaker, listener) = match spawned {
            Ok(spawned) => spawned,
            Err(error) => {
                self.release_row(id);
                self.spawn_problem = Some(error.to_string());
                self.warn(error.to_string(), json!({ "code": error.code() }));
                return Some(fleet::Input::SpawnFailed { worker: id });
            }
        };
        let child = Rc::new(child);
        self.speakers.insert(id, speaker.clone());
        self.tasks.spawn(speaker.clone().write_out());
        let (inputs, undelivered, publish) =
            (self.inputs.clone(), self.undelivered.clone(), Rc::clone(&self.publish));
        let (reading, all_read) = oneshot::channel::<()>();
        self.tasks.spawn(async move {
            listen(id, listener, inputs, undelivered, publish).await;
            drop(reading);
        });
        self.tasks.spawn(await_exit(id, Rc::clone(&child), all_read, self.inputs.clone()));
        let pid = child.pid();
        self.releases.note(id, slot, pid);
        self.crew.insert(id, Worker::new(slot, child, speaker, now));
        if let Some(Err(error)) = self.pids.as_ref().map(|pids| pids.worker_started(pid)) {
            self.warn(format!("cannot write the pid file of worker {id}: {error}"), json!({ "pid": pid }));
        }
        self.publish(Event::Forked { worker: id, pid });
        None
    }

    /// Starts the process, with a row of the scoreboard where there is one left.
    fn spawn(&self, id: WorkerId) -> Result<Spawned, crate::error::Error> {
        let Some(board) = &self.scoreboard else { return self.launch.spawn(id.0, None) };
        let mut board = board.borrow_mut();
        let row = board.assign(id).map(RowIndex::get);
        self.launch.spawn(id.0, row.map(|row| Place { board: board.fd(), row }))
    }

    fn release_row(&self, id: WorkerId) {
        if let Some(board) = &self.scoreboard {
            board.borrow_mut().release(id);
        }
    }

    fn ask_to_drain(&mut self, id: WorkerId) {
        if let Door::Closing { drains, .. } = &mut self.door {
            drains.push(id);
            return;
        }
        let why = self.drain_reason(id);
        if let Some(worker) = self.worker_mut(id) {
            if worker.leave == Leave::No {
                worker.leave = Leave::Ordered;
            }
            // Without our library in it, Node's own order to leave must do.
            let order = if worker.has_agent { ToWorker::Drain { why } } else { ToWorker::Disconnect };
            worker.speaker.say(&order);
            self.pending.steering = true;
        }
    }

    fn drain_reason(&self, id: WorkerId) -> &'static str {
        match self.crew.get(&id) {
            _ if self.fleet.phase() != Phase::Running => "shutdown",
            Some(worker) if worker.leave == Leave::Signalled => "leave",
            Some(_) | None => "recycle",
        }
    }

    pub(crate) fn say(&self, id: WorkerId, message: &ToWorker) {
        if let Some(worker) = self.crew.get(&id) {
            worker.speaker.say(message);
        }
    }

    /// Shuts the door for good once the queues are empty or have had their time.
    pub(crate) fn watch_door(&mut self, now: Instant) {
        let Door::Closing { since, drains } = &mut self.door else { return };
        let age = now.saturating_duration_since(*since);
        let is_empty = self.handoff.is_idle() && self.sockets.may_close(now);
        if !is_empty && age < QUEUES {
            return;
        }
        let drains = std::mem::take(drains);
        self.door = Door::Shut;
        for worker in drains {
            self.ask_to_drain(worker);
        }
        self.handoff.forget();
        self.sockets.close_all();
    }

    /// Closes the sockets of slots that were given up, when nobody waits there any more.
    pub(crate) fn retire_slots(&mut self, now: Instant) {
        if self.retiring.iter().all(|retiring| retiring.at > now) {
            return;
        }
        let queues = self.sockets.waiting();
        let has_queue = |slot: SlotIndex| queues.iter().any(|(_, waiting)| *waiting == slot);
        for retiring in std::mem::take(&mut self.retiring) {
            let Retiring { slot, at, by } = retiring;
            if at > now {
                self.retiring.push(retiring);
                continue;
            }
            if has_queue(slot) && by > now {
                self.retiring.push(Retiring { at: now + LOOK, ..retiring });
                continue;
            }
            self.handoff.unwatch_slot(slot);
            self.sockets.close_slot(slot);
            self.pending.steering = true;
        }
    }

    /// A process has ended and is reaped.
    pub(crate) fn bury(&mut self, id: WorkerId, exit: Exit, now: Instant) {
        let Some(worker) = self.worker_mut(id) else { return };
        worker.exit = Some(exit);
        let pid = worker.pid();
        if let Some(pids) = &self.pids {
            pids.worker_gone(pid);
        }
        self.step(fleet::Input::Exited { worker: id, clean: exit.is_clean() }, now);
        self.release_row(id);
        self.advance_releases(now);
        self.forget_if_done(id);
    }

    /// A worker is forgotten once it is dead and its channel has been read to the end, in either order.
    pub(crate) fn forget_if_done(&mut self, id: WorkerId) {
        self.pending.steering = true;
        let is_done = |worker: &Worker| worker.exit.is_some() && worker.speaker.is_closed();
        if self.crew.get(&id).is_some_and(is_done) {
            self.crew.remove(&id);
        }
    }

    fn report(&mut self, report: &Report, now: Instant) {
        match *report {
            Report::Died { worker, slot, cause } => {
                self.count_death(slot, cause);
                self.report_death(worker, cause);
            }
            Report::BackingOff { slot, failures, delay } => {
                let place = slot.map_or_else(|| "spares".to_owned(), |slot| format!("slot {slot}"));
                let wait = delay.as_millis();
                self.warn(
                    format!("{place}: {failures} deaths in a row, the next start waits {wait} ms"),
                    json!({ "slot": slot.map(|slot| slot.0), "failures": failures, "delay": millis(delay) }),
                );
            }
            Report::SuccessorFailed { worker, of } => self.warn(
                format!("the successor {worker} of worker {of} failed; worker {of} stays in service"),
                json!({ "worker": of.0, "successor": worker.0 }),
            ),
            Report::NoneLeft => {
                self.none_left = true;
                self.warn(
                    "no worker is left or coming: the listening sockets are closed".into(),
                    json!({ "workers": 0 }),
                );
            }
            Report::ReloadFailed { worker, replaced } => self.reload_failed(worker, replaced, now),
            Report::ReloadDone { ref replaced } => self.reload_done(replaced, now),
            Report::WantedChanged { wanted } => {
                self.remember("scaled", None, format!("{wanted} workers wanted"));
            }
            Report::Recycling { worker, successor } => {
                let pid = self.crew.get(&worker).map(Worker::pid);
                self.remember("recycling", pid, format!("worker {worker}, by its successor {successor}"));
            }
            Report::Finished => self.is_over = true,
        }
    }

    fn report_death(&mut self, id: WorkerId, cause: Cause) {
        let Some(worker) = self.crew.get(&id) else { return };
        let exit = worker.exit.unwrap_or(Exit::Code(-1));
        let pid = worker.pid();
        let board = self.scoreboard.as_ref().map(|board| board.borrow());
        let board = board.as_deref();
        let evidence = Evidence {
            exit,
            cause,
            row: board.and_then(|board| board.row(id)).filter(|row| row.get(Field::Pid) > 0.0),
            requests: board.map_or_else(Vec::new, |board| board.requests(id)),
            last_words: board.and_then(|board| board.fatal(id)).or_else(|| worker.last_words.clone()),
            peak_rss: worker.child.peak_rss(),
            out_of_memory: exit == Exit::Signal(libc::SIGKILL) && self.oom_watch.take_kill(),
        };
        let (reason, facts) = (evidence.reason(&self.options), evidence.facts());
        if let Some(worker) = self.crew.get_mut(&id) {
            worker.reason = Some(reason.clone());
        }
        self.publish(Event::Died { worker: id, pid, exit, reason, facts });
    }
}

pub(crate) fn millis(duration: Duration) -> Value {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}

/// Carries what one worker says to the loop, and what its application says straight to JavaScript.
async fn listen(
    id: WorkerId,
    mut from: Listener,
    inputs: tokio::sync::mpsc::Sender<Input>,
    undelivered: Undelivered,
    publish: Rc<dyn Fn(Event)>,
) {
    loop {
        let input = match from.next().await {
            Heard::App(lines) => {
                // A loop that is blocked shall not find a heap of turns that are long over.
                let keeps_up = undelivered.is_nothing();
                undelivered.add(lines.len());
                publish(Event::Messages { worker: id, lines });
                undelivered.eased().await;
                if let Some(turn) = from.lend(keeps_up) {
                    publish(Event::Lent { worker: id, turn });
                }
                continue;
            }
            Heard::Said(message, fd) => Input::Said(id, message, fd),
            Heard::Closed => Input::ChannelClosed(id),
        };
        let is_last = matches!(input, Input::ChannelClosed(_));
        // A loop that has ended wants no more news.
        if inputs.send(input).await.is_err() || is_last {
            return;
        }
    }
}

/// Says that the process has ended, as a rule after its channel has been read to the end: what it said last may be why. A
/// process of the worker's own that holds the channel, or a master that is slow to listen, delays that by a moment only.
async fn await_exit(
    id: WorkerId,
    child: Rc<Child>,
    all_read: oneshot::Receiver<()>,
    inputs: tokio::sync::mpsc::Sender<Input>,
) {
    let exit = child.ended().await;
    // Either way it has ended.
    let _ = tokio::time::timeout(LAST_WORDS, all_read).await;
    // A loop that has ended wants no more news.
    let _ = inputs.send(Input::Exited(id, exit)).await;
}
