//! Does what the fleet wants done, one small function per effect.
//!
//! Effects that fail come back as steps for the fleet. The tasks that carry what a worker says, and the news of its end, to
//! the loop begin here.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::state::State;
use super::timers::Due;
use super::watch::cause::Evidence;
use super::workers::Worker;
use super::{Forked, Input};
use crate::backlog::Backlog;
use crate::event::{Event, Exit, Publish};
use crate::fleet::backoff::Spacing;
use crate::fleet::{self, DeathReason, Effect, Forks, Phase, Policy, Report, Step};
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::channel;
use crate::ipc::message::{ToMaster, ToWorker};
use crate::ipc::reader::{Incoming, Reader};
use crate::ipc::writer::Writer;
use crate::options::{Options, Restart};
use crate::os::reserve::Reserve;
use crate::process::disk::Trouble;
use crate::process::exit::Child;
use crate::process::spawn::{Identity, Place, Spawned, Unborn};
use crate::scoreboard::RowIndex;
use crate::scoreboard::layout::Field;

/// Our ends of a worker's pipes.
type Pipes = Vec<Option<OwnedFd>>;

/// How long the death of a process waits for the end of its channel, in which its last words may be.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// How long before its `startTimeout` the master decides whether a worker that did not say so is ready all the same.
const BEFORE_START_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the first successor of a reload must live before old workers go.
const SETTLE: Duration = Duration::from_millis(1500);
/// The same where nothing is pending in it that could still end it; time enough for its first clients to do so.
const QUIET_SETTLE: Duration = Duration::from_millis(250);

/// What the options mean for the fleet.
pub(super) fn policy(options: &Options, forks: Forks) -> Policy {
    Policy {
        forks,
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
        backoff: Spacing { min: options.restart_delay, ..Spacing::default() },
        settle: SETTLE,
        quiet_settle: QUIET_SETTLE,
        seed: u64::from(std::process::id()),
    }
}

impl State {
    /// Does one thing; what failed comes back as news for the fleet.
    pub(super) fn perform(&mut self, effect: Effect, now: Instant) -> Option<Step> {
        match effect {
            Effect::Spawn { worker, slot, purpose, is_new } => {
                self.none_left = false;
                self.count_fork(slot, purpose);
                if let Some(slot) = slot {
                    self.shutdown.keep(slot, &mut self.timers);
                }
                return self.fork(worker, slot, is_new, now);
            }
            Effect::Serve { worker, slot } => {
                self.count_fork(Some(slot), fleet::Purpose::Refill);
                self.shutdown.keep(slot, &mut self.timers);
                return self.let_listen(worker, slot, now);
            }
            Effect::Drain { worker, .. } => self.order_drain(worker),
            Effect::End { worker } => self.workers.say(worker, &ToWorker::End),
            Effect::Kill { worker } => self.workers.signal(worker, libc::SIGKILL),
            Effect::RefuseNew => {
                if let Err(error) = self.connections.refuse_new(now) {
                    // Clients may then still get in, and are reset when the sockets are closed.
                    self.warn(format!("cannot keep new connections out: {error}"), Value::Null);
                }
                self.shutdown.begin_closing(&mut self.timers, now);
            }
            Effect::CloseSlot { slot } => self.shutdown.retire(slot, &mut self.timers, now),
            Effect::CloseSockets => self.connections.close_all(),
            Effect::Report(report) => self.report(&report, now),
        }
        None
    }

    fn fork(&mut self, id: WorkerId, slot: Option<SlotIndex>, is_new: bool, now: Instant) -> Option<Step> {
        let (child, pipes, writer, reader, writing) = match self.spawn(id, slot, is_new) {
            Ok(spawned) => spawned,
            Err(unborn) => return Some(self.not_forked(id, unborn)),
        };
        let child = Rc::new(child);
        self.tasks.spawn(writing);
        let talk = Talk {
            id,
            writer: writer.clone(),
            backlog: Backlog::new(self.handles.clone()),
            inputs: self.inputs.clone(),
            publish: Arc::clone(&self.publish),
            reserve: Rc::clone(&self.reserve),
        };
        let (reading, all_read) = oneshot::channel::<()>();
        self.tasks.spawn(async move {
            talk.carry(reader).await;
            drop(reading);
        });
        self.tasks.spawn(await_exit(id, Rc::clone(&child), all_read, self.inputs.clone()));
        let pid = child.pid();
        self.requesters.note(id, slot, pid);
        self.workers.add(id, Worker::new(slot, child, writer));
        if let Some(slot) = slot {
            self.connections.add(id, slot, false);
        }
        let troubles = self.pids.as_mut().map(|pids| pids.worker_started(pid, now)).unwrap_or_default();
        self.warn_of_disk(troubles);
        if self.options.script.exec.is_some() && !self.options.script.wait_ready {
            self.timers.set(Due::ReadyWithoutServer(id), self.almost_late(now), now);
        }
        self.publish(Event::Forked { worker: id, pid });
        if let Some(caller) = self.fork_caller.take() {
            // A caller waits as long as it lives.
            let _ = caller.send(Forked { worker: id, process: Ok((pid, pipes)) });
        }
        None
    }

