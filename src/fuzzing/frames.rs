//! Frames of a channel: however the bytes are cut on their way, the same messages come out.
//!
//! The first three bytes say how messages are written, what the limit is and how the rest is cut.

use super::input::Input;
use crate::ipc::frame::Frames;
use crate::ipc::serialization::Serialization;

/// What precedes a message that is written with its length.
const PREFIX: usize = 4;

/// What is read in pieces is what a plain reading of the whole gives, and no more waits than one message may have.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let serialization = input.one_of(&[Serialization::Json, Serialization::Advanced]);
    let limit = input.one_of(&[0, 1, 4, 16, 64, 256, 1024, 65_536]);
    let seed = u64::from(input.byte());
    let whole = input.bytes(usize::MAX);
    let (expected, dropped) = match serialization {
        Serialization::Json => lines(whole, limit),
        Serialization::Advanced => sized(whole, limit),
    };
    for pieces in [vec![whole], Input::new(whole).pieces(seed)] {
        let mut frames = Frames::with_limit(serialization, limit);
        let mut read: Vec<Vec<u8>> = Vec::new();
        for piece in pieces {
            frames.push(piece);
            while let Some(message) = frames.next_message() {
                read.push(message.to_vec());
            }
            assert!(frames.waiting() <= limit + PREFIX, "{} bytes wait", frames.waiting());
        }
        assert!(read.iter().map(Vec::as_slice).eq(expected.iter().copied()), "{read:?}, not {expected:?}");
        assert_eq!(frames.take_dropped(), dropped);
    }
}

/// The lines that have come to their end and are not too long, and how many are too long, the unfinished one included.
fn lines(whole: &[u8], limit: usize) -> (Vec<&[u8]>, u64) {
    let mut all: Vec<&[u8]> = whole.split(|byte| *byte == b'\n').collect();
    let too_long = all.iter().filter(|line| line.len() > limit).count();
    all.pop();
    all.retain(|line| line.len() <= limit);
    (all, too_long as u64)
}

/// The same for messages behind their length.
fn sized(mut rest: &[u8], limit: usize) -> (Vec<&[u8]>, u64) {
    let (mut all, mut too_long) = (Vec::new(), 0);
    while let Some((head, body)) = rest.split_first_chunk::<PREFIX>() {
        let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        if length > limit {
            too_long += 1;
        } else if length <= body.len() {
            all.push(&body[..length]);
        }
        let Some(next) = body.get(length..) else { break };
        rest = next;
    }
    (all, too_long)
}
