//! Tells workers that are blocked from those that are merely busy, as far as clients in the queue can notice.
//!
//! A loop that turns takes something out of the queues that it watches at every turn, and writes into its row when it does.
//! So where something waits over several looks in a queue, those who watch it and whose rows do not change have loops that do
//! not turn: they compute for a second, or are stopped. Steering leaves the slot of such a worker out, and the hand-off
//! empties a queue that only such workers watch, until a row changes again. A saturated worker's queue is full too, but its
//! row changes. Where all workers watch a queue nobody else could take from it, and it is not looked at.
//!
//! While no connections come nothing is looked at. The kernel wakes us for the first one that waits (one descriptor for all
//! queues, `os::queues`), and from then on we look every [`LOOK`] or [`CLOSE_LOOK`], until none has come for a while. So the
//! cost is bounded by time, not by the number of connections, and an idle master sleeps.
//! Invariant: a worker that never wrote into its row is unknown, and never held to be blocked.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::Connections;
use crate::ids::{SlotIndex, WorkerId};
use crate::os::queues::Queues;
use crate::os::reserve::TRY_AGAIN;
use crate::os::watch::watch;
use crate::scoreboard::layout::Field;
use crate::socket::ListenerId;
use crate::supervisor::Input;

/// How often queues are looked at while connections come.
const LOOK: Duration = Duration::from_millis(30);
/// The same while something waits in one.
const CLOSE_LOOK: Duration = Duration::from_millis(10);
/// After so many looks at which nothing waited and nothing had come, the kernel is to wake us.
const QUIET_LOOKS: u32 = 3;
/// How long a worker may leave its queue alone while another has nothing to do.
const PATIENCE: Duration = Duration::from_millis(20);
/// The same while all have something to do: moving connections from one queue into another helps nobody soon.
const PATIENCE_WHEN_ALL_ARE_BUSY: Duration = Duration::from_millis(200);
/// How rarely a worker that is blocked is looked at in the end, to see whether it turns again.
const SLOWEST_LOOK: Duration = Duration::from_millis(250);

/// What a worker's row says of its loop; any turn that takes a connection changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    tick: u64,
    connections: u64,
}

/// A worker whose loop has left no mark since.
#[derive(Clone, Copy, Debug)]
struct Still {
    mark: Mark,
    since: Instant,
}

/// What is known of the workers' loops; pure.
#[derive(Debug, Default)]
pub(super) struct Loops {
    /// Something waits for them.
    suspects: BTreeMap<WorkerId, Still>,
    blocked: BTreeMap<WorkerId, Still>,
}

impl Loops {
    /// Takes in whose queues are not empty; says whether somebody is newly blocked.
    fn look(&mut self, waiting: &[(WorkerId, Mark)], patience: Duration, now: Instant) -> bool {
        let before = std::mem::take(&mut self.suspects);
        let blocked_before = self.blocked.len();
        for &(worker, mark) in waiting {
            let known = before.get(&worker).filter(|still| still.mark == mark);
            let still = known.copied().unwrap_or(Still { mark, since: now });
            if now.saturating_duration_since(still.since) >= patience {
                self.blocked.insert(worker, Still { mark, since: now });
            } else {
                self.suspects.insert(worker, still);
            }
        }
        self.blocked.len() != blocked_before
    }

    /// Takes back who turns again or is gone (no mark); says whether there was one.
    fn let_back(&mut self, mark_of: impl Fn(WorkerId) -> Option<Mark>) -> bool {
        let before = self.blocked.len();
        self.blocked.retain(|worker, still| mark_of(*worker) == Some(still.mark));
        self.blocked.len() != before
    }

    /// When the blocked are to be looked at next: the longer it lasts, the less it matters.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        let ages = self.blocked.values().map(|still| now.saturating_duration_since(still.since));
        ages.min().map(|age| now + (CLOSE_LOOK + age / 10).min(SLOWEST_LOOK))
    }
}

/// The supervisor's eye on the queues.
#[derive(Debug, Default)]
pub(super) struct QueueWatch {
    loops: Loops,
    /// What `queues` watches, in its order.
    watched: Vec<(ListenerId, SlotIndex)>,
    queues: Option<Queues>,
    waker: Option<Waker>,
    /// We look by ourselves, rather than being woken.
    is_awake: bool,
    /// Looks without news since the last news.
    quiet_looks: u32,
    /// How many connections the workers had taken at the last look.
    taken: u64,
    next_look: Option<Instant>,
}

