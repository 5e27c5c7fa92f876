//! The monitor's port: any bytes of a client, and any answer of the application's own monitor app.
//!
//! The first byte says how the monitor is set up, the second how the client's bytes are cut on their way; then come the
//! length of what the application answers, its answer, and what the client sends before it closes its side.
//! Outside the directory of the logs lie files whose content no answer may have.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::input::Input;
use super::scratch::Scratch;
use crate::ecv::Change;
use crate::ecv::guard::{Guard, Token};
use crate::event::MonitorRequest;
use crate::monitor::data::health;
use crate::monitor::data::stats::{ShownOptions, Stats};
use crate::monitor::endpoints::Endpoints;
use crate::monitor::reply::{Body, EndsWithClient};
use crate::monitor::routes;
use crate::monitor::rules::Rules;
use crate::monitor::site::Site;
use crate::monitor::source::{Order, Ordered, Source};
use crate::options::{Ecv, Monitor};
use crate::timestamp::Timestamp;

/// What is in every file outside.
const OUTSIDE: &str = "word-of-the-outside";
/// What begins every file inside.
const INSIDE: &str = "word-of-the-inside";
/// A secret that no client can guess, and one that every client knows.
const SECRETS: [&str; 2] = ["q7Zr0vT1xKpW93nB", "s3cret"];
/// How long an answer is listened to that goes on for ever.
const A_MOMENT: Duration = Duration::from_millis(5);

/// Of the four monitors, the one of an application that has a monitor app.
const WITH_APP: usize = 3;

thread_local! {
    static WORLD: World = World::new();
    /// What the application's app answers in this case.
    static ANSWER: RefCell<Vec<u8>> = RefCell::default();
    /// The heads of the requests that it got.
    static PASSED: RefCell<Vec<Vec<u8>>> = RefCell::default();
}

struct World {
    runtime: Runtime,
    sites: Vec<Site>,
    deeds: Arc<Deeds>,
    _scratch: Scratch,
}

/// What was done on a client's behalf.
#[derive(Default)]
struct Deeds(AtomicU32);

/// A cluster that stands still, and the master's JavaScript.
struct Cluster(Arc<Deeds>);

impl Source for Cluster {
    fn stats(&self) -> Stats {
        Stats::new(1, Timestamp::now(), ShownOptions::default())
    }

    fn rotate(&self, _: bool, _: Change) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }

    fn revision(&self) -> u64 {
        0
    }

    fn order(&self, order: Order) -> Ordered {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        let (answer, to_come) = oneshot::channel();
        answer.send(format!(r#"{{"ok":true,"args":{}}}"#, order.args).into()).unwrap();
        Box::pin(async { Some(to_come) })
    }

    fn app_metrics(&self) -> Arc<str> {
        "".into()
    }

    fn ask(&self, request: MonitorRequest) {
        let MonitorRequest { socket, taken, queued, .. } = request;
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true).unwrap();
        let mut socket = tokio::net::UnixStream::from_std(socket).unwrap();
        tokio::task::spawn_local(async move {
            let _ = taken.send(());
            drop(queued);
            let (mut head, mut part) = (Vec::new(), [0; 1024]);
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                let Ok(length @ 1..) = socket.read(&mut part).await else { return };
                head.extend_from_slice(&part[..length]);
            }
            PASSED.with_borrow_mut(|passed| passed.push(head));
            let answer = ANSWER.with_borrow(Clone::clone);
            let _ = socket.write_all(&answer).await;
        });
    }
}

/// Whether a request is one that the application may get: nothing in it concerns the client's connection.
fn is_clean(request: &[u8]) {
    let text = String::from_utf8_lossy(request);
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    assert!(first.split(' ').count() == 3 && first.ends_with(" HTTP/1.1"), "{first:?}");
    let mut lengths = 0;
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?} is no header"));
        let name = name.to_ascii_lowercase();
        assert!(!value.contains(['\r', '\n', '\0']), "{line:?}");
        let is_of_connection =
            ["connection", "te", "upgrade", "trailer", "proxy-authorization", "keep-alive", "expect"];
        assert!(!is_of_connection.contains(&name.as_str()), "{line:?} was passed on");
        lengths += usize::from(name == "content-length" || name == "transfer-encoding");
    }
    assert!(lengths <= 1, "two ideas of the length: {head}");
}

