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
//! | GET, HEAD | `/status.stream` | what the page shows, as server-sent events for as long as one listens |
//! | GET, HEAD | `/logs`, `/logs/...` | the list of the logs directory, as JSON to who prefers it; its files |
//! | GET, HEAD | `/deps` | the application's modules as JSON, or the page if the client prefers it |
//! | GET, HEAD | `/ComponentStatus` | what the components say, by JavaScript |
//! | POST | `/control/enable`, `disable`, `reload`, `scale`, `recycle` | JSON, or 403; only with `monitor.control` |
//!
//! Of paths that are the same the first counts. A known path with another method is 405 and says which methods it takes;
//! everything else is 404. With `monitor.token`, all but the paths of health are 401 to who doesn't bring it. Queries are
//! ignored but for logs, components and the reason of a control request, and a slash at the end of a path makes no
//! difference. Answers of health are made from a snapshot and never wait; one that goes on (a stream) is a body that the
//! server polls. Where the application has a monitor app of its own, `javascript` asks that first.
//! Invariant: nothing that a client sent is repeated in an answer, but for the reason of a control request that was
//! granted, escaped.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::ecv::{Asked, Change, asked};
use crate::event::MonitorRequest;
use crate::monitor::app_proxy;
use crate::monitor::control::access::may_read;
use crate::monitor::control::ecv::{self, Ends};
use crate::monitor::control::orders::{self, Deed, Order};
use crate::monitor::data::health::{self, Judgement, Moment};
use crate::monitor::data::host::{Host, Watch};
use crate::monitor::data::stats::Stats;
use crate::monitor::data::trends::Trends;
use crate::monitor::files::deps::Deps;
use crate::monitor::files::logs::Logs;
use crate::monitor::negotiation::{prefers_json, prefers_open_metrics};
use crate::monitor::reply::{Body, stream, text, whole};
use crate::monitor::views::metrics;
use crate::monitor::views::page::Page;
use crate::monitor::views::status::status;
use crate::monitor::views::stream::Live;
use crate::monitor::views::view_model::Scene;
use crate::options::{Ecv, Monitor};
use crate::os::clock::monotonic_ms;

const READS: &str = "GET, HEAD";
const WRITES: &str = "POST";

/// Where the answers are found, and what counts as healthy.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `monPath`: the page's own place.
    pub mon_path: String,
    /// `monitor`: who may read, and whether one may change something.
    pub monitor: Monitor,
    /// `ecv`; `None` is off.
    pub ecv: Option<Ecv>,
    /// `liveMaxAge` and `readyQuorum`.
    pub limits: health::Limits,
    /// `logs`.
    pub logs: PathBuf,
    /// Where the application is; `None` is this process's working directory.
    pub dir: Option<PathBuf>,
    /// The application has a monitor app of its own.
    pub has_app: bool,
}

/// What the answers are made from. Nothing here may wait.
pub trait Source {
    /// The cluster at this moment.
    fn stats(&self) -> Stats;

    /// Takes the cluster out of rotation or puts it back; done when it returns.
    fn rotate(&self, disabled: bool, change: Change);

    /// A number that grows with every change of the snapshot, but for what workers write by themselves.
    fn revision(&self) -> u64;

    /// Passes an order on; what comes back is the answer to come, or `None` where nobody takes orders any more.
    fn order(&self, order: Order) -> Option<oneshot::Receiver<Value>>;

    /// What the application adds to the metrics, in Prometheus' text format.
    fn app_metrics(&self) -> Arc<str>;

    /// Hands a request to JavaScript, which may not turn for a while.
    fn ask(&self, request: MonitorRequest);
}

/// Everything that one monitor serves.
pub struct Site {
    rules: Rules,
    source: Box<dyn Source>,
    watch: Watch,
    trends: RefCell<Trends>,
    live: Rc<Live>,
    logs: Logs,
    deps: Deps,
    pub(crate) with_javascript: app_proxy::Open,
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
    Stream,
    Logs,
    Deps,
    Components,
    Control(Deed),
}

