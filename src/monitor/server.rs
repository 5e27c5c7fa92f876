//! The HTTP server of the monitor's port.
