//! What is bound, opened and read before the supervisor starts, in the order that cluster2 scripts know.
//!
//! Runs on the thread of JavaScript, where a failure is an exception and the caller can still exit with the right status:
//! the application's ports first, then the monitor's, then the pids directory. A failure leaves nothing behind. From here
//! on the disk belongs to a thread of its own (`process::disk`).

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;

use serde_json::json;

use crate::error::Error;
use crate::fleet::Forks;
use crate::ids::WorkerId;
use crate::monitor;
use crate::options::{Options, Scheduling, Sticky};
use crate::os::reserve::{FOR_SUPERVISION, Reserve};
use crate::process::control::server::{self, ControlSocket};
use crate::process::disk::PidFiles;
use crate::process::fallback;
use crate::process::pidfile::PidDir;
use crate::process::spawn::{Launch, Spawner};
use crate::scoreboard::Scoreboard;
use crate::socket::{self, Bound, Ip, Kind, Sockets, Want};

/// Whose row it is that this process writes when it serves by itself. Workers are counted from 1.
pub(crate) const OWN_ROW: WorkerId = WorkerId(0);

/// Everything the supervisor owns from its first moment.
#[derive(Debug)]
pub struct Setup {
    pub(crate) options: Options,
    pub(crate) forks: Forks,
    pub(crate) launch: Launch,
    pub(crate) sockets: Sockets,
    pub(crate) monitor: Option<TcpListener>,
    /// The application has an app of its own for the monitor's port.
    pub has_monitor_app: bool,
    pub(crate) spawner: Spawner,
    /// Descriptors that supervision keeps for itself.
    pub(crate) reserve: Reserve,
    pub(crate) pids: Option<PidFiles>,
    pub(crate) control: Option<ControlSocket>,
    /// Where the pid files are, if not where they should be; told as a warning.
    pub(crate) pids_problem: Option<Error>,
    /// A failure is no reason not to start: it is told as a warning.
    pub(crate) scoreboard: Result<Scoreboard, Error>,
}

impl Setup {
    /// Binds and opens what the options ask for; `wants` are the addresses that workers will ask for, so that a busy port
    /// is found before anything is forked. A master whose program forks is that program: it has no pid files and no control
    /// socket.
    ///
    /// # Errors
    /// [`Error::PortInUse`], [`Error::Listen`], [`Error::MonitorListen`] or [`Error::Pids`].
    pub fn prepare(options: Options, forks: Forks, launch: Launch, wants: &[Want]) -> Result<Self, Error> {
        let mut sockets = Sockets::new(match options.scheduling {
            Scheduling::Slots if options.sticky == Sticky::Address => socket::Scheduling::SlotsByAddress,
            Scheduling::Slots => socket::Scheduling::Slots,
            Scheduling::Shared => socket::Scheduling::Shared,
            Scheduling::Rr => socket::Scheduling::Handed,
        });
        for want in wants {
            sockets.reserve(want).map_err(|source| listen_error(want, source))?;
        }
        let monitor = options.mon_port.map(|port| bind_monitor(&options, port.get())).transpose()?;
        let spawner = Spawner::new(options.log.clone(), options.capture_stack);
        let spawner = spawner.map_err(|source| launch.failed(source))?;
        spawner.open_log()?;
        let mut scoreboard = Scoreboard::create(std::process::id());
        if let (Ok(board), false) = (&mut scoreboard, options.cluster) {
            // Without workers this very process has a row.
            board.assign(OWN_ROW);
        }
        let is_found = options.cluster && forks == Forks::Kept;
        let announced = if is_found { announce(&options.pids)? } else { Announced::default() };
        let Announced { pids, control, problem: pids_problem } = announced;
        let has_monitor_app = false;
        Ok(Self {
            options,
            forks,
            launch,
            sockets,
            monitor,
            has_monitor_app,
            spawner,
            reserve: Reserve::new(FOR_SUPERVISION),
            pids,
            control,
            pids_problem,
            scoreboard,
        })
    }

