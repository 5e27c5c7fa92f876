//! Which part of a file a client asks for, by its `Range` header. Pure.

use std::ops::Range;

use http_range_header::SyntacticallyCorrectRange::{FromLast, FromStart, Indexed};
use http_range_header::parse_range_header;

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: no part was asked for, or several at once, or the header can't be read.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// A part that the file doesn't have.
    Nothing,
}

/// Reads a `Range` header for a file of `size` bytes.
pub(crate) fn wanted(header: &str, size: u64) -> Wanted {
    let Ok(parsed) = parse_range_header(header) else { return Wanted::Whole };
    let part = match *parsed.into_ranges() {
        [FromStart(first)] => first..size,
        [FromLast(length)] => size.saturating_sub(length)..size,
        [Indexed(first, last)] => first..last.saturating_add(1).min(size),
        _ => return Wanted::Whole,
    };
    if part.is_empty() { Wanted::Nothing } else { Wanted::Part(part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_cut_to_what_is_there() {
        for (header, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-", 0..10),
            ("bytes=2-4", 2..5),
            ("bytes=9-", 9..10),
            ("bytes=5-99999999999999999999999", 5..10),
            ("bytes=-3", 7..10),
            ("bytes=-11", 0..10),
            ("Bytes=1-2", 1..3),
        ] {
            assert_eq!(wanted(header, 10), Wanted::Part(part), "{header}");
        }
    }

    #[test]
    fn a_part_behind_the_end_is_nothing() {
        for header in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(wanted(header, 10), Wanted::Nothing, "{header}");
        }
        for header in ["bytes=0-", "bytes=0-0", "bytes=-5"] {
            assert_eq!(wanted(header, 0), Wanted::Nothing, "{header}");
        }
    }

    #[test]
    fn what_is_no_single_range_is_the_whole() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=4-2",
            "lines=0-1",
            "bytes=0-1,3-4",
            "bytes=0x1-2",
            "bytes=+1-2",
        ] {
            assert_eq!(wanted(header, 10), Wanted::Whole, "{header}");
        }
    }
}
