//! Node's own cluster-worker protocol, spoken from Rust.

pub mod channel;
pub mod frame;
pub mod listen;
pub mod message;
pub mod reader;
pub mod serialization;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod v8;
pub mod writer;
