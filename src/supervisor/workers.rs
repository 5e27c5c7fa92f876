//! The worker processes: one [`Worker`] each, with what the supervisor knows of it beyond its place in the fleet.
//!
//! The fleet decides by ids, and `connections` knows who was lent what; this file turns an id into a process and a channel.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Exit;
use crate::fleet::WorkerId;
use crate::ids::SlotIndex;
use crate::ipc::listen::Query;
use crate::ipc::message::{ServerData, ToWorker};
use crate::ipc::writer::Writer;
use crate::process::exit::Child;
use crate::timestamp::Timestamp;

/// A question for a socket that waits until the worker has a slot.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) seq: u64,
    pub(crate) query: Box<Query>,
    pub(crate) data: ServerData,
}

/// What makes a worker ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Its script knows nothing of our package: its first server that listens.
    FirstServer,
    /// Its script has loaded our package: the first server, unless the script makes a `Cluster` soon.
    FirstServerUnlessAnnounced,
    /// Its script has made a `Cluster`: what that hands over listens.
    HandOver,
}

/// One worker process.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Worker {
    /// None for a spare.
    pub(crate) slot: Option<SlotIndex>,
    pub(crate) child: Rc<Child>,
    pub(crate) writer: Writer,
    /// What it asked while it had no slot.
    pub(crate) questions: Vec<Question>,
    /// It said that it is ready while it had no slot.
    pub(crate) needs_no_socket: bool,
    /// A server of it listens.
    pub(crate) listens: bool,
    /// People were told that it said something that nobody understands.
    pub(crate) is_misunderstood: bool,
    /// It got a signal and told us: the reason for its drain.
    pub(crate) is_signalled: bool,
    /// Our package is loaded in it.
    pub(crate) has_package: bool,
    /// Its script has called `listen` of our package, so it takes our orders.
    pub(crate) takes_orders: bool,
    /// What makes it ready.
    pub(crate) readiness: Readiness,
    /// Its channel has ended.
    pub(crate) is_cut_off: bool,
    /// How it ended, once it is reaped.
    pub(crate) exit: Option<Exit>,
    /// The text of the error that ended it, told by itself.
    pub(crate) last_words: Option<String>,
    /// Why it died, in one sentence, once that has been reported.
    pub(crate) reason: Option<String>,
    pub(crate) forked: Timestamp,
    pub(crate) ready: Option<Timestamp>,
    pub(crate) apps_listening: u32,
}

impl Worker {
    /// A worker that has just been forked.
    pub(crate) fn new(slot: Option<SlotIndex>, child: Rc<Child>, writer: Writer) -> Self {
        Self {
            slot,
            child,
            writer,
            questions: Vec::new(),
            needs_no_socket: false,
            listens: false,
            is_misunderstood: false,
            is_signalled: false,
            has_package: false,
            takes_orders: false,
            readiness: Readiness::FirstServer,
            is_cut_off: false,
            exit: None,
            last_words: None,
            reason: None,
            forked: Timestamp::now(),
            ready: None,
            apps_listening: 0,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }
}

/// All worker processes that are not gone or whose channel is still being read, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    all: BTreeMap<WorkerId, Worker>,
    /// The channels, for the thread that speaks for the application.
    writers: Writers,
}

impl Workers {
    pub(crate) fn new(writers: Writers) -> Self {
        Self { all: BTreeMap::new(), writers }
    }

    pub(crate) fn add(&mut self, id: WorkerId, worker: Worker) {
        self.writers.insert(id, worker.writer.clone());
        self.all.insert(id, worker);
    }

    pub(crate) fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.all.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.all.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.all.iter().map(|(id, worker)| (*id, worker))
    }

    pub(crate) fn with_pid(&self, pid: u32) -> Option<WorkerId> {
        self.iter().find(|(_, worker)| worker.pid() == pid).map(|(id, _)| id)
    }

    /// Says something of the protocol to a worker; one that is gone hears nothing.
    pub(crate) fn say(&self, id: WorkerId, message: &ToWorker) {
        if let Some(worker) = self.get(id) {
            worker.writer.say(message);
        }
    }

    /// Sends a signal by number.
    pub(crate) fn signal(&self, id: WorkerId, signal: i32) {
        if let Some(worker) = self.get(id) {
            // A worker that is gone can't be signalled; its death is reported anyway.
            let _ = worker.child.signal(signal);
        }
    }

    /// The channel has ended: nothing can be said to the worker any more. `false` if that is known.
    pub(crate) fn cut_off(&mut self, id: WorkerId) -> bool {
        self.writers.remove(id);
        self.get_mut(id).is_some_and(|worker| !std::mem::replace(&mut worker.is_cut_off, true))
    }

    /// Forgets a worker that is dead and whose channel has been read to the end, in either order.
    pub(crate) fn forget_if_done(&mut self, id: WorkerId) {
        if self.get(id).is_some_and(|worker| worker.exit.is_some() && worker.is_cut_off) {
            self.all.remove(&id);
        }
    }
}

/// The channels of all workers, for the thread that speaks for the application.
#[derive(Clone, Debug, Default)]
pub struct Writers(Arc<Mutex<HashMap<WorkerId, Writer>>>);

impl Writers {
    /// The way to a worker that is still connected.
    #[must_use]
    pub fn get(&self, worker: WorkerId) -> Option<Writer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&worker).cloned()
    }

    fn insert(&self, worker: WorkerId, writer: Writer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, writer);
    }

    fn remove(&self, worker: WorkerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&worker);
    }
}
