//! What the application is told.
//!
//! The supervisor and the monitor publish these, each from its own thread; the border turns each into a call of JavaScript,
//! in the same order. They hold facts only: no descriptor that is still in use, no reference into the supervisor.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::backlog::Waiting;
use crate::ids::WorkerId;

/// One thing that happened.
#[derive(Debug)]
pub enum Event {
    /// A worker was forked and its pid file is written.
    Forked {
        /// Its id.
        worker: WorkerId,
        /// Its process.
        pid: u32,
    },
    /// The first workers are forked.
    Started,
    /// The worker's Node is up and runs the script.
    Online {
        /// Its id.
        worker: WorkerId,
    },
    /// A server of the worker listens, as Node reports it.
    ServerListening {
        /// Its id.
        worker: WorkerId,
        /// Where.
        address: Box<ListeningAddress>,
        /// The address that is really bound, where it asked for any.
        any: Option<IpAddr>,
    },
    /// One application of the worker listens on all its ports: the `listening` event of cluster2.
    Listening {
        /// Its id.
        worker: WorkerId,
        /// Its process.
        pid: u32,
    },
    /// The worker has booted and stands by, without a socket, until another one dies.
    Spare {
        /// Its id.
        worker: WorkerId,
        /// Its process.
        pid: u32,
    },
    /// The worker's channel has ended.
    Disconnected {
        /// Its id.
        worker: WorkerId,
    },
    /// The worker called `disconnect()` or `kill()` on itself.
    LeavesOnPurpose {
        /// Its id.
        worker: WorkerId,
    },
    /// The worker's process is gone and reaped.
    Died {
        /// Its id.
        worker: WorkerId,
        /// Its process, which may be somebody else's by now.
        pid: u32,
        /// How it ended.
        exit: Exit,
        /// Why, in one sentence.
        reason: String,
        /// What it leaves behind: `{row, requests}`, its last row and the requests under way.
        facts: Value,
    },
    /// All workers together, once in a `heartbeatInterval`.
    Heartbeat {
        /// The numbers, by the names of cluster2.
        facts: Value,
    },
    /// The worker's event loop has not turned for too long; it will be replaced.
    Hung {
        /// Its id.
        worker: WorkerId,
        /// Its process.
        pid: u32,
        /// For how long.
        age: Duration,
        /// The stack of what it is stuck in, if it was asked for and could be read.
        stack: Option<String>,
    },
    /// Messages of the application, one JSON text per line.
    Messages {
        /// The worker that said them.
        worker: WorkerId,
        /// The lines, joined by newlines.
        lines: Vec<u8>,
    },
    /// A message of the application that brought a handle.
    HandleMessage {
        /// The worker that said it.
        worker: WorkerId,
        /// Node's name for the kind of handle.
        kind: String,
        /// The server of the worker that waits for its end, as Node names it.
        key: Option<String>,
        /// The message, as JSON text.
        text: String,
        /// The handle.
        fd: OwnedFd,
    },
    /// What a worker says of its components, for JavaScript alone.
    Component {
        /// Its id.
        worker: WorkerId,
        /// What, as JSON text.
        fact: String,
    },
    /// A request on the monitor's port that JavaScript is to answer.
    MonitorRequest(MonitorRequest),
    /// Something an operator should know.
    Warning {
        /// The sentence.
        message: String,
        /// Facts behind it, by name.
        facts: Value,
    },
    /// Something on the monitor's timeline that has no event of its own, such as the end of a reload.
    Noted {
        /// Its name there.
        event: &'static str,
        /// The process that it concerns.
        pid: Option<u32>,
        /// What there is to say.
        text: String,
    },
    /// Another process asked for a reload: what are workers to be started with?
    LaunchAsked,
    /// The answer to a call of the application that has a ticket.
    Answered {
        /// Which call.
        ticket: u32,
        /// `{ok: true, ...}` or `{ok: false, code, message, facts?}`.
        answer: Value,
    },
    /// The cluster was taken out of rotation or put back, or was asked to be where it was already.
    Rotated {
        /// It is out now.
        disabled: bool,
        /// Who asked for it, for people.
        by: String,
        /// Why, if it was said.
        reason: Option<String>,
        /// It was the other way before.
        changed: bool,
    },
    /// Another process asked for a graceful shutdown, which has begun.
    ShutdownAsked,
    /// Another process asked for a stop, which has begun.
    StopAsked,
    /// Every worker is gone after a shutdown or a stop, and our files are removed.
    Ended,
}

/// Where a server of a worker listens, as Node reports it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListeningAddress {
    /// An address, a path, or nothing for "any".
    #[serde(default)]
    pub address: Value,
    /// The port, -1 for a path.
    #[serde(default)]
    pub port: Value,
    /// 4, 6, -1, `udp4` or `udp6`.
    #[serde(default)]
    pub address_type: Value,
    /// The descriptor, where the worker listens on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fd: Option<i64>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It ended by itself with this status.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether the status was 0.
    #[must_use]
    pub fn is_clean(self) -> bool {
        self == Self::Code(0)
    }
}

/// How the master's threads tell the application of an [`Event`]. One that a worker's message causes goes with the
/// [`Waiting`] of that message, which counts it as undelivered until it is dropped.
pub type Publish = Arc<dyn Fn(Event, Option<Waiting>) + Send + Sync>;

/// Which part of the application answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// The application's own monitor app.
    App,
    /// Its components.
    Components,
}

/// A request on its way to JavaScript.
#[derive(Debug)]
pub struct MonitorRequest {
    /// Whom to ask.
    pub to: Addressee,
    /// The client's address, as Node shows it on a socket.
    pub remote: SocketAddr,
    /// The end of the pair that JavaScript serves.
    pub socket: OwnedFd,
    /// To be told when JavaScript has got it.
    pub taken: oneshot::Sender<()>,
    /// Counts the requests that JavaScript has not got yet; dropped when it has.
    pub queued: Arc<()>,
}

impl Addressee {
    /// The name by which JavaScript knows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Components => "components",
        }
    }
}

/// The name of a signal, for example `SIGKILL`; real-time signals have none and give their number.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal)
        .map_or_else(|_| format!("signal {signal}"), |known| known.to_string())
}
