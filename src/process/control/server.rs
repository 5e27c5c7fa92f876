//! Answers on the master's control socket.
//!
//! A master binds it with [`bind`] before it serves, and runs [`serve`] on its runtime. Because it is served by the
//! supervisor's thread it works while the master's JavaScript is blocked.
//!
//! Only the user who runs the master, and root, get an answer: the file has mode 0600 from its first moment on, and the
//! peer's credentials are checked as well. A request has at most [`REQUEST_LIMIT`] bytes and comes within [`REQUEST_TIME`].
//! At most [`CONNECTIONS`] clients are served at once; further ones wait in the kernel's queue. A client that closes its
//! connection before it has its answer gives its place up; what it asked for is done all the same.

use std::fs;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::geteuid;
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, Interest};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use super::with_short_path;
use crate::error::Error;
use crate::os::watch::watch;
use crate::tasks::LocalTasks;

/// The longest request, its newline included.
pub const REQUEST_LIMIT: u64 = 64 * 1024;
/// How long a client may take to send its request, and to take its answer.
pub const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How many clients are served at once.
pub const CONNECTIONS: usize = 64;

/// How much of a refusal is said; the reason may repeat what the client sent.
const REFUSAL_LIMIT: usize = 300;
const BACKLOG: i32 = 128;

/// The listening socket, not yet served. The `PidDir` removes its file.
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

/// Binds a control socket at `path` and listens on it.
///
/// Needs no runtime. The socket is non-blocking and close-on-exec.
///
/// # Errors
/// What the kernel says; some file systems hold no sockets.
pub fn bind(path: &Path) -> io::Result<ControlSocket> {
    if fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket()) {
        // Left by a dead master that had our pid.
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // On Linux the file gets the mode that the socket has. The umask would do as well, but it belongs to all threads.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    with_short_path(path, |address| socket.bind(&SockAddr::unix(address)?))?;
    // For other kernels; nobody can connect before `listen`.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
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
