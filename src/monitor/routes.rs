//! The route table of the monitor's port.
//!
//! | method | path | answer |
//! |---|---|---|
//! | GET, HEAD | `ecv.path` | 200, 500 or 400, in the form of the application's port, for the whole cluster |
//! | POST | `ecv.path`/disable, /enable | 204, or 403 for a client that may not; only with `ecv.control` |
//! | GET, HEAD | `/live` | 200 or 503, JSON that says why: some event loop turned lately |
//! | GET, HEAD | `/ready` | 200 or 503, JSON that says why: enabled, and enough workers serve |
//! | GET, HEAD | `/metrics` | for Prometheus, as `OpenMetrics` if the client prefers it |
//! | GET, HEAD | `monPath` | the page, or the JSON if the client prefers it |
//! | GET, HEAD | `/status.json` | the JSON |
//! | GET, HEAD | `/status.stream` | what the page shows, as server-sent events for as long as the client listens |
//! | GET, HEAD | `/logs`, `/logs/...` | the list of the logs directory, or as JSON if the client prefers it; its files |
//! | GET, HEAD | `/deps` | the application's modules as JSON, or the page if the client prefers it |
//! | GET, HEAD | `/ComponentStatus` | what the components say, by JavaScript |
//! | POST | `/control/enable`, `disable`, `reload`, `scale`, `recycle` | JSON, or 403; only with `monitor.control` |
//!
//! If two paths are the same, the first in the table counts. A known path with another method is 405 and says which methods
//! it takes; everything else is 404. With `monitor.token`, all but the paths of health are 401 for a client that does not
//! bring the token. Only logs, components and control requests read the query, and a slash at the end of a path makes no
//! difference.
//!
//! Answers about health are made here, from a snapshot, and never wait. Metrics, JSON, the page and its stream come from the
//! renderer's thread, logs and modules from file threads. Where the application has a monitor app of its own, `app_proxy`
//! asks that first.
//! Invariant: an answer repeats nothing that a client sent, but for the reason of a granted control request, escaped.

use std::error::Error as StdError;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::ecv::{Asked as AskedOfEcv, asked};
use crate::monitor::app_proxy::{self, Asked};
use crate::monitor::control::access::may_read;
use crate::monitor::control::ecv;
use crate::monitor::control::orders::{self, Action};
use crate::monitor::data::health::Judgement;
use crate::monitor::endpoints::Endpoints;
use crate::monitor::negotiation::{prefers_json, prefers_open_metrics};
use crate::monitor::reply::{Body, endless, text, whole};
use crate::monitor::rules::Rules;
use crate::monitor::site::{Site, without_end_slash};
use crate::monitor::views::metrics::Format;
use crate::monitor::views::renderer::Kind;
use crate::options::Ecv;

const READS: &str = "GET, HEAD";
const WRITES: &str = "POST";

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
    Control(Action),
}

impl Route {
    /// Probes have no token, so these paths need none.
    fn is_health(self) -> bool {
        use Route::{Disable, Ecv, Enable, Live, Metrics, Ready};
        matches!(self, Ecv | Disable | Enable | Live | Ready | Metrics)
    }

    /// What `path` names under these rules.
    fn of(path: &str, rules: &Rules) -> Option<Self> {
        if let Some(route) = rules.ecv.as_ref().and_then(|ecv| ecv_route(ecv, path)) {
            return Some(route);
        }
        match without_end_slash(path) {
            "/live" => Some(Self::Live),
            "/ready" => Some(Self::Ready),
            "/metrics" => Some(Self::Metrics),
            path if path == rules.mon_path => Some(Self::Overview),
            "/status.json" => Some(Self::Status),
            "/status.stream" => Some(Self::Stream),
            "/deps" => Some(Self::Deps),
            "/logs" => Some(Self::Logs),
            _ if below("/logs", path).is_some() => Some(Self::Logs),
            "/ComponentStatus" => Some(Self::Components),
            _ if below("/ComponentStatus", path).is_some() => Some(Self::Components),
            path if rules.monitor.control => Action::named_by(path).map(Self::Control),
            _ => None,
        }
    }
}

fn ecv_route(ecv: &Ecv, path: &str) -> Option<Route> {
    match asked(&ecv.path, path)? {
        AskedOfEcv::Health => Some(Route::Ecv),
        AskedOfEcv::Disable => ecv.control.then_some(Route::Disable),
        AskedOfEcv::Enable => ecv.control.then_some(Route::Enable),
    }
}

/// Answers a request that comes straight from a client. Unless the client `may_ask`, everything but health is 503.
pub(crate) async fn answer(
    request: Request<Incoming>,
    site: &Site,
    endpoints: Endpoints,
    may_ask: impl Fn() -> bool,
) -> Response<Body> {
    let route = Route::of(request.uri().path(), &site.rules);
    if !route.is_some_and(Route::is_health) && !may_ask() {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "There are too many connections, or too few descriptors.\n",
        );
    }
    if !is_for_app(&request, route, &site.rules) {
        return ours(request, route, site, endpoints).await;
    }
    match site.app.ask_app(request, endpoints).await {
        Asked::Answered(answer) => answer,
        Asked::NoAnswer(request) => ours(request, route, site, endpoints).await,
    }
}

