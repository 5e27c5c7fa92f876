//! How messages lie on a channel: Node's `serialization`, `json` or `advanced`.
//!
//! `writer` and `reader` ask here; all that they know besides is JSON. With `json` a message is a line. With `advanced` it is
//! what V8 makes of a value (`v8`), behind its length in four bytes. What the application says in that way is read and
//! written by JavaScript alone; it crosses the border as a text whose characters stand for bytes.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::message::{self, ToMaster};
use super::v8;

/// The length before a message.
pub(super) const PREFIX: usize = size_of::<u32>();

/// How the messages of one channel are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Serialization {
    /// A line of JSON each.
    #[default]
    Json,
    /// V8's own format, for values that JSON can't hold.
    Advanced,
}

impl Serialization {
    /// Node's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Advanced => "advanced",
        }
    }

    /// A message of the protocol, given as JSON, as it goes on the wire.
    pub(crate) fn protocol(self, json: String) -> Bytes {
        match self {
            Self::Json => line(json),
            // It was made here a moment ago.
            Self::Advanced => prefixed(&v8::write(&serde_json::from_str(&json).unwrap_or(Value::Null))),
        }
    }

    /// A message of the application, as it came over the border.
    pub(crate) fn application(self, text: String) -> Bytes {
        match self {
            Self::Json => line(text),
            Self::Advanced => prefixed(&bytes_of(&text)),
        }
    }

    /// Reads a message that belongs to Node or to us; see [`message::parse`].
    pub(crate) fn parse(self, message: &[u8]) -> Option<ToMaster> {
        match self {
            Self::Json => message::parse(message),
            Self::Advanced => parse_advanced(message),
        }
    }

    /// Adds a message of the application to those that cross the border together.
    pub(crate) fn collect(self, message: &[u8], to: &mut Vec<u8>) {
        match self {
            Self::Json => {
                if !to.is_empty() {
                    to.push(b'\n');
                }
                to.extend_from_slice(message);
            }
            Self::Advanced => to.extend_from_slice(text_of(&prefixed(message)).as_bytes()),
        }
    }
}

fn line(mut text: String) -> Bytes {
    text.push('\n');
    text.into()
}

/// A message is far shorter than its prefix can say; a longer one could not be read by anybody.
fn prefixed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], message].concat().into()
}

/// A value may hold what only JavaScript can read. If such a message brings a handle it goes there whole.
fn parse_advanced(message: &[u8]) -> Option<ToMaster> {
    memchr::memmem::find(message, message::INTERNAL.as_bytes())?;
    let fields = Value::Object(v8::read_fields(message)?).to_string();
    let mut parsed = message::parse(fields.as_bytes())?;
    if let ToMaster::AppHandle { text, .. } = &mut parsed {
        *text = text_of(message);
    }
    Some(parsed)
}

/// One character for each byte.
fn text_of(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn bytes_of(text: &str) -> Vec<u8> {
    // JavaScript made each character of a byte.
    text.chars().map(|byte| u8::try_from(byte).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_of_the_protocol_is_the_same_in_either_way() {
        let text = json!({ "cmd": "NODE_CLUSTER", "act": "exitedAfterDisconnect", "seq": 7 }).to_string();
        let advanced = Serialization::Advanced.protocol(text.clone());
        assert_eq!(
            usize::try_from(u32::from_be_bytes(advanced[..4].try_into().unwrap())),
            Ok(advanced.len() - 4)
        );
        for message in
            [Serialization::Json.parse(text.as_bytes()), Serialization::Advanced.parse(&advanced[4..])]
        {
            assert!(matches!(message, Some(ToMaster::ExitedAfterDisconnect { seq: 7 })));
        }
    }

    #[test]
    fn bytes_of_the_application_cross_the_border_unchanged() {
        let message: Vec<u8> = (0..=255).collect();
        let mut collected = Vec::new();
        Serialization::Advanced.collect(&message, &mut collected);
        let text = String::from_utf8(collected).unwrap();
        assert_eq!(bytes_of(&text)[..4], [0, 0, 1, 0]);
        let back: String = text.chars().skip(4).collect();
        assert_eq!(Serialization::Advanced.application(back)[4..], message);
    }
}
