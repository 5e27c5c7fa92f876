//! Reads as much of an HTTP/1.1 answer as the load needs: is it whole, was it 200, which worker gave it.
//!
//! An answer without `Content-Length` is whole when the connection ends; the servers under test give one.

/// What the bytes read so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Unfinished,
    Whole(Answer),
    Nonsense,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The last byte of the body, by which workers are told apart.
    pub(crate) mark: u8,
    /// The server will close this connection.
    pub(crate) closes: bool,
}

pub(crate) fn read(bytes: &[u8]) -> Progress {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return Progress::Unfinished;
    };
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let Some(status) = status_of(head) else {
        return Progress::Nonsense;
    };
    let mut length = None;
    let mut closes = false;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(value).ok().and_then(|text| text.parse::<usize>().ok());
        } else if name.eq_ignore_ascii_case(b"connection") {
            closes = value.eq_ignore_ascii_case(b"close");
        }
    }
    match length {
        Some(length) if body.len() == length => {
            Progress::Whole(Answer { status, mark: body.last().copied().unwrap_or(0), closes })
        }
        Some(length) if body.len() > length => Progress::Nonsense,
        _ => Progress::Unfinished,
    }
}

fn status_of(head: &[u8]) -> Option<u16> {
    let digits = head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nConnection: Close\r\n\r\nab7";

    #[test]
    fn an_answer_is_whole_with_its_last_byte_and_not_before() {
        for length in 0..ANSWER.len() {
            assert_eq!(read(&ANSWER[..length]), Progress::Unfinished, "{length} bytes");
        }
        assert_eq!(read(ANSWER), Progress::Whole(Answer { status: 200, mark: b'7', closes: true }));
    }

    #[test]
    fn more_than_was_announced_or_no_status_is_nonsense() {
        assert_eq!(read(&[ANSWER, b"x"].concat()), Progress::Nonsense);
        assert_eq!(read(b"SSH-2.0-x\r\n\r\n"), Progress::Nonsense);
    }
}
