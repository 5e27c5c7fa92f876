//! Control of the cluster from the page: `POST /control/enable`, `/disable`, `/reload`, `/scale` and `/recycle`.
//!
//! The routes call it, only where `monitor: {control: true, token}` is set. Arguments and, if need be, the token come in a
//! small form (`application/x-www-form-urlencoded`). The order goes to the supervisor by the way that the control socket
//! takes; the answer is JSON or, for a browser without JavaScript, a redirect to the page.
//! Invariant: a client that may not do it is told nothing else.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{ACCEPT, HeaderValue, LOCATION};
use hyper::{HeaderMap, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::ecv::Change;
use crate::error::Error;
use crate::monitor::control::access::may_control;
use crate::monitor::endpoints::Endpoints;
use crate::monitor::reply::{Body, text, whole};
use crate::monitor::rules::Rules;
use crate::monitor::source::{Order, Source};
use crate::timestamp::Timestamp;

/// How long a form may be; reasons are short.
const FORM_LIMIT: usize = 8 * 1024;
/// How long one may take to come in.
const FORM_TIME: Duration = Duration::from_secs(5);
/// How long an answer of the supervisor is waited for; a reload takes longer, and the timeline tells how it ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Enable,
    Disable,
    Reload,
    Scale,
    Recycle,
}

impl Action {
    /// What `/control/...` names.
    pub(crate) fn named_by(path: &str) -> Option<Self> {
        Some(match path.strip_prefix("/control/")? {
            "enable" => Self::Enable,
            "disable" => Self::Disable,
            "reload" => Self::Reload,
            "scale" => Self::Scale,
            "recycle" => Self::Recycle,
            _ => return None,
        })
    }

    /// The order for the supervisor; `None` for what is done here.
    fn order(self, form: &Form) -> Option<(&'static str, Value)> {
        match self {
            Self::Enable | Self::Disable => None,
            Self::Reload => Some(("reload", form.some_of(&["strategy"]))),
            Self::Scale => Some(("scale", form.some_of(&["workers", "by"]))),
            Self::Recycle => Some(("recycle", form.some_of(&["pid"]))),
        }
    }
}

/// Does what is asked, if the client may.
pub(crate) async fn carry_out<B>(
    request: Request<B>,
    action: Action,
    (rules, source): (&Rules, &dyn Source),
    endpoints: Endpoints,
) -> Response<Body>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let Some(form) = Form::receive(body).await else {
        return text(StatusCode::BAD_REQUEST, "The form is too long, or came too slowly.\n");
    };
    if !may_control(&head.headers, &rules.monitor, form.get("token")) {
        return text(StatusCode::FORBIDDEN, "Forbidden\n");
    }
    let by = format!("the monitor's page, from {}", endpoints.remote.ip().to_canonical());
    let answer = match action.order(&form) {
        None => {
            let change = Change::new(&by, Timestamp::now(), form.get("reason"));
            source.rotate(action == Action::Disable, change);
            json!({ "ok": true })
        }
        Some((call, args)) => done(source.order(Order { call, args, by }).await).await,
    };
    if wants_page(&head.headers) { back_to_page(&rules.mon_path) } else { answered(&answer) }
}

/// The supervisor's answer, or, when it takes its time, that it goes on.
async fn done(answer: Option<oneshot::Receiver<Bytes>>) -> Value {
    let nobody = Error::NotRunning;
    let nobody = || json!({ "ok": false, "code": nobody.code(), "message": nobody.to_string() });
    match answer {
        None => nobody(),
        Some(answer) => match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => serde_json::from_slice(&answer).unwrap_or_else(|_| nobody()),
            Ok(Err(_)) => nobody(),
            Err(_) => json!({ "ok": true, "pending": true }),
        },
    }
}

fn answered(answer: &Value) -> Response<Body> {
    let is = |name: &str| answer.get(name) == Some(&Value::Bool(true));
    let code = answer.get("code").and_then(Value::as_str);
    let status = match (is("ok"), is("pending"), code) {
        (true, true, _) => StatusCode::ACCEPTED,
        (true, false, _) => StatusCode::OK,
        (false, _, Some("ERR_CLUSTER2_INVALID_OPTION")) => StatusCode::BAD_REQUEST,
        (false, ..) => StatusCode::CONFLICT,
    };
    whole(status, "application/json", answer.to_string())
}

/// The answer to a form that was sent without JavaScript: a redirect to the page, which shows the result.
fn back_to_page(mon_path: &str) -> Response<Body> {
    let mut response = text(StatusCode::SEE_OTHER, "");
    // Relative, for proxies that add a prefix. The option's rule lets nothing through that a header can't hold.
    if let Ok(path) = HeaderValue::from_str(&format!("..{mon_path}/")) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accepts.starts_with("text/html")
}

/// The fields of a small form.
#[derive(Debug, Default)]
struct Form(BTreeMap<String, String>);

impl Form {
    /// `None` if it is too long, too slow, or breaks off.
    async fn receive<B>(body: B) -> Option<Self>
    where
        B: hyper::body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let body = std::pin::pin!(Limited::new(body, FORM_LIMIT).collect());
        let bytes = timeout(FORM_TIME, body).await.ok()?.ok()?.to_bytes();
        Some(Self(form_urlencoded::parse(&bytes).into_owned().collect()))
    }

    /// A field that was filled in.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Arguments as the control socket takes them: what looks like a number is one.
    fn some_of(&self, names: &[&str]) -> Value {
        let value = |text: &str| text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from);
        let given = names.iter().filter_map(|name| Some(((*name).to_owned(), value(self.get(name)?))));
        Value::Object(given.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        let sent = "reason=new+disk%21&workers=4&by=&strategy=all-first&junk&=&%zz=1";
        let form = Form(form_urlencoded::parse(sent.as_bytes()).into_owned().collect());
        assert_eq!((form.get("reason"), form.get("by")), (Some("new disk!"), None));
        assert_eq!(Action::Scale.order(&form), Some(("scale", json!({ "workers": 4 }))));
        assert_eq!(Action::Reload.order(&form), Some(("reload", json!({ "strategy": "all-first" }))));
        assert_eq!(Action::Recycle.order(&form), Some(("recycle", json!({}))));
    }

    #[test]
    fn deeds_have_their_own_paths_and_no_others() {
        assert_eq!(Action::named_by("/control/scale"), Some(Action::Scale));
        for path in ["/control", "/control/", "/control/stop", "/control/scale/x", "/Control/scale"] {
            assert_eq!(Action::named_by(path), None, "{path}");
        }
    }

    #[test]
    fn a_wish_that_can_not_be_met_is_not_a_success() {
        let status = |answer: Value| answered(&answer).status().as_u16();
        assert_eq!(status(json!({ "ok": true, "wanted": 3 })), 200);
        assert_eq!(status(json!({ "ok": true, "pending": true })), 202);
        assert_eq!(status(json!({ "ok": false, "code": "ERR_CLUSTER2_INVALID_OPTION" })), 400);
        assert_eq!(status(json!({ "ok": false, "code": "ERR_CLUSTER2_NOT_RUNNING" })), 409);
        assert_eq!(status(Value::Null), 409);
    }
}
