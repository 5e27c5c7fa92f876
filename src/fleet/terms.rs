//! The fleet's vocabulary: what it is told (`Step`), what it wants done (`Effect`), what others may see of it.
//!
//! The supervisor's loop turns whatever happens into a [`Step`] and performs each [`Effect`] in order. Nothing here
//! holds a process, a descriptor or a clock.

use std::time::{Duration, Instant};

use super::backoff;
use crate::ids::{SlotIndex, WorkerId};
pub use crate::reasons::{DeathReason, RecycleReason};

/// Which ends of a worker that nobody asked for are followed by a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Only failures; a worker that exits with status 0 meant it.
    OnFailure,
    /// Every end.
    Always,
}

/// Who decides that a worker is forked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forks {
    /// The fleet: there are as many workers as are wanted, and one that dies is replaced.
    #[default]
    Kept,
    /// The program that runs in the master, one by one ([`Step::Fork`]). Nothing is replaced and nothing has a deadline.
    Ordered,
}

/// How the fleet is to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Who decides that a worker is forked.
    pub forks: Forks,
    /// How many workers there should be; 0 counts as 1.
    pub wanted: usize,
    /// How many more are to stand by, booted but without a slot.
    pub spares: usize,
    /// Which ends are followed by a new worker.
    pub restart: Restart,
    /// From a fork until the worker must be ready.
    pub start_timeout: Duration,
    /// For a drain at shutdown, at scale-down, and of a worker that leaves.
    pub drain_timeout: Duration,
    /// For the drain of a worker that has a successor.
    pub recycle_timeout: Duration,
    /// From the order to end until SIGKILL.
    pub kill_timeout: Duration,
    /// The spacing of forks.
    pub backoff: backoff::Spacing,
    /// How long the first successor of a reload must live before the old workers go.
    pub settle: Duration,
    /// The same, of a successor that is [`Step::Quiet`].
    pub quiet_settle: Duration,
    /// Of the jitter.
    pub seed: u64,
}

/// A slot whose workers die again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashing {
    /// Which.
    pub slot: SlotIndex,
    /// How many died in a row.
    pub failures: u32,
    /// When the next one is forked; `None` while one starts.
    pub next_try: Option<Instant>,
}

/// One piece of news, or one wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fork the first workers.
    Start,
    /// Fork one worker, as the program asks; only where forks are [`Forks::Ordered`].
    Fork,
    /// The worker listens, or has said that it has nothing to listen on.
    Ready {
        /// The worker.
        worker: WorkerId,
    },
    /// The worker waits for nothing but clients: no timer, no start-up work, nothing else that could still end it.
    Quiet {
        /// The worker.
        worker: WorkerId,
    },
    /// The spare has booted and stands by.
    Warm {
        /// The worker.
        worker: WorkerId,
    },
    /// The process is gone and reaped.
    Exited {
        /// The worker.
        worker: WorkerId,
        /// Its status was 0.
        clean: bool,
    },
    /// There is no process: the fork failed.
    SpawnFailed {
        /// Who would have been.
        worker: WorkerId,
        /// For want of processes, memory or descriptors, of which there may be enough again in a moment.
        is_shortage: bool,
    },
    /// The worker was lent a socket, so it may have clients from now on, ready or not.
    Lent {
        /// The worker.
        worker: WorkerId,
    },
    /// The worker got SIGTERM or SIGINT itself, or was asked to go: it drains and is not replaced.
    Leaving {
        /// The worker.
        worker: WorkerId,
    },
    /// The worker closes its servers and then its channel, by `disconnect()` or `kill()` of Node's API: it takes no new
    /// clients and is not replaced. It has no deadline until its channel is closed.
    Departing {
        /// The worker.
        worker: WorkerId,
    },
    /// The worker that was departing closed its channel: no order reaches it any more.
    Disconnected {
        /// The worker.
        worker: WorkerId,
    },
    /// The channel ended without notice while the process lives on: a failure, which is refilled.
    ChannelLost {
        /// The worker.
        worker: WorkerId,
    },
    /// The loop of the worker that was said to hang turns again: it can drain, as others do.
    Turned {
        /// The worker.
        worker: WorkerId,
    },
    /// The worker is due for replacement.
    Recycle {
        /// The worker.
        worker: WorkerId,
        /// Why.
        why: RecycleReason,
    },
    /// Replace every worker.
    Reload {
        /// In which order.
        strategy: Strategy,
    },
    /// Replace nobody any more: the reload that runs is over. With none that runs it changes nothing.
    CancelReload,
    /// Have so many workers from now on; 0 counts as 1.
    Scale {
        /// How many.
        wanted: usize,
    },
    /// Fork nobody any more; answered by [`Effect::RefuseNew`].
    Shutdown,
    /// No new connection gets in and the queues are empty: drain all workers, then finish.
    Closed,
    /// Kill all workers, fork none, finish.
    Stop,
    /// A deadline has come. Deadlines are looked at after every other input as well.
    Tick,
}

