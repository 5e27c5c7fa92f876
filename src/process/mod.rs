//! Child processes as the kernel sees them, and the files that tell others about them.

pub mod cgroup;
pub mod control;
pub mod disk;
pub mod entry;
pub mod exit;
pub mod fallback;
pub mod inspector;
pub mod lifeline;
pub mod pidfile;
pub mod service_manager;
pub mod spawn;
pub mod stdio;
pub mod stop;
pub mod verify;
