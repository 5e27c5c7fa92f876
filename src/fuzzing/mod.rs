//! What must hold whatever comes from outside: one property for each thing that parses what it is given.
//!
//! Each module has one function `check`, which takes any bytes and panics where something does not hold. The fuzz targets
//! in `fuzz/` call them with what libFuzzer makes up; the tests here call them with the seeds that are kept in
//! `fuzz/corpus/` and `fuzz/regressions/`. Compiled for these two only, and no part of the addon.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "to panic is how a property says that it does not hold"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "what a property does not speak of is no part of it")]

pub mod channel;
pub mod control;
pub mod frames;
pub mod http;
mod input;
pub mod kernel;
pub mod messages;
pub mod modules;
pub mod options;
#[cfg(test)]
mod replay;
pub mod scoreboard;
mod scratch;
