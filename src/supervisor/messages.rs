//! Answers what workers say.
//!
//! Node's part of the protocol is answered here and now, whatever the event loop of the master does; what the application
//! should know goes on as events, what changes a worker's life goes to the fleet.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ecv::Change;
use crate::event::Event;
use crate::fleet::{self, Phase, Why};
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::listen::{ListeningAddress, Query};
use crate::ipc::message::{FromAgent, ToMaster, ToWorker};
use crate::socket::{Kind, ListenerId, Want};
use crate::supervisor::crew::{Leave, Loan, Question};
use crate::supervisor::state::State;
use crate::timestamp::Timestamp;

/// How long a worker whose channel ended unannounced may take to die of it.
const FAREWELL: Duration = Duration::from_secs(1);

impl State {
    /// One message of the protocol.
    pub(crate) fn hear(&mut self, id: WorkerId, message: ToMaster, fd: Option<OwnedFd>, now: Instant) {
        match message {
            ToMaster::Online => self.publish(Event::Online { worker: id }),
            ToMaster::QueryServer { seq, query, data } => {
                let query = Box::new(query.with_host(self.options.host.parse().ok()));
                self.lend_or_wait(id, Question { seq, query, data }, now);
            }
            ToMaster::Listening(address) => self.server_listens(id, address, now),
            ToMaster::Close { key } => self.take_back(id, &key),
            ToMaster::ExitedAfterDisconnect { seq } => self.let_go(id, seq),
            ToMaster::Accepted { ack, accepted } => {
                self.note_turn(id, now);
                self.settle_hand_over(id, ack, accepted);
            }
            ToMaster::HandleNack => self.give_up_oldest_hand_over(id),
            ToMaster::AppHandle { kind, text } => {
                if let Some(fd) = fd {
                    self.publish(Event::HandleMessage { worker: id, kind, text, fd });
                }
            }
            ToMaster::Excess => {
                if let Some(fd) = fd {
                    self.take_excess(id, fd, now);
                }
            }
            ToMaster::Agent(said) => self.hear_agent(id, said, now),
            // The channel has seen to the first; the second is a later Node's.
            ToMaster::HandleAck | ToMaster::Unknown => {}
        }
    }