    /// The scoreboard and the number of this process' own row, where it serves by itself; the descriptor is the caller's.
    #[must_use]
    pub fn own_place(&self) -> Option<(OwnedFd, usize)> {
        let board = self.scoreboard.as_ref().ok()?;
        let row = board.row_of(OWN_ROW)?;
        Some((board.fd().try_clone_to_owned().ok()?, row.get()))
    }

    /// The application's addresses as they were really bound.
    #[must_use]
    pub fn addresses(&self) -> serde_json::Value {
        let bound = self.sockets.addresses();
        bound
            .into_iter()
            .map(|Bound { kind, address, path, .. }| {
                let (ip, port) = (address.map(|at| Ip::from(at).to_string()), address.map(|at| at.port()));
                json!({ "kind": kind, "address": ip, "port": port, "path": path })
            })
            .collect()
    }

    /// The monitor's address, where it has one.
    #[must_use]
    pub fn monitor_address(&self) -> Option<serde_json::Value> {
        let bound = self.monitor.as_ref()?.local_addr().ok()?;
        Some(json!({ "address": Ip::from(bound).to_string(), "port": bound.port() }))
    }
}

fn bind_monitor(options: &Options, port: u16) -> Result<TcpListener, Error> {
    let host = options.mon_host.as_str();
    let bound = match monitor::server::bind(host, port) {
        Err(busy) if options.mon_port_may_move && busy.kind() == io::ErrorKind::AddrInUse => {
            monitor::server::bind(host, 0)
        }
        bound => bound,
    };
    bound.map_err(|source| Error::MonitorListen { address: format!("{host}:{port}"), source })
}

/// What others find this master by.
#[derive(Debug, Default)]
struct Announced {
    pids: Option<PidFiles>,
    control: Option<ControlSocket>,
    problem: Option<Error>,
}

/// Writes the pid file and binds the control socket in the directory `wanted`. Where that can't be written, in the one that
/// takes its place; and nowhere, where that can't be used either, since the cluster serves without.
fn announce(wanted: &Path) -> Result<Announced, Error> {
    let refusal = match announce_in(wanted) {
        Err(Error::Pids { source, .. }) if is_refusal(&source) => source,
        done => return done,
    };
    let told =
        |what: String| Some(pids_error(wanted, io::Error::new(refusal.kind(), format!("{refusal}; {what}"))));
    let place = fallback::make(wanted).map_err(|source| pids_error(wanted, source));
    Ok(match place.and_then(|dir| Ok((announce_in(&dir)?, dir))) {
        Ok((announced, dir)) => {
            let problem = told(format!("pid files and control socket are in {}", dir.display()));
            Announced { problem, ..announced }
        }
        Err(Error::Pids { source, .. }) => {
            let problem = told(format!("{source}; only signals reach this master from outside"));
            Announced { problem, ..Announced::default() }
        }
        Err(other) => return Err(other),
    })
}

fn announce_in(path: &Path) -> Result<Announced, Error> {
    let failed = |source| pids_error(path, source);
    let dir = PidDir::open(path, true)?;
    let control = server::bind(&dir.control_path()).map_err(failed)?;
    let pids = PidFiles::start(dir).map_err(|source| Error::Thread { source })?;
    Ok(Announced { pids: Some(pids), control: Some(control), problem: None })
}

/// Whether a directory can't be written, which is no mistake of whoever named it.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull, Unsupported};
    matches!(error.kind(), PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull | Unsupported)
}

fn pids_error(path: &Path, source: io::Error) -> Error {
    Error::Pids { path: path.to_owned(), source }
}

fn listen_error(want: &Want, source: io::Error) -> Error {
    let address = match &want.kind {
        Kind::Tcp { address, port } | Kind::Udp { address, port, .. } => {
            address.map_or_else(|| port.to_string(), |address| format!("{address}:{port}"))
        }
        Kind::Unix { path } => path.display().to_string(),
    };
    if source.kind() == io::ErrorKind::AddrInUse {
        Error::PortInUse { address, source }
    } else {
        Error::Listen { address, source }
    }
}
