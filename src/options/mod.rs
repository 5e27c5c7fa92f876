//! What JavaScript passed to `new Cluster` becomes one immutable `Options`, or an error that names the option.
//!
//! The border calls `parse` once, before anything is bound or written. Nothing here does I/O: what `parse` has to know of the
//! machine comes in as `Machine`. Units, ranges and the leniency towards old scripts end here; the rest of the code sees
//! domain types only. Invariants: `Options::ports` is never empty, and the monitor's port is not in it.
//!
//! `read.rs` reads one value; `ecv.rs`, `metrics.rs`, `monitor.rs` and `script.rs` read the parts of those options;
//! `show.rs` prints a value for a message; `nearest.rs` guesses what a misspelt name meant; `json.rs` is the way back
//! to JavaScript. `calls.rs` reads the arguments of `reload` and `scale`, by the same rules.

pub mod calls;
mod choices;
mod ecv;
mod json;
mod metrics;
mod monitor;
mod nearest;
mod read;
mod script;
mod show;
#[cfg(test)]
mod tests;

use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::error::Error;
use crate::socket::sticky::MOST_SLOTS;
pub use choices::{OnUncaught, Restart, Scheduling, Sticky};
pub use ecv::Ecv;
pub use metrics::Metrics;
pub use monitor::Monitor;
use read::Problem;
pub use script::Script;

/// What `parse` has to know of the process and the machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Logical CPUs, the default of `noWorkers`.
    pub cpus: usize,
    /// The working directory, against which `pids` and `logs` are resolved.
    pub cwd: PathBuf,
    /// The environment variable `DEATH_TIMEOUT` (ms), as it was found.
    pub death_timeout: Option<String>,
    /// Whether this is Linux, where every worker slot can have a listening socket of its own.
    pub linux: bool,
    /// Whether a zone, the part of an IPv6 address behind the '%', names a network interface.
    pub is_interface: fn(&str) -> bool,
}

#[cfg(any(test, fuzzing))]
impl Machine {
    /// One without surprises.
    pub(crate) fn plain() -> Self {
        Self { cpus: 4, cwd: "/".into(), death_timeout: None, linux: true, is_interface: |_| false }
    }
}

/// What came of the raw options.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// What counts from now on.
    pub options: Options,
    /// Sentences for the user about what was ignored, for example a misspelt name.
    pub warnings: Vec<String>,
}

