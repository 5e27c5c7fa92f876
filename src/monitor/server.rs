//! The HTTP server of the monitor's port.
//!
//! [`bind`] is called before anything is forked, so that a busy port is known early; [`start`] serves the port on a thread
//! of its own, `cluster2-monitor`, with one task for each connection. No client, however slow, large or malformed its
//! requests, can make the server wait or grow: [`Limits`] bound heads, the time for one, idling, and the connections, which
//! never take more than a quarter of the process's descriptors and give way when these run short.
//! Invariant: nothing that a client does ends the server; only [`Running::end`] does.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;
use tokio::time::{interval, sleep, timeout};

use crate::monitor::admission::{Admitted, Connections};
use crate::monitor::endpoints::Endpoints;
use crate::monitor::limits::Limits;
use crate::monitor::reply::EndsWithClient;
use crate::monitor::routes;
use crate::monitor::site::Site;
use crate::monitor::timed_socket::TimedSocket;
use crate::socket::Ip;
use crate::tasks::LocalTasks;

/// How many connections the kernel queues; Node's own number.
const BACKLOG: i32 = 511;
/// How long to wait when the system can't give us a connection (no descriptor is left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// After how long a silence the kernel asks whether a client is still there, and how often.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How often the server looks whether descriptors have run short.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many connections give way at once when they have.
const GIVE_WAY: usize = 8;
/// How long answers under way may take to leave at the end, and how long the caller waits for the thread.
const GRACE: Duration = Duration::from_millis(250);
const END_WITHIN: Duration = Duration::from_millis(500);
/// The answer to a client when there is no place for it.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Binds the monitor's port and begins to listen; may block while a host name is looked up.
///
/// Of the addresses of a name the first that this machine has is taken. Port 0 is any free port.
///
/// # Errors
/// What the kernel says, for example that the port is in use; or that the name isn't known.
pub fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    if let Some(ip) = Ip::parse(host) {
        return listen(ip.at(port));
    }
    let mut result = Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
    for address in (host, port).to_socket_addrs()? {
        result = listen(address);
        // A port that is busy on the name's first address must not be bound on its second: clients try the first.
        if !matches!(&result, Err(error) if is_foreign(error)) {
            break;
        }
    }
    result
}

/// Whether the machine doesn't have the address, or its family, at all.
fn is_foreign(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // As Node does, so that `::` takes IPv4 as well.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The server's thread, as long as it runs.
#[derive(Debug)]
pub struct Running {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Running {
    /// Closes the port, lets the answers under way leave, and waits for the thread, half a second at most.
    pub async fn end(self) {
        drop(self.stop);
        // A thread that needs longer ends by itself.
        let _ = timeout(END_WITHIN, self.ended).await;
    }
}

/// Serves `site` on `listener`, on a thread of its own.
///
/// # Errors
/// When the system gives no thread, or no descriptor for its runtime.
pub fn start(listener: TcpListener, site: Arc<Site>) -> io::Result<Running> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, ended) = oneshot::channel();
    let body = move || {
        let stop = async {
            // Dropped, it says the same.
            let _ = stopped.await;
        };
        LocalSet::new().block_on(&runtime, serve(Limits::default(), listener, site, stop));
        drop(runtime);
        // The caller may have waited long enough.
        let _ = tell.send(());
    };
    thread::Builder::new().name("cluster2-monitor".into()).spawn(body)?;
    Ok(Running { stop, ended })
}

