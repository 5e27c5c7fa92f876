//! `EcvAnswers`: what a process that serves the application says on the ECV path.
//!
//! `lib/worker/serving/ecv.js` makes one per process and calls it once per request to that path; it runs the self-check
//! and reads the state, and everything that is said is decided here. No call waits.

use std::net::IpAddr;

use napi_derive::napi;
use serde_json::Value;

use super::convert::Result;
use super::options::machine;
use crate::ecv::cross_site::Origin;
use crate::ecv::guard::Guard;
use crate::ecv::{self, Answer, Asked, Facts, Verdict};
use crate::options;

/// An answer as `lib/worker/serving/ecv.js` writes it out.
#[napi(object)]
pub struct EcvAnswer {
    /// Its status.
    pub status: u32,
    /// Names and values in turn.
    pub headers: Vec<String>,
    /// Its text.
    pub body: String,
}

impl From<Answer> for EcvAnswer {
    fn from(answer: Answer) -> Self {
        let headers = answer.headers.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        Self { status: answer.status.into(), headers, body: answer.body }
    }
}

/// The answers of one process.
#[napi]
pub struct EcvAnswers {
    path: String,
    guard: Guard,
    hostname: String,
    since: String,
}

#[napi]
impl EcvAnswers {
    /// Takes its rules from the raw options; `since` is the start of the process, by `Date.toString()`.
    ///
    /// # Errors
    /// `ERR_CLUSTER2_INVALID_OPTION`.
    #[napi(constructor)]
    pub fn new(raw_options: Value, since: String) -> Result<Self> {
        let ecv = options::parse(&raw_options, &machine())?.options.ecv.unwrap_or_default();
        let hostname = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { path: ecv.path, guard: ecv.guard, hostname, since })
    }

    /// What a path without its query asks for: `health`, `disable`, `enable`, or nothing of ours.
    #[napi]
    #[must_use]
    pub fn asked(&self, path: String) -> Option<&'static str> {
        Some(match ecv::asked(&self.path, &path)? {
            Asked::Health => "health",
            Asked::Disable => "disable",
            Asked::Enable => "enable",
        })
    }

    /// Whether a control request is granted to the connection from `peer`, which is absent for a unix socket. The others
    /// are its headers `Authorization`, `Sec-Fetch-Site`, `Origin` and `Host`.
    #[napi]
    #[must_use]
    pub fn admits(
        &self,
        peer: Option<String>,
        authorization: Option<String>,
        site: Option<String>,
        origin: Option<String>,
        host: Option<String>,
    ) -> bool {
        // Node adds the interface to a link-local address.
        let address = peer.as_deref().and_then(|peer| peer.split('%').next()?.parse::<IpAddr>().ok());
        let origin = Origin { site: site.as_deref(), origin: origin.as_deref(), host: host.as_deref() };
        self.guard.admits(address, authorization.as_deref(), origin)
    }

    /// The answer to GET and HEAD: `is_out` by the state, `is_well` by the self-check.
    #[napi]
    #[must_use]
    pub fn answer(&self, is_out: bool, is_well: bool, ip: String, port: String, time: String) -> EcvAnswer {
        let (hostname, since) = (&*self.hostname, &*self.since);
        let ip = ip.strip_prefix("::ffff:").unwrap_or(&ip);
        let facts = Facts { ip, hostname, port: &port, time: &time, since };
        ecv::answer(Verdict::of(is_out, is_well), &facts).into()
    }

    /// The answer to a control request that was granted and carried out.
    #[napi]
    #[must_use]
    pub fn done(&self, disabled: bool) -> EcvAnswer {
        ecv::done(disabled, &self.since).into()
    }

    /// The answer to one that was not granted.
    #[napi]
    #[must_use]
    pub fn refused(&self) -> EcvAnswer {
        ecv::refused().into()
    }

    /// The reason that a control request gives in its query.
    #[napi]
    #[must_use]
    pub fn reason_in(&self, query: String) -> Option<String> {
        ecv::reason_in(&query)
    }
}