/// In which order a reload replaces the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// One successor starts at a time.
    Rolling,
    /// All successors are ready before any old worker goes.
    AllFirst,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Fork a worker; answered by `Ready`, `Exited` or `SpawnFailed`.
    Spawn {
        /// Its name.
        worker: WorkerId,
        /// Whose sockets it is lent; none for a spare.
        slot: Option<SlotIndex>,
        /// What for.
        purpose: Purpose,
        /// Whether it is of the release that the reload under way brings; else it is of the release in service.
        is_new: bool,
    },
    /// Have a spare listen, in the slot of one that died; answered by `Ready`, or at once if it was ready without a socket.
    Serve {
        /// The worker.
        worker: WorkerId,
        /// Whose sockets it is lent from now on.
        slot: SlotIndex,
    },
    /// Order it to drain. Given once in a worker's life; if the deadline moves nearer later, `End` simply comes sooner.
    Drain {
        /// The worker.
        worker: WorkerId,
        /// When `End` follows.
        by: Instant,
    },
    /// Order it, over its channel, to end at once.
    End {
        /// The worker.
        worker: WorkerId,
    },
    /// Send SIGKILL.
    Kill {
        /// The worker.
        worker: WorkerId,
    },
    /// A shutdown begins: let no new connection in, have the queues emptied, then say [`Step::Closed`].
    RefuseNew,
    /// Nobody will fill the slot again and its last worker is gone: its sockets may be closed.
    CloseSlot {
        /// Which.
        slot: SlotIndex,
    },
    /// No worker is left or coming: close all sockets, so that clients are refused instead of hanging.
    CloseSockets,
    /// Tell the world.
    Report(Report),
}

/// What a worker is forked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The first worker of its slot.
    First,
    /// In place of one that died.
    Refill,
    /// To stand by until one dies.
    Spare,
    /// To relieve one that still serves.
    Successor {
        /// The one that still serves.
        of: WorkerId,
    },
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A worker is gone; exactly one for each `Spawn`, those that failed included.
    Died {
        /// The worker.
        worker: WorkerId,
        /// Where it was; nowhere if it was a spare.
        slot: Option<SlotIndex>,
        /// As far as the fleet knows.
        cause: DeathReason,
    },
    /// The slot's next fork has to wait.
    BackingOff {
        /// Which; none for the next spare.
        slot: Option<SlotIndex>,
        /// Deaths in a row.
        failures: u32,
        /// From now until the fork.
        delay: Duration,
    },
    /// A recycle's successor failed; the old worker serves on, and there will be another try.
    SuccessorFailed {
        /// The successor.
        worker: WorkerId,
        /// The old worker.
        of: WorkerId,
    },
    /// The kernel did not end a worker that was killed: it is waited for no longer. Its `Died` has come before.
    Unkillable {
        /// The worker.
        worker: WorkerId,
    },
    /// A recycle has begun.
    Recycling {
        /// The old worker.
        worker: WorkerId,
        /// The new one.
        successor: WorkerId,
    },
    /// There are to be more workers, or fewer.
    WantedChanged {
        /// How many.
        wanted: usize,
    },
    /// A reload has replaced the workers, and the old ones are gone.
    ReloadDone {
        /// Each exchange, in the order of the forks.
        replaced: Vec<Replaced>,
    },
    /// A reload has stopped; old workers that still served stay.
    ReloadFailed {
        /// The successor that failed.
        worker: WorkerId,
        /// How many workers had been replaced before.
        replaced: usize,
    },
    /// A reload was called off; old workers that still served stay.
    ReloadCancelled {
        /// How many workers had been replaced before.
        replaced: usize,
    },
    /// No worker is left or coming. Told again only after there were workers again.
    NoneLeft,
    /// After `Shutdown` or `Stop`: every worker is gone.
    Finished,
}

/// One exchange of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Who went.
    pub old: WorkerId,
    /// Who came.
    pub new: WorkerId,
    /// When the new one was forked.
    pub started: Instant,
    /// When the new one was ready.
    pub ready: Instant,
    /// When the old one was gone.
    pub gone: Instant,
}

/// Where the fleet is in its own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Kept full. Also before `Start`, and while nobody is left.
    Running,
    /// A shutdown has begun: nobody is forked, and workers serve until no new connection gets in.
    Closing,
    /// Draining all.
    ShuttingDown,
    /// Killing all.
    Stopping,
    /// Everybody is gone; nothing will happen any more.
    Finished,
}

/// What a worker does, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// Not ready yet.
    Starting,
    /// Booted, and waits for a slot.
    Spare,
    /// Takes clients.
    Serving,
    /// On its way out: drains, was told to end, or is being killed.
    Draining,
}

/// One worker, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The worker.
    pub worker: WorkerId,
    /// Where; nowhere for a spare.
    pub slot: Option<SlotIndex>,
    /// What it does.
    pub state: MemberState,
    /// The number of the reload that brought its release; 0 is that of the start.
    pub generation: u32,
}
