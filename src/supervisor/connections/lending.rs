//! Lends sockets to workers, and gives addresses up that no worker has any more.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Connections, Loan, Order};
use crate::fleet::Forks;
use crate::ids::WorkerId;
use crate::ipc::listen::Query;
use crate::ipc::message::{ServerData, ToWorker};
use crate::socket::{Ip, Kind, ListenerId, Want};

/// How long an address that no worker has any more is kept, while no worker is to come.
const ABANDONED: Duration = Duration::from_secs(5);

/// The addresses that workers had and none has any more.
#[derive(Debug, Default)]
pub(super) struct Abandoned {
    /// When each is given up.
    pub(super) due: BTreeMap<ListenerId, Instant>,
    /// No worker is to come that could ask for them.
    pub(super) is_for_good: bool,
}

impl Connections {
    /// Lends a worker the socket that it asks for; `false` if there is no such worker.
    ///
    /// # Errors
    /// The kernel's reason, or that the question is none.
    pub(crate) fn lend(
        &mut self,
        worker: WorkerId,
        seq: u64,
        query: &Query,
        data: &ServerData,
    ) -> io::Result<bool> {
        let Some(slot) = self.servers.get(&worker).map(|server| server.slot) else { return Ok(false) };
        let lent = self.sockets.lend(&self.shared(want_of(query)?, worker), slot)?;
        let key = format!("{}.{seq}", lent.listener);
        let data = self.server_data.entry(lent.listener).or_insert_with(|| data.clone()).clone();
        let name = self.name_of(lent.listener);
        if let Some(server) = self.servers.get_mut(&worker) {
            server.loans.push(Loan {
                key: key.clone(),
                listener: lent.listener,
                watched: BTreeSet::new(),
                unwatching: BTreeMap::new(),
            });
        }
        let (message, fd) = if lent.is_handed {
            (ToWorker::LendNothing { ack: seq, key, data, name }, None)
        } else {
            (ToWorker::Lend { ack: seq, key, data }, Some(lent.fd))
        };
        self.orders.push(Order { worker, message, fd });
        self.is_steering_outdated = true;
        Ok(true)
    }

    /// What is meant by a want: servers of several workers at one address share it, whichever of its servers each of them
    /// opens there first. Only any free port is another one for each.
    fn shared(&self, want: Want, worker: WorkerId) -> Want {
        if want.is_any_port() {
            return want;
        }
        let first = Want { index: 0, ..want.clone() };
        let has_it = self.sockets.listener_of(&first).is_some_and(|listener| {
            self.servers.get(&worker).is_some_and(|server| server.key_of(listener).is_some())
        });
        if has_it { want } else { first }
    }

    /// Answers a question for a socket with an error.
    pub(crate) fn refuse(&mut self, worker: WorkerId, seq: u64, data: ServerData, error: &io::Error) {
        let errno = -error.raw_os_error().unwrap_or(libc::EINVAL);
        let message = ToWorker::Refuse { ack: seq, errno, data };
        self.orders.push(Order { worker, message, fd: None });
    }

    /// A worker closed a socket that it was lent. When the last one did so while it takes clients, the address is given up:
    /// clients must be refused rather than wait in a queue that nobody will empty. Not if `is_one_starting`, which may ask
    /// for it.
    pub(crate) fn socket_closed(&mut self, worker: WorkerId, key: &str, is_one_starting: bool) {
        let Some(server) = self.servers.get_mut(&worker) else { return };
        let Some(at) = server.loans.iter().position(|loan| loan.key == key) else { return };
        let listener = server.loans.swap_remove(at).listener;
        let is_on_purpose = server.is_taking;
        self.is_steering_outdated = true;
        let is_over = match self.forks {
            Forks::Kept => is_on_purpose && !is_one_starting,
            Forks::Ordered => true,
        };
        if is_over {
            self.close_unlent(listener);
        }
    }

    /// Finds the addresses that workers had and none has any more. A worker that is ready may still open its further servers,
    /// so they are kept for a while.
    pub(super) fn look_for_abandoned(&mut self, now: Instant) {
        let before = std::mem::take(&mut self.abandoned.due);
        if self.abandoned.is_for_good {
            let abandoned = self.server_data.keys().filter(|listener| !self.is_lent(**listener));
            self.abandoned.due =
                abandoned.map(|id| (*id, *before.get(id).unwrap_or(&(now + ABANDONED)))).collect();
        }
    }

    /// Gives up the addresses that no worker has had for a while: clients would wait there for ever.
    pub(crate) fn give_up_abandoned(&mut self, now: Instant) {
        let due: Vec<ListenerId> =
            self.abandoned.due.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for listener in due {
            self.abandoned.due.remove(&listener);
            self.close_unlent(listener);
        }
    }

    pub(super) fn is_lent(&self, listener: ListenerId) -> bool {
        self.servers.values().any(|server| server.key_of(listener).is_some())
    }

    /// Gives an address up, unless a worker is still lent a socket of it.
    pub(super) fn close_unlent(&mut self, listener: ListenerId) {
        if self.is_lent(listener) {
            return;
        }
        self.handoff.unwatch(listener);
        self.sockets.close(listener);
        self.server_data.remove(&listener);
    }

    /// A TCP listener's address as `server.address()` shows it.
    fn name_of(&self, listener: ListenerId) -> Value {
        let bound = self.sockets.addresses().into_iter().find(|bound| bound.listener == listener);
        bound.and_then(|bound| bound.address).map_or(Value::Null, |address| {
            let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
            json!({ "address": Ip::from(address).to_string(), "family": family, "port": address.port() })
        })
    }
}

/// Node's question in our words.
fn want_of(query: &Query) -> io::Result<Want> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let ip = || match query.address.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => Ip::parse(text).map(Some).ok_or_else(invalid),
    };
    let port = || u16::try_from(query.port.unwrap_or(0).max(0)).map_err(|_| invalid());
    let kind = match query.address_type.as_str() {
        Some(family) => Kind::Udp { v6: family == "udp6", address: ip()?, port: port()? },
        None if query.address_type.as_i64() == Some(-1) => {
            Kind::Unix { path: PathBuf::from(query.address.clone().ok_or_else(invalid)?) }
        }
        None => Kind::Tcp { address: ip()?, port: port()? },
    };
    Ok(Want {
        kind,
        index: query.index,
        fd: query.fd.filter(|fd| *fd >= 0),
        backlog: query.backlog.as_u64().and_then(|backlog| u32::try_from(backlog).ok()).unwrap_or(0),
        flags: query.flags.unwrap_or(0),
        readable_all: query.readable_all,
        writable_all: query.writable_all,
    })
}