impl Route {
    /// Probes have no token, and must not be told that they need one.
    fn is_health(self) -> bool {
        match self {
            Self::Ecv | Self::Disable | Self::Enable | Self::Live | Self::Ready | Self::Metrics => true,
            Self::Overview
            | Self::Status
            | Self::Stream
            | Self::Logs
            | Self::Deps
            | Self::Components
            | Self::Control(_) => false,
        }
    }
}

impl Site {
    /// A site that shows what `source` gives at the moment of each request.
    pub fn new(mut rules: Rules, source: impl Source + 'static) -> Self {
        let length = without_end_slash(&rules.mon_path).len();
        rules.mon_path.truncate(length);
        Self {
            source: Box::new(source),
            watch: Watch::new(Host::read()),
            trends: RefCell::default(),
            live: Rc::default(),
            logs: Logs::new(rules.logs.clone()),
            deps: Deps::new(rules.dir.clone()),
            with_javascript: app_proxy::Open::default(),
            rules,
        }
    }

    pub(crate) fn source(&self) -> &dyn Source {
        &*self.source
    }

    pub(crate) fn monitor(&self) -> &Monitor {
        &self.rules.monitor
    }

    /// Without a slash at its end.
    pub(crate) fn mon_path(&self) -> &str {
        &self.rules.mon_path
    }

    pub(crate) fn live(&self) -> &Rc<Live> {
        &self.live
    }

    /// Takes in how things are, for the trends.
    pub(crate) fn look(&self) {
        self.trends.borrow_mut().look(&self.source.stats(), monotonic_ms());
    }

    /// Renders how things are for those who watch, if it has changed.
    pub(crate) fn publish(&self) {
        let revision = self.source.revision();
        if self.live.is_outdated(revision, self.trends.borrow().number()) {
            self.with_scene(&self.source.stats(), |scene| self.live.publish(scene, revision));
        }
    }

    fn with_scene<T>(&self, stats: &Stats, show: impl FnOnce(&Scene<'_>) -> T) -> T {
        let (trends, host, now) = (self.trends.borrow(), Host::read(), SystemTime::now());
        let (moment, busy) = (self.moment(stats), self.watch.busy_percent(&host));
        let queues = stats.queue_lengths();
        show(&Scene { stats, trends: &trends, moment, host: &host, busy, queues: &queues, now })
    }

    /// What `/status.json` says at this moment. Where the monitor is off nobody looks, for the trends, but this.
    #[must_use]
    pub fn status(&self) -> Value {
        let (stats, now) = (self.source.stats(), monotonic_ms());
        if self.trends.borrow().is_late(now) {
            self.trends.borrow_mut().look(&stats, now);
        }
        self.with_scene(&stats, |scene| status(scene, &self.watch))
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
            "/status.stream" => Some(Route::Stream),
            "/deps" => Some(Route::Deps),
            "/logs" => Some(Route::Logs),
            _ if below("/logs", path).is_some() => Some(Route::Logs),
            "/ComponentStatus" => Some(Route::Components),
            _ if below("/ComponentStatus", path).is_some() => Some(Route::Components),
            path if self.rules.monitor.control => Deed::named_by(path).map(Route::Control),
            _ => None,
        }
    }

