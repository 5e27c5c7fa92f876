//! The web page and the answers for programs on the monitor's port.
//!
//! The supervisor binds the port with `server::bind`, puts a `site::Site` together and starts `server::start`, which serves
//! it on a thread of its own, `cluster2-monitor`. That thread judges health and writes to clients; `views::renderer` renders
//! large bodies on another, `cluster2-pages`, and `files` reads the disk on its own. `source::Source` is the only way to the
//! supervisor: a copy of its snapshot, the scoreboard, and orders put into its queue. No event loop of JavaScript has to
//! turn for an answer, and nothing that a client does here holds up supervision.
//!
//! The way of a request: `server` takes the connection and `admission` keeps the limits, `routes` chooses the answer,
//! `control` says who may have it. `data` is what is known, `views` is how it is shown, `reply` adds the headers that every
//! answer has; `app_proxy` asks JavaScript. Arrows point one way: `server` -> `routes` -> `control`, `files`, `app_proxy` ->
//! `views` -> `data`.

mod admission;
mod app_proxy;
pub mod control;
pub mod data;
pub mod endpoints;
pub(crate) mod files;
pub mod limits;
mod negotiation;
pub mod reply;
pub(crate) mod routes;
pub mod rules;
pub mod server;
pub mod site;
pub mod source;
mod timed_socket;
pub mod views;
