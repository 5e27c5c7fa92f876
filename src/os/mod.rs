//! The only folder with `unsafe`: the system calls that no safe crate offers.
#![allow(unsafe_code, reason = "this folder exists to hold it; each block says why it is sound")]

pub mod child;
pub mod clock;
pub mod ending;
pub mod fd;
pub mod memory;
pub mod net;
pub mod open_within;
pub mod peer;
pub mod pidfd;
pub mod process_facts;
pub mod queues;
pub mod quiet_thread;
pub mod reserve;
pub mod rights;
pub mod watch;
