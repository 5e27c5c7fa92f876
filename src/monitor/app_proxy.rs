//! Requests that only JavaScript can answer: the application's own monitor app, and `/ComponentStatus`.
//!
//! The routes call it. Each request gets a pair of connected sockets; JavaScript is handed one end as an event,
//! serves HTTP on it with the application's app, and this side is the client. Nobody else can connect, nothing has to be
//! cleaned up, and when a client leaves its pair is closed.
//! Invariant: nothing waits longer than [`TAKEN_IN`] for JavaScript to turn and [`ANSWERED_IN`] for it to answer, and a
//! request is sent only once JavaScript has turned: a request that was given up is not acted on later.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::event::{Addressee, MonitorRequest};
use crate::monitor::endpoints::Endpoints;
use crate::monitor::reply::{Body, EndsWithClient, text, unfold};
use crate::monitor::source::Source;

/// How long the loop of JavaScript has to turn once.
const TAKEN_IN: Duration = Duration::from_secs(1);
/// How long the head of an answer may take; longer than the 3 s for which components are waited for.
const ANSWERED_IN: Duration = Duration::from_secs(5);
/// The same for one with a body that is too long to be kept.
const UPLOADED_IN: Duration = Duration::from_secs(60);
/// How long a body that can be kept may take to come.
const BODY_IN: Duration = Duration::from_secs(10);
/// How long a body may be for a request that ours answer where the application's app says 404.
const KEPT: usize = 64 * 1024;

/// The way to JavaScript, and how many requests it has now.
pub(crate) struct AppProxy {
    source: Arc<dyn Source>,
    places: Arc<Semaphore>,
    at_once: usize,
    /// Each request holds it until JavaScript gets the request, also when its client has given up: while the loop is
    /// blocked such requests would pile up, each with a descriptor.
    queued: Arc<()>,
}

/// What came of a request for the application's app.
pub(crate) enum Asked {
    /// The app answered.
    Answered(Response<Body>),
    /// The app has no answer, or not in time; the request is as it came.
    NoAnswer(Request<Full<Bytes>>),
}

impl AppProxy {
    /// JavaScript is given `at_once` requests at most; each has two descriptors.
    pub(crate) fn new(source: Arc<dyn Source>, at_once: usize) -> Self {
        Self { source, places: Arc::new(Semaphore::new(at_once)), at_once, queued: Arc::default() }
    }

    /// Lets the application's app answer.
    pub(crate) async fn ask_app(&self, request: Request<Incoming>, endpoints: Endpoints) -> Asked {
        let (head, body) = request.into_parts();
        let Ok(Ok(body)) = timeout(BODY_IN, Upload::read(body)).await else {
            // The client has gone, or is too slow, or sends no well-formed body.
            let answer = text(StatusCode::BAD_REQUEST, "The request's body could not be read.\n");
            return Asked::Answered(answer);
        };
        let (kept, patience) = match &body {
            Upload::Kept(bytes) => {
                (Some(Request::from_parts(head.clone(), Full::new(bytes.clone()))), ANSWERED_IN)
            }
            Upload::Passed(..) => (None, UPLOADED_IN),
        };
        let answer = self.ask(Addressee::App, forwarded(head, body), endpoints, patience).await;
        match (answer, kept) {
            (Some(answer), Some(_)) if answer.status() != StatusCode::NOT_FOUND => {
                Asked::Answered(with_client(answer))
            }
            (_, Some(kept)) => Asked::NoAnswer(kept),
            // Its body is used up, and no path of ours takes one of that length.
            (Some(answer), None) => Asked::Answered(with_client(answer)),
            (None, None) => {
                Asked::Answered(text(StatusCode::PAYLOAD_TOO_LARGE, "The request's body is too long.\n"))
            }
        }
    }

    /// What the application's components say.
    pub(crate) async fn components<B>(
        &self,
        request: &Request<B>,
        endpoints: Endpoints,
    ) -> Option<Response<Body>> {
        let mut asked = Request::new(Upload::Kept(Bytes::new()).body());
        *asked.uri_mut() = request.uri().path_and_query().cloned().map(Uri::from)?;
        asked.headers_mut().insert(header::HOST, header::HeaderValue::from_static("localhost"));
        *asked.method_mut() = request.method().clone();
        self.ask(Addressee::Components, asked, endpoints, ANSWERED_IN).await
    }

