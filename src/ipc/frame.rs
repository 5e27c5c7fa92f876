//! Newline-delimited JSON with limits.
