//! `/logs`: the files of the application's logs directory, listed, sent, and followed while they grow.
//!
//! | path | query | answer |
//! |---|---|---|
//! | `/logs` | | the list, as a page, or as JSON if the client prefers it |
//! | `/logs/<file>` | | the file, or a part of it by `Range` |
//! | | `?tail=N` | its last N lines |
//! | | `?follow=1` | its last 10 lines (or N), then whatever is added, also after a rotation |
//!
//! The routes call it. [`FileThreads`] find, open and read the files; they are sent bit by bit, as the client takes them.
//! Nothing outside the directory is ever served, see [`crate::os::open_within`]: everything but a file inside is 404.
//! Compressed files are sent as they are, and have no lines.

mod file;
mod follow;
mod list;
mod path;
mod range;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::Semaphore;

use crate::monitor::files::file_threads::FileThreads;
use crate::monitor::negotiation::prefers_json;
use crate::monitor::reply::{Body, endless, text};
use crate::os::open_within::open_inside;
use file::Part;
use follow::Following;
use range::{Wanted, wanted};

/// How many files are looked for, opened or read at the same moment.
const THREADS: usize = 2;
/// How many jobs may wait; more than there are connections, of which each waits for one at most.
const QUEUE: usize = 2048;
/// How many lines a follower sees first, as with `tail -f`.
const LINES_FIRST: u64 = 10;
/// How many lines one may ask for.
const LINES_AT_MOST: u64 = 100_000;
const TEXT: &str = "text/plain; charset=utf-8";

/// The logs directory, as it is served, and the one file to which workers write by themselves, wherever that is.
#[derive(Debug)]
pub(crate) struct Logs {
    dir: PathBuf,
    /// Its directory and its name.
    own: Option<(PathBuf, PathBuf)>,
    threads: Arc<FileThreads>,
    followers: Arc<Semaphore>,
}

/// What is asked of a file by its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    File,
    Tail(u64),
    Follow(u64),
}

impl Logs {
    /// The logs in `dir` and the file `log`, which so many clients may follow at once.
    pub(crate) fn new(dir: PathBuf, log: Option<&Path>, followers: usize) -> Self {
        let threads = Arc::new(FileThreads::new("cluster2-files", THREADS, QUEUE));
        let outside = log.filter(|log| !log.starts_with(&dir));
        let own = outside.and_then(|log| Some((log.parent()?.to_owned(), PathBuf::from(log.file_name()?))));
        Self { dir, own, threads, followers: Arc::new(Semaphore::new(followers)) }
    }

    /// The list; `home` is the path of the monitor's page.
    pub(crate) async fn list(&self, headers: &HeaderMap, home: &str) -> Response<Body> {
        let (dir, home, as_json) = (self.dir.clone(), home.to_owned(), prefers_json(headers));
        let own = self.own.clone();
        let list = move || {
            let listed = list::read(&dir, own.as_ref());
            if as_json { listed.json().into() } else { listed.page(&home) }
        };
        let Some(listed) = self.threads.run(list).await else { return busy() };
        let mut response = listed.answer();
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        response
    }

    /// The file that `rest`, what follows `/logs/`, names.
    pub(crate) async fn file(&self, rest: &str, query: &str, headers: &HeaderMap) -> Response<Body> {
        let Some(name) = path::named(rest) else { return missing() };
        let Some(asked) = Asked::read(query) else {
            return text(StatusCode::BAD_REQUEST, "tail must be a whole number from 0 to 100000.\n");
        };
        // The file of the workers comes before one of that name in the directory.
        let own = self.own.as_ref().filter(|(_, own)| *own == name);
        let dir = own.map_or_else(|| self.dir.clone(), |(dir, _)| dir.clone());
        let (place, path) = (dir.clone(), name.clone());
        let Some(opened) = self.threads.run(move || open_inside(&place, &path)).await else { return busy() };
        // Whatever hinders it, the client learns no more than that.
        let Ok((file, facts)) = opened else { return missing() };
        let part = Part::whole(file, &facts);
        match asked {
            Asked::File => self.send(part, headers, is_packed(&name)),
            Asked::Tail(_) | Asked::Follow(_) if is_packed(&name) => {
                text(StatusCode::BAD_REQUEST, "A compressed file has no lines.\n")
            }
            Asked::Tail(lines) => {
                let Some(tail) = part.last_lines(lines, &self.threads).await else { return busy() };
                tail.answer(StatusCode::OK, TEXT, &self.threads)
            }
            Asked::Follow(lines) => {
                let Ok(place) = Arc::clone(&self.followers).try_acquire_owned() else {
                    return text(StatusCode::SERVICE_UNAVAILABLE, "Too many files are being followed.\n");
                };
                let Some(tail) = part.last_lines(lines, &self.threads).await else { return busy() };
                let following = Following::new(dir, name, tail, Arc::clone(&self.threads), place);
                endless(TEXT, following.body())
            }
        }
    }

    /// The file, or the part that is asked for.
    fn send(&self, whole: Part, headers: &HeaderMap, is_packed: bool) -> Response<Body> {
        let (size, tag) = (whole.size(), whole.tag.clone());
        let said = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // A part is of use only beside the rest of the same file.
        let is_same = said(header::IF_RANGE.as_str()).is_none_or(|known| known == tag);
        let asked = said(header::RANGE.as_str()).filter(|_| is_same);
        let (status, part, range) = match asked.map_or(Wanted::Whole, |range| wanted(range, size)) {
            Wanted::Whole => (StatusCode::OK, whole, None),
            Wanted::Part(part) => {
                let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                (StatusCode::PARTIAL_CONTENT, whole.within(part), Some(range))
            }
            Wanted::Nothing => {
                let range = format!("bytes */{size}");
                (StatusCode::RANGE_NOT_SATISFIABLE, whole.within(0..0), Some(range))
            }
        };
        let mut response =
            part.answer(status, if is_packed { "application/gzip" } else { TEXT }, &self.threads);
        let headers = response.headers_mut();
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let texts = [(header::ETAG, Some(tag)), (header::CONTENT_RANGE, range)];
        for (name, text) in texts {
            if let Some(Ok(value)) = text.map(HeaderValue::try_from) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl Asked {
    /// Reads the query; `None` for a number of lines that is none. What else stands there is ignored.
    fn read(query: &str) -> Option<Self> {
        let (mut lines, mut follow) = (None, false);
        for (name, value) in query.split('&').filter_map(|part| part.split_once('=')) {
            match name {
                "tail" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                    lines = Some(value.parse().ok().filter(|lines| *lines <= LINES_AT_MOST)?);
                }
                "tail" => return None,
                "follow" => follow = !matches!(value, "" | "0" | "false"),
                _ => {}
            }
        }
        Some(match (follow, lines) {
            (true, lines) => Self::Follow(lines.unwrap_or(LINES_FIRST)),
            (false, Some(lines)) => Self::Tail(lines),
            (false, None) => Self::File,
        })
    }
}

fn is_packed(name: &Path) -> bool {
    name.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

fn missing() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "There is no such log.\n")
}

fn busy() -> Response<Body> {
    text(StatusCode::SERVICE_UNAVAILABLE, "The disk does not answer; try again later.\n")
}
