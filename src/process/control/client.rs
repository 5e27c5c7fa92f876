//! Asks a master over its control socket, or only whose socket that is.
//!
//! `stop`, `pidfile` and `verify` call it, on threads that may block. The kernel says which process listens, so a socket that
//! somebody else has put there is found out.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};

use super::with_short_path;
use crate::os::peer::Process;

/// The longest answer that a client reads.
const ANSWER_LIMIT: u64 = 4 * 1024 * 1024;
/// How long a client waits for a missing socket: a master can be found an instant before it listens.
const APPEARANCE: Duration = Duration::from_millis(250);
const RETRY: Duration = Duration::from_millis(5);
const LOOK: Duration = Duration::from_millis(1);

/// Asks master `pid`, whose socket is at `path`, and waits for the answer until `until`. Blocks.
///
/// # Errors
/// When the socket is not there or not that process', and when the answer does not come in time or is no JSON.
pub fn ask(path: &Path, pid: u32, call: &str, args: &Value, until: Instant) -> io::Result<Value> {
    receive(&send(path, pid, call, args, until)?, until)
}

/// The first half of [`ask`]: the request is under way when this returns.
pub(crate) fn send(
    path: &Path,
    pid: u32,
    call: &str,
    args: &Value,
    until: Instant,
) -> io::Result<UnixStream> {
    let mut stream = connect_by(path, until)?;
    if peer_pid(&stream) != Some(pid) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the control socket is another process'",
        ));
    }
    stream.set_write_timeout(Some(left_until(until)?))?;
    stream.write_all(format!("{}\n", json!({ "call": call, "args": args })).as_bytes())?;
    Ok(stream)
}

/// The second half of [`ask`].
pub(crate) fn receive(stream: &UnixStream, until: Instant) -> io::Result<Value> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream).take(ANSWER_LIMIT);
    // There is one look even when it is late: the answer may have come while the caller waited for something else.
    let mut left = until.saturating_duration_since(Instant::now()).max(LOOK);
    loop {
        stream.set_read_timeout(Some(left))?;
        let chunk = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        let end = memchr::memchr(b'\n', chunk);
        let taken = end.map_or(chunk.len(), |newline| newline + 1);
        line.extend(chunk.iter().take(taken));
        reader.consume(taken);
        if end.is_some() || taken == 0 {
            return serde_json::from_slice(&line).map_err(io::Error::from);
        }
        left = left_until(until)?;
    }
}

/// The pid of the process that listens at `path`, as the kernel knows it.
pub(crate) fn listener_pid(path: &Path) -> Option<u32> {
    peer_pid(&connect(path).ok()?)
}

/// Whether no process listens at `path` any more. A child that the listener was starting when it died does not count.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    match connect(path) {
        Ok(stream) => peer_pid(&stream).is_some_and(|pid| Process::open(pid).is_none()),
        Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
    }
}

fn connect_by(path: &Path, until: Instant) -> io::Result<UnixStream> {
    let appears_by = until.min(Instant::now() + APPEARANCE);
    loop {
        let error = match connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let is_queue_full = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
        let is_absent = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
        let now = Instant::now();
        if !(is_queue_full && now < until || is_absent && now < appears_by) {
            return Err(error);
        }
        thread::sleep(RETRY);
    }
}

/// Connects without waiting: a full queue is `WouldBlock`. The stream itself is a blocking one.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    with_short_path(path, |address| socket.connect(&SockAddr::unix(address)?))?;
    socket.set_nonblocking(false)?;
    Ok(UnixStream::from(OwnedFd::from(socket)))
}

fn peer_pid(stream: &UnixStream) -> Option<u32> {
    // A process that our pid namespace does not know shows as 0.
    getsockopt(stream, PeerCredentials)
        .ok()
        .and_then(|it| u32::try_from(it.pid()).ok())
        .filter(|&pid| pid > 0)
}

fn left_until(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
