//! The ECV path on the monitor's port: the answer for the whole cluster, and the two requests that change it.
//!
//! The routes call it. The answer has the form that workers give on the application's port; it is made from the snapshot
//! and never waits for a check. Control requests pass the same guard as there.

use std::time::SystemTime;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};

use crate::ecv::{self, Answer, Change, Facts};
use crate::monitor::control::access::{origin, text_of};
use crate::monitor::data::health::Moment;
use crate::monitor::data::stats::{Address, Stats};
use crate::monitor::endpoints::Endpoints;
use crate::monitor::reply::{Body, whole};
use crate::monitor::source::Source;
use crate::monitor::views::calendar::date_string;
use crate::options::Ecv;
use crate::timestamp::Timestamp;

/// What a balancer is told.
pub(crate) fn tell(
    moment: &Moment<'_>,
    stats: &Stats,
    hostname: &str,
    endpoints: Endpoints,
) -> Response<Body> {
    let ip = endpoints.local.ip().to_canonical().to_string();
    let port = first_port(stats);
    let (time, since) = (date_string(SystemTime::now()), date_string(stats.started.time));
    let facts = Facts { ip: &ip, hostname, port: &port, time: &time, since: &since };
    with_headers(ecv::answer(moment.verdict(), &facts))
}

/// Takes the cluster out of rotation or puts it back, if the guard agrees.
pub(crate) fn control<B>(
    request: &Request<B>,
    disabled: bool,
    ecv: &Ecv,
    source: &dyn Source,
    endpoints: Endpoints,
) -> Response<Body> {
    let (headers, remote) = (request.headers(), endpoints.remote.ip());
    if !ecv.guard.admits(Some(remote), text_of(headers, AUTHORIZATION.as_str()), origin(headers)) {
        return with_headers(ecv::refused());
    }
    let by = format!("POST from {} to the monitor", remote.to_canonical());
    let reason = request.uri().query().and_then(ecv::reason_in);
    source.rotate(disabled, Change::new(&by, Timestamp::now(), reason.as_deref()));
    with_headers(ecv::done(disabled, &date_string(source.stats().started.time)))
}

fn with_headers(answer: Answer) -> Response<Body> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = whole(status, "text/plain", answer.body);
    let headers = response.headers_mut();
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_TYPE);
        headers.remove(hyper::header::CONTENT_LENGTH);
    }
    for (name, value) in answer.headers {
        // All names and values are ours and well formed; a malformed one would be left out.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}

/// What the application listens on first.
fn first_port(stats: &Stats) -> String {
    match stats.addresses.first() {
        Some(Address::Ip(bound)) => bound.port().to_string(),
        Some(Address::Path(path)) => path.display().to_string(),
        None => stats.options.ports.first().cloned().unwrap_or_default(),
    }
}
