//! In rotation or not: the state that an operator sets, and the answers that load balancers get.
//!
//! Pure. Workers come here through `node::ecv` for each request to the health path, the monitor calls it directly, and the
//! supervisor keeps the [`Rotation`]. The answer is sent as it is given here. `guard` says who may change the state,
//! `cross_site` whether a browser sends a request on behalf of another site.

pub mod cross_site;
pub mod guard;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::timestamp::Timestamp;

/// How much of a reason, and of a name, is kept, in characters.
const TEXT_KEPT: usize = 200;

/// Who changed the state last, when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who, for people: `POST from 10.0.0.7`.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, if it was said.
    pub reason: Option<String>,
}

impl Change {
    /// A change by `by`; long texts are cut.
    #[must_use]
    pub fn new(by: &str, at: Timestamp, reason: Option<&str>) -> Self {
        let cut = |text: &str| text.chars().take(TEXT_KEPT).collect::<String>();
        Self { by: cut(by), at, reason: reason.filter(|reason| !reason.is_empty()).map(cut) }
    }
}

/// Whether operators let the cluster have traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// It was taken out.
    pub disabled: bool,
    /// The last change; `None` for a cluster that was never disabled.
    pub change: Option<Change>,
}

impl Rotation {
    /// The state of a cluster that has just begun.
    #[must_use]
    pub fn at_start(disabled: bool, at: Timestamp) -> Self {
        let change = disabled.then(|| Change::new("the option ecv.startDisabled", at, None));
        Self { disabled, change }
    }

    /// Takes the cluster out or puts it back. If it is there already, the last change stays as it was;
    /// `false` says that.
    pub fn set(&mut self, disabled: bool, change: Change) -> bool {
        if self.disabled == disabled {
            return false;
        }
        *self = Self { disabled, change: Some(change) };
        true
    }
}

/// Whether the answer is DISABLED, as the threads of the master's own process read it, at any moment and without waiting.
#[derive(Clone, Debug, Default)]
pub struct Word(Arc<AtomicBool>);

impl Word {
    /// Writes it: out of rotation by an operator, or on the way to a shutdown.
    pub fn write(&self, is_out: bool) {
        self.0.store(is_out, Ordering::Release);
    }

    /// Whether the answer is DISABLED, for whichever reason.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The answer to a balancer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send traffic.
    Available,
    /// Something is wrong; send none.
    Warning,
    /// An operator took it out, or it is shutting down; send none.
    Disabled,
}

impl Verdict {
    /// The state counts before the check.
    #[must_use]
    pub fn of(is_out: bool, is_well: bool) -> Self {
        match (is_out, is_well) {
            (true, _) => Self::Disabled,
            (false, true) => Self::Available,
            (false, false) => Self::Warning,
        }
    }

    /// The status that says it.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Available => 200,
            Self::Warning => 500,
            Self::Disabled => 400,
        }
    }

    fn words(self) -> (&'static str, bool) {
        match self {
            Self::Available => ("AVAILABLE", true),
            Self::Warning => ("WARNING", false),
            Self::Disabled => ("DISABLED", false),
        }
    }
}

/// What an answer tells beside the verdict.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The address at which the client reached us; empty for a unix socket.
    pub ip: &'a str,
    /// The machine's name.
    pub hostname: &'a str,
    /// The application's first port, or its path.
    pub port: &'a str,
    /// Now, as `Date.toString()` of JavaScript writes it.
    pub time: &'a str,
    /// The start of the answering process, in the same form.
    pub since: &'a str,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, in the order and spelling of the original.
    pub headers: Vec<(&'static str, String)>,
    /// Its text.
    pub body: String,
}

/// The answer to GET and HEAD.
#[must_use]
pub fn answer(verdict: Verdict, facts: &Facts<'_>) -> Answer {
    let (name, serves) = verdict.words();
    let Facts { ip, hostname, port, time, .. } = facts;
    let body =
        format!("status={name}&ServeTraffic={serves}&ip={ip}&hostname={hostname}&port={port}&time={time}");
    let mut headers = vec![("content-type", "text/plain".to_owned())];
    headers.extend(common(facts.since));
    Answer { status: verdict.status(), headers, body }
}

/// The answer to a control request that was granted.
#[must_use]
pub fn done(disabled: bool, since: &str) -> Answer {
    let headers = if disabled { common(since) } else { Vec::new() };
    Answer { status: 204, headers, body: String::new() }
}

/// The answer to a control request that was not granted. It does not say why.
#[must_use]
pub fn refused() -> Answer {
    let headers = [("content-type", "text/plain"), ("Connection", "close")];
    let headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
    Answer { status: 403, headers, body: "Forbidden\n".into() }
}

fn common(since: &str) -> Vec<(&'static str, String)> {
    let pairs = [
        ("since", since),
        ("cache-control", "no-cache"),
        ("X-Powered-By", "Cluster2"),
        ("Connection", "close"),
    ];
    pairs.map(|(name, value)| (name, value.to_owned())).to_vec()
}

/// What a path means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The answer itself.
    Health,
    /// `<path>/disable`.
    Disable,
    /// `<path>/enable`.
    Enable,
}

/// What `path` (without query) asks for where the health path is `base`; a slash at the end makes no difference.
#[must_use]
pub fn asked(base: &str, path: &str) -> Option<Asked> {
    let base = base.strip_suffix('/').unwrap_or(base);
    let rest = path.strip_prefix(base)?;
    match rest.strip_suffix('/').unwrap_or(rest) {
        "" => Some(Asked::Health),
        "/disable" => Some(Asked::Disable),
        "/enable" => Some(Asked::Enable),
        _ => None,
    }
}

/// The reason that a control request gives in its query, `?reason=new+disk`.
#[must_use]
pub fn reason_in(query: &str) -> Option<String> {
    let (_, reason) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "reason")?;
    Some(reason.into_owned()).filter(|reason| !reason.is_empty())
}
