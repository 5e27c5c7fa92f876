//! What is read from the disk, on threads of its own.

pub(crate) mod deps;
pub(crate) mod file_threads;
pub(crate) mod logs;
