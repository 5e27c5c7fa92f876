//! Keeps the workers as the fleet decides, and serves everybody who asks.
//!
//! [`start`] takes everything that was bound and opened beforehand, on the thread of JavaScript, where a busy port can still
//! be reported as an exception, and moves it to one thread of its own, named `cluster2`. That thread is the only one that
//! forks, and it lives until the last worker is gone. JavaScript holds a [`Handle`].
//!
//! One loop, below, receives an `Input` and lets `state` take it in. `effects` does what the fleet wants done, `messages`
//! answers workers, `calls` obeys JavaScript and other processes, `requesters` keeps callers of a reload until it is done.
//! `connections` decides who gets which client, `shutdown` when sockets close, `watch` how workers are, `snapshot` what is
//! shown. `timers` is the one table of deadlines, by the time of `fair_clock`.

use std::os::fd::OwnedFd;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::backlog::Waiting;
use crate::ecv::Word;
use crate::error::Error;
use crate::event::{Exit, Publish};
use crate::ids::WorkerId;
use crate::ipc::message::ToMaster;
use crate::monitor::data::app_metrics::AppMetrics;
use crate::process::control::server::Request;
use crate::process::spawn::Launch;

mod calls;
mod connections;
mod ecv;
mod effects;
mod fair_clock;
mod messages;
mod requesters;
pub mod setup;
mod shutdown;
mod snapshot;
mod state;
mod timers;
pub(crate) mod watch;
mod workers;

use fair_clock::FairClock;
pub use requesters::Requester;
pub use setup::Setup;
use state::State;

/// How long the loop sleeps when nothing is due.
const NOTHING_DUE: Duration = Duration::from_secs(3600);
/// How many inputs may wait for the loop; a full queue makes the readers of channels wait, and so the workers.
const INPUTS: usize = 1024;
/// How long a caller waits for the supervisor's thread to put its things away.
const CLOSING: Duration = Duration::from_secs(1);

/// What JavaScript asks for.
#[derive(Debug)]
pub enum Call {
    /// Forks one worker, where the program forks.
    Fork {
        /// What it is started with.
        launch: Box<Launch>,
        /// Who waits for it; dropped where nothing is forked any more.
        forked: std::sync::mpsc::SyncSender<Forked>,
    },
    /// Sends a signal by number; 0 changes nothing.
    Signal {
        /// To whom.
        worker: WorkerId,
        /// Its number.
        signal: i32,
    },
    /// Asks a worker to disconnect, as `worker.disconnect()` does in Node.
    Disconnect {
        /// The worker.
        worker: WorkerId,
    },
    /// Closes the channel of a worker, once all is said.
    CloseChannel {
        /// The worker.
        worker: WorkerId,
    },
    /// Replaces a worker, successor first.
    Recycle {
        /// The worker.
        worker: WorkerId,
    },
    /// Replaces all workers; answered when that is done or has failed.
    Reload {
        /// How.
        args: crate::options::calls::Reload,
        /// What workers are to be started with from now on.
        launch: Launch,
        /// Who gets the answer.
        requester: Requester,
    },
    /// Calls off the reload that is under way.
    CancelReload {
        /// Of the promise that is answered.
        ticket: u32,
    },
    /// What workers are to be started with: the answer to [`LaunchAsked`](crate::event::Event::LaunchAsked), or why there is
    /// none.
    Launch(Result<Launch, String>),
    /// Changes the number of workers; answered at once.
    Scale {
        /// To how many.
        scale: crate::options::calls::Scale,
        /// Who gets the answer.
        requester: Requester,
    },
    /// Lets nothing new in, drains all workers, then ends.
    Shutdown,
    /// Kills all workers at once, then ends.
    Stop,
    /// Takes the cluster out of rotation or puts it back.
    Rotate {
        /// Echoed in the event that says it is done.
        ticket: u32,
        /// Out, or back.
        disabled: bool,
        /// Who wants it, for people.
        by: String,
        /// Why, if it was said.
        reason: Option<String>,
    },
    /// This process, which serves by itself, has begun to shut down.
    Leave,
    /// The process is about to exit: puts files away and ends the thread.
    Close,
}

/// What came of [`Call::Fork`].
#[derive(Debug)]
pub struct Forked {
    /// The worker's id, which is spent in any case.
    pub worker: WorkerId,
    /// Its pid, and our ends of the pipes that it was to have; or why there is none.
    pub process: Result<(u32, Vec<Option<OwnedFd>>), Error>,
}

