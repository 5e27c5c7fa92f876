//! The two ends of a client's connection. The server reads them once for each connection and hands them to every answer.

use std::net::SocketAddr;

/// The client's address, and ours.
#[derive(Clone, Copy, Debug)]
pub struct Endpoints {
    /// The client's address.
    pub remote: SocketAddr,
    /// Our address that the client reached.
    pub local: SocketAddr,
}