    fn hear_agent(&mut self, id: WorkerId, said: FromAgent, now: Instant) {
        let Some(worker) = self.crew.get_mut(&id) else { return };
        let pid = worker.pid();
        match said {
            FromAgent::Hello => {
                worker.has_agent = true;
                self.greet(id);
            }
            FromAgent::Listening { ready } => {
                worker.apps_listening += 1;
                // Before the application hears of it: whatever it does about this worker then concerns one in service.
                if ready {
                    self.ready(id, now);
                }
                self.pending.showing = true;
                self.publish(Event::Listening { worker: id, pid });
            }
            FromAgent::Quiet => self.step(fleet::Input::Quiet { worker: id }, now),
            FromAgent::Ready => self.ready(id, now),
            FromAgent::Leaving { .. } => {
                worker.leave = Leave::Signalled;
                self.pending.steering = true;
                self.step(fleet::Input::Leaving { worker: id }, now);
            }
            FromAgent::Recycle { why } => {
                let why = match why.as_str() {
                    "connections" => Why::Connections,
                    "requests" => Why::Requests,
                    "memory" => Why::Memory,
                    "uptime" => Why::Uptime,
                    "exception" => Why::Exception,
                    _ => Why::Asked,
                };
                self.step(fleet::Input::Recycle { worker: id, why }, now);
            }
            FromAgent::Turned => {
                worker.asked = None;
                self.note_turn(id, now);
            }
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
        if let Some(spare) = self.crew.get_mut(&id).filter(|worker| worker.slot.is_none()) {
            spare.needs_no_socket = true;
            self.warm(id, now);
            return;
        }
        // Whatever was bound in advance and no worker asked for would let clients wait for ever.
        self.sockets.drop_unclaimed();
        self.pending.steering = true;
        if let Some(worker) = self.crew.get_mut(&id) {
            worker.ready.get_or_insert(now);
        }
        self.heartbeat.begin(self.options.heartbeat_interval, now);
        self.step(fleet::Input::Ready { worker: id }, now);
    }

    fn server_listens(&mut self, id: WorkerId, address: Box<ListeningAddress>, now: Instant) {
        let Some(worker) = self.crew.get_mut(&id) else { return };
        let is_first_without_agent = !worker.has_agent && worker.addresses.is_empty();
        let pid = worker.pid();
        let address = Box::new(address.with_host(self.options.host.parse().ok()));
        worker.addresses.push((*address).clone());
        self.pending.steering = true;
        self.publish(Event::ServerListening { worker: id, address });
        if is_first_without_agent {
            self.publish(Event::Listening { worker: id, pid });
            self.ready(id, now);
        }
    }

    /// Lends a socket; a worker that has no slot, so no socket, waits for the answer until it has. That is how a spare
    /// stands by: it has run all of the script up to the moment where it would listen.
    fn lend_or_wait(&mut self, id: WorkerId, question: Question, now: Instant) {
        let Some(spare) = self.crew.get_mut(&id).filter(|worker| worker.slot.is_none()) else {
            self.lend(id, question);
            return;
        };
        spare.questions.push(question);
        self.warm(id, now);
    }

    fn warm(&mut self, id: WorkerId, now: Instant) {
        let before = self.fleet.state_of(id);
        self.step(fleet::Input::Warm { worker: id }, now);
        let after = self.fleet.state_of(id);
        let pid = self.crew.get(&id).map(crate::supervisor::crew::Worker::pid);
        if let (Some(pid), true) = (pid, after == Some(fleet::State::Spare) && before != after) {
            self.publish(Event::Spare { worker: id, pid });
        }
    }

    /// A spare takes over a slot: it gets the answers that it waited for. Gives what it had said before it had a slot.
    pub(crate) fn let_listen(&mut self, id: WorkerId, slot: SlotIndex) -> Option<fleet::Input> {
        let worker = self.crew.get_mut(&id)?;
        worker.slot = Some(slot);
        let (pid, needs_no_socket) = (worker.pid(), worker.needs_no_socket);
        let questions = std::mem::take(&mut worker.questions);
        self.releases.note(id, Some(slot), pid);
        for question in questions {
            self.lend(id, question);
        }
        needs_no_socket.then_some(fleet::Input::Ready { worker: id })
    }

    /// Lends a worker the socket that it asks for, or tells it the kernel's reason.
    fn lend(&mut self, id: WorkerId, question: Question) {
        let Question { seq, query, data } = question;
        let Some(slot) = self.crew.get(&id).and_then(|worker| worker.slot) else { return };
        let lent = match want_of(&query) {
            // Every socket is closed or about to be: a late worker must not bind anew.
            _ if self.fleet.phase() != Phase::Running => Err(io::Error::from_raw_os_error(libc::ECANCELED)),
            want => want.and_then(|want| self.sockets.lend(&want, slot)),
        };
        let name = lent.as_ref().map_or(Value::Null, |lent| self.name_of(lent.listener));
        let Some(worker) = self.crew.get_mut(&id) else { return };
        match lent {
            Ok(lent) => {
                let key = format!("{}.{seq}", lent.listener);
                let data = self.server_data.entry(lent.listener).or_insert(data).clone();
                worker.loans.push(Loan { key: key.clone(), listener: lent.listener });
                if lent.is_handed {
                    worker.speaker.say(&ToWorker::LendNothing { ack: seq, key, data, name });
                } else {
                    worker.speaker.say_with(&ToWorker::Lend { ack: seq, key, data }, lent.fd);
                }
                self.pending.steering = true;
            }
            Err(error) => {
                let errno = -error.raw_os_error().unwrap_or(libc::EINVAL);
                worker.speaker.say(&ToWorker::Refuse { ack: seq, errno, data });
            }
        }
    }

    /// A TCP listener's address as `server.address()` shows it.
    fn name_of(&self, listener: ListenerId) -> Value {
        let bound = self.sockets.addresses().into_iter().find(|bound| bound.listener == listener);
        let address = bound.as_ref().and_then(|bound| bound.address.zip(bound.port));
        address.map_or(Value::Null, |(ip, port)| {
            json!({ "address": ip, "family": if ip.is_ipv6() { "IPv6" } else { "IPv4" }, "port": port })
        })
    }

    /// A worker closed a socket that it was lent. When the last one did so on purpose, the address is given up: clients
    /// must be refused rather than wait in a queue that nobody will empty.
    fn take_back(&mut self, id: WorkerId, key: &str) {
        let Some(worker) = self.crew.get_mut(&id) else { return };
        let Some(at) = worker.loans.iter().position(|loan| loan.key == key) else { return };
        let listener = worker.loans.swap_remove(at).listener;
        let on_purpose = worker.leave == Leave::No;
        self.pending.steering = true;
        let is_anyones = self.crew.values().any(|worker| worker.key_of(listener).is_some());
        let is_wanted =
            self.fleet.workers().any(|view| view.state == fleet::State::Starting && view.slot.is_some());
        if on_purpose && !is_anyones && !is_wanted {
            self.handoff.unwatch(listener);
            self.sockets.close(listener);
            self.server_data.remove(&listener);
        }
    }

    /// `disconnect()` or `kill()` of the worker itself: it waits for the nod.
    fn let_go(&mut self, id: WorkerId, seq: u64) {
        let Some(worker) = self.crew.get_mut(&id) else { return };
        worker.leave = Leave::Disconnecting;
        worker.speaker.say(&ToWorker::Ack { ack: seq });
        self.pending.steering = true;
        self.publish(Event::LeavesOnPurpose { worker: id });
    }

    /// The channel has ended: what was under way over it goes to others, and a worker that still lives is on its way out.
    pub(crate) fn hang_up(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.crew.get_mut(&id) else { return };
        let was_let_go = worker.leave == Leave::Disconnecting;
        worker.leave = Leave::Disconnecting;
        worker.loans.clear();
        let is_alive = worker.exit.is_none();
        let in_flight = std::mem::take(&mut worker.in_flight);
        self.handoff.take_back(in_flight);
        self.speakers.remove(id);
        self.publish(Event::Disconnected { worker: id });
        if is_alive && was_let_go {
            self.step(fleet::Input::Disconnected { worker: id }, now);
        } else if is_alive {
            // Most likely it has just died, and how will be known in a moment; if not, it is on its way out.
            self.farewells.push((id, now + FAREWELL));
        }
        self.forget_if_done(id);
    }

    /// Workers whose channel ended unannounced and who did not die of it are treated as leaving.
    pub(crate) fn say_farewells(&mut self, now: Instant) {
        let (due, waiting) = std::mem::take(&mut self.farewells).into_iter().partition(|(_, at)| *at <= now);
        self.farewells = waiting;
        for (worker, _) in due {
            if self.crew.get(&worker).is_some_and(|worker| worker.exit.is_none()) {
                self.step(fleet::Input::Disconnected { worker }, now);
            }
        }
    }
}

/// Node's question in our words.
fn want_of(query: &Query) -> io::Result<Want> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let ip = || match query.address.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => text.parse::<IpAddr>().map(Some).map_err(|_| invalid()),
    };
    let port = || u16::try_from(query.port.unwrap_or(0).max(0)).map_err(|_| invalid());
    let kind = match query.address_type.as_str() {
        Some(family) => Kind::Udp { v6: family == "udp6", address: ip()?, port: port()? },
        None if query.address_type.as_i64() == Some(-1) => {
            Kind::Unix { path: PathBuf::from(query.address.clone().ok_or_else(invalid)?) }
        }
        None => Kind::Tcp { address: ip()?, port: port()? },
    };
    Ok(Want {
        kind,
        index: query.index,
        fd: query.fd.filter(|fd| *fd >= 0),
        backlog: query.backlog.as_u64().and_then(|backlog| u32::try_from(backlog).ok()).unwrap_or(0),
        flags: query.flags.unwrap_or(0),
        readable_all: query.readable_all,
        writable_all: query.writable_all,
    })
}
