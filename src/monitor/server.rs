//! The HTTP server of the monitor's port.
//!
//! [`bind`] is called before anything is forked, so that a busy port is known early; [`serve`] runs as one task of the
//! supervisor's thread and starts one more per connection. It shares that thread with the supervisor, so it takes one
//! connection per turn, and no client, however slow, large or malformed its requests, can make it wait or grow: heads, the
//! time for one, idling and the number of connections are all bounded by [`Limits`].
//! Invariant: it ends only by being dropped; nothing that a peer does ends it.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

use crate::monitor::admission::{Admitted, Connections, Watched};
use crate::monitor::app_proxy;
use crate::monitor::control::ecv::Ends;
use crate::monitor::reply::EndsWithClient;
use crate::monitor::routes::Site;
use crate::monitor::views::stream;
use crate::socket::Ip;
use crate::tasks::LocalTasks;

/// How many connections the kernel queues; Node's own number.
const BACKLOG: i32 = 511;
/// How long to wait when the system can't give us a connection (no descriptor is left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// After how long a silence the kernel asks whether a client is still there, and how often.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// What a client is told when every connection that may be open is being answered.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// What a client may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request's line and headers; at least 8,192.
    pub head_size: usize,
    /// Time for a request's line and headers to arrive, from when the connection waits for them.
    pub head_time: Duration,
    /// Time in which at least one byte must go either way; a stream that has nothing to say must say that.
    pub idle_time: Duration,
    /// Connections open at once.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_size: 16 * 1024,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            connections: 1024,
        }
    }
}

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
        // A port that is busy on the name's first address must not be bound on its second, where nobody would look.
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

/// Answers on `listener` until dropped, from what the site's source gives at the moment of each request.
///
/// Must run within a `LocalSet`. Connections are tasks of `tasks` and end with it, not with `serve`; dropping `serve` only
/// takes nobody new in. Give it a set of its own: one that also ran `serve` would be held by its own task, and would end
/// with the runtime only.
pub async fn serve(listener: TcpListener, site: impl Into<Rc<Site>>, tasks: LocalTasks) {
    serve_within(Limits::default(), listener, site, tasks).await;
}

/// [`serve`] with other limits.
pub async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    site: impl Into<Rc<Site>>,
    tasks: LocalTasks,
) {
    let site = site.into();
    let listener = watched(&listener).await;
    let connections = Connections::new(limits.connections);
    tasks.spawn(stream::pulse(Rc::clone(&site)));
    loop {
        match listener.accept().await {
            Ok((socket, remote)) => match connections.admit() {
                Some(admitted) => {
                    tasks.spawn(converse(socket, remote, admitted, Rc::clone(&site), limits));
                }
                None => turn_away(socket),
            },
            Err(error) if is_of_one_client(&error) => {}
            Err(_) => {
                // Descriptors may be short because of our own clients.
                connections.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Registers the listener with the runtime; what hinders that (no descriptor is left, say) may pass.
async fn watched(listener: &TcpListener) -> tokio::net::TcpListener {
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

async fn converse(socket: TcpStream, remote: SocketAddr, admitted: Admitted, site: Rc<Site>, limits: Limits) {
    // A socket that was reset already has no address any more, and will get no answer either.
    let Ok(local) = socket.local_addr() else { return };
    let ends = Ends { remote, local };
    // Without it small answers are only later.
    let _ = socket.set_nodelay(true);
    // A client that vanished while it followed a quiet log would be followed for ever.
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    let _ = SockRef::from(&socket).set_tcp_keepalive(&probes);
    let (socket, connection) = (Rc::new(socket), admitted.connection());
    let watched = Watched { socket: Rc::clone(&socket), connection: Rc::clone(connection) };
    let answer = service_fn(async |request| {
        // From now on, since some answers take their time.
        connection.begins();
        let response = app_proxy::answer(request, &site, ends).await;
        let socket = response.extensions().get::<EndsWithClient>().map(|_| Rc::clone(&socket));
        Ok::<_, Infallible>(response.map(|body| connection.answering(body, socket)))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_size)
        // A client may say that it has no more to ask and still wait for its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(watched), answer);
    tokio::select! {
        // How a connection ended is its client's business; hyper has told it what was wrong with its request.
        _ = served => {}
        () = connection.must_go(limits.idle_time) => {}
    }
}

/// Tells a client that there is no room, if it can be told at once.
fn turn_away(socket: TcpStream) {
    if let Ok(mut socket) = socket.into_std() {
        // It finds the connection closed either way.
        let _ = socket.write(FULL);
    }
}
