//! Decides what should happen to the workers, then does it.
//!
//! [`start`] takes everything that was bound and opened beforehand, on the thread of JavaScript, where a busy port can still
//! be reported as an exception, and moves it to one thread of its own, named `cluster2`. That thread is the only one that
//! forks, and it lives until the last worker is gone. JavaScript holds a [`Handle`].
//!
//! The `fleet` decides; `crew` knows who is there; `performing` does what the fleet wants done; `hearing` answers what
//! workers say; `handoff` moves connections that nobody would serve. One loop, below, receives, steps, performs, steers.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::error::Error;
use crate::event::{Event, Undelivered};
use crate::ids::WorkerId;
use crate::ipc::message::ToMaster;
use crate::process::control::Request;
use crate::process::exit::Exit;

pub mod backoff;
pub mod contract;
pub mod fleet;
mod recycle;
mod reload;
mod scale;
pub mod slot;

#[cfg(test)]
mod fleet_tests;
#[cfg(test)]
mod reload_tests;
