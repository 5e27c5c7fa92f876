//! Answers what workers say.
//!
//! Node's part of the protocol is answered here and now, whatever the event loop of the master does. What the application
//! should know goes on as events, and what changes a worker's life goes to the fleet.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use serde_json::json;

use super::state::State;
use super::timers::Due;
use super::workers::{Question, Readiness, Worker};
use crate::ecv::Change;
use crate::event::{Event, ListeningAddress};
use crate::fleet::{self, Forks, Phase, Step};
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::frame::MAX_LINE;
use crate::ipc::message::{FromAgent, ToMaster, ToWorker};
use crate::os::ending::is_ending;
use crate::os::reserve::{TRY_AGAIN, is_want_of_descriptors};
use crate::timestamp::Timestamp;

/// How long a worker whose channel ended with it may take to be reaped.
const ENDING: Duration = Duration::from_secs(1);
/// How long a script that has loaded our package and listens may take to make a `Cluster`, for which it may read its
/// configuration first.
const ANNOUNCEMENT: Duration = Duration::from_secs(1);

/// How much is shown of what is wrong with a message, in characters: it may quote all of it.
const PROBLEM_SHOWN: usize = 200;

impl State {
    /// One message of the protocol.
    pub(super) fn hear(&mut self, id: WorkerId, message: ToMaster, fd: Option<OwnedFd>, now: Instant) {
        match message {
            ToMaster::Online => self.publish(Event::Online { worker: id }),
            ToMaster::QueryServer { seq, query, data } => {
                self.lend_or_wait(id, Question { seq, query, data }, now);
            }
            ToMaster::Listening(address) => self.server_listens(id, address, now),
            ToMaster::Close { key } => {
                let is_one_starting = self
                    .fleet
                    .workers()
                    .any(|view| view.state == fleet::MemberState::Starting && view.slot.is_some());
                self.connections.socket_closed(id, &key, is_one_starting);
            }
            ToMaster::ExitedAfterDisconnect { seq } => self.let_go(id, seq, now),
            ToMaster::Accepted { ack, accepted } => {
                self.connections.turned(id, false, now);
                self.connections.handed_over(id, ack, accepted);
            }
            ToMaster::Excess { seq } => {
                // It is handed on as a copy. One for which no descriptor is left would wait here, so its worker serves it;
                // and one that comes when the sockets are closed, or will be in a moment, finds nobody else.
                let is_running = self.fleet.phase() == Phase::Running;
                let pair = fd.filter(|_| is_running).and_then(|fd| Some((fd.try_clone().ok()?, fd)));
                self.workers.say(id, &ToWorker::Excess { ack: seq, is_taken: pair.is_some() });
                match pair {
                    Some((copy, fd)) => self.connections.take_excess(id, fd, copy, now),
                    None if is_running => self.reserve.note_shortage(),
                    None => {}
                }
            }
            ToMaster::Agent(said) => self.hear_agent(id, said, now),
            ToMaster::Malformed { problem } => {
                let Some(worker) = self.workers.get_mut(id) else { return };
                let pid = worker.pid();
                if !std::mem::replace(&mut worker.is_misunderstood, true) {
                    let problem: String = problem.chars().take(PROBLEM_SHOWN).collect();
                    self.warn(
                        format!("worker {id} said something that is not understood: {problem}"),
                        json!({ "pid": pid }),
                    );
                }
            }
            // The channel has seen to the first two, and the task that reads to the third; the last is a later Node's.
            ToMaster::HandleAck | ToMaster::HandleNack | ToMaster::AppHandle { .. } | ToMaster::Unknown => {}
        }
    }

    /// A message was dropped for its length.
    pub(super) fn message_dropped(&self, id: WorkerId) {
        let pid = self.workers.get(id).map(Worker::pid);
        let most = MAX_LINE / (1024 * 1024);
        self.warn(
            format!("a message of worker {id} was dropped: it is longer than {most} MiB"),
            json!({ "pid": pid }),
        );
    }

