//! The names of the files in a pids directory, and what they mean.
//!
//! `pidfile` writes and removes such files, `verify` and `stop` look for them. A name alone proves nothing: anybody may have
//! written the file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A name in the pids directory that could be one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// `master.<pid>.pid`
    Master(u32),
    /// `worker.<pid>.pid`
    Worker(u32),
    /// `master.<pid>.sock`
    Socket(u32),
    /// `.master.<pid>.pid.new`: about to be renamed.
    MasterDraft(u32),
    /// `.worker.<pid>.pid.new`: about to be renamed.
    WorkerDraft(u32),
}

impl Entry {
    /// What a file name means; `None` for any that we never write.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let pid = name.split('.').find_map(|part| part.parse().ok())?;
        let is_a_pid = i32::try_from(pid).is_ok_and(|raw| raw > 0);
        let entries = [
            Self::Master(pid),
            Self::Worker(pid),
            Self::Socket(pid),
            Self::MasterDraft(pid),
            Self::WorkerDraft(pid),
        ];
        // The comparison with our own spelling excludes signs and leading zeros.
        entries.into_iter().find(|entry| is_a_pid && entry.file_name() == name)
    }

    /// Where this entry stands in `dir`.
    #[must_use]
    pub fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.file_name())
    }

    fn file_name(self) -> String {
        match self {
            Self::Master(pid) => format!("master.{pid}.pid"),
            Self::Worker(pid) => format!("worker.{pid}.pid"),
            Self::Socket(pid) => format!("master.{pid}.sock"),
            Self::MasterDraft(pid) => format!(".master.{pid}.pid.new"),
            Self::WorkerDraft(pid) => format!(".worker.{pid}.pid.new"),
        }
    }

    /// The entries of a directory, sorted; a directory that does not exist has none.
    pub(crate) fn list(dir: &Path) -> io::Result<Vec<(Self, PathBuf)>> {
        let files = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files?,
        };
        let mut entries = Vec::new();
        for file in files {
            let file = file?;
            if let Some(entry) = file.file_name().to_str().and_then(Self::parse) {
                entries.push((entry, file.path()));
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_we_write_are_ours() {
        let dir = Path::new("/d");
        for entry in [
            Entry::Master(1),
            Entry::Worker(77),
            Entry::Socket(4),
            Entry::MasterDraft(5),
            Entry::WorkerDraft(6),
        ] {
            let path = entry.path(dir);
            assert_eq!(path.file_name().and_then(|it| Entry::parse(it.to_str()?)), Some(entry));
        }
        for name in [
            "foo.txt",
            "master.pid",
            "master..pid",
            "master.0.pid",
            "master.-1.pid",
            "master.+1.pid",
            "master.007.pid",
            "master.12abc.pid",
            "master.1.pdf",
            "master.1.pid~",
            "xmaster.1.pid",
            "worker.1.sock",
            "master. 1.pid",
            "master.2147483648.pid",
            "master.99999999999999999999.pid",
            ".master.1.pid",
            "Master.1.pid",
        ] {
            assert_eq!(Entry::parse(name), None, "{name}");
        }
    }
}
