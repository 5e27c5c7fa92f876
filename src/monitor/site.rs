//! Everything that one monitor serves, put together once.
//!
//! The supervisor makes a [`Site`] and gives it to the server; the control socket's `status` uses its renderer where the
//! monitor has no port.

use std::sync::Arc;

use bytes::Bytes;

use crate::monitor::app_proxy::AppProxy;
use crate::monitor::data::health::Moment;
use crate::monitor::data::host::Host;
use crate::monitor::data::stats::Stats;
use crate::monitor::files::deps::Deps;
use crate::monitor::files::logs::Logs;
use crate::monitor::limits::Limits;
use crate::monitor::rules::Rules;
use crate::monitor::source::Source;
use crate::monitor::views::renderer::{Kind, Renderer};
use crate::os::clock::monotonic_ms;
use crate::timestamp::Timestamp;

/// How many clients may watch the page, how many may follow logs, and how many requests JavaScript may have, at most.
const WATCHERS: usize = 256;
const FOLLOWERS: usize = 64;
const WITH_JAVASCRIPT: usize = 64;

/// One monitor.
pub struct Site {
    pub(crate) rules: Rules,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) hostname: String,
    pub(crate) renderer: Renderer,
    pub(crate) logs: Logs,
    pub(crate) deps: Deps,
    pub(crate) app: AppProxy,
    /// How many may watch the page.
    pub(crate) watchers: usize,
}

impl Site {
    /// A site that shows what `source` gives at the moment of each request.
    pub fn new(mut rules: Rules, source: impl Source + 'static) -> Self {
        let length = without_end_slash(&rules.mon_path).len();
        rules.mon_path.truncate(length);
        let limits = Limits::default();
        let (source, host): (Arc<dyn Source>, Host) = (Arc::new(source), Host::read());
        Self {
            hostname: host.hostname.clone(),
            renderer: Renderer::start(rules.limits, rules.monitor.control, host, Arc::clone(&source)),
            logs: Logs::new(rules.logs.clone(), rules.log.as_deref(), limits.share(FOLLOWERS)),
            deps: Deps::new(rules.dir.clone()),
            app: AppProxy::new(Arc::clone(&source), limits.share(WITH_JAVASCRIPT)),
            watchers: limits.share(WATCHERS),
            source,
            rules,
        }
    }

    /// Has what `/status.json` says rendered; `deliver` is called on the renderer's thread.
    pub fn render_status(&self, deliver: impl FnOnce(Bytes) + Send + 'static) {
        self.renderer.ask(Kind::Status, |rendered| deliver(rendered.body));
    }

    /// What health is judged by.
    pub(crate) fn moment<'a>(&self, stats: &'a Stats) -> Moment<'a> {
        Moment::new(stats, self.rules.limits, monotonic_ms(), stats.started.age(Timestamp::now()))
    }
}

/// `/mon` of `/mon/`, and nothing of `/`.
pub(crate) fn without_end_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}
