//! Moves connections that nobody would serve.
//!
//! Each slot has its own queue in the kernel. While no worker serves a slot that has one, new connections are steered to
//! the others, and what waits there (or comes late, from handshakes under way) is accepted here and handed to a worker
//! that serves the same address, by Node's own `newconn`. Connections stay in the kernel's queue until a worker can take
//! them; what a worker refused, or had not accepted when its channel ended, goes to the next. With `scheduling: 'rr'` there is one
//! queue, no worker takes from it, and so every connection comes this way.
//! Invariant: nothing is accepted without somebody to give it to, and at most [`PER_WORKER`] connections are under way to
//! one worker, so they don't pile up on one that is stopped.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::message::ToWorker;
use crate::options::Sticky;
use crate::os::watch::watch;
use crate::socket::{ListenerId, sticky};
use crate::supervisor::Input;
use crate::supervisor::crew::{InFlight, Worker};
use crate::supervisor::state::State;

/// How many connections may be under way to one worker.
const PER_WORKER: usize = 4;
/// By this slot a socket goes that is nobody's own.
const SHARED: SlotIndex = SlotIndex(0);
/// How long a worker that has shown that it turns may be given connections.
pub(crate) const PROOF: Duration = Duration::from_millis(20);
/// After so many refusals a connection is closed: its address is served by nobody who takes it.
const REFUSALS: u32 = 16;

/// What is being moved, and where we look for more.
#[derive(Debug, Default)]
pub(crate) struct HandOff {
    /// Connections that came back.
    returned: VecDeque<InFlight>,
    /// Connections that a worker gave back, until it is certain who can take them.
    pub(crate) excess: VecDeque<InFlight>,
    /// When the next worker that owes an answer is passed over for them.
    pub(crate) excess_due: Option<Instant>,
    /// Sockets from whose queues no worker takes, each watched for connections.
    stranded: HashMap<(ListenerId, SlotIndex), AbortHandle>,
    last_seq: u64,
    under_way: usize,
}

impl HandOff {
    /// Nothing is under way and nothing came back.
    pub(crate) fn is_idle(&self) -> bool {
        self.returned.is_empty() && self.excess.is_empty() && self.under_way == 0
    }

    /// Closes what came back and stops looking for more.
    pub(crate) fn forget(&mut self) {
        self.returned.clear();
        self.excess.clear();
        self.retain(|_, _| false);
    }

    pub(crate) fn unwatch(&mut self, listener: ListenerId) {
        self.returned.retain(|connection| connection.listener != listener);
        self.excess.retain(|connection| connection.listener != listener);
        self.retain(|watched, _| watched != listener);
    }

    pub(crate) fn unwatch_slot(&mut self, slot: SlotIndex) {
        self.retain(|_, watched| watched != slot);
    }

    /// Nobody is known who can take it: it is looked after like one that nobody serves.
    pub(crate) fn take_one(&mut self, connection: InFlight) {
        self.returned.push_back(connection);
    }

    /// The channel of a worker ended with these unaccepted.
    pub(crate) fn take_back(&mut self, in_flight: VecDeque<InFlight>) {
        self.under_way = self.under_way.saturating_sub(in_flight.len());
        self.returned.extend(in_flight);
    }

    fn retain(&mut self, keep: impl Fn(ListenerId, SlotIndex) -> bool) {
        self.stranded.retain(|(listener, slot), watch| {
            let stays = keep(*listener, *slot);
            if !stays {
                watch.abort();
            }
            stays
        });
    }
}