/// All options, checked and with their defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are the user's own yes and no")]
pub struct Options {
    /// `cluster`: start workers, or serve in the process itself.
    pub cluster: bool,
    /// `port`: where the application listens; at least one address.
    pub ports: Vec<Address>,
    /// `host`: name or address that the application's ports are bound to.
    pub host: String,
    /// `monHost`: name or address that the monitor's port is bound to.
    pub mon_host: String,
    /// `monPort`: the monitor's port; `None` is no monitor.
    pub mon_port: Option<NonZeroU16>,
    /// The monitor may listen on any free port where `mon_port` is busy, since nobody chose that port.
    pub mon_port_may_move: bool,
    /// `monPath`: path of the monitor's page.
    pub mon_path: String,
    /// `monitor`: who may read it, and whether it may change anything.
    pub monitor: Monitor,
    /// `ecv`: the health answer on the application's port; `None` is off.
    pub ecv: Option<Ecv>,
    /// `noWorkers`: how many workers are wanted, at most 1024; with `sticky` at most 220.
    pub no_workers: NonZeroU16,
    /// `spares`: how many more workers stand by, booted but not listening, at most 1024; may be zero.
    pub spares: u16,
    /// `timeout`: how long a connection may be idle; zero is for ever.
    pub timeout: Duration,
    /// `connThreshold`: a worker that has accepted more connections is recycled; `None` is never.
    pub conn_threshold: Option<NonZeroU64>,
    /// `uptimeThreshold`: a worker that has run for longer is recycled.
    pub uptime_threshold: Duration,
    /// `requestThreshold`: a worker that has been asked for more is recycled; `None` is never.
    pub request_threshold: Option<NonZeroU64>,
    /// `memoryThreshold`: a worker with more resident bytes is recycled; `None` is never.
    pub memory_threshold: Option<NonZeroU64>,
    /// `recycleJitter`: thresholds are raised by up to this fraction, at random for each worker; not negative.
    pub recycle_jitter: Millionths,
    /// `cwd`: the working directory of the workers; `None` is the master's.
    pub cwd: Option<PathBuf>,
    /// `uid`: the user as whom workers run; `None` is the master's.
    pub uid: Option<u32>,
    /// `gid`: the group as which workers run; `None` is the master's.
    pub gid: Option<u32>,
    /// `heartbeatInterval`: time between two `heartbeat` events.
    pub heartbeat_interval: Duration,
    /// `maxHeartbeatDelay`: a worker whose event loop has not turned for so long is hung.
    pub max_heartbeat_delay: Duration,
    /// `pids`: directory of the pid files, absolute if the working directory was.
    pub pids: PathBuf,
    /// `logs`: directory that the monitor shows, absolute if the working directory was.
    pub logs: PathBuf,
    /// `stop`: `listen()` stops the running cluster instead of starting one.
    pub stop: bool,
    /// `shutdown`: `listen()` shuts the running cluster down instead of starting one.
    pub shutdown: bool,
    /// `exec` and what belongs to it: a script that workers run as it is.
    pub script: Script,
    /// `name`: what people call the cluster.
    pub name: Option<String>,
    /// `log`: the file to which workers append what they write to stdout and stderr, absolute if the working directory was.
    pub log: Option<PathBuf>,
    /// `restartDelay`: the spacing of forks after the second death in a row; doubled with each further one.
    pub restart_delay: Duration,
    /// `restart`: which exits of a worker are made good by a new one.
    pub restart: Restart,
    /// `onUncaughtException`: what an exception that nobody caught does to its worker.
    pub on_uncaught_exception: OnUncaught,
    /// `shutdownTimeout`: how long workers may drain in a shutdown.
    pub shutdown_timeout: Duration,
    /// `killTimeout`: from the order to end at once to SIGKILL.
    pub kill_timeout: Duration,
    /// `keepAliveGrace`: how long a draining worker leaves idle keep-alive connections open; may be zero.
    pub keep_alive_grace: Duration,
    /// `startTimeout`: a worker that does not listen by then is killed and replaced.
    pub start_timeout: Duration,
    /// `recycleTimeout`: how long a recycled worker may drain.
    pub recycle_timeout: Duration,
    /// `scheduling`: how connections are spread over the workers.
    pub scheduling: Scheduling,
    /// `backlog`: how many connections the kernel queues for each listening socket.
    pub backlog: NonZeroU16,
    /// `sticky`: whether a client's connections stay with one worker.
    pub sticky: Sticky,
    /// `hangTimeout`: a shorter limit than `maxHeartbeatDelay` for an event loop that does not turn.
    pub hang_timeout: Option<Duration>,
    /// `captureStack`: find out what a hung worker is stuck in before it is replaced.
    pub capture_stack: bool,
    /// `metrics`: workers count their requests; `None` is off.
    pub metrics: Option<Metrics>,
    /// `flightRecorder`: workers keep their last requests for the moment after a crash.
    pub flight_recorder: bool,
    /// `drainDelay`: how long a shutdown says DISABLED before it lets nobody in any more; may be zero.
    pub drain_delay: Duration,
    /// `liveMaxAge`: the cluster is live while an event loop has turned within this time.
    pub live_max_age: Duration,
    /// `readyQuorum`: how many workers must serve for the cluster to be ready.
    pub ready_quorum: NonZeroU16,
}

/// A part of a whole, as a number of millionths from 0 to 1,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Millionths(pub u32);

/// Where an application listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port; 0 is any free one.
    Tcp(u16),
    /// A unix socket, with its path as the user wrote it.
    Path(PathBuf),
}

