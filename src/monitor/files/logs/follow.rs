//! A log that is sent while it grows, for as long as its client reads.
//!
//! A file thread looks at the file four times a second; no client costs more than that, and their number is limited.
//! When another file has taken its name (logrotate's `create`), the old one is read to its end, once more after a
//! moment in which its writer may still have written, and then the new one from its beginning. When it was cut short
//! (`copytruncate`), it is read from its beginning; text that was cut before a look is lost. While no file has the
//! name, the old one is followed on.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::file::{Part, length, read};
use crate::monitor::files::file_threads::FileThreads;
use crate::monitor::reply::{Body, unfold};
use crate::os::open_within::open_inside;

/// How often a file at whose end one is is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A file that is being followed.
#[derive(Debug)]
pub(crate) struct Following {
    dir: PathBuf,
    name: PathBuf,
    file: Arc<File>,
    at: u64,
    /// The file that has taken the name, to be followed when this one has been read.
    successor: Option<File>,
    threads: Arc<FileThreads>,
    _place: OwnedSemaphorePermit,
}

/// What a look at the end of a file has shown.
#[derive(Debug)]
enum News {
    Bytes(Bytes),
    None,
    CutShort,
    Replaced(File),
}

impl Following {
    /// Follows `name` of `dir` from the beginning of `part`, which is of the file that has the name.
    pub(crate) fn new(
        dir: PathBuf,
        name: PathBuf,
        part: Part,
        threads: Arc<FileThreads>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { dir, name, file: part.file, at: part.range.start, successor: None, threads, _place: place }
    }

    pub(crate) fn body(self) -> Body {
        unfold(self, Self::next)
    }

    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        loop {
            match self.look().await? {
                Ok(News::Bytes(bytes)) => {
                    self.at += length(&bytes);
                    return Some((Ok(bytes), self));
                }
                Ok(News::None) => match self.successor.take() {
                    Some(file) => (self.file, self.at) = (Arc::new(file), 0),
                    None => sleep(LOOK_EVERY).await,
                },
                Ok(News::CutShort) => self.at = 0,
                Ok(News::Replaced(file)) => {
                    self.successor = Some(file);
                    sleep(LOOK_EVERY).await;
                }
                Err(error) => return Some((Err(error), self)),
            }
        }
    }

    async fn look(&self) -> Option<io::Result<News>> {
        let (file, at) = (Arc::clone(&self.file), self.at);
        let named = self.successor.is_none().then(|| (self.dir.clone(), self.name.clone()));
        self.threads.run(move || news(&file, at, named)).await
    }
}

/// What is new behind `at`; at the end, whether another file is `named` as this one was.
fn news(file: &File, at: u64, named: Option<(PathBuf, PathBuf)>) -> io::Result<News> {
    let bytes = read(file, &(at..u64::MAX))?;
    if !bytes.is_empty() {
        return Ok(News::Bytes(bytes));
    }
    let facts = file.metadata()?;
    if facts.size() < at {
        return Ok(News::CutShort);
    }
    let found = named.and_then(|(dir, name)| open_inside(&dir, &name).ok());
    Ok(match found {
        Some((other, its)) if identity(&its) != identity(&facts) => News::Replaced(other),
        // Without a file of that name the next one is on its way.
        Some(_) | None => News::None,
    })
}

fn identity(facts: &Metadata) -> (u64, u64) {
    (facts.dev(), facts.ino())
}
