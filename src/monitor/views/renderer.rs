//! Renders what takes its time, on a thread of its own named `cluster2-pages`.
//!
//! The routes ask for a [`Kind`] and wait; so does the control socket's `status`, with or without a monitor's port. A rendering
//! begins after the question that it answers, so nothing that is shown is older than the question. One rendering answers
//! all questions that came before it began. A pause follows: [`PAUSE`] after a rendering that several clients share, else
//! up to [`REST`] times the time that it took. So a crowd of clients waits and does not load the machine.
//!
//! The thread owns the [`Trends`]. While the monitor has a port, it looks at the cluster every [`STEP`]; while the page is
//! watched, it renders each change for the [`stream`](super::stream).
//! Invariant: this thread takes part in nothing but rendering; health and supervision never wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::HeaderValue;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::monitor::data::health::{Limits, Moment};
use crate::monitor::data::host::{CpuMeter, Host};
use crate::monitor::data::stats::Stats;
use crate::monitor::data::trends::{STEP, Trends};
use crate::monitor::source::Source;
use crate::monitor::views::metrics::{self, Format};
use crate::monitor::views::page::Page;
use crate::monitor::views::status::status;
use crate::monitor::views::stream::{self, Stream, Update};
use crate::monitor::views::view_model::ViewModel;
use crate::os::clock::monotonic_ms;
use crate::timestamp::Timestamp;

/// From one rendering of a kind that several clients share to the next.
const PAUSE: Duration = Duration::from_millis(100);
/// How many times as long as a rendering the time from its beginning to the next one's is at least, up to [`PAUSE`].
const REST: u32 = 10;
/// How soon a change is rendered while the page is watched.
const SOON: Duration = Duration::from_millis(250);
/// How many answers with a large body leave before the server looks for new requests again.
const LEAVE_AT_ONCE: usize = 8;

/// What can be rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Metrics(Format),
    /// `/status.json`.
    Status,
    /// The page, asked for by a path with so many slashes.
    Page {
        slashes: usize,
    },
    /// What a new watcher of the page is sent first.
    Greeting,
}

/// A body, ready to be sent; clones share the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    pub(crate) body: Bytes,
    /// The `Content-Security-Policy` of a page.
    pub(crate) policy: Option<HeaderValue>,
}

type Deliver = Box<dyn FnOnce(Rendered) + Send>;

enum Request {
    Render(Kind, Deliver),
    LookRegularly,
}

/// The way to the thread, which ends when this is dropped.
pub(crate) struct Renderer {
    requests: Sender<Request>,
    updates: watch::Sender<Update>,
    /// Scrapes have a line of their own: they are asked for health, too, and never wait behind pages.
    leaving: [Semaphore; 2],
}

impl Renderer {
    /// Starts the thread. Where the system gives none, nothing is ever delivered.
    pub(crate) fn start(limits: Limits, control: bool, boot: Host, source: Arc<dyn Source>) -> Self {
        let (requests, asked) = channel();
        let updates = watch::Sender::new(Update::default());
        let work = Work {
            limits,
            control,
            boot,
            source,
            cpu: CpuMeter::default(),
            trends: Trends::default(),
            updates: updates.clone(),
            made_of: None,
            rested: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_look: None,
            next_update: Instant::now(),
        };
        // Without a thread the other end of the channel is dropped, and every request fails at once.
        let _ = thread::Builder::new().name("cluster2-pages".into()).spawn(move || work.run(&asked));
        Self { requests, updates, leaving: [(); 2].map(|()| Semaphore::new(LEAVE_AT_ONCE)) }
    }

    /// Begins to look at the cluster regularly, for the graphs.
    pub(crate) fn look_regularly(&self) {
        self.request(Request::LookRegularly);
    }

    /// Has a body rendered; `deliver` is called on the renderer's thread, or dropped if there is no such thread.
    pub(crate) fn ask(&self, kind: Kind, deliver: impl FnOnce(Rendered) + Send + 'static) {
        self.request(Request::Render(kind, Box::new(deliver)));
    }