/// Reads what JavaScript passed to `new Cluster`.
///
/// Values that JSON can't hold are expected as `{"$js": "<as util.inspect shows them>"}`, for example
/// `{"$js": "undefined"}`, which counts as absent, or `{"$js": "[Function: f]"}`.
///
/// # Errors
///
/// [`Error::InvalidOption`] for the first option, in the order given, that breaks its rule.
pub fn parse(raw: &Value, machine: &Machine) -> Result<Parsed, Error> {
    let mut parsed = Parsed { options: Options::defaults(machine), warnings: read::ignored_env(machine) };
    if read::is_falsy(raw) {
        return Ok(parsed);
    }
    let given = read::parts(raw, "must be an object").map_err(|problem| invalid("options", problem))?;
    if script::is_given(raw) {
        parsed.options.fit_strangers();
    }
    for (name, value) in given {
        parsed.take(name, value, machine).map_err(|problem| invalid(name, problem))?;
    }
    script::check(raw, &parsed.options)?;
    parsed.options.check_ports()?;
    parsed.options.check_sticky()?;
    Ok(parsed)
}

fn invalid(name: &str, problem: Problem) -> Error {
    Error::InvalidOption { field: format!("{name}{}", problem.below), problem: problem.text }
}

impl Parsed {
    /// Takes in one option; falsy values leave the default where the option is not itself a yes or no.
    fn take(&mut self, name: &str, value: &Value, machine: &Machine) -> Result<(), Problem> {
        let options = &mut self.options;
        match name {
            "cluster" => options.cluster = !read::is_falsy(value),
            "port" => replace(&mut options.ports, read::addresses(value)?),
            "host" => replace(&mut options.host, read::host(value, machine.is_interface)?),
            "monHost" => replace(&mut options.mon_host, read::host(value, machine.is_interface)?),
            "monPort" => {
                options.mon_port = read::mon_port(value, options.mon_port)?;
                options.mon_port_may_move &= read::is_falsy(value);
            }
            "monPath" => replace(&mut options.mon_path, read::url_path(value)?),
            "monitor" => options.monitor = monitor::read(value, &mut self.warnings)?,
            "ecv" => options.ecv = ecv::read(value, &mut self.warnings)?,
            "noWorkers" => replace(&mut options.no_workers, read::count(value, MAX_WORKERS)?),
            "spares" => options.spares = read::count_from_0(value, MAX_WORKERS)?.unwrap_or(0),
            "timeout" => replace(&mut options.timeout, read::millis(value)?),
            "connThreshold" => {
                options.conn_threshold = read::count(value, read::MAX_SAFE)?.or(options.conn_threshold);
            }
            "uptimeThreshold" => replace(&mut options.uptime_threshold, read::seconds(value)?),
            "requestThreshold" => options.request_threshold = read::count(value, read::MAX_SAFE)?,
            "memoryThreshold" => options.memory_threshold = read::bytes(value)?,
            "recycleJitter" => replace(&mut options.recycle_jitter, read::fraction(value)?),
            "cwd" => options.cwd = read::directory(value, &machine.cwd)?,
            "uid" => options.uid = read::count_from_0(value, MAX_ID)?,
            "gid" => options.gid = read::count_from_0(value, MAX_ID)?,
            "heartbeatInterval" => replace(&mut options.heartbeat_interval, read::millis(value)?),
            "maxHeartbeatDelay" => {
                replace(&mut options.max_heartbeat_delay, read::millis_from(SHORTEST_HANG, value)?);
            }
            "pids" => replace(&mut options.pids, read::directory(value, &machine.cwd)?),
            "logs" => replace(&mut options.logs, read::directory(value, &machine.cwd)?),
            "exec" => options.script.exec = script::exec(value)?,
            "args" => replace(&mut options.script.args, script::words(value)?),
            "nodeArgs" => replace(&mut options.script.node_args, script::words(value)?),
            "env" => replace(&mut options.script.env, script::env(value)?),
            "instanceEnv" => replace(&mut options.script.instance_env, script::numbers(value)?),
            "waitReady" => options.script.wait_ready = !read::is_falsy(value),
            "name" => options.name = script::name(value)?,
            "log" => options.log = read::file(value, &machine.cwd)?,
            "restartDelay" => replace(&mut options.restart_delay, read::millis(value)?),
            "stop" => options.stop = !read::is_falsy(value),
            "shutdown" => options.shutdown = !read::is_falsy(value),
            "restart" => replace(&mut options.restart, read::one_of(value, Restart::ALL, Restart::name)?),
            "onUncaughtException" => {
                let read = read::one_of(value, OnUncaught::ALL, OnUncaught::name)?;
                replace(&mut options.on_uncaught_exception, read);
            }
            "shutdownTimeout" => replace(&mut options.shutdown_timeout, read::millis(value)?),
            "killTimeout" => replace(&mut options.kill_timeout, read::millis(value)?),
            "keepAliveGrace" => replace(&mut options.keep_alive_grace, read::millis_from(0, value)?),
            "startTimeout" => replace(&mut options.start_timeout, read::millis(value)?),
            "recycleTimeout" => replace(&mut options.recycle_timeout, read::millis(value)?),
            "scheduling" => replace(&mut options.scheduling, read::scheduling(value, machine.linux)?),
            "backlog" => replace(&mut options.backlog, read::count(value, u64::from(u16::MAX))?),
            "sticky" => replace(&mut options.sticky, read::one_of(value, Sticky::ALL, Sticky::name)?),
            "hangTimeout" => options.hang_timeout = read::millis_from(SHORTEST_HANG, value)?,
            "captureStack" => options.capture_stack = !read::is_falsy(value),
            "metrics" => options.metrics = metrics::read(value, &mut self.warnings),
            "flightRecorder" => options.flight_recorder = !read::is_falsy(value),
            "drainDelay" => replace(&mut options.drain_delay, read::millis_from(0, value)?),
            "liveMaxAge" => replace(&mut options.live_max_age, read::millis(value)?),
            "readyQuorum" => replace(&mut options.ready_quorum, read::count(value, MAX_WORKERS)?),
            unknown => {
                let known = options.to_json();
                self.warnings.push(nearest::warning("", unknown, read::names(&known)));
                return Ok(());
            }
        }
        if read::is_nan(value) && !YES_OR_NO.contains(&name) {
            self.warnings.push(format!("option `{name}` is NaN, which counts as not given"));
        }
        Ok(())
    }
}

