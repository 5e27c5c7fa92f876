//! Errors and plain values on their way over the border.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, INTERNAL};

/// What a function of the border returns; JavaScript sees the code as `err.code`.
pub(crate) type Result<T> = std::result::Result<T, napi::Error<&'static str>>;

impl From<Error> for napi::Error<&'static str> {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.full_text())
    }
}

/// Reads a value that `lib/` built; a mismatch is a mistake of ours, not of the user's.
pub(crate) fn read<T: DeserializeOwned>(value: Value, what: &'static str) -> Result<T> {
    serde_json::from_value(value).map_err(|error| napi::Error::new(INTERNAL, format!("{what}: {error}")))
}
