//! A file, or a part of it, on its way to a client: piece by piece; a file thread reads each once there is room for it.
//!
//! The length is that of the file when it was opened: text that is added meanwhile is not sent, and a file that is cut short
//! meanwhile ends the connection, since the promised length can't be kept any more.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use crate::monitor::files::file_threads::FileThreads;
use crate::monitor::reply::{Body, stream, unfold};

/// How much is read at once.
const PIECE: usize = 64 * 1024;
/// How much is looked through at once for lines.
const STEP: u64 = 64 * 1024;
/// How far back the beginning of the last lines is looked for; longer ones are cut at their beginning.
const LOOK_BACK: u64 = 64 * 1024 * 1024;

/// Some of a file's bytes.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) file: Arc<File>,
    pub(crate) range: Range<u64>,
    /// Differs for another file, and for other content of this one.
    pub(crate) tag: String,
}

impl Part {
    /// A file that was opened just now.
    pub(crate) fn whole(file: File, facts: &Metadata) -> Self {
        let (ino, size, seconds, nanos) = (facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec());
        let tag = format!("\"{ino:x}-{size:x}-{seconds:x}.{nanos:x}\"");
        Self { file: Arc::new(file), range: 0..size, tag }
    }

    pub(crate) fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    pub(crate) fn within(self, range: Range<u64>) -> Self {
        Self { range, ..self }
    }

    /// Its last lines; `None` if the file threads are busy. A file that can't be read has none.
    pub(crate) async fn last_lines(self, lines: u64, threads: &FileThreads) -> Option<Self> {
        let (file, range) = (Arc::clone(&self.file), self.range.clone());
        let end = range.end;
        let start = threads.run(move || start_of_last(&file, range, lines).unwrap_or(end)).await?;
        Some(self.within(start..end))
    }

    /// The answer that sends it.
    pub(crate) fn answer(
        self,
        status: StatusCode,
        content_type: &'static str,
        threads: &Arc<FileThreads>,
    ) -> Response<Body> {
        let length = HeaderValue::from(self.size());
        let threads = Arc::clone(threads);
        let body = unfold(self, move |part| part.next_piece(Arc::clone(&threads)));
        let mut response = stream(status, content_type, body);
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
        response
    }

    async fn next_piece(mut self, threads: Arc<FileThreads>) -> Option<(io::Result<Bytes>, Self)> {
        if self.range.is_empty() {
            return None;
        }
        let (file, range) = (Arc::clone(&self.file), self.range.clone());
        let piece = match threads.run(move || read(&file, &range)).await {
            Some(Ok(piece)) if piece.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(piece) => piece,
            None => Err(io::ErrorKind::ResourceBusy.into()),
        };
        if let Ok(piece) = &piece {
            self.range.start += length(piece);
        }
        Some((piece, self))
    }
}

/// Reads what comes first in `range`, at most a piece; nothing at the end of the file.
pub(crate) fn read(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let wanted = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(PIECE).min(PIECE);
    let mut piece = vec![0; wanted];
    let got = loop {
        match file.read_at(&mut piece, range.start) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    piece.truncate(got);
    Ok(piece.into())
}

pub(crate) fn length(piece: &[u8]) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}

/// Where the last `lines` lines of `range` begin; a newline at the very end ends the last one.
fn start_of_last(file: &File, range: Range<u64>, lines: u64) -> io::Result<u64> {
    let first = range.end.saturating_sub(LOOK_BACK).max(range.start);
    let (mut end, mut left) = (range.end, lines);
    if lines == 0 {
        return Ok(end);
    }
    while end > first {
        let start = end.saturating_sub(STEP).max(first);
        let piece = read(file, &(start..end))?;
        for at in memchr::memrchr_iter(b'\n', &piece) {
            let line = start + length(piece.get(..at).unwrap_or_default()) + 1;
            if line == range.end {
                continue;
            }
            left -= 1;
            if left == 0 {
                return Ok(line);
            }
        }
        end = start;
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn tail(text: &[u8], lines: u64) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let start = start_of_last(&file, 0..length(text), lines).unwrap();
        text[usize::try_from(start).unwrap()..].to_vec()
    }

    #[test]
    fn the_last_lines_are_whole_lines() {
        for (text, lines, last) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\nc\n", 3, "a\nb\nc\n"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\n\n\n", 2, "\n\n"),
            ("\n", 1, "\n"),
            ("a", 1, "a"),
            ("", 1, ""),
            ("a\nb\n", 0, ""),
        ] {
            assert_eq!(tail(text.as_bytes(), lines), last.as_bytes(), "{text:?} {lines}");
        }
    }

    #[test]
    fn the_last_lines_are_found_over_several_pieces() {
        let line = [vec![b'x'; 999], vec![b'\n']].concat();
        let text = line.repeat(200);
        for lines in [1, 65, 66, 131, 132, 199, 200, 201] {
            let expected = usize::try_from(lines).unwrap().min(200) * 1000;
            assert_eq!(tail(&text, lines).len(), expected, "{lines}");
        }
        assert_eq!(tail(&vec![b'x'; 200_000], 1).len(), 200_000);
    }
}
