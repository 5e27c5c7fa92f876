//! `/deps`: the modules that the application has installed, as JSON in the shape of `npm ls`, or as a page.
//!
//! The routes ask. [`read`] reads `node_modules` by itself, on a thread of its own, since a large one takes seconds; one
//! reading serves all who ask meanwhile and for a while after. It starts neither `npm` nor any other program.
//! Invariant: at most one reading goes on, and the monitor's thread waits for none.

pub(crate) mod read;
#[cfg(test)]
mod tests;
pub(crate) mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::monitor::files::file_threads::FileThreads;
use crate::monitor::negotiation::prefers_html;
use crate::monitor::reply::{Body, text, whole};
use crate::monitor::views::subpage::Subpage;

/// For how long a reading is as good as a new one.
const FRESH: Duration = Duration::from_secs(10);
/// How long a client waits for one.
const PATIENCE: Duration = Duration::from_secs(20);

/// The installed modules, read when a client asks.
#[derive(Debug)]
pub(crate) struct Deps {
    dir: Option<PathBuf>,
    fresh: Duration,
    threads: FileThreads,
    last: Arc<Last>,
}

/// The last reading, and whether there is another under way.
#[derive(Debug, Default)]
struct Last {
    reading: Mutex<Reading>,
    done: Notify,
}

#[derive(Debug, Default)]
struct Reading {
    found: Option<(Instant, Arc<Found>)>,
    is_under_way: bool,
}

/// What was found, ready to be sent.
#[derive(Debug)]
struct Found {
    json: Bytes,
    page: String,
}

impl Deps {
    /// The modules of the application in `dir`; `None` is this process's working directory.
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, fresh: FRESH, threads: FileThreads::new("cluster2-deps", 1, 1), last: Arc::default() }
    }

    /// The answer; `home` is the path of the monitor's page.
    pub(crate) async fn answer(&self, headers: &HeaderMap, home: &str) -> Response<Body> {
        let Some(found) = self.found().await else {
            return text(
                StatusCode::SERVICE_UNAVAILABLE,
                "The modules are still being read; try again later.\n",
            );
        };
        let mut response = if prefers_html(headers) {
            Subpage::new("Modules", home, &found.page).answer()
        } else {
            whole(StatusCode::OK, "application/json", found.json.clone())
        };
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        response
    }

    async fn found(&self) -> Option<Arc<Found>> {
        let until = Instant::now() + PATIENCE;
        loop {
            // Registered before the look, so that a reading that ends in between is not missed.
            let done = self.last.done.notified();
            if let Some(found) = self.look() {
                return Some(found);
            }
            timeout_at(until, done).await.ok()?;
        }
    }

    /// The last reading, if it is fresh enough; if not, another one begins.
    fn look(&self) -> Option<Arc<Found>> {
        let mut reading = self.last.lock();
        let fresh = reading.found.as_ref().filter(|(at, _)| at.elapsed() < self.fresh);
        if let Some((_, found)) = fresh {
            return Some(Arc::clone(found));
        }
        if !reading.is_under_way {
            let (last, dir) = (Arc::clone(&self.last), self.dir.clone());
            reading.is_under_way = self.threads.give(move || last.take(find(dir)));
        }
        None
    }
}

impl Last {
    fn take(&self, found: Found) {
        let mut reading = self.lock();
        reading.found = Some((Instant::now(), Arc::new(found)));
        reading.is_under_way = false;
        drop(reading);
        self.done.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(dir: Option<PathBuf>) -> Found {
    let dir = dir.or_else(|| std::env::current_dir().ok()).unwrap_or_else(|| Path::new("/").to_owned());
    let tree = read::read(&dir);
    Found { json: write::json(&tree).to_string().into(), page: write::page(&tree) }
}
