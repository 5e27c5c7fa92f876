//! The Rust core of `cluster2-rs`: it forks Node workers, holds and lends their listening sockets, watches over them,
//! and speaks for them on the monitor's port.
//!
//! Read the modules in the order in which they stand here; `ARCHITECTURE.md` draws the same picture with words.
//! Arrows point one way: `node` -> `supervisor` / `monitor` -> `process` / `socket` / `ipc` / `scoreboard` -> `os`.

// 1. What JavaScript passed, parsed once at the border.
pub mod options;

// 2. Decides what should happen to the workers; pure.
pub mod fleet;

// 3. Does it: the one event loop of the master, and its parts.
pub mod supervisor;

// 4. Child processes as the kernel sees them, and the files that tell others about them.
pub mod process;

// 5. Listening sockets, bound once by the master and lent to the workers.
pub mod socket;

// 6. Node's own cluster-worker protocol, spoken from Rust.
pub mod ipc;

// 7. Shared memory in which workers write how they are.
pub mod scoreboard;

// 8. In rotation or not: the state, the answers, and who may change it.
pub mod ecv;

// 9. The web page and the health answers on the monitor's port.
pub mod monitor;

pub mod backlog;
pub mod error;
pub mod event;
pub mod ids;
pub mod reasons;
pub mod tasks;
pub mod timestamp;

pub mod os;

// What must hold whatever comes from outside; called by the fuzz targets in `fuzz/`, and by tests with their seeds.
#[cfg(any(test, fuzzing))]
pub mod fuzzing;

#[cfg(feature = "node")]
pub mod node;
