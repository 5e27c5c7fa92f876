//! Cuts what arrives on a channel into messages, with limits: lines, or what follows a length.
//!
//! [`Frames`] is owned by the reading half of one channel. A line is never copied more than once, a byte is never searched
//! twice, and a message beyond the limit is dropped whole: it is counted, for the reader to tell, and what follows it is read
//! as usual.

use bytes::{Buf, Bytes, BytesMut};

use super::serialization::{PREFIX, Serialization};

/// The longest message that is read; what is longer is dropped before it is stored.
pub const MAX_LINE: usize = 128 * 1024 * 1024;

/// Cuts what arrives on a channel into messages.
#[derive(Debug, Default)]
pub struct Frames {
    serialization: Serialization,
    buffer: BytesMut,
    /// How much of `buffer` is known to hold no newline.
    searched: usize,
    /// In the middle of a line that was too long.
    skipping: bool,
    dropped: u64,
    /// How much of a message that is dropped has not arrived yet.
    missing: usize,
    limit: Option<usize>,
}

impl Frames {
    /// Has received nothing yet.
    #[must_use]
    pub fn new(serialization: Serialization) -> Self {
        Self { serialization, ..Self::default() }
    }

    /// The same with another limit than [`MAX_LINE`].
    #[cfg(any(test, fuzzing))]
    pub(crate) fn with_limit(serialization: Serialization, limit: usize) -> Self {
        Self { limit: Some(limit), ..Self::new(serialization) }
    }

    /// How many bytes wait for the rest of their message.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole message, without its newline or length.
    pub fn next_message(&mut self) -> Option<Bytes> {
        match self.serialization {
            Serialization::Json => self.next_line(),
            Serialization::Advanced => self.next_sized(),
        }
    }

    fn next_sized(&mut self) -> Option<Bytes> {
        loop {
            let gone = self.missing.min(self.buffer.len());
            self.buffer.advance(gone);
            self.missing -= gone;
            let length = usize::try_from(u32::from_be_bytes(*self.buffer.first_chunk()?)).ok()?;
            if length > self.limit.unwrap_or(MAX_LINE) {
                self.dropped += 1;
                self.missing = PREFIX + length;
                continue;
            }
            if self.buffer.len() < PREFIX + length {
                return None;
            }
            self.buffer.advance(PREFIX);
            return Some(self.buffer.split_to(length).freeze());
        }
    }

    /// Takes in what has just been read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn next_line(&mut self) -> Option<Bytes> {
        loop {
            let unsearched = self.buffer.get(self.searched..)?;
            let Some(at) = memchr::memchr(b'\n', unsearched).map(|at| at + self.searched) else {
                self.searched = self.buffer.len();
                self.drop_excess();
                return None;
            };
            let mut line = self.buffer.split_to(at + 1);
            self.searched = 0;
            line.truncate(at);
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            // It came together with its newline, so it was not noticed before.
            if at > self.limit.unwrap_or(MAX_LINE) {
                self.dropped += 1;
                continue;
            }
            return Some(line.freeze());
        }
    }

    /// How many messages were dropped for their length since this was asked last.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn drop_excess(&mut self) {
        if self.buffer.len() > self.limit.unwrap_or(MAX_LINE) || self.skipping {
            self.dropped += u64::from(!self.skipping);
            self.skipping = true;
            self.buffer.advance(self.buffer.len());
            self.searched = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(frames: &mut Frames, chunk: &[u8]) -> Vec<String> {
        frames.push(chunk);
        std::iter::from_fn(|| frames.next_line())
            .map(|line| String::from_utf8_lossy(&line).into_owned())
            .collect()
    }

    #[test]
    fn lines_come_whole_however_they_were_cut() {
        let mut frames = Frames::default();
        assert!(lines(&mut frames, b"{\"a\":").is_empty());
        assert_eq!(lines(&mut frames, b"1}\n{}\n\nhal"), ["{\"a\":1}", "{}", ""]);
        assert_eq!(lines(&mut frames, b"f\n"), ["half"]);
    }

    #[test]
    fn a_line_beyond_the_limit_is_dropped_and_the_next_is_read() {
        let mut frames = Frames::with_limit(Serialization::Json, 8);
        assert!(lines(&mut frames, b"0123456789").is_empty());
        assert!(lines(&mut frames, b"and more of it, longer than the limit").is_empty());
        assert_eq!(lines(&mut frames, b"end\nshort\n"), ["short"]);
        assert_eq!(frames.take_dropped(), 1);
    }

    #[test]
    fn a_line_beyond_the_limit_is_dropped_however_it_was_cut() {
        for cuts in [1, 4, 100] {
            let mut frames = Frames::with_limit(Serialization::Json, 8);
            let mut heard = Vec::new();
            for chunk in b"12345678\n123456789\nshort\n".chunks(cuts) {
                heard.extend(lines(&mut frames, chunk));
            }
            assert_eq!(
                (heard.join(" "), frames.take_dropped()),
                ("12345678 short".into(), 1),
                "in pieces of {cuts}"
            );
        }
    }

    #[test]
    fn messages_behind_their_length_come_whole_and_those_beyond_the_limit_are_dropped() {
        let mut frames = Frames::with_limit(Serialization::Advanced, 4);
        let mut heard = Vec::new();
        for byte in b"\0\0\0\x02ab\0\0\0\x05abcde\0\0\0\0\0\0\0\x01c" {
            frames.push(&[*byte]);
            heard.extend(std::iter::from_fn(|| frames.next_message()));
        }
        assert_eq!(heard, [&b"ab"[..], b"", b"c"]);
        assert_eq!(frames.take_dropped(), 1);
    }
}
