//! The control socket beside the pid files, and its client.
//!
//! A master binds it with [`bind`] before it serves, and runs [`serve`] on its runtime; `stop` and the command line are
//! the clients. One connection carries one request and one answer, each a line of JSON:
//! `{"call":"scale","args":{"workers":4}}` is answered by whatever the master says, or by
//! `{"ok":false,"code":"ERR_CLUSTER2_CONTROL","message":"..."}`. Because it is served by the supervisor's thread it
//! works while the master's JavaScript is blocked.
//!
//! Only the user who runs the master, and root, get an answer: the file has mode 0600 from its first moment on, and the
//! peer's credentials are checked as well. A request has at most [`REQUEST_LIMIT`] bytes and comes within [`REQUEST_TIME`].
//! At most [`CONNECTIONS`] clients are served at once; further ones wait in the kernel's queue. A client that closes its
//! connection before it has its answer gives its place up; what it asked for is done all the same.

use std::fs;
use std::future::pending;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use nix::fcntl::OFlag;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::geteuid;
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, Interest};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::error::Error;
use crate::os::peer::Process;
use crate::os::watch::watch;
use crate::process::pidfile::PidDir;
use crate::tasks::LocalTasks;

/// The longest request, its newline included.
pub const REQUEST_LIMIT: u64 = 64 * 1024;
/// How long a client may take to send its request, and to take its answer.
pub const REQUEST_TIME: Duration = Duration::from_secs(10);
/// In an answer: how many milliseconds later the client should ask again.
pub const AGAIN_AFTER: &str = "againAfter";
/// How many clients are served at once.
pub const CONNECTIONS: usize = 64;

/// How much of a refusal is said; the reason may repeat what the client sent.
const REFUSAL_LIMIT: usize = 300;
/// The longest answer that a client reads.
const ANSWER_LIMIT: u64 = 4 * 1024 * 1024;
const BACKLOG: i32 = 128;
/// What fits into a `sockaddr_un` with its closing zero.
const LONGEST_ADDRESS: usize = 107;
/// How long a client waits for a missing socket: a master can be found an instant before it listens.
const APPEARANCE: Duration = Duration::from_millis(250);
const RETRY: Duration = Duration::from_millis(5);
const LOOK: Duration = Duration::from_millis(1);

/// The listening socket, not yet served. The [`PidDir`] removes its file.
#[derive(Debug)]
pub struct ControlSocket(UnixListener);

/// One request to the master.
#[derive(Debug)]
pub struct Request {
    /// What is asked for: `stop`, `shutdown`, `status` and so on.
    pub call: String,
    /// Its arguments; null when there were none.
    pub args: Value,
    /// Where the answer goes.
    pub reply: Reply,
}

/// The one answer to a request. If it is dropped, the client is told that there is no answer.
#[derive(Debug)]
pub struct Reply(oneshot::Sender<Bytes>);

impl Reply {
    /// A reply, and the place where its answer arrives: for callers inside this process.
    #[must_use]
    pub fn channel() -> (Self, oneshot::Receiver<Bytes>) {
        let (reply, answer) = oneshot::channel();
        (Self(reply), answer)
    }

    /// Answers, at once or later; a client that has gone meanwhile is no error.
    #[expect(clippy::needless_pass_by_value, reason = "callers make it for this")]
    pub fn send(self, answer: Value) {
        self.send_line(answer.to_string().into());
    }

    /// Answers with JSON that is written already, without a newline; may be called on any thread.
    pub fn send_line(self, answer: Bytes) {
        // The connection's task ends when its client does: then nobody is left to be told.
        let _ = self.0.send(answer);
    }

    /// Answers that the request can't be met, for example because nobody knows its call.
    pub fn refuse(self, problem: &str) {
        self.send(refusal(problem));
    }
}

#[derive(serde::Deserialize)]
struct Line {
    call: String,
    #[serde(default)]
    args: Value,
}

