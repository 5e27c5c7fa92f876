//! Starts a worker as Node's own `cluster.fork` would: the same script, run again by the same Node.
//!
//! Called by the supervisor, on the one thread that lives as long as the workers. The child inherits stdio and the
//! descriptors of the table [`inherited`]; everything else is close-on-exec. Two cords tie it to this process: the kernel's
//! parent-death signal and the [`Lifeline`]. A worker that a program has forked for itself has the stdio that the program
//! wants and neither cord: it learns of its master's end by its channel, as Node's own workers do.
//! Invariant: a process that was forked either becomes a [`Spawned`] worker or is killed and handed back to be reaped.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::Deserialize;

use super::exit::Child;
use super::inspector;
use super::lifeline::Lifeline;
use super::stdio::{Ends, Stdio};
use crate::error::Error;
use crate::ids::{SlotIndex, WorkerId};
use crate::ipc::serialization::Serialization;
use crate::os::child::{self, FIRST_GIVEN, Program, User};
use crate::os::quiet_thread::TimedCalls;
use crate::os::reserve::Reserve;

const LOG_THREAD: &str = "cluster2-log";
/// How long a fork waits for the log's disk; a worker without its log writes to the master's stdout.
const LOG_PATIENCE: Duration = Duration::from_millis(500);

/// What passes to a worker in its environment. The first three are Node's, the others ours.
pub mod env {
    /// Makes Node a cluster worker with this id.
    pub const UNIQUE_ID: &str = "NODE_UNIQUE_ID";
    /// The number of the channel's descriptor.
    pub const CHANNEL_FD: &str = "NODE_CHANNEL_FD";
    /// How messages are written on the channel: `json` or `advanced`.
    pub const SERIALIZATION: &str = "NODE_CHANNEL_SERIALIZATION_MODE";
    /// The pid of the master that forked this worker; tells our workers from those of somebody else's cluster.
    pub const MASTER: &str = "CLUSTER2_MASTER";
    /// The worker's row of the scoreboard; absent where there is no scoreboard.
    pub const ROW: &str = "CLUSTER2_ROW";
    /// In place of [`MASTER`] in a worker that a program has forked for itself.
    pub const PRIMARY: &str = "CLUSTER2_PRIMARY";
    /// The scoreboard of such a worker, as `descriptor:row`; absent where there is none.
    pub const BOARD: &str = "CLUSTER2_BOARD";
    /// The number of the worker's slot, which its successors share; absent in a spare.
    pub const INSTANCE: &str = "CLUSTER2_INSTANCE";
}

/// The numbers of the descriptors that a worker inherits beside stdio.
pub mod inherited {
    use std::os::fd::RawFd;

    use crate::os::child::FIRST_GIVEN;

    /// The worker's end of its channel.
    pub const CHANNEL: RawFd = FIRST_GIVEN;
    /// The reading end of the lifeline.
    pub const LIFELINE: RawFd = CHANNEL + 1;
    /// The scoreboard, where there is one.
    pub const SCOREBOARD: RawFd = LIFELINE + 1;
}

/// How workers are started; taken from the master's own process by JavaScript.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// The Node binary (`process.execPath`).
    pub exec_path: PathBuf,
    /// Node's own flags (`process.execArgv`).
    pub exec_argv: Vec<String>,
    /// The script (`process.argv[1]`).
    pub script: String,
    /// What follows the script (`process.argv.slice(2)`).
    pub args: Vec<String>,
    /// The environment (`process.env`).
    pub env: BTreeMap<String, String>,
    /// The working directory; `None` is the master's.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// The user that workers run as; `None` is the master's.
    #[serde(default)]
    pub uid: Option<u32>,
    /// The group that workers run as; `None` is the master's.
    #[serde(default)]
    pub gid: Option<u32>,
    /// The master's own inspector port, where workers are to have one each, counted up from it.
    pub inspect_port: Option<u16>,
    /// How messages are written on the channel.
    #[serde(default)]
    pub serialization: Serialization,
    /// The worker's descriptors, where the program forks for itself; else it has the master's stdio.
    #[serde(default)]
    pub stdio: Option<Vec<Stdio>>,
    /// Variables that count up: the number given plus that of the worker's slot.
    #[serde(default)]
    pub instance_env: BTreeMap<String, i64>,
}

/// A worker that has just been forked.
#[derive(Debug)]
pub struct Spawned {
    /// Its process.
    pub child: Child,
    /// The master's end of its channel; non-blocking.
    pub channel: OwnedFd,
    /// Our ends of the pipes that it was to have, by the numbers of its own.
    pub pipes: Vec<Option<OwnedFd>>,
    /// Why the log could not be opened; the worker then writes to the master's stdout.
    pub log_problem: Option<Error>,
}

/// Who a worker is.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Its id.
    pub worker: WorkerId,
    /// Its slot; `None` for a spare.
    pub slot: Option<SlotIndex>,
}

