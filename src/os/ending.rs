//! Whether a process is on its way out, as the kernel knows before it can be reaped.

use std::fs;

use super::peer::stat_fields;

/// The kernel's flag of a process that has begun to exit.
const EXITING: u64 = 0x4;

/// Whether a child has begun to exit, or is gone. Where the system does not tell, it is taken to be ending.
#[must_use]
pub fn is_ending(pid: u32) -> bool {
    let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { return true };
    says_ending(&stat)
}

/// The same, by what the kernel says of the process: its state, five numbers, and the flags.
pub(crate) fn says_ending(stat: &[u8]) -> bool {
    let fields = stat_fields(stat).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let is_dead = fields.first().is_none_or(|state| matches!(*state, "Z" | "X"));
    let flags = fields.get(6).and_then(|flags| flags.parse::<u64>().ok());
    is_dead || flags.is_none_or(|flags| flags & EXITING != 0)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_process_whose_name_the_kernel_has_cut_within_a_character_is_seen_to_live() {
        use std::os::unix::process::CommandExt;

        let dir = tempfile::tempdir().unwrap();
        // Fifteen of its eighteen bytes are its name.
        let program = dir.path().join("ä".repeat(9));
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let mut child = std::process::Command::new(program).arg0("sleep").arg("60").spawn().unwrap();
        let stat = fs::read(format!("/proc/{}/stat", child.id())).unwrap();
        let (ends, parent) = (is_ending(child.id()), super::super::peer::parent_and_state(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(std::str::from_utf8(&stat).is_err() && !ends);
        assert_eq!(parent.map(|(parent, _)| parent), Some(std::process::id()));
    }

    #[test]
    fn a_process_that_lives_is_not_ending_and_one_that_is_dead_is() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(!is_ending(child.id()));
        child.kill().unwrap();
        // Not reaped, it stays a zombie.
        while !is_ending(child.id()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_ending(child.id()));
    }
}