/// Whether the application's own monitor app is asked first. What health and control need must not depend on JavaScript,
/// and a client that may not read here may not read there.
fn is_for_app<B>(request: &Request<B>, route: Option<Route>, rules: &Rules) -> bool {
    let is_ours = |route: Route| route.is_health() || matches!(route, Route::Control(_));
    rules.has_app
        && app_proxy::is_passable(request)
        && !route.is_some_and(is_ours)
        && may_read(request.headers(), &rules.monitor)
}

/// The answer of the monitor itself.
async fn ours<B>(
    request: Request<B>,
    route: Option<Route>,
    site: &Site,
    endpoints: Endpoints,
) -> Response<Body>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let rules = &site.rules;
    let is_open = route.is_some_and(Route::is_health) || may_read(request.headers(), &rules.monitor);
    match (route, request.method()) {
        // These bring the token as well, also in other ways.
        (Some(Route::Control(action)), &Method::POST) => {
            orders::carry_out(request, action, (rules, &*site.source), endpoints).await
        }
        _ if !is_open => unauthorized(),
        (None, _) => nothing_here(),
        (Some(Route::Disable), &Method::POST) => rotate(&request, true, site, endpoints),
        (Some(Route::Enable), &Method::POST) => rotate(&request, false, site, endpoints),
        (Some(Route::Disable | Route::Enable | Route::Control(_)), _) => not_with_that_method(WRITES),
        (Some(route), &Method::GET | &Method::HEAD) => read(route, &request, site, endpoints).await,
        (Some(_), _) => not_with_that_method(READS),
    }
}

async fn read<B>(route: Route, request: &Request<B>, site: &Site, endpoints: Endpoints) -> Response<Body> {
    let (headers, mon_path) = (request.headers(), &site.rules.mon_path);
    match route {
        Route::Ecv => {
            let stats = site.source.stats();
            ecv::tell(&site.moment(&stats), &stats, &site.hostname, endpoints)
        }
        Route::Live => judgement(&site.moment(&site.source.stats()).live()),
        Route::Ready => judgement(&site.moment(&site.source.stats()).ready()),
        Route::Metrics if prefers_open_metrics(headers) => scrape(Format::OpenMetrics, site).await,
        Route::Metrics => scrape(Format::Prometheus, site).await,
        Route::Overview if prefers_json(headers) => varying(json(site).await),
        Route::Overview => varying(page(request.uri().path(), site).await),
        Route::Status => json(site).await,
        Route::Stream => watch(request.method(), site).await,
        Route::Logs => logs(request, site).await,
        Route::Deps => site.deps.answer(headers, mon_path).await,
        Route::Components => {
            let answer = site.app.components(request, endpoints).await;
            answer.unwrap_or_else(|| unavailable("The master's JavaScript does not answer.\n"))
        }
        Route::Disable | Route::Enable | Route::Control(_) => not_with_that_method(WRITES),
    }
}

async fn logs<B>(request: &Request<B>, site: &Site) -> Response<Body> {
    let (uri, headers) = (request.uri(), request.headers());
    match below("/logs", uri.path()).filter(|rest| !rest.is_empty()) {
        Some(rest) => site.logs.file(rest, uri.query().unwrap_or_default(), headers).await,
        None => site.logs.list(headers, &site.rules.mon_path).await,
    }
}

/// Browsers ask their user, who may enter any name; the password is the token.
fn unauthorized() -> Response<Body> {
    let mut response = text(StatusCode::UNAUTHORIZED, "A token is needed here.\n");
    let challenge = HeaderValue::from_static("Basic realm=\"cluster2 monitor\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn rotate<B>(request: &Request<B>, disabled: bool, site: &Site, endpoints: Endpoints) -> Response<Body> {
    match &site.rules.ecv {
        Some(ecv) => ecv::control(request, disabled, ecv, &*site.source, endpoints),
        None => nothing_here(),
    }
}

fn judgement(judged: &Judgement) -> Response<Body> {
    let status = if judged.holds { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    whole(status, "application/json", judged.body.to_string())
}

async fn scrape(format: Format, site: &Site) -> Response<Body> {
    varying(rendered(Kind::Metrics(format), format.content_type(), site).await)
}

async fn json(site: &Site) -> Response<Body> {
    rendered(Kind::Status, "application/json", site).await
}

async fn page(path: &str, site: &Site) -> Response<Body> {
    let kind = Kind::Page { slashes: path.matches('/').count() };
    let mut response = rendered(kind, "text/html; charset=utf-8", site).await;
    if site.rules.monitor.control {
        // Its forms must be able to show where they come from.
        response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }
    response
}

async fn rendered(kind: Kind, content_type: &'static str, site: &Site) -> Response<Body> {
    let Some(rendered) = site.renderer.get(kind).await else {
        return unavailable("The system has no thread for this.\n");
    };
    let mut response = whole(StatusCode::OK, content_type, rendered.body);
    if let Some(policy) = rendered.policy {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn watch(method: &Method, site: &Site) -> Response<Body> {
    const EVENTS: &str = "text/event-stream";
    if method == Method::HEAD {
        return whole(StatusCode::OK, EVENTS, "");
    }
    match site.renderer.watch(site.watchers).await {
        Some(events) => endless(EVENTS, events.body()),
        None => unavailable("Enough are watching.\n"),
    }
}

/// An answer that depends on what the client prefers.
fn varying(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

fn unavailable(sentence: &'static str) -> Response<Body> {
    text(StatusCode::SERVICE_UNAVAILABLE, sentence)
}

fn nothing_here() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "There is nothing here.\n")
}

fn not_with_that_method(allowed: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "This path does not take that method.\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// What follows `folder` and a slash in `path`.
fn below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}