/// A worker that could not be started.
#[derive(Debug)]
pub struct Unborn {
    /// Why.
    pub error: Error,
    /// A process that was forked for it. It has been killed; its end must be waited for before its row is given away.
    pub left: Option<Child>,
}

impl Unborn {
    /// Whether the system was short of processes, memory or descriptors, and may have them again in a moment.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        matches!(-self.error.errno(), libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE)
    }
}

/// Forks the workers of one master.
#[derive(Debug)]
pub struct Spawner {
    lifeline: Lifeline,
    /// The file to which workers append what they write to stdout and stderr; `None` is the master's own stdio.
    log: Option<PathBuf>,
    /// The log's disk may hang, and the supervisor does not wait for it twice.
    log_calls: TimedCalls,
    /// The inspector of a worker may have to be opened.
    may_inspect: bool,
}

/// A worker's place on the scoreboard.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The board; inherited by the worker.
    pub board: BorrowedFd<'a>,
    /// The worker's row.
    pub row: usize,
}

impl Launch {
    /// Sets variables for all later workers, or takes away those without a value.
    pub fn overlay(&mut self, env: &BTreeMap<String, Option<String>>) {
        for (name, value) in env {
            match value {
                Some(value) => self.env.insert(name.clone(), value.clone()),
                None => self.env.remove(name),
            };
        }
    }

    /// Why no worker could be started from this.
    #[must_use]
    pub fn failed(&self, source: io::Error) -> Error {
        Error::Spawn { exec: self.exec_path.clone(), source }
    }

    fn program<'a>(
        &'a self,
        spawner: &'a Spawner,
        Identity { worker: WorkerId(id), slot }: Identity,
        channel: BorrowedFd<'a>,
        ends: Option<&'a Ends>,
        place: Option<Place<'a>>,
        output: Option<BorrowedFd<'a>>,
    ) -> Program<'a> {
        let mut args = self.exec_argv.clone();
        match self.inspect_port_of(id) {
            Some(port) => args.push(format!("--inspect-port={port}")),
            None if spawner.may_inspect => args.push(inspector::FLAG.to_owned()),
            None => {}
        }
        args.push(self.script.clone());
        args.extend_from_slice(&self.args);
        let mut ours = BTreeMap::from([
            (env::UNIQUE_ID, id.to_string()),
            (env::SERIALIZATION, self.serialization.name().to_owned()),
        ]);
        let us = std::process::id().to_string();
        let (first, mut given) = if let Some(ends) = ends {
            ours.insert(env::PRIMARY, us);
            ours.insert(env::CHANNEL_FD, ends.channel().to_string());
            (0, ends.given(channel))
        } else {
            ours.insert(env::MASTER, us);
            ours.insert(env::CHANNEL_FD, inherited::CHANNEL.to_string());
            // In the order of the table `inherited`.
            (FIRST_GIVEN, vec![Some(channel), Some(spawner.lifeline.reader())])
        };
        if let Some(Place { board, row }) = place {
            if ends.is_some() {
                ours.insert(env::BOARD, format!("{}:{row}", given.len()));
            } else {
                ours.insert(env::ROW, row.to_string());
            }
            given.push(Some(board));
        }
        // A program that forks for itself numbers its workers by itself.
        if let (Some(SlotIndex(slot)), None) = (slot, ends) {
            ours.insert(env::INSTANCE, slot.to_string());
            let counted =
                |(name, base): (&'a String, &i64)| (name.as_str(), (base + i64::from(slot)).to_string());
            ours.extend(self.instance_env.iter().map(counted));
        }
        let theirs = self.env.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let theirs = theirs.filter(|(name, _)| !ours.contains_key(name) && *name != env::INSTANCE);
        let env = theirs.chain(ours.clone()).collect();
        let user = User { uid: self.uid, gid: self.gid };
        Program {
            exec: &self.exec_path,
            args,
            env,
            cwd: self.cwd.as_deref(),
            user,
            output,
            first,
            given,
            may_outlive_us: ends.is_some(),
        }
    }

    /// Counts up from the master's port and starts over above 1024 where the ports end, as `cluster.fork` does.
    #[must_use]
    pub fn inspect_port_of(&self, id: u32) -> Option<u16> {
        let base = u32::from(self.inspect_port?);
        let port = base + id % (65_536 - 1024);
        u16::try_from(if port > 65_535 { port - 65_535 + 1024 } else { port }).ok()
    }
}

impl Spawner {
    /// Makes the lifeline; `log` is where workers write to, and `may_inspect` is the option `captureStack`.
    ///
    /// # Errors
    /// What the kernel says when there is no descriptor left.
    pub fn new(log: Option<PathBuf>, may_inspect: bool) -> io::Result<Self> {
        let log_calls = TimedCalls::new(LOG_THREAD, LOG_PATIENCE);
        Ok(Self { lifeline: Lifeline::new()?, log, log_calls, may_inspect })
    }

