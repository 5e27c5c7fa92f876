//! Text as JavaScript has it: 16-bit units that need not be valid Unicode.
//!
//! JSON carries a lone surrogate as an escape, which a Rust string can't hold. Such a unit is read as replacement characters,
//! so that a message is never refused for what a person wrote in it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// A text of JavaScript's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        lossy(deserializer).map(Self)
    }
}

/// Reads a string of JSON, whatever is in it.
pub(super) fn lossy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }

    // serde_json gives the bytes of a string to whoever asks for bytes, lone surrogates included.
    deserializer.deserialize_bytes(Bytes)
}