/// Wakes the supervisor once when something waits, each time that it is asked to.
#[derive(Debug)]
struct Waker {
    wanted: Rc<Notify>,
    task: AbortHandle,
}

impl QueueWatch {
    /// Whether the worker's loop does not turn although something waits for it.
    pub(super) fn is_blocked(&self, worker: WorkerId) -> bool {
        self.loops.blocked.contains_key(&worker)
    }

    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    fn fall_asleep(&mut self) {
        self.is_awake = false;
        self.quiet_looks = 0;
        if let Some(waker) = &self.waker {
            waker.wanted.notify_one();
        }
    }

    /// Takes in whether anything happened since the last look; falls asleep after a while of nothing.
    fn note(&mut self, something_waits: bool, taken: u64) {
        let is_news = something_waits || taken != self.taken;
        self.taken = taken;
        self.quiet_looks = if is_news { 0 } else { self.quiet_looks + 1 };
        if self.quiet_looks >= QUIET_LOOKS {
            self.fall_asleep();
        }
    }

    fn waiting(&self) -> Vec<(ListenerId, SlotIndex)> {
        let found = self.queues.as_ref().and_then(|queues| queues.waiting().ok()).unwrap_or_default();
        found.iter().filter_map(|index| self.watched.get(*index)).copied().collect()
    }
}

impl Connections {
    /// Watches the queues of these slots from now on; a queue that nobody serves is looked after by the hand-off.
    pub(super) fn watch_queues(&mut self, wanted: Vec<(ListenerId, SlotIndex)>, now: Instant) {
        if self.queues.watched == wanted || self.board.is_none() {
            return;
        }
        if let Some(waker) = self.queues.waker.take() {
            waker.task.abort();
        }
        if wanted.is_empty() {
            self.queues.queues = None;
            self.queues.watched = wanted;
            return;
        }
        let sockets = &self.sockets;
        let borrowed = wanted.iter().filter_map(|(listener, slot)| sockets.borrow(*listener, *slot));
        let watched = Queues::watch(borrowed).and_then(|queues| Ok((queues.descriptor()?, queues)));
        // Without descriptors left blocked workers go unnoticed for a while.
        let Ok((descriptor, queues)) = watched else {
            self.queues.watched.clear();
            self.queues.queues = None;
            self.watch_again = Some(now + TRY_AGAIN);
            return;
        };
        let asked = Rc::new(Notify::new());
        let task = self.tasks.spawn(report_waiting(descriptor, Rc::clone(&asked), self.inputs.clone()));
        self.queues.waker = Some(Waker { wanted: asked, task });
        self.queues.queues = Some(queues);
        self.queues.watched = wanted;
        self.queues.fall_asleep();
    }

    /// Whether a worker of the slot writes how it is, so that something can be learnt by looking.
    pub(super) fn is_known(&self, slot: SlotIndex) -> bool {
        let mut servers = self.servers.iter().filter(|(_, server)| server.slot == slot);
        servers.any(|(id, _)| self.mark(*id).is_some())
    }

    /// Looks at once: something waits in a queue, after a time in which all were empty.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.queues.is_awake = true;
        self.look(now);
    }

    /// Finds workers that are blocked and those that no longer are.
    pub(crate) fn look(&mut self, now: Instant) {
        let board = self.board.as_ref();
        let servers = &self.servers;
        let mark_of =
            |id| board.filter(|_| servers.contains_key(&id)).and_then(|board| mark(&board.borrow(), id));
        let mut is_changed = self.queues.loops.let_back(mark_of);
        if self.queues.is_awake {
            let slots = self.queues.waiting();
            let (mut waiting, mut is_one_free, mut taken) = (Vec::new(), false, 0_u64);
            for (id, server) in servers.iter().filter(|(_, server)| server.is_in_service()) {
                let has_queue = slots.iter().any(|(listener, slot)| server.watches(*listener, *slot));
                let mark = mark_of(*id);
                taken = taken.wrapping_add(mark.map_or(0, |mark| mark.connections));
                match mark {
                    _ if self.queues.is_blocked(*id) => {}
                    Some(mark) if has_queue => waiting.push((*id, mark)),
                    Some(_) | None => is_one_free |= !has_queue,
                }
            }
            let patience = if is_one_free { PATIENCE } else { PATIENCE_WHEN_ALL_ARE_BUSY };
            is_changed |= self.queues.loops.look(&waiting, patience, now);
            self.queues.note(!slots.is_empty(), taken);
        }
        self.is_steering_outdated |= is_changed;
        let period = if self.queues.loops.suspects.is_empty() { LOOK } else { CLOSE_LOOK };
        let awake = self.queues.is_awake.then(|| now + period);
        self.queues.next_look = awake.into_iter().chain(self.queues.loops.next_look(now)).min();
    }

    fn mark(&self, worker: WorkerId) -> Option<Mark> {
        mark(&self.board.as_ref()?.borrow(), worker)
    }
}