    /// Opens the log: at the start to find out whether it can be written, then afresh for each worker, so that one that is
    /// forked after the file was moved away writes into a new one.
    ///
    /// # Errors
    /// [`Error::Log`], also for a pipe that nobody reads and for a disk that does not answer in time.
    pub fn open_log(&self) -> Result<Option<File>, Error> {
        let Some(path) = self.log.clone() else { return Ok(None) };
        let log = path.clone();
        let opened = self.log_calls.call(move || open_to_append(&log));
        let opened = opened.and_then(|opened| opened).map_err(|source| log_problem(path, source));
        opened.map(Some)
    }

    /// Forks a worker, with a place on the scoreboard where there is one.
    ///
    /// # Errors
    /// [`Error::Spawn`] when the kernel refuses (no more processes, no more descriptors, a user that is not allowed), or
    /// when the binary has gone.
    pub fn spawn(
        &self,
        launch: &Launch,
        identity: Identity,
        place: Option<Place<'_>>,
        reserve: &Reserve,
    ) -> Result<Spawned, Unborn> {
        let (log, log_problem) = match self.open_log() {
            Ok(log) => (log, None),
            Err(problem) => (None, Some(problem)),
        };
        let output = log.as_ref().map(AsFd::as_fd);
        let unborn = |source, left| Unborn { error: launch.failed(source), left };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let start = || {
            let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?;
            let ends = launch.stdio.as_deref().map(Ends::open).transpose()?;
            let program = launch.program(self, identity, theirs.as_fd(), ends.as_ref(), place, output);
            let pid = child::start(&program)?;
            Ok((pid, ours, ends.map(|ends| ends.ours).unwrap_or_default()))
        };
        let (pid, channel, pipes) = reserve.run(start).map_err(|source| unborn(source, None))?;
        let child = reserve.run(|| Child::watch(pid));
        let child = child.map_err(|source| unborn(source, Some(Child::killed(pid))))?;
        Ok(Spawned { child, channel, pipes, log_problem })
    }
}

/// Opens a file without waiting for anything but the disk. Whoever writes to it later does wait, as to every stdout.
fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}

/// The two problems of which the kernel's own words say little.
fn log_problem(path: PathBuf, source: io::Error) -> Error {
    let instead = |problem| io::Error::new(source.kind(), problem);
    let source = match source.raw_os_error() {
        Some(libc::ENXIO) => instead("it is a pipe that nobody reads, or a socket"),
        Some(libc::ETIMEDOUT) => instead("its disk does not answer"),
        Some(_) | None => source,
    };
    Error::Log { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inspector_ports_count_up_and_wrap_above_the_privileged_ones() {
        let launch = Launch { inspect_port: Some(9229), ..Launch::default() };
        assert_eq!(launch.inspect_port_of(1), Some(9230));
        assert_eq!(launch.inspect_port_of(56_307), Some(1025));
        assert_eq!(Launch::default().inspect_port_of(1), None);
    }

    #[test]
    fn an_overlay_sets_variables_and_takes_them_away() {
        let text = String::from;
        let env = BTreeMap::from([(text("A"), text("1")), (text("B"), text("2"))]);
        let mut launch = Launch { env, ..Launch::default() };
        launch.overlay(&BTreeMap::from([(text("A"), None), (text("C"), Some(text("3")))]));
        assert_eq!(launch.env, BTreeMap::from([(text("B"), text("2")), (text("C"), text("3"))]));
    }

    #[test]
    fn a_worker_gets_nodes_variables_and_flags_before_its_script() {
        let launch = Launch {
            exec_path: "/usr/bin/node".into(),
            exec_argv: vec!["--no-warnings".into()],
            script: "app.js".into(),
            args: vec!["--port".into(), "1".into()],
            env: BTreeMap::from([("A".into(), "b".into())]),
            cwd: Some("/srv".into()),
            uid: Some(7),
            instance_env: BTreeMap::from([("PORT".into(), 3000)]),
            ..Launch::default()
        };
        let (channel, spawner) = (std::io::stdin(), Spawner::new(None, true).unwrap());
        let identity = Identity { worker: WorkerId(7), slot: Some(SlotIndex(2)) };
        let program = launch.program(&spawner, identity, channel.as_fd(), None, None, None);
        assert_eq!(program.args, ["--no-warnings", inspector::FLAG, "app.js", "--port", "1"]);
        assert_eq!(program.cwd, Some(std::path::Path::new("/srv")));
        assert_eq!(program.user, User { uid: Some(7), gid: None });
        let variables: BTreeMap<_, _> = program.env.into_iter().collect();
        assert_eq!(variables["A"], "b");
        assert_eq!(variables[env::CHANNEL_FD], "3");
        assert_eq!(variables[env::UNIQUE_ID], "7");
        assert_eq!((variables[env::INSTANCE].as_str(), variables["PORT"].as_str()), ("2", "3002"));
    }
}