impl World {
    fn new() -> Self {
        let scratch = Scratch::new("http");
        let deeds = Arc::new(Deeds::default());
        lay_out(scratch.path());
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let site = |at: usize| Site::new(rules(scratch.path(), at), Cluster(Arc::clone(&deeds)));
        Self { runtime, sites: (0..4).map(site).collect(), deeds, _scratch: scratch }
    }
}

fn lay_out(all: &Path) {
    for folder in ["logs/sub", "app", "own"] {
        fs::create_dir_all(all.join(folder)).unwrap();
    }
    let lines = format!("{INSIDE}\n").repeat(30);
    for file in ["logs/a.log", "logs/sub/b c.log", "logs/%2e%2e", "logs/x.gz", "own/own.log"] {
        fs::write(all.join(file), &lines).unwrap();
    }
    fs::write(all.join("logs/empty"), "").unwrap();
    for file in ["secret", "own/other.log", "app/package.json"] {
        fs::write(all.join(file), format!("{{\"description\":\"{OUTSIDE}\"}}")).unwrap();
    }
    fs::write(all.join("app/package.json"), "{}").unwrap();
    for (target, link) in [
        ("../secret", "out"),
        ("..", "up"),
        ("sub", "folder"),
        ("sub/b c.log", "in"),
        ("/etc", "etc"),
        ("loop", "loop"),
    ] {
        symlink(target, all.join("logs").join(link)).unwrap();
    }
}

fn rules(all: &Path, at: usize) -> Rules {
    let token = |secret: &str| Some(Token::new(secret.to_owned()));
    let (control, secret) =
        [(false, None), (true, token(SECRETS[0])), (true, token(SECRETS[1])), (false, None)][at].clone();
    let guard = Guard { from: Vec::new(), token: token(SECRETS[at % 2]) };
    Rules {
        mon_path: if at == 2 { "/mon".into() } else { "/".into() },
        monitor: Monitor { control, token: secret },
        ecv: Some(Ecv { control: true, guard, ..Ecv::default() }),
        limits: health::Limits { live_max_age: Duration::from_secs(30), ready_quorum: 1 },
        logs: all.join("logs"),
        log: Some(all.join("own/own.log")),
        dir: Some(all.join("app")),
        has_app: at == WITH_APP,
    }
}

/// Every answer is one that this client may have, and what is sent of files is what is in files of the directory.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (setup, seed) = (input.byte(), u64::from(input.byte()));
    let length = input.below(256);
    let answer = input.bytes(length).to_vec();
    ANSWER.with_borrow_mut(|place| *place = answer);
    let sent = input.rest();
    let pieces = if seed == 0 { vec![sent] } else { Input::new(sent).pieces(seed) };
    WORLD.with(|world| {
        let at = usize::from(setup) % world.sites.len();
        let client =
            Client { site: &world.sites[at], at, sent, shows_pages: (setup >> 2).trailing_zeros() >= 3 };
        let before = world.deeds.0.load(Ordering::Relaxed);
        LocalSet::new().block_on(&world.runtime, client.talk(pieces));
        PASSED.take().iter().for_each(|head| is_clean(head));
        let is_unable = at != 2 && !(at % 2 == 1 && knows(sent, SECRETS[1]));
        assert!(
            !is_unable || world.deeds.0.load(Ordering::Relaxed) == before,
            "something was done for a stranger"
        );
    });
}

fn knows(sent: &[u8], secret: &str) -> bool {
    sent.windows(secret.len()).any(|part| part == secret.as_bytes())
}

struct Client<'a> {
    site: &'a Site,
    at: usize,
    sent: &'a [u8],
    /// Pages are rendered on another thread, with pauses in between.
    shows_pages: bool,
}

