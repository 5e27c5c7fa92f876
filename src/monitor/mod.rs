//! The web page and the health answers on the monitor's port.

pub mod routes;
pub mod server;
pub mod stats;