fn replace<T>(place: &mut T, read: Option<T>) {
    if let Some(read) = read {
        *place = read;
    }
}

const MAX_WORKERS: u64 = 1024;

/// The largest number of a user or group; the one after it means "unchanged" to the kernel.
const MAX_ID: u64 = 4_294_967_294;

/// A worker shows every 100 ms that its loop turns, and a healthy one may be late by several times that: on a busy machine, or
/// while garbage is collected. So a shorter limit can't tell hung workers from healthy ones.
const SHORTEST_HANG: u64 = 1000;

/// Options for which every value has a meaning: it is truthy or falsy.
const YES_OR_NO: [&str; 7] =
    ["cluster", "stop", "shutdown", "captureStack", "metrics", "flightRecorder", "waitReady"];

impl Options {
    /// What counts when nothing is given.
    #[must_use]
    pub fn defaults(machine: &Machine) -> Self {
        let death_timeout = read::env_millis(machine).unwrap_or(Duration::from_secs(60));
        Self {
            cluster: true,
            ports: vec![Address::Tcp(3000)],
            host: "0.0.0.0".to_owned(),
            mon_host: "0.0.0.0".to_owned(),
            mon_port: NonZeroU16::new(3001),
            mon_port_may_move: false,
            mon_path: "/".to_owned(),
            monitor: Monitor::default(),
            ecv: Some(Ecv::default()),
            no_workers: workers_for(machine.cpus),
            spares: 0,
            timeout: Duration::from_secs(30),
            conn_threshold: NonZeroU64::new(10_000),
            uptime_threshold: Duration::from_secs(86_400),
            request_threshold: None,
            memory_threshold: None,
            recycle_jitter: Millionths::default(),
            cwd: None,
            uid: None,
            gid: None,
            heartbeat_interval: Duration::from_secs(60),
            max_heartbeat_delay: Duration::from_secs(180),
            pids: machine.cwd.join("pids"),
            logs: machine.cwd.join("logs"),
            stop: false,
            shutdown: false,
            script: Script::default(),
            name: None,
            log: None,
            restart_delay: Duration::from_millis(100),
            restart: Restart::OnFailure,
            on_uncaught_exception: OnUncaught::Recycle,
            // With `kill_timeout`, 2 s for the queues and 2 s for the application's clean-up in the master this is below the
            // 30 s that Kubernetes grants between SIGTERM and SIGKILL.
            shutdown_timeout: Duration::from_secs(23),
            kill_timeout: Duration::from_secs(2),
            keep_alive_grace: Duration::from_secs(1),
            start_timeout: death_timeout,
            recycle_timeout: death_timeout,
            scheduling: if machine.linux { Scheduling::Slots } else { Scheduling::Shared },
            backlog: NonZeroU16::MIN.saturating_add(510),
            sticky: Sticky::None,
            hang_timeout: None,
            capture_stack: false,
            metrics: Some(Metrics::default()),
            flight_recorder: true,
            drain_delay: Duration::ZERO,
            live_max_age: Duration::from_secs(30),
            ready_quorum: NonZeroU16::MIN,
        }
    }