/// Answers on `listener` until `stop` resolves; then the port is closed and answers under way may leave. Must run within a
/// `LocalSet`; dropping it ends every connection.
pub async fn serve(limits: Limits, listener: TcpListener, site: Arc<Site>, stop: impl Future<Output = ()>) {
    let tasks = LocalTasks::default();
    let (closing, is_closing) = watch::channel(false);
    // Each connection's task holds an end of it.
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let take_in = async {
        site.renderer.look_regularly();
        let listener = registered(&listener).await;
        let connections = Connections::new(limits.connections, limits.for_health);
        let mut looks = interval(LOOK_EVERY);
        // tokio makes the loop give way after some dozens of connections, so that a crowd does not fill the kernel's queue.
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = looks.tick() => {
                    if is_short(&listener, limits) {
                        (0..GIVE_WAY).for_each(|_| { connections.make_room(); });
                    }
                    continue;
                }
            };
            match accepted {
                Ok((socket, remote)) => match connections.admit(socket.as_raw_fd() >= limits.descriptors) {
                    Some(admitted) => {
                        let (site, is_closing, alive) =
                            (Arc::clone(&site), is_closing.clone(), alive.clone());
                        tasks.spawn(async move {
                            converse(socket, remote, admitted, &site, limits, is_closing).await;
                            drop(alive);
                        });
                    }
                    None => turn_away(socket),
                },
                Err(error) if is_of_one_client(&error) => {}
                Err(_) => {
                    // Descriptors may be short because of our own clients.
                    connections.make_room();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = take_in => {}
        () = stop => {}
    }
    drop((listener, alive));
    closing.send_replace(true);
    // A client that has not taken its answer by then loses the rest of it.
    let _ = timeout(GRACE, all_gone.recv()).await;
}

/// Whether the next descriptor would be one of those that are kept for supervision: the kernel gives the lowest free one.
fn is_short(listener: &impl std::os::fd::AsFd, limits: Limits) -> bool {
    listener.as_fd().try_clone_to_owned().is_ok_and(|next| next.as_raw_fd() >= limits.descriptors)
}

/// Registers the listener with the runtime; what hinders that (no descriptor is left, say) may pass.
async fn registered(listener: &TcpListener) -> tokio::net::TcpListener {
    loop {
        match listener.try_clone().and_then(tokio::net::TcpListener::from_std) {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Whether an error of accept is about the connection that was to be taken, and says nothing of the next.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

async fn converse(
    socket: TcpStream,
    remote: SocketAddr,
    admitted: Admitted,
    site: &Site,
    limits: Limits,
    mut is_closing: watch::Receiver<bool>,
) {
    // A socket that was reset already has no address any more, and will get no answer either.
    let Ok(local) = socket.local_addr() else { return };
    let endpoints = Endpoints { remote, local };
    // Without it small answers are only later.
    let _ = socket.set_nodelay(true);
    // A client that vanished while it followed a quiet log would be followed for ever.
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    let _ = SockRef::from(&socket).set_tcp_keepalive(&probes);
    let (socket, connection) = (Rc::new(socket), admitted.connection());
    let timed = TimedSocket { socket: Rc::clone(&socket), connection: Rc::clone(connection) };
    let answer = service_fn(async |request| {
        // From now on, since some answers take their time.
        connection.begins();
        let mut response = routes::answer(request, site, endpoints, || admitted.may_ask()).await;
        if admitted.is_for_one_answer() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let ends = response.extensions().get::<EndsWithClient>().copied();
        let (socket, is_endless) = (ends.map(|_| Rc::clone(&socket)), ends == Some(EndsWithClient::Only));
        Ok::<_, Infallible>(response.map(|body| connection.answering(body, socket, is_endless)))
    });
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_buf_size(limits.head_size)
            // A client may say that it has no more to ask and still wait for its answer.
            .half_close(true)
            .serve_connection(TokioIo::new(timed), answer)
    );
    tokio::select! {
        // How a connection ended is its client's business; hyper has told it what was wrong with its request.
        _ = &mut served => return,
        () = connection.must_go(limits.idle_time) => return,
        // The sender lives as long as the server.
        _ = is_closing.changed() => {}
    }
    if !connection.is_endless() {
        served.as_mut().graceful_shutdown();
        let _ = served.await;
    }
}

/// Tells a client that there is no room, if it can be told at once.
fn turn_away(socket: TcpStream) {
    if let Ok(mut socket) = socket.into_std() {
        // It finds the connection closed either way.
        let _ = socket.write(FULL);
    }
}