    /// A rendering that was begun after this call; `None` if there is no thread.
    ///
    /// One rendering may serve hundreds of clients. They get it a few at a time, and the server looks for new requests in
    /// between, so that a question about health never waits until all of them have been sent theirs.
    pub(crate) async fn get(&self, kind: Kind) -> Option<Rendered> {
        let (deliver, delivered) = oneshot::channel();
        self.ask(kind, |rendered| {
            // The client may have left.
            let _ = deliver.send(rendered);
        });
        let rendered = delivered.await.ok()?;
        let [scrapes, others] = &self.leaving;
        let line = if matches!(kind, Kind::Metrics(_)) { scrapes } else { others };
        let _turn = line.acquire().await.ok()?;
        tokio::task::yield_now().await;
        Some(rendered)
    }

    /// The events for a new watcher; `None` when `most` are watching already.
    pub(crate) async fn watch(&self, most: usize) -> Option<Stream> {
        if self.updates.receiver_count() >= most {
            return None;
        }
        let updates = self.updates.subscribe();
        Some(Stream::new(self.get(Kind::Greeting).await?.body, updates))
    }

    fn request(&self, request: Request) {
        // Without a thread the request is dropped, which its client notices.
        let _ = self.requests.send(request);
    }
}

/// What the thread owns.
struct Work {
    limits: Limits,
    control: bool,
    boot: Host,
    source: Arc<dyn Source>,
    cpu: CpuMeter,
    trends: Trends,
    updates: watch::Sender<Update>,
    /// The snapshot and the look that the last update shows.
    made_of: Option<(u64, u64)>,
    /// When each kind may be rendered again.
    rested: BTreeMap<Kind, Instant>,
    waiting: BTreeMap<Kind, Vec<Deliver>>,
    next_look: Option<Instant>,
    next_update: Instant,
}