/// Binds the control socket of the master that owns `dir` and listens on it.
///
/// Needs no runtime. The socket is non-blocking and close-on-exec.
///
/// # Errors
/// What the kernel says; some file systems hold no sockets.
pub fn bind(dir: &PidDir) -> io::Result<ControlSocket> {
    let path = dir.control_path();
    if fs::symlink_metadata(&path).is_ok_and(|it| it.file_type().is_socket()) {
        // Left by a dead master that had our pid.
        fs::remove_file(&path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // On Linux the file gets the mode that the socket has. The umask would do as well, but it belongs to all threads.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    with_short_path(&path, |address| socket.bind(&SockAddr::unix(address)?))?;
    // For other kernels; nobody can connect before `listen`.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    Ok(ControlSocket(UnixListener::from(OwnedFd::from(socket))))
}

/// Serves the control socket until dropped, which ends every connection with it.
///
/// `on_request` runs on this thread and must not block it; the client waits while it does, and gets its answer through
/// [`Request::reply`]. Must be polled within a `LocalSet` or local runtime whose time and I/O are enabled.
///
/// # Errors
/// When the socket can't be registered with the runtime. Failures of single connections end those only.
pub async fn serve(socket: ControlSocket, on_request: impl AsyncFn(Request) + 'static) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(socket.0)?;
    // The supervisor's tasks own this one, so its own tasks need another set: a set that contains its holder never ends.
    let tasks = LocalTasks::default();
    let on_request = Rc::new(on_request);
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&free).acquire_owned().await else { return Ok(()) };
        let Ok((stream, _)) = listener.accept().await else {
            // As a rule no descriptor is left, and another try at once would fail as well.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let on_request = Rc::clone(&on_request);
        tasks.spawn(async move {
            // The client went or was too slow: there is nobody to tell.
            let _ = converse(stream, &*on_request).await;
            drop(place);
        });
    }
}

pub(crate) async fn converse(
    mut stream: tokio::net::UnixStream,
    on_request: &impl AsyncFn(Request),
) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != geteuid().as_raw() {
        return Ok(());
    }
    let mut line = Vec::new();
    let mut reader = tokio::io::BufReader::new((&mut stream).take(REQUEST_LIMIT));
    if timeout(REQUEST_TIME, reader.read_until(b'\n', &mut line)).await?? == 0 {
        // The client only wanted to know whose socket this is.
        return Ok(());
    }
    let answer = match parse(&line) {
        Ok(Line { call, args }) => {
            let (reply, answer) = Reply::channel();
            on_request(Request { call, args, reply }).await;
            tokio::select! {
                answer = answer => {
                    answer.unwrap_or_else(|_| refusal("the master gave no answer").to_string().into())
                }
                () = hung_up(&stream) => return Ok(()),
            }
        }
        Err(problem) => refusal(&problem).to_string().into(),
    };
    let lines = Buf::chain(answer, &b"\n"[..]);
    timeout(REQUEST_TIME, stream.write_all_buf(&mut { lines })).await?
}

/// Waits until the client has closed its connection. A client that only sends no more still waits for its answer.
///
/// It watches a duplicate: what it passes over, the answer still needs, which must leave at once when the master ends.
async fn hung_up(client: &tokio::net::UnixStream) {
    let duplicate = client.as_fd().try_clone_to_owned();
    let Ok(watched) = duplicate.and_then(|client| watch(client, Interest::WRITABLE)) else {
        // Descriptors are short: the client keeps its place until it is answered.
        return pending().await;
    };
    while let Ok(mut state) = watched.writable().await {
        if state.ready().is_write_closed() {
            return;
        }
        // There is room to write, as at most times: the next event may be the end.
        state.clear_ready();
    }
}

fn parse(line: &[u8]) -> Result<Line, String> {
    if line.len() as u64 >= REQUEST_LIMIT && !line.ends_with(b"\n") {
        return Err(format!("a request has at most {REQUEST_LIMIT} bytes"));
    }
    serde_json::from_slice(line).map_err(|error| format!("the request is not understood: {error}"))
}

fn refusal(problem: &str) -> Value {
    let code = Error::Control { pid: 0, problem: String::new() }.code();
    let message: String = problem.chars().take(REFUSAL_LIMIT).collect();
    json!({ "ok": false, "code": code, "message": message })
}

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

/// Runs `action` with a path that fits into a socket's address and leads to the same place.
fn with_short_path<T>(path: &Path, action: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return action(path) };
    if path.as_os_str().as_bytes().len() <= LONGEST_ADDRESS {
        return action(path);
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let directory = fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(parent)?;
    action(&PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
}

fn left_until(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_not_understood_is_refused_in_a_short_sentence() {
        for long in ["x".repeat(60_000), "\u{7f}".repeat(60_000)] {
            for request in [format!("\"{long}\""), format!("{{\"call\":[\"{long}\"]}}"), long] {
                let problem = parse(request.as_bytes()).err().unwrap();
                let refusal = refusal(&problem).to_string();
                assert!(refusal.len() < 1000 && refusal.contains("not understood"), "{refusal}");
            }
        }
    }
}
