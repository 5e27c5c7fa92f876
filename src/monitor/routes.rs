//! The route table of the monitor's port.
//!
//! | method | path | answer |
//! |---|---|---|
//! | GET, HEAD | `monPath` | the page, or the JSON if the client prefers it |
//! | GET, HEAD | `/status.json` | the JSON |
//!
//! A known path with another method is 405 and says which methods it takes; everything else is 404. Queries are ignored, and a
//! slash at the end of a path makes no difference. Answers are made from a snapshot and never wait; one that goes on (a
//! stream) is a body that the server polls.
//! Invariant: nothing that a client sent is repeated in an answer.

use std::time::SystemTime;

use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use super::host::{Host, Watch};
use super::negotiation::prefers_json;
use super::page::Page;
use super::reply::{Body, text, whole};
use super::stats::Stats;
use super::status::status;

const READS: &str = "GET, HEAD";

/// Where the answers are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `monPath`: the page's own place.
    pub mon_path: String,
}

/// What the answers are made from.
pub struct Site {
    paths: Paths,
    snapshot: Box<dyn Fn() -> Stats>,
    watch: Watch,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Overview,
    Status,
}

impl Site {
    /// A site that shows what `snapshot` gives at the moment of each request.
    pub fn new(paths: Paths, snapshot: impl Fn() -> Stats + 'static) -> Self {
        let Paths { mut mon_path } = paths;
        mon_path.truncate(without_end_slash(&mon_path).len());
        Self { paths: Paths { mon_path }, snapshot: Box::new(snapshot), watch: Watch::new(Host::read()) }
    }

    fn route(&self, path: &str) -> Option<Route> {
        match without_end_slash(path) {
            path if path == self.paths.mon_path => Some(Route::Overview),
            "/status.json" => Some(Route::Status),
            _ => None,
        }
    }
}

/// Answers one request.
pub fn answer<B>(request: &Request<B>, site: &Site) -> Response<Body> {
    let Some(route) = site.route(request.uri().path()) else {
        return text(StatusCode::NOT_FOUND, "There is nothing here.\n");
    };
    match (route, request.method()) {
        (Route::Overview, &Method::GET | &Method::HEAD) => overview(request.headers(), site),
        (Route::Status, &Method::GET | &Method::HEAD) => json(site),
        (Route::Overview | Route::Status, _) => not_with_that_method(READS),
    }
}

fn overview(headers: &HeaderMap, site: &Site) -> Response<Body> {
    let mut response = if prefers_json(headers) { json(site) } else { page(site) };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

fn json(site: &Site) -> Response<Body> {
    let (stats, host) = ((site.snapshot)(), Host::read());
    whole(StatusCode::OK, "application/json", status(&stats, &host, &site.watch).to_string())
}

fn page(site: &Site) -> Response<Body> {
    let (stats, host) = ((site.snapshot)(), Host::read());
    let page = Page::new(&stats, &host, site.watch.busy_percent(&host), SystemTime::now());
    let mut response = whole(StatusCode::OK, "text/html; charset=utf-8", page.to_string());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, page.policy());
    response
}

fn not_with_that_method(allowed: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "This path does not take that method.\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// `/mon` of `/mon/`, and nothing of `/`.
fn without_end_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}
