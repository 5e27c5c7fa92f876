//! Listening sockets, bound once by the master and lent to the workers.

pub mod door;
pub mod listener;
pub mod steering;
