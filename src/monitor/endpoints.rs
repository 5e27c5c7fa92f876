//! The two ends of a client's connection. The server reads them once for each connection and hands them to every answer.

use std::net::SocketAddr;

/// Who asks, and at which of our addresses.
#[derive(Clone, Copy, Debug)]
pub struct Endpoints {
    /// The client's address.
    pub remote: SocketAddr,
    /// Our address that the client reached.
    pub local: SocketAddr,
}
