//! The machine under the cluster, as far as an operator wants to see it beside the workers.
//!
//! The renderer reads it from `/proc`, which costs some microseconds and never waits for a disk. A fact that the system does
//! not tell (there is no `/proc` on macOS) is absent, not zero.

use std::fs;
use std::thread;

use nix::sys::utsname;

/// How many clock ticks of all cores two readings must lie apart: about half a second of one core.
const TICKS_WORTH_COMPARING: u64 = 50;

/// Facts about the machine at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// Its name.
    pub hostname: String,
    /// Kind and series of its system, for example `Linux 6.1`.
    pub os: String,
    /// The kernel's full release.
    pub kernel: String,
    /// How many cores are online.
    pub cores: usize,
    /// Bytes of memory.
    pub total_memory: Option<u64>,
    /// Bytes of memory that a new program could have.
    pub free_memory: Option<u64>,
    /// Average length of the run queue over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// What its cores have done since they were switched on.
    pub cpu: Option<CpuTicks>,
}

/// Clock ticks of all cores together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTicks {
    /// Spent on work.
    pub busy: u64,
    /// All.
    pub total: u64,
}

/// Compares two readings: the share of busy time needs a span.
#[derive(Debug, Default)]
pub struct CpuMeter {
    before: CpuTicks,
    percent: Option<f64>,
}

impl Host {
    /// Reads the machine's present facts.
    #[must_use]
    pub fn read() -> Self {
        let stat = read("/proc/stat");
        let memory = read("/proc/meminfo");
        let name = utsname::uname().ok();
        let name = name.as_ref();
        let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
        let kernel = name.map(|name| text(name.release())).unwrap_or_default();
        let system = name.map(|name| text(name.sysname())).unwrap_or_default();
        Self {
            hostname: name.map(|name| text(name.nodename())).unwrap_or_default(),
            os: format!("{system} {}", series(&kernel)).trim().to_owned(),
            kernel,
            cores: cores(&stat),
            total_memory: memory_line(&memory, "MemTotal:"),
            free_memory: memory_line(&memory, "MemAvailable:"),
            load: load(&read("/proc/loadavg")),
            cpu: cpu_ticks(&stat),
        }
    }
}

impl CpuMeter {
    /// Percent of the cores' time that was spent on work since the reading before, or since the machine's start.
    ///
    /// Readings in quick succession share one answer, since a few ticks say little.
    pub fn busy_percent(&mut self, now: &Host) -> Option<f64> {
        let ticks = now.cpu?;
        let total = ticks.total.saturating_sub(self.before.total);
        if total >= TICKS_WORTH_COMPARING {
            let busy = ticks.busy.saturating_sub(self.before.busy).min(total);
            self.before = ticks;
            self.percent = Some(100.0 * approximate(busy) / approximate(total));
        }
        self.percent
    }
}

/// The number as a float, for show.
#[expect(clippy::cast_precision_loss, reason = "what is shown has few digits")]
pub(crate) fn approximate(number: u64) -> f64 {
    number as f64
}

/// Text that the kernel makes up; nothing where it does not.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// `6.1` of `6.1.0-13-amd64`.
pub(crate) fn series(kernel: &str) -> &str {
    kernel.match_indices('.').nth(1).and_then(|(end, _)| kernel.get(..end)).unwrap_or(kernel)
}

pub(crate) fn cores(stat: &str) -> usize {
    let is_core = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    match stat.lines().filter(is_core).count() {
        0 => thread::available_parallelism().map_or(1, usize::from),
        cores => cores,
    }
}

/// The line `cpu`: user, nice, system, idle, iowait, irq, softirq, steal; guest time is part of user's.
pub(crate) fn cpu_ticks(stat: &str) -> Option<CpuTicks> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|number| number.parse().ok()).collect();
    let total = ticks.iter().fold(0, |sum: u64, ticks| sum.saturating_add(*ticks));
    let idle = ticks.iter().skip(3).take(2).fold(0, |sum: u64, ticks| sum.saturating_add(*ticks));
    Some(CpuTicks { busy: total.saturating_sub(idle), total })
}

pub(crate) fn memory_line(memory: &str, name: &str) -> Option<u64> {
    let line = memory.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

pub(crate) fn load(text: &str) -> Option<[f64; 3]> {
    let mut averages = text.split_whitespace().map(|number| number.parse().ok());
    Some([averages.next()??, averages.next()??, averages.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 1 20 800 79 0 0 0 5 0\ncpu0 50 1 10 400 39 0 0 0 5 0\ncpu1 50 0 10 400 40 0 0 0 0 0\nintr 1\n";

    fn host(busy: u64, total: u64) -> Host {
        Host { cpu: Some(CpuTicks { busy, total }), ..Host::default() }
    }

    #[test]
    fn the_kernels_texts_are_understood() {
        assert_eq!(cores(STAT), 2);
        assert_eq!(cpu_ticks(STAT), Some(CpuTicks { busy: 121, total: 1000 }));
        assert_eq!(
            memory_line("MemTotal:       16384 kB\nMemAvailable: 5 kB\n", "MemTotal:"),
            Some(16_777_216)
        );
        assert_eq!(load("0.48 0.40 0.26 1/93 12999\n"), Some([0.48, 0.40, 0.26]));
        assert_eq!(["6.1.0-13-amd64", "6.1", "", "23.6.0"].map(series), ["6.1", "6.1", "", "23.6"]);
    }

    #[test]
    fn what_is_not_told_is_absent() {
        assert!(cores("") >= 1);
        assert_eq!(cpu_ticks(""), None);
        assert_eq!(memory_line("MemTotal: 99999999999999999999 kB", "MemTotal:"), None);
        assert_eq!(memory_line("MemTotal: 18446744073709551615 kB", "MemTotal:"), None);
        assert_eq!(load("0.48 0.40"), None);
    }

    #[test]
    fn this_machine_has_a_name_and_a_core() {
        let host = Host::read();
        assert!(!host.hostname.is_empty() && !host.os.is_empty() && host.cores > 0, "{host:?}");
        assert!(host.free_memory <= host.total_memory, "{host:?}");
    }

    #[test]
    fn the_share_of_busy_time_is_that_since_the_last_look() {
        let mut meter = CpuMeter::default();
        assert_eq!(meter.busy_percent(&Host::default()), None);
        assert_eq!(meter.busy_percent(&host(100, 1000)), Some(10.0));
        assert_eq!(meter.busy_percent(&host(110, 1010)), Some(10.0), "too soon to tell");
        assert_eq!(meter.busy_percent(&host(150, 1100)), Some(50.0));
        assert_eq!(meter.busy_percent(&host(0, 2000)), Some(0.0), "ticks that run backwards");
    }
}
