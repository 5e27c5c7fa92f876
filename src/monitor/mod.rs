//! The web page and the answers for programs on the monitor's port.
//!
//! The supervisor binds the port with `server::bind` before its runtime exists and starts `server::serve` as one of its
//! tasks; from then on the monitor only reads: a `stats::Stats` snapshot for the cluster, `host` for the machine. It
//! never reaches into the supervisor, and no event loop of JavaScript has to turn for an answer.
//!
//! The way of a request: `server` takes the connection and keeps the limits, `routes` chooses the answer,
//! `status`, `page` or `metrics` writes it down, `health` judges, `reply` adds what every answer carries. `rotation` is
//! the one thing here that changes anything: it takes the cluster out of rotation and back.

mod calendar;
mod connections;
pub mod health;
pub mod host;
pub mod metrics;
mod negotiation;
mod page;
pub mod reply;
mod rotation;
pub mod routes;
pub mod server;
pub mod stats;
mod status;
