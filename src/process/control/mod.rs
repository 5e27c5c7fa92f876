//! The control socket beside the pid files: `server` answers in the master, `client` asks from another process.
//!
//! One connection carries one request and one answer, each a line of JSON: `{"call":"scale","args":{"workers":4}}` is answered
//! by whatever the master says, or by `{"ok":false,"code":"ERR_CLUSTER2_CONTROL","message":"..."}`.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

pub mod client;
pub mod server;

/// In an answer: how many milliseconds later the client should ask again.
pub const AGAIN_AFTER: &str = "againAfter";

/// What fits into a `sockaddr_un` with its closing zero.
const LONGEST_ADDRESS: usize = 107;

/// Runs `action` with a path that fits into a socket's address and leads to the same place.
fn with_short_path<T>(path: &Path, action: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return action(path) };
    if path.as_os_str().as_bytes().len() <= LONGEST_ADDRESS {
        return action(path);
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let directory = fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(parent)?;
    action(&PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
}
