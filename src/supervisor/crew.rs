//! Who is there: one [`Worker`] per process, with what the master knows of it beyond its place in the fleet.
//!
//! Owned by the supervisor's state; the fleet decides by ids and this file turns an id into a process, a channel and the
//! sockets that it was lent.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::listen::{ListeningAddress, Query};
use crate::ipc::writer::Speaker;
use crate::process::exit::{Child, Exit};
use crate::socket::ListenerId;
use crate::supervisor::connections::rebalance::ANSWER;

/// A socket that a worker was lent.
#[derive(Debug)]
pub(crate) struct Loan {
    pub(crate) key: String,
    pub(crate) listener: ListenerId,
}

/// A question for a socket that waits until the worker has a slot.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) seq: u64,
    pub(crate) query: Box<Query>,
    pub(crate) data: Value,
}

/// A connection that was handed to a worker and is not yet accepted by it.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) seq: u64,
    pub(crate) listener: ListenerId,
    pub(crate) fd: OwnedFd,
    pub(crate) refusals: u32,
    /// A worker gave it back; else it was taken from a queue that nobody emptied.
    pub(crate) is_excess: bool,
}

/// Whether a worker is on its way out, and on whose account. One that is takes no new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    No,
    /// We told it to.
    Ordered,
    /// It got a signal and told us.
    Signalled,
    /// It, or the application in the master, called `disconnect()`; or its channel is closed.
    Disconnecting,
}

/// One worker process.
#[derive(Debug)]
pub(crate) struct Worker {
    /// None for a spare.
    pub(crate) slot: Option<SlotIndex>,
    pub(crate) child: Rc<Child>,
    pub(crate) speaker: Speaker,
    pub(crate) loans: Vec<Loan>,
    /// What it asked while it had no slot.
    pub(crate) questions: Vec<Question>,
    /// It said that it is ready while it had no slot.
    pub(crate) needs_no_socket: bool,
    pub(crate) addresses: Vec<ListeningAddress>,
    pub(crate) in_flight: VecDeque<InFlight>,
    pub(crate) leave: Leave,
    /// Our library runs in it, and will say when it is ready.
    pub(crate) has_agent: bool,
    /// How it ended, once it is reaped.
    pub(crate) exit: Option<Exit>,
    /// The text of the error that ended it, told by itself.
    pub(crate) last_words: Option<String>,
    /// Why it died, in one sentence, once that has been reported.
    pub(crate) reason: Option<String>,
    pub(crate) forked: Instant,
    pub(crate) ready: Option<Instant>,
    pub(crate) apps_listening: u32,
    /// When its loop last turned for certain, as far as the hand-off wanted to know.
    pub(crate) turned: Option<Instant>,
    /// When it was asked to show that it turns, if it has not answered.
    pub(crate) asked: Option<Instant>,
    /// How many connections it was handed.
    pub(crate) handed_over: u64,
}

impl Worker {
    pub(crate) fn new(slot: Option<SlotIndex>, child: Rc<Child>, speaker: Speaker, forked: Instant) -> Self {
        Self {
            slot,
            child,
            speaker,
            loans: Vec::new(),
            questions: Vec::new(),
            needs_no_socket: false,
            addresses: Vec::new(),
            in_flight: VecDeque::new(),
            leave: Leave::No,
            has_agent: false,
            exit: None,
            last_words: None,
            reason: None,
            forked,
            ready: None,
            apps_listening: 0,
            turned: None,
            asked: None,
            handed_over: 0,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Whether it takes new connections of `listener`.
    pub(crate) fn serves(&self, listener: ListenerId) -> bool {
        self.leave == Leave::No && self.key_of(listener).is_some()
    }

    /// Whether its loop turned not longer ago than `within`; one without our library can't be asked.
    pub(crate) fn is_proven(&self, now: Instant, within: Duration) -> bool {
        let is_recent = |turned| now.saturating_duration_since(turned) <= within;
        !self.has_agent || self.turned.is_some_and(is_recent)
    }

    /// Whether it has not shown in time that it turns.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        self.asked.is_some_and(|asked| now.saturating_duration_since(asked) >= ANSWER)
    }

    /// Whether it takes new connections of any listener.
    pub(crate) fn is_in_service(&self) -> bool {
        self.leave == Leave::No && !self.loans.is_empty()
    }

    pub(crate) fn key_of(&self, listener: ListenerId) -> Option<&str> {
        self.loans.iter().find(|loan| loan.listener == listener).map(|loan| loan.key.as_str())
    }
}

/// All workers, oldest first.
pub(crate) type Crew = BTreeMap<WorkerId, Worker>;

/// The channels of all workers, for the thread that speaks for the application.
#[derive(Clone, Debug, Default)]
pub struct Speakers(Arc<Mutex<HashMap<WorkerId, Speaker>>>);

impl Speakers {
    /// The way to a worker that is still connected.
    #[must_use]
    pub fn get(&self, worker: WorkerId) -> Option<Speaker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&worker).cloned()
    }

    pub(crate) fn insert(&self, worker: WorkerId, speaker: Speaker) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, speaker);
    }

    pub(crate) fn remove(&self, worker: WorkerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&worker);
    }
}
