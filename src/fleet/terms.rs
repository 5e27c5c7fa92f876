//! What goes into the fleet and what comes out of it: the terms between deciding and doing.
//!
//! The supervisor's loop turns whatever happens into an [`Input`] and performs each [`Effect`] in order. Nothing here
//! holds a process, a descriptor or a clock.

use std::time::{Duration, Instant};

use super::backoff;
use crate::ids::{SlotIndex, WorkerId};

/// Which ends of a worker that nobody asked for are followed by a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Only failures; a worker that exits with status 0 meant it.
    OnFailure,
    /// Every end.
    Always,
}

/// How the fleet is to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
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
    pub backoff: backoff::Policy,
    /// How long the first successor of a reload must live before the old workers go.
    pub settle: Duration,
    /// The same, of a successor that is [`Input::Quiet`].
    pub quiet_settle: Duration,
    /// Of the jitter.
    pub seed: u64,
}

/// One piece of news, or one wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Fork the first workers.
    Start,
    /// The worker listens, or has said that it has nothing to listen on.
    Ready {
        /// Who.
        worker: WorkerId,
    },
    /// The worker waits for nothing but clients: no timer, no start-up work, nothing else that could still end it.
    Quiet {
        /// Who.
        worker: WorkerId,
    },
    /// The spare has booted and stands by.
    Warm {
        /// Who.
        worker: WorkerId,
    },
    /// The process is gone and reaped.
    Exited {
        /// Who.
        worker: WorkerId,
        /// Its status was 0.
        clean: bool,
    },
    /// There is no process: the fork failed.
    SpawnFailed {
        /// Who would have been.
        worker: WorkerId,
    },
    /// The worker got SIGTERM or SIGINT itself, or was asked to go: it drains and is not replaced.
    Leaving {
        /// Who.
        worker: WorkerId,
    },
    /// The worker closed its channel on purpose: no order reaches it any more, and it is not replaced. A channel that
    /// merely ended with its process is *not* this news, or a crash would count as a farewell.
    Disconnected {
        /// Who.
        worker: WorkerId,
    },
    /// The worker is due for replacement.
    Recycle {
        /// Who.
        worker: WorkerId,
        /// Why.
        why: Why,
    },
    /// Replace every worker.
    Reload {
        /// In which order.
        strategy: Strategy,
    },
    /// Have so many workers from now on; 0 counts as 1.
    Scale {
        /// How many.
        wanted: usize,
    },
    /// Drain all workers, fork none, finish.
    Shutdown,
    /// Kill all workers, fork none, finish.
    Stop,
    /// A deadline has come. Deadlines are looked at after every other input as well.
    Tick,
}

/// Why a worker is recycled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The worker itself or the application asked for it.
    Asked,
    /// It accepted its number of connections.
    Connections,
    /// It served its number of requests.
    Requests,
    /// It is old.
    Uptime,
    /// It is large.
    Memory,
    /// It had an uncaught exception. At most one recycle per slot and stable time; further ones are ignored.
    Exception,
    /// Its loop does not turn, so it is killed instead of drained once its successor is ready.
    Hung,
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
    },
    /// Have a spare listen, in the slot of one that died; answered by `Ready`, or at once if it was ready without a socket.
    Serve {
        /// Who.
        worker: WorkerId,
        /// Whose sockets it is lent from now on.
        slot: SlotIndex,
    },
    /// Order it to drain. Given once in a worker's life; if the deadline moves nearer later, `End` simply comes sooner.
    Drain {
        /// Who.
        worker: WorkerId,
        /// When `End` follows.
        by: Instant,
    },
    /// Order it, over its channel, to end at once.
    End {
        /// Who.
        worker: WorkerId,
    },
    /// Send SIGKILL.
    Kill {
        /// Who.
        worker: WorkerId,
    },
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
        /// Who.
        worker: WorkerId,
        /// Where it was; nowhere if it was a spare.
        slot: Option<SlotIndex>,
        /// As far as the fleet knows.
        cause: Cause,
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

/// Why a worker is gone, as far as the fleet had a part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nobody asked it to go: a crash, an exit of its own, or a fork that failed.
    Unasked,
    /// It was not ready in time and was killed.
    StartTimeout,
    /// Shutdown.
    Drained,
    /// It left, or closed its channel.
    Left,
    /// It was recycled.
    Recycled(Why),
    /// It was replaced by a reload.
    Reloaded,
    /// Its slot was taken away.
    ScaledDown,
    /// Stop.
    Stopped,
    /// It had to be killed at the end of its drain.
    Overdue,
    /// A successor that was called off with its exchange.
    GivenUp,
}

/// Where the fleet is in its own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Kept full. Also before `Start`, and while nobody is left.
    Running,
    /// Draining all.
    ShuttingDown,
    /// Killing all.
    Stopping,
    /// Everybody is gone; nothing will happen any more.
    Finished,
}

/// What a worker does, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
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
pub struct View {
    /// Who.
    pub worker: WorkerId,
    /// Where; nowhere for a spare.
    pub slot: Option<SlotIndex>,
    /// What it does.
    pub state: State,
    /// Since when it has done that.
    pub since: Instant,
    /// How many reloads had begun when it was forked.
    pub generation: u32,
}