    /// Lets JavaScript answer; `None` if it can't, or not in time.
    async fn ask(
        &self,
        to: Addressee,
        request: Request<Body>,
        endpoints: Endpoints,
        patience: Duration,
    ) -> Option<Response<Body>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let queued = Arc::clone(&self.queued);
        // This one and the field are not queued.
        if Arc::strong_count(&queued) - 2 >= self.at_once {
            return None;
        }
        let (ours, theirs) = UnixStream::pair().ok()?;
        let (taken, is_taken) = oneshot::channel();
        let remote = endpoints.remote;
        self.source.ask(MonitorRequest { to, remote, socket: theirs.into(), taken, queued });
        timeout(TAKEN_IN, is_taken).await.ok()?.ok()?;
        ours.set_nonblocking(true).ok()?;
        let socket = tokio::net::UnixStream::from_std(ours).ok()?;
        timeout(patience, exchange(socket, request, place)).await.ok()?
    }
}

/// Tells the app when its client leaves, as Node does.
fn with_client(mut answer: Response<Body>) -> Response<Body> {
    answer.extensions_mut().insert(EndsWithClient::Also);
    answer
}

/// Sends the request to JavaScript and gives its answer, whose body holds the connection and the place.
async fn exchange(
    socket: tokio::net::UnixStream,
    request: Request<Body>,
    place: OwnedSemaphorePermit,
) -> Option<Response<Body>> {
    let (mut sender, connection) = handshake(TokioIo::new(socket)).await.ok()?;
    // Dropped with the body, it closes the connection.
    let mut driver = JoinSet::new();
    driver.spawn_local(async move {
        // The answer says how it ended.
        let _ = connection.await;
    });
    let (mut head, body) = sender.send_request(request).await.ok()?.into_parts();
    drop_hop_by_hop(&mut head.headers);
    let guards = (driver, place);
    let body = body.map_err(move |error| {
        let _guards = &guards;
        io::Error::other(error)
    });
    Some(Response::from_parts(head, Box::pin(body)))
}

/// What a client sends with its request.
enum Upload {
    /// All of it, so that it can be given to two in turn.
    Kept(Bytes),
    /// It is too long for that: what has come, and the rest.
    Passed(Bytes, Incoming),
}

impl Upload {
    async fn read(mut body: Incoming) -> Result<Self, hyper::Error> {
        let mut kept = Vec::new();
        while kept.len() <= KEPT {
            let Some(frame) = body.frame().await else { return Ok(Self::Kept(kept.into())) };
            if let Ok(data) = frame?.into_data() {
                kept.extend_from_slice(&data);
            }
        }
        Ok(Self::Passed(kept.into(), body))
    }

    fn body(self) -> Body {
        match self {
            Self::Kept(bytes) => Box::pin(Full::new(bytes).map_err(|never| match never {})),
            Self::Passed(begun, rest) => unfold((Some(begun), rest), async |(begun, mut rest)| {
                let part = match begun {
                    Some(begun) => Ok(begun),
                    // Trailers are not passed on.
                    None => rest.frame().await?.map(|frame| frame.into_data().unwrap_or_default()),
                };
                Some((part.map_err(io::Error::other), (None, rest)))
            }),
        }
    }
}

/// The request as JavaScript gets it: as it came, but for what concerns the connection.
fn forwarded(mut head: Parts, body: Upload) -> Request<Body> {
    drop_hop_by_hop(&mut head.headers);
    // The body was read already, so `Expect` has been answered; the length of a kept body is known.
    head.headers.remove(header::EXPECT);
    if matches!(body, Upload::Kept(_)) {
        head.headers.remove(header::CONTENT_LENGTH);
    }
    if let Some(path) = head.uri.path_and_query() {
        head.uri = Uri::from(path.clone());
    }
    head.extensions.clear();
    head.version = hyper::Version::HTTP_11;
    Request::from_parts(head, body.body())
}

/// Whether a request is of a kind that can be passed on.
pub(crate) fn is_passable<B>(request: &Request<B>) -> bool {
    request.method() != Method::CONNECT && request.uri().path().starts_with('/')
}

/// Takes away what is said between the two ends of a connection.
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').filter_map(|name| name.trim().parse().ok()))
        .collect();
    let always = [
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
        header::TRANSFER_ENCODING,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    for name in named.into_iter().chain(always) {
        headers.remove(name);
    }
}
