//! Tells whether the kernel has killed a process of the master's cgroup for want of memory.
//!
//! The supervisor keeps one [`OomWatch`] and asks it when SIGKILL has ended a worker. Workers live in the master's cgroup
//! unless somebody moved them, so the master's counter counts them. The file of that counter is read once per such death;
//! it is the kernel's own, so reading it never waits for a disk.

use std::fs;
use std::path::{Path, PathBuf};

/// The kernel's count of such kills, and how many of them the supervisor knows.
#[derive(Debug)]
pub struct OomWatch {
    file: Option<PathBuf>,
    seen: u64,
}

impl OomWatch {
    /// Begins with the kills so far. Without a memory cgroup, or on another system, there is no count, and no kill is found.
    #[must_use]
    pub fn start() -> Self {
        let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let candidates = files_of(&memberships, Path::new("/sys/fs/cgroup"));
        let found = candidates.into_iter().find_map(|file| Some((kills(&file)?, file)));
        match found {
            Some((seen, file)) => Self { file: Some(file), seen },
            None => Self { file: None, seen: 0 },
        }
    }

    /// Whether there was a kill that the supervisor did not know. It knows one more from then on.
    pub fn take_kill(&mut self) -> bool {
        let now = self.file.as_deref().and_then(kills).unwrap_or(0);
        let is_new = now > self.seen;
        if is_new {
            self.seen += 1;
        }
        is_new
    }
}

/// The files in which the count may stand: version 2 first; for each version the path outside a container, then that inside.
pub(crate) fn files_of(memberships: &str, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in memberships.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            files.insert(0, root.join(path).join("memory.events"));
            files.push(root.join("memory.events"));
        } else if controllers.split(',').any(|name| name == "memory") {
            files.push(root.join("memory").join(path).join("memory.oom_control"));
            files.push(root.join("memory/memory.oom_control"));
        }
    }
    files
}

fn kills(file: &Path) -> Option<u64> {
    kills_in(&fs::read_to_string(file).ok()?)
}

pub(crate) fn kills_in(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kill_is_accounted_for_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memory.events");
        fs::write(&file, "low 0\noom 3\noom_kill 3\noom_group_kill 0\n").unwrap();
        let mut watch = OomWatch { seen: kills(&file).unwrap(), file: Some(file.clone()) };
        assert!(!watch.take_kill());
        fs::write(&file, "oom_kill 5\n").unwrap();
        assert!(watch.take_kill() && watch.take_kill() && !watch.take_kill());
        fs::remove_file(&file).unwrap();
        assert!(!watch.take_kill());
    }

    #[test]
    fn both_versions_are_found_in_and_outside_a_container() {
        let root = Path::new("/cg");
        let of =
            |text| files_of(text, root).iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
        assert_eq!(of("0::/a/b\n"), ["/cg/a/b/memory.events", "/cg/memory.events"]);
        assert_eq!(
            of("5:cpu,cpuacct:/x\n4:memory:/x\n"),
            ["/cg/memory/x/memory.oom_control", "/cg/memory/memory.oom_control"]
        );
        assert!(of("nonsense\n").is_empty());
    }
}
