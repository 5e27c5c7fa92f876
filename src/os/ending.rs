//! Whether a process is on its way out, as the kernel knows before it can be reaped.

use std::fs;

/// The kernel's flag of a process that has begun to exit.
const EXITING: u64 = 0x4;

/// Whether a child has begun to exit, or is gone. Where the system does not tell, it is taken to be ending.
#[must_use]
pub fn is_ending(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The name in brackets may hold anything; what follows the last bracket is the state, five numbers, and the flags.
    let fields =
        stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    let is_dead = fields.first().is_none_or(|state| matches!(*state, "Z" | "X"));
    let flags = fields.get(6).and_then(|flags| flags.parse::<u64>().ok());
    is_dead || flags.is_none_or(|flags| flags & EXITING != 0)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

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
