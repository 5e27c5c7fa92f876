//! What can go wrong, one permanent code each.
//!
//! A code is never renamed and never used again for something else; `docs/errors.md` lists them all, and a test compares
//! list and code both ways. Messages say what could not be done and with which value; causes stay in `source`.

use std::io;
use std::path::PathBuf;

/// The code of what only a mistake of ours can cause, or an addon and JavaScript of different versions.
pub const INTERNAL: &str = "ERR_CLUSTER2_INTERNAL";

/// Everything that this crate reports as failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option breaks a rule; the text names the option, the rule and the value.
    #[error("option `{field}` {problem}")]
    InvalidOption {
        /// Full path of the option, for example `ecv.path`.
        field: String,
        /// The rule and the offending value, for example ``must be a whole number from 1 to 65535, got 0.5``.
        problem: String,
    },
    /// The application's port is held by somebody else.
    #[error("port in use: {address}")]
    PortInUse {
        /// The address as the user wrote it.
        address: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The application's port can't be bound for another reason.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address as the user wrote it.
        address: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The monitor's port can't be bound.
    #[error("cannot listen on the monitor's address {address}")]
    MonitorListen {
        /// The address as the user wrote it.
        address: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A worker process could not be started at all.
    #[error("cannot start a worker from {}", exec.display())]
    Spawn {
        /// The program that was to be run.
        exec: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The file can't be opened to which workers write.
    #[error("cannot append to the log {}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A reload was called off before it had replaced every worker.
    #[error("the reload was cancelled: {problem}")]
    ReloadCancelled {
        /// By whom, and what that means for the service.
        problem: String,
    },
    /// There is no reload that could be cancelled.
    #[error("no reload can be cancelled: {problem}")]
    NoReload {
        /// Why.
        problem: String,
    },
    /// The directory for pid files or the control socket can't be used.
    #[error("cannot use the pids directory {}", path.display())]
    Pids {
        /// The directory or file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A live master did not answer on its control socket.
    #[error("the master with pid {pid} does not answer: {problem}")]
    Control {
        /// The master's pid.
        pid: u32,
        /// What went wrong.
        problem: String,
    },
    /// The master has ended or was never started.
    #[error("the cluster is not running")]
    NotRunning,
    /// A reload was given up.
    #[error("the reload failed: {problem}")]
    ReloadFailed {
        /// What went wrong, and what that means for the service.
        problem: String,
    },
    /// A handle can't be sent to a worker.
    #[error("cannot send a handle: no descriptor is left for it")]
    NoDescriptor {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The background thread can't be started.
    #[error("cannot start the supervisor's thread")]
    Thread {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The shared memory in which workers write how they are can't be made, or is not what it should be.
    #[error("no scoreboard: {problem}")]
    Scoreboard {
        /// What is wrong.
        problem: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// The message with those of all causes.
    #[must_use]
    pub fn full_text(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }

    /// The kernel's number for the cause, as libuv gives it: below 0. -1 (`EPERM`) where it has another form.
    #[must_use]
    pub fn errno(&self) -> i32 {
        let cause = std::error::Error::source(self).and_then(|cause| cause.downcast_ref::<io::Error>());
        -cause.and_then(io::Error::raw_os_error).unwrap_or(libc::EPERM)
    }

    /// What JavaScript callers compare.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidOption { .. } => "ERR_CLUSTER2_INVALID_OPTION",
            Self::PortInUse { .. } => "ERR_CLUSTER2_PORT_IN_USE",
            Self::Listen { .. } => "ERR_CLUSTER2_LISTEN",
            Self::MonitorListen { .. } => "ERR_CLUSTER2_MONITOR_LISTEN",
            Self::Spawn { .. } => "ERR_CLUSTER2_SPAWN",
            Self::Log { .. } => "ERR_CLUSTER2_LOG",
            Self::ReloadCancelled { .. } => "ERR_CLUSTER2_RELOAD_CANCELLED",
            Self::NoReload { .. } => "ERR_CLUSTER2_NO_RELOAD",
            Self::Pids { .. } => "ERR_CLUSTER2_PIDS",
            Self::Control { .. } => "ERR_CLUSTER2_CONTROL",
            Self::NotRunning => "ERR_CLUSTER2_NOT_RUNNING",
            Self::ReloadFailed { .. } => "ERR_CLUSTER2_RELOAD_FAILED",
            Self::NoDescriptor { .. } => "ERR_CLUSTER2_NO_DESCRIPTOR",
            Self::Thread { .. } => "ERR_CLUSTER2_THREAD",
            Self::Scoreboard { .. } => "ERR_CLUSTER2_SCOREBOARD",
        }
    }
}
