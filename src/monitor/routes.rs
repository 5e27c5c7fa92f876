//! The route table of the monitor's port.
//!
//! | method | path | answer |
//! |---|---|---|
//! | GET, HEAD | `ecv.path` | 200, 500 or 400, in the form of the application's port, for the whole cluster |
//! | POST | `ecv.path`/disable, /enable | 204, or 403 from somebody who may not; only with `ecv.control` |
//! | GET, HEAD | `/live` | 200 or 503, JSON that says why: some event loop turned lately |
//! | GET, HEAD | `/ready` | 200 or 503, JSON that says why: enabled, and enough workers serve |
//! | GET, HEAD | `/metrics` | for Prometheus, as `OpenMetrics` to those who prefer it |
//! | GET, HEAD | `monPath` | the page, or the JSON if the client prefers it |
//! | GET, HEAD | `/status.json` | the JSON |
//!
//! Of paths that are the same the first counts. A known path with another method is 405 and says which methods it takes;
//! everything else is 404. Queries are ignored but for the reason of a control request, and a slash at the end of a path
//! makes no difference. Answers are made from a snapshot and never wait; one that goes on (a stream) is a body that the
//! server polls.
//! Invariant: nothing that a client sent is repeated in an answer, but for the reason of a control request that was
//! granted, escaped.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use super::health::{self, Judgement, Moment};
use super::host::{Host, Watch};
use super::metrics;
use super::negotiation::{prefers_json, prefers_open_metrics};
use super::page::Page;
use super::reply::{Body, text, whole};
use super::rotation::{self, Ends};
use super::stats::Stats;
use super::status::status;
use crate::ecv::{Asked, Change, asked};
use crate::options::Ecv;
use crate::os::clock::monotonic_ms;

const READS: &str = "GET, HEAD";
const WRITES: &str = "POST";

/// Where the answers are found, and what counts as healthy.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `monPath`: the page's own place.
    pub mon_path: String,
    /// `ecv`; `None` is off.
    pub ecv: Option<Ecv>,
    /// `liveMaxAge` and `readyQuorum`.
    pub limits: health::Limits,
}

/// What the answers are made from. Nothing here may wait.
pub trait Source {
    /// The cluster at this moment.
    fn stats(&self) -> Stats;

    /// Takes the cluster out of rotation or puts it back; done when it returns.
    fn rotate(&self, disabled: bool, change: Change);

    /// What the application adds to the metrics, in Prometheus' text format.
    fn app_metrics(&self) -> Arc<str>;
}

/// Everything that one monitor serves.
pub struct Site {
    rules: Rules,
    source: Box<dyn Source>,
    watch: Watch,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Ecv,
    Disable,
    Enable,
    Live,
    Ready,
    Metrics,
    Overview,
    Status,
}

impl Site {
    /// A site that shows what `source` gives at the moment of each request.
    pub fn new(mut rules: Rules, source: impl Source + 'static) -> Self {
        let length = without_end_slash(&rules.mon_path).len();
        rules.mon_path.truncate(length);
        Self { rules, source: Box::new(source), watch: Watch::new(Host::read()) }
    }

    fn route(&self, path: &str) -> Option<Route> {
        if let Some(route) = self.rules.ecv.as_ref().and_then(|ecv| ecv_route(ecv, path)) {
            return Some(route);
        }
        match without_end_slash(path) {
            "/live" => Some(Route::Live),
            "/ready" => Some(Route::Ready),
            "/metrics" => Some(Route::Metrics),
            path if path == self.rules.mon_path => Some(Route::Overview),
            "/status.json" => Some(Route::Status),
            _ => None,
        }
    }

    fn moment<'a>(&self, stats: &'a Stats) -> Moment<'a> {
        let uptime = SystemTime::now().duration_since(stats.started).unwrap_or_default();
        Moment::new(stats, self.rules.limits, monotonic_ms(), uptime)
    }
}

fn ecv_route(ecv: &Ecv, path: &str) -> Option<Route> {
    match asked(&ecv.path, path)? {
        Asked::Health => Some(Route::Ecv),
        Asked::Disable => ecv.control.then_some(Route::Disable),
        Asked::Enable => ecv.control.then_some(Route::Enable),
    }
}

/// Answers one request.
pub fn answer<B>(request: &Request<B>, site: &Site, ends: Ends) -> Response<Body> {
    let Some(route) = site.route(request.uri().path()) else {
        return text(StatusCode::NOT_FOUND, "There is nothing here.\n");
    };
    match (route, request.method()) {
        (Route::Disable, &Method::POST) => control(request, true, site, ends),
        (Route::Enable, &Method::POST) => control(request, false, site, ends),
        (Route::Disable | Route::Enable, _) => not_with_that_method(WRITES),
        (route, &Method::GET | &Method::HEAD) => read(route, request.headers(), site, ends),
        (_, _) => not_with_that_method(READS),
    }
}

fn read(route: Route, headers: &HeaderMap, site: &Site, ends: Ends) -> Response<Body> {
    let stats = site.source.stats();
    match route {
        Route::Ecv => rotation::tell(&site.moment(&stats), &stats, &site.watch.boot().hostname, ends),
        Route::Live => judgement(&site.moment(&stats).live()),
        Route::Ready => judgement(&site.moment(&stats).ready()),
        Route::Metrics => scrape(headers, site, &stats),
        Route::Overview => overview(headers, site, &stats),
        Route::Status => json(site, &stats),
        Route::Disable | Route::Enable => not_with_that_method(WRITES),
    }
}

fn control<B>(request: &Request<B>, disabled: bool, site: &Site, ends: Ends) -> Response<Body> {
    match &site.rules.ecv {
        Some(ecv) => rotation::control(request, disabled, ecv, &*site.source, ends),
        None => text(StatusCode::NOT_FOUND, "There is nothing here.\n"),
    }
}

fn judgement(judged: &Judgement) -> Response<Body> {
    let status = if judged.holds { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    whole(status, "application/json", judged.body.to_string())
}

fn scrape(headers: &HeaderMap, site: &Site, stats: &Stats) -> Response<Body> {
    let format = if prefers_open_metrics(headers) {
        metrics::Format::OpenMetrics
    } else {
        metrics::Format::Prometheus
    };
    let body = metrics::render(format, &site.moment(stats), stats, &site.source.app_metrics());
    let mut response = whole(StatusCode::OK, format.content_type(), body);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

fn overview(headers: &HeaderMap, site: &Site, stats: &Stats) -> Response<Body> {
    let mut response = if prefers_json(headers) { json(site, stats) } else { page(site, stats) };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

fn json(site: &Site, stats: &Stats) -> Response<Body> {
    whole(StatusCode::OK, "application/json", status(stats, &Host::read(), &site.watch).to_string())
}

fn page(site: &Site, stats: &Stats) -> Response<Body> {
    let host = Host::read();
    let page = Page::new(stats, &host, site.watch.busy_percent(&host), SystemTime::now());
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
