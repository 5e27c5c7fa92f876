//! What the kernel knows of this process, for the metrics.
//!
//! Everything comes from `/proc/self` and from calls that never wait. What a system does not tell is absent.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::{SysconfVar, sysconf};

/// The facts of one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessFacts {
    /// Processor time, the kernel's share included.
    pub cpu_seconds: Option<f64>,
    /// Resident memory.
    pub resident_bytes: Option<f64>,
    /// Open descriptors.
    pub open_fds: Option<f64>,
    /// How many may be open.
    pub max_fds: Option<f64>,
}

/// Reads them.
#[must_use]
pub fn read() -> ProcessFacts {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
    ProcessFacts {
        cpu_seconds: usage.map(|usage| seconds(usage.user_time()) + seconds(usage.system_time())),
        resident_bytes: resident_bytes(),
        open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| approximate(entries.count() as u64)),
        max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| approximate(soft)),
    }
}

fn resident_bytes() -> Option<f64> {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    resident_in(&fs::read_to_string("/proc/self/statm").ok()?, u64::try_from(page).ok()?)
}

/// The second of the kernel's numbers, which counts pages.
pub(crate) fn resident_in(statm: &str, page: u64) -> Option<f64> {
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(approximate(pages.checked_mul(page)?))
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a processor are exact for centuries")]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn approximate(number: u64) -> f64 {
    number as f64
}