impl Work {
    fn run(mut self, asked: &Receiver<Request>) {
        loop {
            let now = Instant::now();
            let request = match self.due(now) {
                Some(due) => asked.recv_timeout(due.saturating_duration_since(now)),
                None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(request) => {
                    self.note(request);
                    for request in asked.try_iter() {
                        self.note(request);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.work(Instant::now());
        }
    }

    fn note(&mut self, request: Request) {
        match request {
            Request::Render(kind, deliver) => self.waiting.entry(kind).or_default().push(deliver),
            Request::LookRegularly => self.next_look = Some(Instant::now()),
        }
    }

    /// When there is something to do.
    fn due(&self, now: Instant) -> Option<Instant> {
        let renderings = self.waiting.keys().map(|kind| self.may_begin(*kind, now));
        let update = self.is_watched().then_some(self.next_update);
        renderings.chain(self.next_look).chain(update).min()
    }

    fn may_begin(&self, kind: Kind, now: Instant) -> Instant {
        self.rested.get(&kind).copied().unwrap_or(now)
    }

    fn work(&mut self, now: Instant) {
        let due: Vec<Kind> =
            self.waiting.keys().copied().filter(|kind| self.may_begin(*kind, now) <= now).collect();
        for kind in due {
            let (waiting, begun) = (self.waiting.remove(&kind).unwrap_or_default(), Instant::now());
            let rendered = self.render(kind);
            let rest = if waiting.len() > 1 { PAUSE } else { PAUSE.min(begun.elapsed() * REST) };
            self.rested.insert(kind, begun + rest);
            for deliver in waiting {
                deliver(rendered.clone());
            }
        }
        if self.next_look.is_some_and(|look| look <= now) {
            self.trends.look(&self.source.stats(), monotonic_ms());
            self.next_look = Some(now + STEP);
        }
        if self.is_watched() && self.next_update <= now {
            self.update();
            self.next_update = now + SOON;
        }
    }

    fn render(&mut self, kind: Kind) -> Rendered {
        let plain = |text: String| Rendered { body: text.into(), policy: None };
        match kind {
            Kind::Metrics(format) => {
                let (stats, added) = (self.source.stats(), self.source.app_metrics());
                plain(metrics::render(format, &moment(&stats, self.limits), &stats, &added))
            }
            Kind::Status => {
                let (stats, now) = (self.source.stats(), monotonic_ms());
                // Without a port there are no regular looks.
                if self.trends.is_late(now) {
                    self.trends.look(&stats, now);
                }
                let boot = self.boot.clone();
                plain(self.with_model(&stats, |model| status(model, &boot).to_string()))
            }
            Kind::Page { slashes } => {
                let (stats, control) = (self.source.stats(), self.control);
                self.with_model(&stats, |model| {
                    let page = Page::new(model, slashes, control);
                    Rendered { body: page.to_string().into(), policy: Some(page.policy()) }
                })
            }
            Kind::Greeting => {
                self.update();
                Rendered { body: stream::greeting(&self.trends), policy: None }
            }
        }
    }

    fn is_watched(&self) -> bool {
        self.updates.receiver_count() > 0
    }

    /// Renders the state of the cluster for the watchers, if it has changed.
    fn update(&mut self) {
        let made_of = Some((self.source.revision(), self.trends.number()));
        if self.made_of != made_of {
            let (stats, before) = (self.source.stats(), self.updates.borrow().clone());
            let update = self.with_model(&stats, |model| before.next(model));
            self.updates.send_replace(update);
            self.made_of = made_of;
        }
    }

    fn with_model<T>(&mut self, stats: &Stats, show: impl FnOnce(&ViewModel<'_>) -> T) -> T {
        let (host, now) = (Host::read(), Timestamp::now());
        let (busy, queues) = (self.cpu.busy_percent(&host), stats.queue_lengths());
        let (trends, moment) = (&self.trends, moment(stats, self.limits));
        show(&ViewModel { stats, trends, moment, host: &host, busy, queues: &queues, now })
    }
}

fn moment(stats: &Stats, limits: Limits) -> Moment<'_> {
    Moment::new(stats, limits, monotonic_ms(), stats.started.age(Timestamp::now()))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::ecv::Change;
    use crate::event::MonitorRequest;
    use crate::monitor::data::stats::ShownOptions;
    use crate::monitor::source::{Order, Ordered};

    /// Counts how often it is copied, and gives nothing while `closed` is locked.
    #[derive(Default)]
    struct Counted {
        copies: AtomicU64,
        closed: Mutex<()>,
    }

    impl Source for Counted {
        fn stats(&self) -> Stats {
            self.copies.fetch_add(1, Ordering::SeqCst);
            drop(self.closed.lock().unwrap());
            Stats::new(1, Timestamp::now(), ShownOptions::default())
        }

        fn rotate(&self, _: bool, _: Change) {}

        fn revision(&self) -> u64 {
            0
        }

        fn order(&self, _: Order) -> Ordered {
            Box::pin(async { None })
        }

        fn app_metrics(&self) -> Arc<str> {
            "".into()
        }

        fn ask(&self, _: MonitorRequest) {}
    }

    #[test]
    fn a_rendering_answers_all_who_asked_before_it_began_and_none_who_asked_later() {
        let source = Arc::new(Counted::default());
        let limits = Limits { live_max_age: STEP, ready_quorum: 1 };
        let renderer =
            Renderer::start(limits, false, Host::default(), Arc::clone(&source) as Arc<dyn Source>);
        let (done, told) = channel();
        let ask = || {
            let done = done.clone();
            renderer.ask(Kind::Status, move |rendered| done.send(rendered.body.len()).unwrap());
        };
        let closed = source.closed.lock().unwrap();
        ask();
        while source.copies.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        // The first rendering has begun; these come too late for it.
        (0..50).for_each(|_| ask());
        let released = Instant::now();
        drop(closed);
        for _ in 0..51 {
            assert!(told.recv_timeout(Duration::from_secs(10)).unwrap() > 0);
        }
        assert_eq!(source.copies.load(Ordering::SeqCst), 2);
        // The next one comes after the pause that follows a rendering that many shared.
        ask();
        told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(released.elapsed() >= PAUSE, "{:?}", released.elapsed());
        drop(renderer);
        drop(done);
        assert!(told.recv().is_err(), "the thread ends with its handle");
    }
}