/// What the row of a worker says of its loop; `None` if it never wrote.
fn mark(board: &crate::scoreboard::Scoreboard, worker: WorkerId) -> Option<Mark> {
    let tick = board.number(worker, Field::Tick).filter(|tick| *tick > 0.0)?;
    let connections = board.number(worker, Field::ConnectionsTotal)?;
    Some(Mark { tick: tick.to_bits(), connections: connections.to_bits() })
}

/// Says once that something waits, whenever that is asked.
///
/// The runtime watches the descriptor only for so long, so that connections at other times wake nobody. While the kernel has
/// no memory for that, we look by ourselves.
async fn report_waiting(queues: OwnedFd, wanted: Rc<Notify>, inputs: mpsc::Sender<Input>) {
    loop {
        wanted.notified().await;
        if let Ok(watched) = watch(queues.as_fd(), Interest::READABLE) {
            if watched.readable().await.is_err() {
                return;
            }
        } else {
            tokio::time::sleep(LOOK).await;
        }
        if inputs.send(Input::Waiting).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: WorkerId = WorkerId(1);

    fn mark(tick: u64) -> Mark {
        Mark { tick, connections: 0 }
    }

    #[test]
    fn a_worker_whose_row_stands_still_while_clients_wait_is_blocked_until_it_changes() {
        let (mut loops, start) = (Loops::default(), Instant::now());
        assert!(!loops.look(&[(ONE, mark(1))], PATIENCE, start));
        assert!(!loops.look(&[(ONE, mark(1))], PATIENCE, start + CLOSE_LOOK));
        assert!(loops.look(&[(ONE, mark(1))], PATIENCE, start + CLOSE_LOOK * 2));
        assert!(!loops.let_back(|_| Some(mark(1))));
        assert!(loops.let_back(|_| Some(mark(2))));
        assert!(loops.blocked.is_empty());
    }

    #[test]
    fn a_busy_worker_is_not_blocked_however_long_its_queue_is_full() {
        let (mut loops, start) = (Loops::default(), Instant::now());
        for turn in 0..100 {
            let now = start + CLOSE_LOOK * turn;
            assert!(!loops.look(&[(ONE, mark(turn.into()))], PATIENCE, now));
        }
    }

    #[test]
    fn a_queue_that_was_empty_in_between_starts_the_wait_anew() {
        let (mut loops, start) = (Loops::default(), Instant::now());
        assert!(!loops.look(&[(ONE, mark(1))], PATIENCE, start));
        assert!(!loops.look(&[], PATIENCE, start + CLOSE_LOOK));
        assert!(!loops.look(&[(ONE, mark(1))], PATIENCE, start + CLOSE_LOOK * 2));
        assert!(!loops.look(&[(ONE, mark(1))], PATIENCE, start + CLOSE_LOOK * 3));
    }

    #[test]
    fn one_that_stays_blocked_is_looked_at_ever_more_rarely() {
        let (mut loops, start) = (Loops::default(), Instant::now());
        assert_eq!(loops.next_look(start), None);
        loops.look(&[(ONE, mark(1))], Duration::ZERO, start);
        assert_eq!(loops.next_look(start), Some(start + CLOSE_LOOK));
        let later = start + Duration::from_secs(60);
        assert_eq!(loops.next_look(later), Some(later + SLOWEST_LOOK));
    }
}
