//! Who gets which client.
//!
//! [`Connections`] owns the listening sockets, and knows which worker was lent which of them and which connections are on
//! their way to workers. The supervisor tells it who takes clients ([`Connections::set_taking`], derived from the fleet) and
//! what workers say of connections; what workers must be told comes out as [`Order`]s. Its parts: `lending` lends sockets,
//! `overlap` has workers accept from their neighbours' queues too, `blocked` finds workers whose loop does not turn,
//! `stranded` steers the kernel and watches the queues from which no worker takes, `handoff` moves what waits there, and
//! `rebalance` moves fresh connections of which one worker has too many.
//! Invariant: nothing is accepted here without a worker to give it to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Input;
use super::timers::Due;
use crate::fleet::Forks;
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::message::{ServerData, ToWorker};
use crate::monitor::data::stats::Moves;
use crate::options::{Options, Scheduling, Sticky};
use crate::scoreboard::Scoreboard;
use crate::scoreboard::layout::Field;
use crate::socket::{Bound, ListenerId, QueueProbe, Sockets};
use crate::tasks::LocalTasks;

mod blocked;
mod handoff;
mod lending;
mod overlap;
mod rebalance;
mod stranded;

use blocked::QueueWatch;
use handoff::HandOff;
use lending::Abandoned;
use overlap::WakeOrder;

/// The scoreboard, where the system has shared memory for it.
pub(crate) type Board = Option<Rc<RefCell<Scoreboard>>>;

/// How long a worker may take to show that its loop turns.
const ANSWER: Duration = Duration::from_millis(60);
/// How long a worker that has shown that it turns may be given connections.
const PROOF: Duration = Duration::from_millis(20);
/// How long a worker may leave a connection that was handed to it unserved while others could have it.
const TAKE_BACK: Duration = Duration::from_millis(150);

/// What a worker must be told.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) worker: WorkerId,
    pub(crate) message: ToWorker,
    /// What goes with the message.
    pub(crate) fd: Option<OwnedFd>,
}

/// All listening sockets, and the connections between their queues and the workers.
pub(crate) struct Connections {
    sockets: Sockets,
    /// The first worker's server data per listener (TLS ticket keys), echoed to all.
    server_data: HashMap<ListenerId, ServerData>,
    servers: BTreeMap<WorkerId, Server>,
    handoff: HandOff,
    queues: QueueWatch,
    wake_order: WakeOrder,
    /// Slots whose sockets are to be closed.
    closing: BTreeSet<SlotIndex>,
    abandoned: Abandoned,
    forks: Forks,
    is_sticky: bool,
    is_balanced: bool,
    board: Board,
    tasks: LocalTasks,
    inputs: mpsc::Sender<Input>,
    /// Who takes clients has changed since the kernel was told.
    is_steering_outdated: bool,
    /// When queues are watched for which descriptors were short.
    watch_again: Option<Instant>,
    orders: Vec<Order>,
    /// Up to which number connections were taken back from a worker.
    withdrawn: Vec<(WorkerId, u64)>,
    warnings: Vec<String>,
    moves: Moves,
}

/// What a worker that has a slot has to do with connections.
#[derive(Debug)]
struct Server {
    slot: SlotIndex,
    /// It may be given clients, as far as its life says.
    is_taking: bool,
    /// Our package is loaded in it: it watches its neighbours' queues, and can be asked whether its loop turns.
    has_package: bool,
    /// It has lately accepted more than others and leaves their queues alone.
    is_ahead: bool,
    loans: Vec<Loan>,
    in_flight: VecDeque<InFlight>,
    /// When its loop last turned for certain, as far as the hand-off wanted to know.
    turned: Option<Instant>,
    /// When it was asked to show that it turns, if it has not answered.
    asked: Option<Instant>,
    /// How many connections it was handed.
    handed_over: u64,
}

/// A socket that a worker was lent.
#[derive(Debug)]
struct Loan {
    key: String,
    listener: ListenerId,
    /// The other slots whose queues it watches too.
    watched: BTreeSet<SlotIndex>,
    /// Slots whose queues it was told to watch no more, and how many of these orders it has not confirmed.
    unwatching: BTreeMap<SlotIndex, u32>,
}

/// A connection on its way to a worker: handed over and not yet accepted, or still without a taker.
#[derive(Debug)]
struct InFlight {
    seq: u64,
    listener: ListenerId,
    fd: OwnedFd,
    /// What is sent to the worker next, if it was made already.
    copy: Option<OwnedFd>,
    /// When it was handed over last.
    sent: Instant,
    /// Those that have refused it since all were asked last.
    refused_by: Vec<WorkerId>,
    /// How often all have refused it.
    rounds: u32,
    origin: Origin,
}

/// Where a connection under way to a worker comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A queue from which only the master takes.
    Handed,
    /// A queue that its workers did not empty.
    Stranded,
    /// A worker that gave it back.
    Excess,
}