    /// Shortly before a worker that was forked at `forked` is late.
    pub(super) fn almost_late(&self, forked: Instant) -> Instant {
        forked + self.options.start_timeout.saturating_sub(BEFORE_START_TIMEOUT)
    }

    fn not_forked(&mut self, worker: WorkerId, unborn: Unborn) -> Step {
        let is_shortage = unborn.is_shortage();
        let Unborn { error, left } = unborn;
        self.release_row_after(worker, left);
        if let Some(caller) = self.fork_caller.take() {
            // A caller waits as long as it lives.
            let _ = caller.send(Forked { worker, process: Err(error) });
        } else {
            let problem = error.full_text();
            self.spawn_problem = Some(problem.clone());
            self.warn(problem, json!({ "code": error.code() }));
        }
        Step::SpawnFailed { worker, is_shortage }
    }

    pub(super) fn warn_of_disk(&self, troubles: Vec<Trouble>) {
        for trouble in troubles {
            self.warn(trouble.to_string(), json!({ "code": "ERR_CLUSTER2_PIDS" }));
        }
    }

    /// Starts the process, with a row of the scoreboard where there is one left, and opens its channel.
    fn spawn(
        &self,
        id: WorkerId,
        slot: Option<SlotIndex>,
        is_new: bool,
    ) -> Result<(Child, Pipes, Writer, Reader, impl Future<Output = ()> + 'static), Unborn> {
        let launch = self.requesters.new_launch().filter(|_| is_new).unwrap_or(&self.launch);
        let mut board = self.scoreboard.as_ref().map(|board| board.borrow_mut());
        let row = board.as_mut().and_then(|board| board.assign(id)).map(RowIndex::get);
        let place = board.as_ref().zip(row).map(|(board, row)| Place { board: board.fd(), row });
        let identity = Identity { worker: id, slot };
        let Spawned { child, channel, pipes, log_problem } =
            self.spawner.spawn(launch, identity, place, &self.reserve)?;
        if let Some(problem) = log_problem {
            self.warn(problem.full_text(), json!({ "code": problem.code() }));
        }
        match channel::open(channel, launch.serialization, self.on_shortage()) {
            Ok((writer, reader, writing)) => Ok((child, pipes, writer, reader, writing)),
            Err(source) => {
                // It has not been reaped, so it can't be missed.
                let _ = child.signal(libc::SIGKILL);
                Err(Unborn { error: launch.failed(source), left: Some(child) })
            }
        }
    }

    /// What is done while the kernel has no room for what is said to workers.
    fn on_shortage(&self) -> impl Fn() + use<> {
        let (reserve, inputs) = (Rc::clone(&self.reserve), self.inputs.clone());
        move || {
            reserve.note_shortage();
            // A full queue is worked off soon, and every turn looks whether people must be told.
            let _ = inputs.try_send(Input::Shortage);
        }
    }

    /// Gives the row of a worker that was not started away, once no process of it is left that could write it.
    fn release_row_after(&self, id: WorkerId, left: Option<Child>) {
        let Some(child) = left else { return self.release_row(id) };
        let board = self.scoreboard.clone();
        self.tasks.spawn(async move {
            child.ended().await;
            if let Some(board) = board {
                board.borrow_mut().release(id);
            }
        });
    }

    fn release_row(&self, id: WorkerId) {
        if let Some(board) = &self.scoreboard {
            board.borrow_mut().release(id);
        }
    }

    fn order_drain(&self, id: WorkerId) {
        let Some(worker) = self.workers.get(id) else { return };
        let why = match self.fleet.phase() {
            Phase::Running if worker.is_signalled => "leave",
            Phase::Running => "recycle",
            Phase::Closing | Phase::ShuttingDown | Phase::Stopping | Phase::Finished => "shutdown",
        };
        // Without our package in it, Node's own order to leave must do.
        let order = if worker.takes_orders { ToWorker::Drain { why } } else { ToWorker::Disconnect };
        worker.writer.say(&order);
    }

