//! The web page and the answers for programs on the monitor's port.
//!
//! The supervisor binds the port with `server::bind` before its runtime exists and starts `server::serve` as one of its
//! tasks; from then on the monitor only reads: a `stats::Stats` snapshot for the cluster, `host` for the machine. It
//! never reaches into the supervisor, and no event loop of JavaScript has to turn for an answer.
//!
//! The way of a request: `server` takes the connection and keeps the limits, `routes` chooses the answer, `access` says
//! who may have it; `status`, `page` or `metrics` writes it down, `health` judges, `reply` adds what every answer carries.
//! What the page shows is put into words by `scene`; `trends` remembers the last minutes, `live` sends each change to all
//! who watch. `logs`, `deps` and `javascript` answer what takes its time. `rotation` and `control` are what changes anything: they ask the supervisor for it.

mod admission;
mod app_proxy;
pub mod control;
pub mod data;
mod files;
mod negotiation;
pub mod reply;
pub mod routes;
pub mod server;
pub mod views;