impl Connections {
    pub(crate) fn new(
        sockets: Sockets,
        options: &Options,
        forks: Forks,
        board: Board,
        tasks: LocalTasks,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            sockets,
            server_data: HashMap::new(),
            servers: BTreeMap::new(),
            handoff: HandOff::default(),
            queues: QueueWatch::default(),
            wake_order: WakeOrder::default(),
            closing: BTreeSet::new(),
            abandoned: Abandoned::default(),
            forks,
            is_sticky: options.sticky == Sticky::Address,
            is_balanced: options.scheduling == Scheduling::Slots && options.sticky == Sticky::None,
            board,
            tasks,
            inputs,
            is_steering_outdated: true,
            watch_again: None,
            orders: Vec::new(),
            withdrawn: Vec::new(),
            warnings: Vec::new(),
            moves: Moves::default(),
        }
    }

    /// A worker has a slot from now on.
    pub(crate) fn add(&mut self, worker: WorkerId, slot: SlotIndex, has_package: bool) {
        let server = Server {
            slot,
            is_taking: true,
            has_package,
            is_ahead: false,
            loans: Vec::new(),
            in_flight: VecDeque::new(),
            turned: None,
            asked: None,
            handed_over: 0,
        };
        self.servers.insert(worker, server);
        self.closing.remove(&slot);
    }

    /// Our package is loaded in the worker.
    pub(crate) fn has_package(&mut self, worker: WorkerId) {
        if let Some(server) = self.servers.get_mut(&worker) {
            server.has_package = true;
            self.is_steering_outdated = true;
        }
    }

    /// The worker can't be reached any more, or is dead. Connections that it had not begun to serve go to others. One that it
    /// had begun to serve is closed: its request may have been read, and the client must learn of the loss.
    pub(crate) fn remove(&mut self, worker: WorkerId) {
        let Some(mut server) = self.servers.remove(&worker) else { return };
        if let Some(last) = server.in_flight.back().filter(|_| server.has_package)
            && let Some(claimed) =
                self.board.as_ref().and_then(|board| board.borrow().revoke(worker, last.seq))
        {
            server.in_flight.retain(|connection| connection.seq > claimed);
        }
        self.handoff.take_back(server.in_flight);
        self.is_steering_outdated = true;
        self.sockets.restore_files();
        // No successor comes that would ask for them, unless the program should fork one.
        if self.forks == Forks::Ordered {
            for loan in &server.loans {
                self.close_unlent(loan.listener);
            }
        }
    }

    /// Takes in which workers may be given clients, as their lives say, and whether no more are to come.
    pub(crate) fn set_taking(&mut self, takes_clients: impl Fn(WorkerId) -> bool, is_complete: bool) {
        self.is_steering_outdated |= is_complete != self.abandoned.is_for_good;
        self.abandoned.is_for_good = is_complete;
        for (worker, server) in &mut self.servers {
            let is_taking = takes_clients(*worker);
            self.is_steering_outdated |= is_taking != server.is_taking;
            server.is_taking = is_taking;
        }
    }

    /// Brings everything that follows from who takes clients up to date.
    pub(crate) fn settle(&mut self, now: Instant) {
        let is_due = self.watch_again.is_some_and(|at| at <= now);
        if std::mem::take(&mut self.is_steering_outdated) || is_due {
            self.watch_again = None;
            self.look_for_abandoned(now);
            self.overlap(now);
            self.steer(now);
        }
        self.spread_excess(now);
        self.hand_off(now);
    }

    /// What workers must be told.
    pub(crate) fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// From which workers connections were taken back, and up to which number: nothing need be said of these any more.
    pub(crate) fn take_withdrawn(&mut self) -> Vec<(WorkerId, u64)> {
        std::mem::take(&mut self.withdrawn)
    }

    /// What an operator should know.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// What was counted so far.
    pub(crate) fn moves(&self) -> Moves {
        self.moves
    }

    /// What is due for connections, and when.
    pub(crate) fn deadlines(&self) -> [(Due, Option<Instant>); 6] {
        let HandOff { pass_over, accept_again, .. } = self.handoff;
        [
            (Due::WakeOrder, self.wake_order.due),
            (Due::QueueLook, self.queues.next_look()),
            (Due::PassOver, pass_over),
            (Due::TakeBack, self.take_back_at()),
            (Due::GiveUp, self.abandoned.due.values().min().copied()),
            (Due::AcceptAgain, accept_again.into_iter().chain(self.watch_again).min()),
        ]
    }

    /// When connections that a worker has not begun to serve are taken back from it.
    fn take_back_at(&self) -> Option<Instant> {
        // From a worker without a row nothing can be revoked.
        let board = self.board.as_ref()?.borrow();
        let able = self.servers.iter().filter(|(_, server)| server.has_package);
        let revocable = able.filter(|(id, _)| board.row_of(**id).is_some());
        let oldest = revocable.filter_map(|(_, server)| server.in_flight.front());
        oldest.map(|connection| connection.sent + TAKE_BACK).min()
    }

    /// No connection waits in a queue or is under way, and no handshake either, so closing the sockets loses nobody.
    pub(crate) fn may_close(&mut self, now: Instant) -> bool {
        self.is_none_under_way() && self.sockets.may_close(now)
    }

    /// A connection waits that a worker could serve, or is under way to one.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.is_none_under_way()
            || self.sockets.waiting().iter().any(|(listener, _)| self.is_lent(*listener))
    }

    fn is_none_under_way(&self) -> bool {
        self.handoff.is_idle() && self.servers.values().all(|server| server.in_flight.is_empty())
    }

    /// No worker holds a socket of ours.
    pub(crate) fn is_nothing_lent(&self) -> bool {
        self.servers.values().all(|server| server.loans.is_empty())
    }

    /// Whether a connection waits in the queue of a slot.
    pub(crate) fn has_queue(&self, slot: SlotIndex) -> bool {
        self.sockets.waiting().iter().any(|(_, waiting)| *waiting == slot)
    }

    /// Lets no new connection in; what waits is served.
    pub(crate) fn refuse_new(&mut self, now: Instant) -> io::Result<()> {
        self.sockets.refuse_new(now)
    }

    /// Closes the sockets of a slot that was given up.
    pub(crate) fn close_slot(&mut self, slot: SlotIndex) {
        self.handoff.unwatch_slot(slot);
        self.sockets.close_slot(slot);
        self.closing.remove(&slot);
        self.is_steering_outdated = true;
    }

    /// Closes every socket, and whatever is under way.
    pub(crate) fn close_all(&mut self) {
        self.handoff.forget();
        self.sockets.close_all();
    }

    /// Closes the sockets that were bound in advance and that no worker asked for: clients would wait there for ever.
    pub(crate) fn drop_unclaimed(&mut self) {
        self.sockets.drop_unclaimed();
        self.is_steering_outdated = true;
    }

    /// Where the lengths of the queues can be read, by port.
    pub(crate) fn queue_probes(&self) -> Vec<QueueProbe> {
        self.sockets.queue_probes()
    }

    /// Where everything is really bound.
    pub(crate) fn addresses(&self) -> Vec<Bound> {
        self.sockets.addresses()
    }

    /// Those that take clients of `listener`.
    fn taking(&self, listener: ListenerId) -> impl Iterator<Item = (WorkerId, &Server)> {
        let servers = self.servers.iter().map(|(id, server)| (*id, server));
        servers.filter(move |(_, server)| server.takes(listener))
    }

    /// Those of them that are not known to be blocked.
    fn turning(&self, listener: ListenerId) -> impl Iterator<Item = (WorkerId, &Server)> {
        self.taking(listener).filter(|(id, _)| !self.queues.is_blocked(*id))
    }

    /// Whether a worker whose loop turns accepts from the queue of a slot.
    fn is_watched(&self, listener: ListenerId, slot: SlotIndex) -> bool {
        self.turning(listener).any(|(_, server)| server.watches(listener, slot))
    }

    /// The slots where somebody takes connections; those of blocked workers only if there are no others.
    fn slots_served(&self, listener: ListenerId) -> BTreeSet<SlotIndex> {
        let turning: BTreeSet<SlotIndex> = self.turning(listener).map(|(_, server)| server.slot).collect();
        if turning.is_empty() {
            self.taking(listener).map(|(_, server)| server.slot).collect()
        } else {
            turning
        }
    }

    /// How many connections a worker has open, as far as it says.
    fn open_connections(&self, worker: WorkerId) -> u64 {
        self.number(worker, Field::ConnectionsOpen).map_or(0, whole)
    }

    fn number(&self, worker: WorkerId, field: Field) -> Option<f64> {
        self.board.as_ref()?.borrow().number(worker, field)
    }
}

