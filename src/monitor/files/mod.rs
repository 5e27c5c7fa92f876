//! Logs and modules: answers that read the disk, on threads of their own.

pub(crate) mod deps;
pub(crate) mod file_threads;
pub(crate) mod logs;