impl State {
    /// Tells the kernel which slots take new connections, and watches the queues of the others.
    pub(crate) fn steer(&mut self) {
        let ids: Vec<ListenerId> = self.sockets.listeners().collect();
        let mut watched = Vec::new();
        let is_sticky = self.options.sticky == Sticky::Address;
        for listener in ids {
            let serving = self.slots_served(listener);
            if serving.is_empty() {
                continue;
            }
            let table: Vec<SlotIndex> = serving.iter().copied().collect();
            if let Err(error) = self.sockets.steer(listener, &table) {
                // The kernel then spreads by its hash, and what lands on an unserved slot is moved all the same.
                self.warn(format!("cannot steer new connections: {error}"), serde_json::Value::Null);
            }
            if self.sockets.is_handed(listener) && !self.handoff.stranded.contains_key(&(listener, SHARED)) {
                self.watch_stranded(listener, SHARED);
            }
            for slot in self.sockets.slots(listener) {
                let at = (listener, slot);
                if serving.contains(&slot) {
                    if let Some(watch) = self.handoff.stranded.remove(&at) {
                        watch.abort();
                    }
                } else if !self.handoff.stranded.contains_key(&at) {
                    self.watch_stranded(listener, slot);
                }
                // Alone, a worker has nobody who could take from its queue.
                // And with clients that belong to a slot, nobody should.
                if !is_sticky && serving.len() > 1 && serving.contains(&slot) && self.is_known(slot) {
                    watched.push(at);
                }
            }
        }
        self.watch_queues(watched);
        self.publish_takers();
    }

    /// The slots where somebody takes connections; those of blocked workers only if there are no others.
    fn slots_served(&self, listener: ListenerId) -> BTreeSet<SlotIndex> {
        let serving = || self.crew.iter().filter(|(_, worker)| worker.serves(listener));
        let turning = serving().filter(|(id, _)| !self.watching.is_blocked(**id));
        let healthy: BTreeSet<SlotIndex> = turning.filter_map(|(_, worker)| worker.slot).collect();
        if healthy.is_empty() { serving().filter_map(|(_, worker)| worker.slot).collect() } else { healthy }
    }

