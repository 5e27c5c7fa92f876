//! `Master`: JavaScript's hold on the supervisor.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};

use napi::bindgen_prelude::Function;
use napi_derive::napi;
use serde::Deserialize;
use serde_json::{Value, json};

use super::convert::{Result, read};
use super::emitter::{self, EventArgs};
use super::options::machine;
use crate::error::Error;
use crate::fleet::Forks;
use crate::ids::WorkerId;
use crate::options::{self, calls};
use crate::os::fd::duplicate;
use crate::process::spawn::Launch;
use crate::socket::{Ip, Kind, Want};
use crate::supervisor::{self, Call, Forked, Handle, Requester, Setup};

/// A worker that leaves so many bytes unread gets no more messages of the application.
const WAITING_LIMIT: usize = 64 * 1024 * 1024;

/// An address that workers will ask for, as `lib/master/master.js` resolved it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    path: Option<String>,
    ip: Option<String>,
    #[serde(default)]
    port: u16,
    /// Which of several servers on one address, as Node counts them.
    #[serde(default)]
    index: u32,
    backlog: u32,
}

/// Why a handle can't be sent.
fn not_duplicated(fd: i32, source: io::Error) -> napi::Error<&'static str> {
    if source.raw_os_error() == Some(libc::EBADF) {
        let text = format!("the argument fd must be an open descriptor, got {fd}");
        return napi::Error::new("ERR_CLUSTER2_INVALID_ARGUMENT", text);
    }
    Error::NoDescriptor { source }.into()
}

impl TryFrom<Address> for Want {
    type Error = Error;

    fn try_from(from: Address) -> std::result::Result<Self, Error> {
        let unknown = |ip: &String| Error::InvalidOption {
            field: "host".into(),
            problem: format!("must be an address of this machine, got '{ip}'"),
        };
        let read = |ip: String| Ip::parse(&ip).ok_or_else(|| unknown(&ip));
        let kind = match from.path {
            Some(path) => Kind::Unix { path: path.into() },
            None => Kind::Tcp { address: from.ip.map(read).transpose()?, port: from.port },
        };
        let (index, backlog) = (from.index, from.backlog);
        Ok(Self { kind, index, fd: None, backlog, flags: 0, readable_all: false, writable_all: false })
    }
}

/// The master: first prepared, then started, closed at the end of the process.
#[napi]
pub struct Master {
    setup: Option<Setup>,
    handle: Option<Handle>,
    addresses: Value,
    own_place: Option<(OwnedFd, usize)>,
}

/// A row of the scoreboard, to be opened with `openScoreboard`.
#[napi(object)]
pub struct OwnPlace {
    /// The board; whoever gets it closes it.
    pub fd: i32,
    /// The row's number.
    pub row: u32,
}

#[napi]
impl Master {
    /// Binds the ports, the monitor's port and the pids directory; nothing is forked yet.
    ///
    /// # Errors
    /// `ERR_CLUSTER2_INVALID_OPTION`, `ERR_CLUSTER2_PORT_IN_USE`, `ERR_CLUSTER2_LISTEN`, `ERR_CLUSTER2_MONITOR_LISTEN`,
    /// `ERR_CLUSTER2_PIDS`.
    #[napi(factory)]
    pub fn prepare(raw_options: Value, launch: Value, wants: Value) -> Result<Self> {
        let options = options::parse(&raw_options, &machine())?.options;
        let launch: Launch = read(launch, "launch")?;
        let wants: Vec<Address> = read(wants, "wants")?;
        let wants = wants.into_iter().map(Want::try_from).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(Self::with(Setup::prepare(options, Forks::Kept, launch, &wants)?))
    }

    /// A master that forks only what its program orders by [`Self::fork`]. Nothing but the monitor's port is bound.
    ///
    /// # Errors
    /// `ERR_CLUSTER2_INVALID_OPTION`, `ERR_CLUSTER2_MONITOR_LISTEN`.
    #[napi(factory)]
    pub fn prepare_for_program(raw_options: Value) -> Result<Self> {
        let options = options::parse(&raw_options, &machine())?.options;
        Ok(Self::with(Setup::prepare(options, Forks::Ordered, Launch::default(), &[])?))
    }

    fn with(setup: Setup) -> Self {
        let addresses = json!({ "app": setup.addresses(), "monitor": setup.monitor_address() });
        let own_place = setup.own_place();
        Self { setup: Some(setup), handle: None, addresses, own_place }
    }