    /// What counts for a script that was not written for us: its connections live as long as it lets them, and only this
    /// machine reads the monitor.
    fn fit_strangers(&mut self) {
        self.timeout = Duration::ZERO;
        self.conn_threshold = None;
        "127.0.0.1".clone_into(&mut self.mon_host);
        self.mon_port_may_move = true;
    }

    /// The two servers can't share a port; 0 is any free one, so it never collides.
    fn check_ports(&self) -> Result<(), Error> {
        const RULE: &str = "must not be among `port` (monitor port & application port cannot use the same!)";
        match self.mon_port {
            // The script chooses its ports by itself.
            Some(_) if self.script.exec.is_some() => Ok(()),
            Some(port) if self.ports.contains(&Address::Tcp(port.get())) => {
                Err(invalid("monPort", Problem::new(RULE, &port.get().into())))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Only the kernel's choice among slots goes by address.
    fn check_sticky(&self) -> Result<(), Error> {
        if self.sticky == Sticky::Address && self.scheduling != Scheduling::Slots {
            let scheduling = self.scheduling.name();
            let rule = format!(
                "must be 'none' with `scheduling: '{scheduling}'`, since only 'slots' can tell clients apart"
            );
            return Err(invalid("sticky", Problem::new(&rule, &self.sticky.name().into())));
        }
        self.check_workers("noWorkers", self.no_workers)
    }

    /// Whether there may be so many workers, as far as it depends on other options; `field` is what asks for them.
    fn check_workers(&self, field: &str, workers: NonZeroU16) -> Result<(), Error> {
        let most = self.most_workers();
        if usize::from(workers.get()) > most {
            let rule = format!("must be at most {most} with `sticky: '{}'`", self.sticky.name());
            return Err(invalid(field, Problem::new(&rule, &workers.get().into())));
        }
        Ok(())
    }

    /// How many workers there may be: by address, the kernel can choose from so many alone.
    fn most_workers(&self) -> usize {
        match self.sticky {
            Sticky::Address => usize::from(MOST_SLOTS),
            Sticky::None => usize::try_from(MAX_WORKERS).unwrap_or(usize::MAX),
        }
    }
}

/// One worker per CPU, within the range of `noWorkers`.
fn workers_for(cpus: usize) -> NonZeroU16 {
    let wanted = u64::try_from(cpus).unwrap_or(MAX_WORKERS).min(MAX_WORKERS);
    u16::try_from(wanted).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
}