/// Everything that moves the supervisor.
#[derive(Debug)]
pub(crate) enum Input {
    Call(Call),
    Control(Request),
    Said(WorkerId, ToMaster, Option<OwnedFd>, Waiting),
    /// A message of this worker was longer than can be read.
    TooLong(WorkerId),
    /// Everything before it has been dealt with: dropped, it tells the sender so.
    Reached(oneshot::Sender<()>),
    /// A message has to wait: this process had no room for its descriptor, or the kernel none for the message.
    Shortage,
    /// The connection that was handed over by this number did not reach the worker.
    NotDelivered(WorkerId, u64),
    ChannelClosed(WorkerId),
    Exited(WorkerId, Exit),
    /// A connection waits on the socket of a slot that nobody serves.
    Stranded,
    /// Whoever cannot read the state of rotation from shared memory has to be told.
    Rotated,
    /// A connection waits in a queue, after a time in which all were empty.
    Waiting,
    /// What was found out about a worker that hangs, and has for so long.
    Examined(WorkerId, Duration, Option<String>),
}

/// JavaScript's hold on the supervisor.
///
/// Every verb returns at once. When the supervisor has ended, verbs do nothing; dropping the handle ends it.
#[derive(Debug)]
pub struct Handle {
    calls: mpsc::UnboundedSender<Call>,
    ended: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
    /// The way of the application's messages to each worker, which doesn't pass through the supervisor's loop.
    pub writers: workers::Writers,
    /// Whether this process should answer DISABLED.
    pub rotation: Word,
    /// What the application adds to the metrics.
    pub app_metrics: AppMetrics,
}

impl Handle {
    /// Passes a call on; `false` when the supervisor has ended.
    pub fn call(&self, call: Call) -> bool {
        self.calls.send(call).is_ok()
    }

    /// Removes our files and closes every socket, waiting for that at most a second; workers still alive are killed by the
    /// kernel, since the thread that forked them ends.
    pub fn close(&self) {
        self.call(Call::Close);
        if let Ok(ended) = self.ended.lock() {
            let (Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) =
                ended.recv_timeout(CLOSING);
        }
    }
}

/// What the supervisor's thread and that of JavaScript both hold.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) writers: workers::Writers,
    pub(crate) rotation: Word,
    pub(crate) app_metrics: AppMetrics,
}

/// Starts the supervisor on its own thread and forks the first workers; `publish` is called for each event.
///
/// # Errors
/// [`Error::Thread`] when the system gives no thread; what was bound is closed again.
pub fn start(setup: Setup, publish: Publish) -> Result<Handle, Error> {
    let (calls, heard_calls) = mpsc::unbounded_channel();
    let (done, ended) = std::sync::mpsc::channel();
    let shared = Shared::default();
    let (writers, rotation) = (shared.writers.clone(), shared.rotation.clone());
    let app_metrics = shared.app_metrics.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Thread { source })?;
    let body = move || {
        block_all_signals();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, run(setup, heard_calls, shared, publish));
        drop(local);
        // A caller that waited may have given up.
        let _ = done.send(());
    };
    std::thread::Builder::new()
        .name("cluster2".into())
        .spawn(body)
        .map_err(|source| Error::Thread { source })?;
    Ok(Handle { calls, ended: std::sync::Mutex::new(ended), writers, rotation, app_metrics })
}

/// Signals are JavaScript's; the mask is not inherited by workers, which start with a clean one.
fn block_all_signals() {
    // A thread that can't block them handles them as any other of Node's threads would.
    let _ = nix::sys::signal::SigSet::all().thread_block();
}

async fn run(setup: Setup, mut calls: mpsc::UnboundedReceiver<Call>, shared: Shared, publish: Publish) {
    let (inputs, mut heard) = mpsc::channel(INPUTS);
    let mut clock = FairClock::new(Instant::now());
    let mut state = State::new(setup, inputs, shared, publish);
    state.begin(clock.wake(Instant::now()));
    while !state.is_over() {
        let due = clock.sleep_until(state.next_deadline(), state.is_judging());
        let due = due.unwrap_or_else(|| Instant::now() + NOTHING_DUE);
        let input = tokio::select! {
            call = calls.recv() => Some(Input::Call(call.unwrap_or(Call::Close))),
            Some(input) = heard.recv() => Some(input),
            () = tokio::time::sleep_until(due.into()) => None,
        };
        state.take(input, clock.wake(Instant::now()));
    }
    state.finish().await;
}
