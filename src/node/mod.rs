//! The only folder that knows Node exists.
//!
//! Items here convert, call the core, and convert back. `lib/` is their only caller; names and order are those of
//! `native.d.ts`, which the build writes. Everything runs on the thread of JavaScript but what says otherwise.

#![expect(clippy::needless_pass_by_value, reason = "napi hands every argument over by value")]

mod convert;
pub mod ecv;
mod emitter;
pub mod lifeline;
pub mod master;
pub mod options;
pub mod stop;
pub mod worker_row;
