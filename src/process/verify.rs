//! Tells a live master's pid file from one that is stale or somebody else's.
//!
//! `pidfile` asks before it removes a file, `stop` before it signals a process. A file names a live master when three things
//! hold together: it holds the pid that is in its name; a process holds an exclusive lock on it; and the process with that
//! pid has the file open. The lock alone proves too little: everybody who may read a file may lock it, and in a pids
//! directory that containers share, a pid means another process here. The kernel hides the descriptors of a process with
//! more privileges than ours. Then the proof is the credentials of its control socket, which the kernel fills in.
//!
//! A look takes a shared lock for a moment, so two processes that look at once don't take each other for the master. A master
//! locks its file before the file has its name, so a look never hinders it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::process::control::client;
use crate::process::entry::Entry;

/// More than any pid has digits.
const LONGEST_CONTENTS: u64 = 16;

/// A file that is named like a master's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The pid in its name.
    pub(crate) pid: u32,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// What a file that is named like a master's turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Written and held by the process that it names.
    Live,
    /// Held, but not by the process that has its pid here: a master of another pid namespace, or no master at all.
    Elsewhere,
    /// Held by a process that can't be found out.
    Unknown,
    /// One of ours whose master is gone.
    Stale,
    /// Not a file that a master wrote, or no file any more.
    Foreign,
}

impl Standing {
    /// Whether any process holds it.
    #[must_use]
    pub fn is_held(self) -> bool {
        match self {
            Self::Live | Self::Elsewhere | Self::Unknown => true,
            Self::Stale | Self::Foreign => false,
        }
    }
}

/// Every file that is named like a master's, by ascending pid, with what it turned out to be.
pub(crate) fn survey(dir: &Path) -> io::Result<Vec<(Found, Standing)>> {
    let mut masters = Vec::new();
    for (entry, path) in Entry::list(dir)? {
        if let Entry::Master(pid) = entry {
            let standing = examine(&path, pid);
            masters.push((Found { pid, path }, standing));
        }
    }
    Ok(masters)
}

/// Looks at a file that is named like the pid file of master `pid`.
#[must_use]
pub fn examine(path: &Path, pid: u32) -> Standing {
    let file = match open_ours(path, pid) {
        Ok(Some(file)) => file,
        // Perhaps another user's master.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Standing::Unknown,
        Ok(None) | Err(_) => return Standing::Foreign,
    };
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_unheld) => Standing::Stale,
        Err((file, Errno::EWOULDBLOCK)) => match has_open(pid, path, &file) {
            Some(true) => Standing::Live,
            Some(false) => Standing::Elsewhere,
            None => match client::listener_pid(&Entry::Socket(pid).path(parent_of(path))) {
                Some(listener) if listener == pid => Standing::Live,
                Some(_) => Standing::Elsewhere,
                None => Standing::Unknown,
            },
        },
        // A file system without locks: no master can have started on it.
        Err(_) => Standing::Foreign,
    }
}

/// Opens a file if it is one that we wrote for `pid`: a plain file (no link is followed) that holds that number.
///
/// An empty file counts too: a machine that lost its power may leave ours so.
pub(crate) fn open_ours(path: &Path, pid: u32) -> io::Result<Option<File>> {
    // Without O_NONBLOCK the open of a FIFO would wait for its writer.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut contents = Vec::new();
    (&file).take(LONGEST_CONTENTS).read_to_end(&mut contents)?;
    let is_ours = contents.is_empty() || contents == pid.to_string().as_bytes();
    Ok(is_ours.then_some(file))
}

/// Does process `pid` have this very file open? `None` when the kernel doesn't let us see.
fn has_open(pid: u32, path: &Path, file: &File) -> Option<bool> {
    let wanted = file.metadata().ok()?;
    let name = path.file_name()?.as_encoded_bytes();
    let entries = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new("/proc/self/fd").exists() => {
            return Some(false);
        }
        Err(_) => return None,
    };
    let mut hidden = false;
    for link in entries.flatten().map(|entry| entry.path()) {
        match fs::read_link(&link) {
            // Only what is named like it gets a stat, which on a dead network file system would block.
            Ok(target) if target.file_name().is_some_and(|it| it.as_encoded_bytes().starts_with(name)) => {
                if fs::metadata(&link).is_ok_and(|it| (it.dev(), it.ino()) == (wanted.dev(), wanted.ino())) {
                    return Some(true);
                }
            }
            Ok(_) => {}
            Err(error) => hidden |= error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    (!hidden).then_some(false)
}

fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