impl Server {
    /// Whether it takes new connections of `listener`.
    fn takes(&self, listener: ListenerId) -> bool {
        self.is_taking && self.key_of(listener).is_some()
    }

    /// Whether it takes new connections of any listener.
    fn is_in_service(&self) -> bool {
        self.is_taking && !self.loans.is_empty()
    }

    /// Whether it accepts from the queue of a slot, its own or another one's.
    fn watches(&self, listener: ListenerId, slot: SlotIndex) -> bool {
        let mut loans = self.loans.iter().filter(|loan| loan.listener == listener);
        loans.any(|loan| self.slot == slot || loan.watched.contains(&slot))
    }

    fn key_of(&self, listener: ListenerId) -> Option<&str> {
        self.loans.iter().find(|loan| loan.listener == listener).map(|loan| loan.key.as_str())
    }

    /// Whether its loop turned a moment ago; one without our package can't be asked.
    fn is_proven(&self, now: Instant) -> bool {
        let is_recent = |turned| now.saturating_duration_since(turned) <= PROOF;
        !self.has_package || self.turned.is_some_and(is_recent)
    }

    /// Whether it has not shown in time that it turns.
    fn is_silent(&self, now: Instant) -> bool {
        self.asked.is_some_and(|asked| now.saturating_duration_since(asked) >= ANSWER)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "finite and not below 0")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests;