    fn watch_stranded(&mut self, listener: ListenerId, slot: SlotIndex) {
        let socket =
            self.sockets.borrow(listener, slot).map(|socket: BorrowedFd<'_>| socket.try_clone_to_owned());
        // Without a watch the queue is still emptied at every input, only later.
        let Some(Ok(socket)) = socket else { return };
        let task = self.tasks.spawn(report_arrivals(socket, self.inputs.clone()));
        self.handoff.stranded.insert((listener, slot), task);
    }

    /// Gives what waits where nobody serves to workers that can take it.
    pub(crate) fn hand_off(&mut self, now: Instant) {
        for _ in 0..self.handoff.returned.len() {
            let Some(connection) = self.handoff.returned.pop_front() else { break };
            if let Some(worker) = self.idlest(connection.listener, now) {
                self.hand_over(worker, connection);
            } else {
                self.ask_around(connection.listener, now);
                self.handoff.returned.push_back(connection);
            }
        }
        let stranded: Vec<_> = self.handoff.stranded.keys().copied().collect();
        for (listener, slot) in stranded {
            self.empty_queue(listener, slot, now);
        }
    }

    fn empty_queue(&mut self, listener: ListenerId, slot: SlotIndex, now: Instant) {
        while let Some(idlest) = self.idlest(listener, now) {
            let Ok(Some(fd)) = self.sockets.accept(listener, slot) else { return };
            let worker = self.host_of(&fd, listener).unwrap_or(idlest);
            self.hand_over(worker, InFlight { seq: 0, listener, fd, refusals: 0, is_excess: false });
        }
        if self.sockets.waiting().contains(&(listener, slot)) {
            self.ask_around(listener, now);
        }
    }

    /// The worker whose slot the client belongs to, where clients belong to slots.
    fn host_of(&self, connection: &OwnedFd, listener: ListenerId) -> Option<WorkerId> {
        if self.options.sticky != Sticky::Address {
            return None;
        }
        let client = SockRef::from(connection).peer_addr().ok()?.as_socket()?;
        let slot = sticky::home(client.ip(), self.slots_served(listener))?;
        let mut hosts =
            self.crew.iter().filter(|(_, worker)| worker.slot == Some(slot) && worker.serves(listener));
        hosts.next_back().map(|(id, _)| *id)
    }

    /// Who should get the next connection of `listener`: of those that may take one more, one that has taken all it was
    /// given, and of these the one with the fewest connections.
    ///
    /// What is given to a worker that turns out to be blocked can't be taken back. So in a rescue only those count that have
    /// just shown that they turn; where every connection is handed over, asking first would cost too much.
    fn idlest(&self, listener: ListenerId, now: Instant) -> Option<WorkerId> {
        let is_rescue = !self.sockets.is_handed(listener);
        let able = self.turning(listener).filter(|(_, worker)| {
            worker.in_flight.len() < PER_WORKER && (!is_rescue || worker.is_proven(now, PROOF))
        });
        let load = |(id, worker): &(&WorkerId, &Worker)| {
            let under_way = worker.in_flight.len() as u64;
            (under_way > 0, self.open_connections(**id) + under_way, worker.handed_over)
        };
        able.min_by_key(load).map(|(id, _)| *id)
    }

    /// Those that serve `listener` and are not known to be blocked.
    pub(crate) fn turning(&self, listener: ListenerId) -> impl Iterator<Item = (&WorkerId, &Worker)> {
        let serving = self.crew.iter().filter(move |(_, worker)| worker.serves(listener));
        serving.filter(|(id, _)| !self.watching.is_blocked(**id))
    }

    /// Asks those who could take a connection to show that they turn; the answer brings us back here.
    fn ask_around(&mut self, listener: ListenerId, now: Instant) {
        let asked = |(id, worker): (&WorkerId, &Worker)| worker.asked.is_none().then_some(*id);
        let ids: Vec<WorkerId> = self.turning(listener).filter_map(asked).collect();
        for id in ids {
            self.ask_to_turn(id, now);
        }
    }

    /// Asks a worker to show that it turns, unless it has been asked.
    pub(crate) fn ask_to_turn(&mut self, id: WorkerId, now: Instant) {
        if let Some(worker) = self.crew.get_mut(&id).filter(|worker| worker.asked.is_none()) {
            worker.asked = Some(now);
            worker.speaker.say(&ToWorker::Turn);
        }
    }

    /// A worker's loop has turned a moment ago.
    pub(crate) fn note_turn(&mut self, id: WorkerId, now: Instant) {
        if let Some(worker) = self.crew.get_mut(&id) {
            worker.turned = Some(now);
        }
    }

    pub(crate) fn hand_over(&mut self, id: WorkerId, mut connection: InFlight) {
        self.handoff.last_seq += 1;
        connection.seq = self.handoff.last_seq;
        let Some(worker) = self.crew.get_mut(&id) else { return };
        let Some(key) = worker.key_of(connection.listener).map(str::to_owned) else { return };
        // Our own copy stays until the worker has said that it took it; without descriptors left, ours must do.
        let Ok(copy) = connection.fd.as_fd().try_clone_to_owned() else {
            self.handoff.returned.push_back(connection);
            return;
        };
        worker.speaker.say_with(&ToWorker::NewConnection { seq: connection.seq, key }, copy);
        worker.handed_over += 1;
        worker.in_flight.push_back(connection);
        self.handoff.under_way += 1;
    }

    /// A worker said whether it took a connection.
    pub(crate) fn settle_hand_over(&mut self, id: WorkerId, seq: u64, accepted: bool) {
        let Some(worker) = self.crew.get_mut(&id) else { return };
        let Some(at) = worker.in_flight.iter().position(|connection| connection.seq == seq) else { return };
        let Some(mut connection) = worker.in_flight.remove(at) else { return };
        self.handoff.under_way = self.handoff.under_way.saturating_sub(1);
        connection.refusals += 1;
        let tallies = &mut self.stats.lock().tallies;
        if accepted && connection.is_excess {
            tallies.moved += 1;
        } else if accepted {
            tallies.rescued += 1;
        } else if connection.refusals < REFUSALS {
            self.handoff.returned.push_back(connection);
        }
    }

    /// A descriptor did not arrive in spite of repetition: the oldest connection under way goes to somebody else.
    pub(crate) fn give_up_oldest_hand_over(&mut self, id: WorkerId) {
        let oldest = self.crew.get(&id).and_then(|worker| worker.in_flight.front());
        if let Some(seq) = oldest.map(|connection| connection.seq) {
            self.settle_hand_over(id, seq, false);
        }
    }
}

/// Says each time that a connection arrives on a socket that nobody serves.
async fn report_arrivals(socket: OwnedFd, inputs: mpsc::Sender<Input>) {
    let Ok(socket) = watch(socket, Interest::READABLE) else { return };
    while let Ok(mut ready) = socket.readable().await {
        ready.clear_ready();
        if inputs.send(Input::Stranded).await.is_err() {
            return;
        }
    }
}