    fn hear_agent(&mut self, id: WorkerId, said: FromAgent, now: Instant) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        let pid = worker.pid();
        match said {
            FromAgent::Loaded => {
                worker.readiness = Readiness::FirstServerUnlessAnnounced;
                worker.has_package = true;
                self.connections.has_package(id);
            }
            FromAgent::Announces => {
                worker.readiness = Readiness::HandOver;
                // By the clock that judges it, which may have stood still.
                let forked = now.checked_sub(worker.forked.age(Timestamp::now())).unwrap_or(now);
                self.timers.set(Due::ReadyWithoutListen(id), self.almost_late(forked), now);
            }
            FromAgent::Hello { hands_over } => {
                worker.takes_orders = true;
                if self.forks == Forks::Kept {
                    worker.readiness = if hands_over { Readiness::HandOver } else { Readiness::FirstServer };
                }
                worker.has_package = true;
                self.connections.has_package(id);
                self.greet(id);
            }
            FromAgent::Listening { ready } => {
                worker.apps_listening += 1;
                // Before the application hears of it: whatever it does about this worker then concerns one in service.
                if ready {
                    self.ready(id, now);
                }
                self.is_snapshot_outdated = true;
                self.publish(Event::Listening { worker: id, pid });
            }
            FromAgent::Quiet => self.step(Step::Quiet { worker: id }, now),
            FromAgent::Ready => self.ready(id, now),
            FromAgent::Leaving => {
                worker.is_signalled = true;
                self.step(Step::Leaving { worker: id }, now);
            }
            FromAgent::Recycle { why } => self.step(Step::Recycle { worker: id, why }, now),
            FromAgent::Ahead { is_ahead } => self.connections.set_ahead(id, is_ahead),
            FromAgent::Unwatched { key, slot } => self.connections.unwatched(id, &key, slot),
            FromAgent::Turned => self.connections.turned(id, true, now),
            FromAgent::Component { fact } => self.publish(Event::Component { worker: id, fact }),
            FromAgent::Fatal { text } => worker.last_words = Some(text),
            FromAgent::Rotate { seq, disabled, by, reason } => {
                let change = Change::new(&by, Timestamp::now(), reason.as_deref());
                self.rotate_for(id, seq, disabled, change);
            }
            FromAgent::Warning { message } => self.warn(message, json!({ "pid": pid })),
        }
    }

    fn ready(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        if worker.slot.is_none() {
            worker.needs_no_socket = true;
            self.warm(id, now);
            return;
        }
        worker.ready.get_or_insert_with(Timestamp::now);
        self.connections.drop_unclaimed();
        self.heartbeat.begin(self.options.heartbeat_interval, now);
        // If it relieves one that hung: is that to be killed, or can it drain?
        self.look_for_turning(now);
        self.step(Step::Ready { worker: id }, now);
    }

    /// A server of the worker listens. Where the script hands servers over to our package, the worker is ready when these
    /// listen, whatever else does; else its first server makes it ready.
    fn server_listens(&mut self, id: WorkerId, address: Box<ListeningAddress>, now: Instant) {
        let any = self.bound_for_any(&address);
        let Some(worker) = self.workers.get_mut(id) else { return };
        let is_first = !std::mem::replace(&mut worker.listens, true);
        let readiness = worker.readiness;
        self.publish(Event::ServerListening { worker: id, address, any });
        match readiness {
            Readiness::FirstServer if is_first => self.ready_by_itself(id, now),
            Readiness::FirstServerUnlessAnnounced if is_first => {
                self.timers.set(Due::ReadyUnlessAnnounced(id), now + ANNOUNCEMENT, now);
            }
            Readiness::FirstServer | Readiness::FirstServerUnlessAnnounced | Readiness::HandOver => {}
        }
    }

    /// The address behind a TCP server that named none: all of the machine, with IPv6 where there is IPv6.
    fn bound_for_any(&self, asked: &ListeningAddress) -> Option<IpAddr> {
        if !asked.address.is_null() || !asked.address_type.is_number() {
            return None;
        }
        let port = asked.port.as_u64()?;
        let tcp = self.connections.addresses().into_iter().filter(|bound| bound.kind.starts_with("tcp"));
        let mut all = tcp.filter_map(|bound| bound.address).filter(|at| at.ip().is_unspecified());
        all.find(|at| u64::from(at.port()) == port).map(|at| at.ip())
    }

    /// A worker that hands nothing over is ready with its first server.
    pub(super) fn ready_by_itself(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get(id) else { return };
        if worker.readiness == Readiness::HandOver {
            return;
        }
        let pid = worker.pid();
        self.publish(Event::Listening { worker: id, pid });
        self.ready(id, now);
    }

    /// A script that is run as it is may open no server at all. Where no worker of the cluster has ever asked for a socket,
    /// a worker whose loop turns is taken for ready; else it is late.
    pub(super) fn ready_without_server(&mut self, id: WorkerId, now: Instant) {
        let is_starting = self.fleet.state_of(id) == Some(fleet::MemberState::Starting);
        let Some(worker) = self.workers.get(id).filter(|worker| is_starting && worker.takes_orders) else {
            return;
        };
        let is_served = !worker.listens && self.connections.addresses().is_empty();
        if !is_served || self.loop_stands_still(id) {
            return;
        }
        self.ready_after_all(id, "has opened no server", now);
    }

    /// A script that made a `Cluster` may serve without it: by servers of its own, while nothing calls `listen` of the
    /// `Cluster`. Such a worker is taken for ready at last. Until then `listen` may still come.
    pub(super) fn ready_without_listen(&mut self, id: WorkerId, now: Instant) {
        let is_starting = self.fleet.state_of(id) == Some(fleet::MemberState::Starting);
        let serves = |worker: &Worker| !worker.takes_orders && worker.listens;
        if is_starting && self.workers.get(id).is_some_and(serves) {
            self.ready_after_all(id, "listens by itself and has not called listen() of its Cluster", now);
        }
    }

    fn ready_after_all(&mut self, id: WorkerId, what: &str, now: Instant) {
        let Some(pid) = self.workers.get(id).map(Worker::pid) else { return };
        let waited = self.options.start_timeout.as_secs();
        self.warn(
            format!("worker {id} {what} within {waited} s: it counts as ready all the same"),
            json!({ "pid": pid }),
        );
        self.publish(Event::Listening { worker: id, pid });
        self.ready(id, now);
    }

    /// Lends a socket. A worker that has no slot, so no socket, waits for the answer until it has. That is how a spare
    /// stands by: it has run all of the script up to the moment where it would listen.
    fn lend_or_wait(&mut self, id: WorkerId, question: Question, now: Instant) {
        match self.workers.get_mut(id) {
            Some(spare) if spare.slot.is_none() => {
                spare.questions.push(question);
                self.warm(id, now);
            }
            Some(_) => self.lend(id, question, now),
            None => {}
        }
    }

    fn warm(&mut self, id: WorkerId, now: Instant) {
        let before = self.fleet.state_of(id);
        self.step(Step::Warm { worker: id }, now);
        let after = self.fleet.state_of(id);
        let pid = self.workers.get(id).map(Worker::pid);
        if let (Some(pid), true) = (pid, after == Some(fleet::MemberState::Spare) && before != after) {
            self.publish(Event::Spare { worker: id, pid });
        }
    }

    /// A spare takes over a slot: it gets the answers that it waited for. Gives what it had said before it had a slot.
    pub(super) fn let_listen(&mut self, id: WorkerId, slot: SlotIndex, now: Instant) -> Option<Step> {
        let worker = self.workers.get_mut(id)?;
        worker.slot = Some(slot);
        let (pid, needs_no_socket) = (worker.pid(), worker.needs_no_socket);
        let questions = std::mem::take(&mut worker.questions);
        self.connections.add(id, slot, worker.has_package);
        self.requesters.note(id, Some(slot), pid);
        for question in questions {
            self.lend(id, question, now);
        }
        needs_no_socket.then_some(Step::Ready { worker: id })
    }

    fn lend(&mut self, id: WorkerId, question: Question, now: Instant) {
        let Question { seq, query, data } = question;
        // It closes its channel as soon as it can, and Node can't take a socket after that.
        if self.forks == Forks::Ordered && self.fleet.is_departing(id) {
            return;
        }
        if self.fleet.phase() != Phase::Running || self.fleet.is_ending(id) {
            // Every socket is closed or about to be, so a late worker must not bind anew. And one that was told to end
            // while it booted asks before it hears of that: it would listen for a moment, and cut its clients off.
            let error = io::Error::from_raw_os_error(libc::ECANCELED);
            self.connections.refuse(id, seq, data, &error);
            return;
        }
        match self.reserve.run(|| self.connections.lend(id, seq, &query, &data)) {
            Ok(true) => self.step(Step::Lent { worker: id }, now),
            Ok(false) => {}
            // A worker that is refused its socket ends, so this one waits.
            Err(error) if is_want_of_descriptors(&error) => {
                if let Some(worker) = self.workers.get_mut(id) {
                    worker.questions.push(Question { seq, query, data });
                }
                self.timers.set(Due::LendAgain, now + TRY_AGAIN, now);
            }
            Err(error) => self.connections.refuse(id, seq, data, &error),
        }
    }

    /// Answers workers that wait for a socket although they have a slot: descriptors were short.
    pub(super) fn lend_again(&mut self, now: Instant) {
        let waiting = |worker: &Worker| worker.slot.is_some() && !worker.questions.is_empty();
        let ids: Vec<WorkerId> =
            self.workers.iter().filter(|(_, worker)| waiting(worker)).map(|(id, _)| id).collect();
        for id in ids {
            let questions = self.workers.get_mut(id).map(|worker| std::mem::take(&mut worker.questions));
            for question in questions.unwrap_or_default() {
                self.lend(id, question, now);
            }
        }
    }

    /// `disconnect()` or `kill()` of the worker itself: it waits for the nod.
    fn let_go(&mut self, id: WorkerId, seq: u64, now: Instant) {
        self.workers.say(id, &ToWorker::Ack { ack: seq });
        self.step(Step::Departing { worker: id }, now);
        self.publish(Event::LeavesOnPurpose { worker: id });
    }

    /// The channel of a worker has ended. A worker that announced that departs; one whose process ends goes with it, and how
    /// is known in a moment. With any other the channel is lost while it lives, which is a failure.
    pub(super) fn channel_ended(&mut self, id: WorkerId, now: Instant) {
        if !self.workers.cut_off(id) {
            return;
        }
        self.connections.remove(id);
        self.publish(Event::Disconnected { worker: id });
        let Some(worker) = self.workers.get(id) else { return };
        if worker.exit.is_none() {
            if self.fleet.is_departing(id) {
                self.step(Step::Disconnected { worker: id }, now);
            } else if is_ending(worker.pid()) {
                self.timers.set(Due::ChannelEnded(id), now + ENDING, now);
            } else {
                self.step(Step::ChannelLost { worker: id }, now);
            }
        }
        self.workers.forget_if_done(id);
    }

    /// A worker whose channel ended as if it were dying has not died of it.
    pub(super) fn still_lives(&mut self, id: WorkerId, now: Instant) {
        if self.workers.get(id).is_some_and(|worker| worker.exit.is_none()) {
            self.step(Step::ChannelLost { worker: id }, now);
        }
    }
}