    /// Starts the supervisor's thread, which forks the workers; `on_event` is called on the thread of JavaScript with
    /// (event, worker id, text, descriptor) for each event, and doesn't keep the process alive. With `has_monitor_app` the
    /// event `monitorRequest` brings requests for the application's own monitor app.
    ///
    /// # Errors
    /// `ERR_CLUSTER2_NOT_RUNNING` when it was started or closed before, `ERR_CLUSTER2_THREAD`.
    #[napi]
    pub fn start(&mut self, on_event: Function<'_, EventArgs, ()>, has_monitor_app: bool) -> Result<()> {
        let mut setup = self.setup.take().ok_or(Error::NotRunning)?;
        setup.has_monitor_app = has_monitor_app;
        self.handle = Some(supervisor::start(setup, emitter::publisher(&on_event)?)?);
        Ok(())
    }

    /// What was really bound: `{app: [{kind, address, port, path}], monitor: {address, port} | null}`.
    #[napi]
    #[must_use]
    pub fn addresses(&self) -> Value {
        self.addresses.clone()
    }

    /// Says a line of the application, or several, to a worker, with a descriptor that is duplicated first; gives the bytes
    /// that wait.
    ///
    /// # Errors
    /// Nothing is sent: `ERR_CLUSTER2_WORKER_GONE`; `ERR_CLUSTER2_CHANNEL_FULL` when the worker leaves 64 MiB unread;
    /// `ERR_CLUSTER2_NO_DESCRIPTOR` when the descriptor can't be duplicated, or `ERR_CLUSTER2_INVALID_ARGUMENT` when it is not
    /// open.
    #[napi]
    pub fn send(&self, worker: u32, text: String, fd: Option<i32>) -> Result<u32> {
        let worker = WorkerId(worker);
        let gone = || napi::Error::new("ERR_CLUSTER2_WORKER_GONE", format!("worker {worker} is gone"));
        let handle = self.handle.as_ref().ok_or_else(gone)?;
        let writer = handle.writers.get(worker).ok_or_else(gone)?;
        if writer.waiting() > WAITING_LIMIT {
            let text = format!("worker {worker} does not read its channel: {} bytes wait", writer.waiting());
            return Err(napi::Error::new("ERR_CLUSTER2_CHANNEL_FULL", text));
        }
        let fd = fd.map(|fd| duplicate(fd).map_err(|error| not_duplicated(fd, error))).transpose()?;
        writer.pass(text, fd);
        Ok(u32::try_from(writer.waiting()).unwrap_or(u32::MAX))
    }

    /// Forks a worker, which is started as `launch` says; waits until that is done. Gives `{id, pid, pipes}`, where `pipes` are
    /// the caller's descriptors of the pipes that the worker was to have, by the numbers of its own; or `{id, errno, message}`.
    ///
    /// # Errors
    /// `ERR_CLUSTER2_NOT_RUNNING`.
    #[napi]
    pub fn fork(&self, launch: Value) -> Result<Value> {
        let launch: Box<Launch> = read(launch, "launch")?;
        let (forked, done) = std::sync::mpsc::sync_channel(1);
        self.ask(Call::Fork { launch, forked })?;
        let Forked { worker: WorkerId(id), process } = done.recv().map_err(|_| Error::NotRunning)?;
        Ok(match process {
            Ok((pid, pipes)) => {
                let number = |fd: OwnedFd| fd.into_raw_fd();
                let pipes: Vec<_> = pipes.into_iter().map(|fd| fd.map(number)).collect();
                json!({ "id": id, "pid": pid, "pipes": pipes })
            }
            Err(error) => json!({ "id": id, "errno": error.errno(), "message": error.full_text() }),
        })
    }

    /// Closes a worker's channel, once all is said.
    #[napi]
    pub fn close_channel(&self, worker: u32) {
        self.call(Call::CloseChannel { worker: WorkerId(worker) });
    }

    /// Sends a signal by number.
    #[napi]
    pub fn signal(&self, worker: u32, signal: i32) {
        self.call(Call::Signal { worker: WorkerId(worker), signal });
    }

    /// Asks a worker to disconnect.
    #[napi]
    pub fn disconnect(&self, worker: u32) {
        self.call(Call::Disconnect { worker: WorkerId(worker) });
    }

    /// Replaces a worker, successor first.
    #[napi]
    pub fn recycle(&self, worker: u32) {
        self.call(Call::Recycle { worker: WorkerId(worker) });
    }