impl Client<'_> {
    async fn talk(&self, pieces: Vec<&[u8]>) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let address = SocketAddr::from(([127, 0, 0, 1], 4000));
        let endpoints = Endpoints { remote: address, local: address };
        let answer = service_fn(async |request: Request<Incoming>| {
            let path = request.uri().path().to_owned();
            if !self.shows_pages && is_rendered(&path) {
                return Ok::<_, Infallible>(Response::new(body_of(Bytes::new())));
            }
            let method = request.method().clone();
            let response = routes::answer(request, self.site, endpoints, || true).await;
            Ok(self.judge(&method, &path, response).await)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10))
            .max_buf_size(16 * 1024)
            .half_close(true)
            .serve_connection(TokioIo::new(ours), answer);
        let client = async {
            let (mut read, mut write) = tokio::io::split(theirs);
            let says = async {
                for piece in pieces {
                    // A server that has seen enough closes while we still write.
                    let _ = write.write_all(piece).await;
                }
                let _ = write.shutdown().await;
            };
            let hears = async {
                let mut all = Vec::new();
                let _ = read.read_to_end(&mut all).await;
                all
            };
            tokio::join!(says, hears).1
        };
        let (_, all) = tokio::join!(served, client);
        assert!(self.at == WITH_APP || !contains(&all, OUTSIDE), "{}", String::from_utf8_lossy(&all));
    }

    /// Looks at an answer, and passes it on; those of the application are its own affair.
    async fn judge(&self, method: &Method, path: &str, response: Response<Body>) -> Response<Body> {
        let is_endless = response.extensions().get::<EndsWithClient>().copied() == Some(EndsWithClient::Only);
        if self.at == WITH_APP && !is_endless {
            return response;
        }
        let (head, mut body) = response.into_parts();
        let mut whole = Vec::new();
        while let Ok(Some(Ok(frame))) =
            if is_endless { timeout(A_MOMENT, body.frame()).await } else { Ok(body.frame().await) }
        {
            whole.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        if self.at != WITH_APP {
            self.is_allowed(method, path, head.status, &head.headers, &whole);
        }
        Response::from_parts(head, body_of(whole.into()))
    }

    fn is_allowed(&self, method: &Method, path: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
        for name in [header::X_CONTENT_TYPE_OPTIONS, header::CACHE_CONTROL, header::CONTENT_SECURITY_POLICY] {
            assert!(headers.contains_key(&name), "{path} is answered without {name}");
        }
        let is_health =
            path.starts_with("/ecv") || ["/live", "/ready", "/metrics"].iter().any(|it| path.starts_with(it));
        if self.at == 1 && !is_health {
            let is_refused = status == StatusCode::UNAUTHORIZED
                || status == StatusCode::FORBIDDEN
                || status == StatusCode::BAD_REQUEST;
            assert!(is_refused, "{method} {path} is {status} without the token");
        }
        if path.starts_with("/logs/") && path != "/logs/" && status.is_success() {
            is_of_a_file(status, headers, body);
        }
        if status == StatusCode::PARTIAL_CONTENT {
            let length = body.len().to_string();
            let said = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            assert_eq!(said, Some(length.as_str()));
        }
        // What a client sends is not repeated, also not in a refusal.
        if !status.is_success() && contains(self.sent, "CANARY") {
            assert!(!contains(body, "CANARY"), "{path} is repeated");
        }
    }
}

/// What is sent of a file is a part of the text that all files have.
fn is_of_a_file(status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    let line = format!("{INSIDE}\n");
    let all = line.repeat(31);
    let start = headers
        .get(header::CONTENT_RANGE)
        .and_then(|range| {
            range.to_str().ok()?.strip_prefix("bytes ")?.split_once('-')?.0.parse::<usize>().ok()
        })
        .unwrap_or_default();
    assert!(start == 0 || status == StatusCode::PARTIAL_CONTENT);
    let expected = all.get(start % line.len()..).unwrap_or_default().as_bytes();
    assert!(expected.starts_with(body), "{:?}", String::from_utf8_lossy(body));
}

fn body_of(bytes: Bytes) -> Body {
    Box::pin(Full::new(bytes).map_err(|never| match never {}))
}

fn contains(all: &[u8], part: &str) -> bool {
    memchr::memmem::find(all, part.as_bytes()).is_some()
}

fn is_rendered(path: &str) -> bool {
    matches!(
        path.strip_suffix('/').unwrap_or(path),
        "" | "/mon" | "/metrics" | "/status.json" | "/status.stream"
    )
}
