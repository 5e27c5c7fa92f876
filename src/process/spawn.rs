//! Starts a worker as Node's own `cluster.fork` would.