    /// With `cluster: false`: where this process writes how it is, `{fd, row}`; given once.
    #[napi]
    #[must_use]
    pub fn place(&mut self) -> Option<OwnPlace> {
        let (fd, row) = self.own_place.take()?;
        Some(OwnPlace { fd: fd.into_raw_fd(), row: u32::try_from(row).ok()? })
    }

    /// Takes the cluster out of rotation or puts it back; the event `answered` with `ticket` says that it is done.
    /// `false` when the supervisor has ended, and no event will come.
    #[napi]
    #[must_use]
    pub fn rotate(&self, ticket: u32, disabled: bool, by: String, reason: Option<String>) -> bool {
        self.handle.as_ref().is_some_and(|handle| handle.call(Call::Rotate { ticket, disabled, by, reason }))
    }

    /// Says that this process, which serves by itself, has begun to shut down.
    #[napi]
    pub fn leave(&self) {
        self.call(Call::Leave);
    }

    /// Whether this process should answer DISABLED.
    #[napi]
    #[must_use]
    pub fn is_out_of_rotation(&self) -> bool {
        self.handle.as_ref().is_some_and(|handle| handle.rotation.is_out())
    }

    /// Replaces what the application adds to the metrics; `false` for a text above 4 MiB, which changes nothing.
    #[napi]
    #[must_use]
    pub fn set_app_metrics(&self, text: String) -> bool {
        self.handle.as_ref().is_none_or(|handle| handle.app_metrics.set(&text))
    }

    /// Replaces all workers with ones that are started as `launch` says; answered by the event `answered` with `ticket`.
    ///
    /// # Errors
    /// `ERR_CLUSTER2_INVALID_OPTION` for the arguments, `ERR_CLUSTER2_NOT_RUNNING`.
    #[napi]
    pub fn reload(&self, args: Value, launch: Value, ticket: u32) -> Result<()> {
        let (args, requester) = (calls::Reload::parse(&args)?, Requester::JavaScript(ticket));
        self.ask(Call::Reload { args, launch: read(launch, "launch")?, requester })
    }

    /// Calls off the reload that is under way; answered by the event `answered` with `ticket`.
    ///
    /// # Errors
    /// `ERR_CLUSTER2_NOT_RUNNING`.
    #[napi]
    pub fn cancel_reload(&self, ticket: u32) -> Result<()> {
        self.ask(Call::CancelReload { ticket })
    }

    /// The answer to the event `launchAsked`: what workers are to be started with, or why that can't be said.
    ///
    /// # Errors
    /// `ERR_CLUSTER2_NOT_RUNNING`.
    #[napi]
    pub fn tell_launch(&self, launch: Value, problem: Option<String>) -> Result<()> {
        let launch = problem.map_or_else(|| read(launch, "launch").map(Ok), |problem| Ok(Err(problem)))?;
        self.ask(Call::Launch(launch))
    }

    /// Sets the number of workers, `{workers}` or `{by}`; answered by the event `answered` with `ticket`.
    ///
    /// # Errors
    /// `ERR_CLUSTER2_INVALID_OPTION` for the arguments, `ERR_CLUSTER2_NOT_RUNNING`.
    #[napi]
    pub fn scale(&self, args: Value, ticket: u32) -> Result<()> {
        let (scale, requester) = (calls::Scale::parse(&args)?, Requester::JavaScript(ticket));
        self.ask(Call::Scale { scale, requester })
    }

    /// Begins a graceful shutdown; `ended` is the last event.
    #[napi]
    pub fn shutdown(&self) {
        self.call(Call::Shutdown);
    }

    /// Kills all workers; `ended` is the last event.
    #[napi]
    pub fn stop(&self) {
        self.call(Call::Stop);
    }

    /// Removes our files and closes our sockets, waiting for that at most a second; workers still alive are killed.
    #[napi]
    pub fn close(&mut self) {
        self.setup = None;
        if let Some(handle) = self.handle.take() {
            handle.close();
        }
    }

    /// Makes a call that is to be answered, which needs somebody who answers.
    fn ask(&self, call: Call) -> Result<()> {
        let is_heard = self.handle.as_ref().is_some_and(|handle| handle.call(call));
        if is_heard { Ok(()) } else { Err(Error::NotRunning.into()) }
    }

    fn call(&self, call: Call) {
        if let Some(handle) = &self.handle {
            // A supervisor that has ended has nobody to act on.
            let _ = handle.call(call);
        }
    }
}