    /// Whether the application's own monitor app is asked first. What health and control need must not depend on
    /// JavaScript, and who may not read here may not read there.
    pub(crate) fn is_for_app<B>(&self, request: &Request<B>) -> bool {
        let is_ours = |route: Route| route.is_health() || matches!(route, Route::Control(_));
        self.rules.has_app
            && app_proxy::is_passable(request)
            && !self.route(request.uri().path()).is_some_and(is_ours)
            && may_read(request.headers(), self.monitor())
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
pub async fn answer<B>(request: Request<B>, site: &Site, ends: Ends) -> Response<Body>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let route = site.route(request.uri().path());
    let is_open = route.is_some_and(Route::is_health) || may_read(request.headers(), site.monitor());
    match (route, request.method()) {
        // Who steers brings a token as well, by other ways too.
        (Some(Route::Control(deed)), &Method::POST) => orders::steer(request, deed, site, ends).await,
        _ if !is_open => unauthorized(),
        (None, _) => nothing_here(),
        (Some(Route::Disable), &Method::POST) => rotate(&request, true, site, ends),
        (Some(Route::Enable), &Method::POST) => rotate(&request, false, site, ends),
        (Some(Route::Disable | Route::Enable | Route::Control(_)), _) => not_with_that_method(WRITES),
        (Some(Route::Logs), &Method::GET | &Method::HEAD) => logs(&request, site).await,
        (Some(Route::Deps), &Method::GET | &Method::HEAD) => {
            site.deps.answer(request.headers(), site.mon_path()).await
        }
        (Some(Route::Components), &Method::GET | &Method::HEAD) => {
            let answer = app_proxy::components(&request, site, ends).await;
            answer.unwrap_or_else(|| {
                text(StatusCode::SERVICE_UNAVAILABLE, "The master's JavaScript does not answer.\n")
            })
        }
        (Some(route), &Method::GET | &Method::HEAD) => read(route, &request, site, ends),
        (Some(_), _) => not_with_that_method(READS),
    }
}

fn read<B>(route: Route, request: &Request<B>, site: &Site, ends: Ends) -> Response<Body> {
    let (headers, stats) = (request.headers(), site.source.stats());
    match route {
        Route::Ecv => ecv::tell(&site.moment(&stats), &stats, &site.watch.boot().hostname, ends),
        Route::Live => judgement(&site.moment(&stats).live()),
        Route::Ready => judgement(&site.moment(&stats).ready()),
        Route::Metrics => scrape(headers, site, &stats),
        Route::Overview => overview(request, site, &stats),
        Route::Status => json(site),
        Route::Stream => watch(request.method(), site),
        Route::Disable | Route::Enable | Route::Control(_) => not_with_that_method(WRITES),
        Route::Logs | Route::Deps | Route::Components => nothing_here(),
    }
}

async fn logs<B>(request: &Request<B>, site: &Site) -> Response<Body> {
    let (uri, headers) = (request.uri(), request.headers());
    match below("/logs", uri.path()).filter(|rest| !rest.is_empty()) {
        Some(rest) => site.logs.file(rest, uri.query().unwrap_or_default(), headers).await,
        None => site.logs.list(headers, site.mon_path()).await,
    }
}

/// Browsers ask their user, who may enter any name; the password is the token.
fn unauthorized() -> Response<Body> {
    let mut response = text(StatusCode::UNAUTHORIZED, "A token is needed here.\n");
    let challenge = HeaderValue::from_static("Basic realm=\"cluster2 monitor\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn rotate<B>(request: &Request<B>, disabled: bool, site: &Site, ends: Ends) -> Response<Body> {
    match &site.rules.ecv {
        Some(ecv) => ecv::control(request, disabled, ecv, &*site.source, ends),
        None => nothing_here(),
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

fn overview<B>(request: &Request<B>, site: &Site, stats: &Stats) -> Response<Body> {
    let is_json = prefers_json(request.headers());
    let mut response = if is_json { json(site) } else { page(request.uri().path(), site, stats) };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

fn json(site: &Site) -> Response<Body> {
    whole(StatusCode::OK, "application/json", site.status().to_string())
}

fn page(path: &str, site: &Site, stats: &Stats) -> Response<Body> {
    site.with_scene(stats, |scene| {
        let page = Page::new(scene, path, site.rules.monitor.control);
        let mut response = whole(StatusCode::OK, "text/html; charset=utf-8", page.to_string());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, page.policy());
        if site.rules.monitor.control {
            // Its forms must be able to show where they come from.
            headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        }
        response
    })
}

fn watch(method: &Method, site: &Site) -> Response<Body> {
    const EVENTS: &str = "text/event-stream";
    if method == Method::HEAD {
        return whole(StatusCode::OK, EVENTS, "");
    }
    site.publish();
    match site.live.join(&site.trends.borrow()) {
        Some(events) => stream(StatusCode::OK, EVENTS, Box::pin(events)),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "Enough are watching.\n"),
    }
}

fn nothing_here() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "There is nothing here.\n")
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

/// What follows `folder` and a slash in `path`.
fn below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}