    /// A process has ended and is reaped.
    pub(super) fn bury(&mut self, id: WorkerId, exit: Exit, now: Instant) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        worker.exit = Some(exit);
        let pid = worker.pid();
        if let Some(pids) = &mut self.pids {
            pids.worker_gone(pid);
        }
        self.timers.cancel(Due::ChannelEnded(id));
        self.connections.remove(id);
        self.step(Step::Exited { worker: id, clean: exit.is_clean() }, now);
        self.release_row(id);
        self.advance_requesters(now);
        self.workers.forget_if_done(id);
    }

    fn report(&mut self, report: &Report, now: Instant) {
        match *report {
            Report::Died { worker, slot, cause } => {
                self.count_death(slot, cause);
                self.report_death(worker, slot, cause);
            }
            Report::BackingOff { slot, failures, delay } => {
                let place = slot.map_or_else(|| "spares".to_owned(), |slot| format!("slot {slot}"));
                let wait = delay.as_millis();
                let reason = slot.and_then(|slot| self.last_reasons.get(&slot));
                let facts = json!({
                    "slot": slot.map(|slot| slot.0),
                    "failures": failures,
                    "delay": millis(delay),
                    "reason": reason.map(|(reason, _)| reason),
                    "pid": reason.map(|(_, pid)| pid),
                });
                self.warn(
                    format!("{place}: {failures} deaths in a row, the next start waits {wait} ms"),
                    facts,
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
            Report::ReloadCancelled { replaced } => self.reload_cancelled(replaced),
            Report::ReloadDone { ref replaced } => self.reload_done(replaced, now),
            Report::WantedChanged { wanted } => {
                self.remember("scaled", None, format!("{wanted} workers wanted"));
            }
            Report::Recycling { worker, successor } => {
                let pid = self.workers.get(worker).map(Worker::pid);
                self.remember("recycling", pid, format!("worker {worker}, by its successor {successor}"));
            }
            Report::Unkillable { worker } => {
                let pid = self.workers.get(worker).map(Worker::pid);
                self.warn(
                    format!(
                        "worker {worker} does not end although it was killed; it is waited for no longer"
                    ),
                    json!({ "pid": pid }),
                );
            }
            Report::Finished => self.is_over = true,
        }
    }

    fn report_death(&mut self, id: WorkerId, slot: Option<SlotIndex>, cause: DeathReason) {
        let Some(worker) = self.workers.get(id) else { return };
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
        if let Some(worker) = self.workers.get_mut(id) {
            worker.reason = Some(reason.clone());
        }
        if let Some(slot) = slot {
            self.last_reasons.insert(slot, (reason.clone(), pid));
        }
        self.publish(Event::Died { worker: id, pid, exit, reason, facts });
    }
}

pub(super) fn millis(duration: Duration) -> Value {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}

/// Whether it becomes an event of the worker, in the order in which the worker says it.
fn is_told_to_javascript(input: &Input) -> bool {
    let Input::Said(_, message, ..) = input else { return false };
    matches!(message, ToMaster::Online | ToMaster::Listening(_) | ToMaster::ExitedAfterDisconnect { .. })
}

/// Carries what one worker says: to the loop, and what its application says straight to JavaScript.
struct Talk {
    id: WorkerId,
    writer: Writer,
    backlog: Backlog,
    inputs: tokio::sync::mpsc::Sender<Input>,
    publish: Publish,
    reserve: Rc<Reserve>,
}

impl Talk {
    async fn carry(self, mut reader: Reader) {
        let mut heard = VecDeque::new();
        loop {
            reader.read(&mut heard).await;
            while let Some(incoming) = heard.pop_front() {
                let is_last = matches!(incoming, Incoming::Closed);
                let Some(input) = self.pass_on(incoming) else { continue };
                let is_told = is_told_to_javascript(&input);
                // A loop that has ended wants no more news.
                if self.inputs.send(input).await.is_err() || is_last {
                    return;
                }
                if is_told {
                    self.until_told().await;
                }
            }
            self.backlog.has_room().await;
        }
    }

    /// What the application says next goes straight to JavaScript, and must not overtake what the loop tells of this worker.
    async fn until_told(&self) {
        let (marker, reached) = oneshot::channel();
        if self.inputs.send(Input::Reached(marker)).await.is_ok() {
            // The marker is dropped when its turn comes, or when the loop has ended.
            let _ = reached.await;
        }
    }

    /// Passes on what is JavaScript's; gives what is the loop's.
    fn pass_on(&self, incoming: Incoming) -> Option<Input> {
        let worker = self.id;
        match incoming {
            Incoming::Application(lines) => {
                let waiting = self.backlog.add(lines.len(), 0);
                (self.publish)(Event::Messages { worker, lines }, Some(waiting));
                None
            }
            Incoming::Protocol { message: ToMaster::AppHandle { kind, key, text }, fd: Some(fd), bytes } => {
                let waiting = self.backlog.add(bytes, 1);
                (self.publish)(Event::HandleMessage { worker, kind, key, text, fd }, Some(waiting));
                None
            }
            Incoming::Protocol { message, fd, bytes } => {
                Some(Input::Said(worker, message, fd, self.backlog.add(bytes, 0)))
            }
            Incoming::HandleMissing { is_fd_lost } => {
                // Node sends it again at once.
                if is_fd_lost {
                    self.reserve.let_go();
                }
                self.writer.say(&ToWorker::HandleNack);
                is_fd_lost.then_some(Input::Shortage)
            }
            Incoming::Shortage => {
                self.reserve.note_shortage();
                Some(Input::Shortage)
            }
            Incoming::TooLong => Some(Input::TooLong(worker)),
            Incoming::NotDelivered { hand_over } => Some(Input::NotDelivered(worker, hand_over?)),
            Incoming::Closed => Some(Input::ChannelClosed(worker)),
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
