//! Tells the service manager how the cluster is, in the words of systemd's `sd_notify(3)`.
//!
//! The supervisor tells each change and comes back when something is due: a watchdog's sign of life, or what could not be
//! sent. Without `NOTIFY_SOCKET` in the environment nothing is ever told. Sending never waits.
//! Invariant: what the service manager was told last is true, or is due to be corrected.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::os::clock::monotonic_ms;

/// When a message that could not be sent is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// What a service manager wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Enough workers serve, or once did.
    pub is_ready: bool,
    /// Workers are being replaced by a new release.
    pub is_reloading: bool,
    /// The cluster is going down.
    pub is_stopping: bool,
    /// One sentence for people.
    pub status: String,
}

/// The one who started this process, if it wants to be told.
#[derive(Debug, Default)]
pub struct ServiceManager {
    line: Option<Line>,
    told: Condition,
    /// What the cluster is like, as far as it is known.
    wanted: Condition,
    retry: Option<Instant>,
}

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How often it wants a sign of life, and when the next is due.
    watchdog: Option<(Duration, Instant)>,
}

impl ServiceManager {
    /// The service manager that the environment names.
    #[must_use]
    pub fn from_environment(now: Instant) -> Self {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET").as_deref().and_then(address) else {
            return Self::default();
        };
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        // Another process may have been meant.
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let limit = number("WATCHDOG_USEC").filter(|limit| is_meant && *limit > 0).map(Duration::from_micros);
        Self::at(address, limit, now)
    }

    /// One that listens at `address`, and with `limit` takes this process for dead when it hears nothing for so long.
    #[must_use]
    pub fn at(address: SocketAddr, limit: Option<Duration>, now: Instant) -> Self {
        let socket = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        let watchdog = limit.map(|limit| (limit / 2, now));
        let line = socket.ok().map(|socket| Line { socket, address, watchdog });
        Self { line, ..Self::default() }
    }

    /// Whether anybody wants to know.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.line.is_some()
    }

    /// The cluster is like this now.
    pub fn follow(&mut self, condition: Condition, now: Instant) {
        self.wanted = Condition { is_ready: condition.is_ready || self.wanted.is_ready, ..condition };
        self.tell(now);
    }

    /// When [`Self::act`] is to be called.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let watchdog = self.line.as_ref().and_then(|line| line.watchdog).map(|(_, next)| next);
        watchdog.into_iter().chain(self.retry).min()
    }

    /// Does what is due.
    pub fn act(&mut self, now: Instant) {
        if let Some(line) = &mut self.line
            && let Some((every, next)) = &mut line.watchdog
            && *next <= now
        {
            *next = now + *every;
            // The next sign of life comes before the limit.
            let _ = line.socket.send_to_addr(b"WATCHDOG=1", &line.address);
        }
        if self.retry.is_some_and(|at| at <= now) {
            self.tell(now);
        }
    }

    fn tell(&mut self, now: Instant) {
        self.retry = None;
        let Some(line) = &self.line else { return };
        let message = difference(&self.told, &self.wanted);
        if message.is_empty() {
            return;
        }
        match line.socket.send_to_addr(message.as_bytes(), &line.address) {
            Ok(_) => self.told = self.wanted.clone(),
            Err(error) if is_passing(&error) => self.retry = Some(now + AGAIN),
            // Nobody is there any more.
            Err(_) => self.line = None,
        }
    }
}

/// An address as systemd writes it: a path, or a name that begins with `@` in place of a zero byte.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        #[cfg(target_os = "linux")]
        [b'@', rest @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(rest).ok()
        }
        _ => None,
    }
}

/// The lines that turn what was told into what is so.
fn difference(told: &Condition, wanted: &Condition) -> String {
    let mut lines = String::new();
    if wanted.is_stopping && !told.is_stopping {
        lines.push_str("STOPPING=1\n");
    }
    let is_new_release = wanted.is_reloading && !told.is_reloading && wanted.is_ready;
    if is_new_release {
        // By this the service manager tells it from an older one.
        let _ = writeln!(lines, "RELOADING=1\nMONOTONIC_USEC={:.0}", monotonic_ms() * 1000.0);
    }
    let has_reloaded = told.is_reloading && !wanted.is_reloading;
    if wanted.is_ready && (!told.is_ready || has_reloaded) && !is_new_release {
        lines.push_str("READY=1\n");
    }
    if wanted.status != told.status {
        let _ = writeln!(lines, "STATUS={}", wanted.status);
    }
    lines
}

/// The receiver's queue is full, or the system short of memory.
fn is_passing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Stage {
        _dir: tempfile::TempDir,
        hears: UnixDatagram,
        address: SocketAddr,
    }

    impl Stage {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("notify");
            let hears = UnixDatagram::bind(&path).unwrap();
            hears.set_nonblocking(true).unwrap();
            Self { _dir: dir, hears, address: SocketAddr::from_pathname(path).unwrap() }
        }

        fn heard(&self) -> Vec<String> {
            let mut bytes = [0; 500];
            std::iter::from_fn(|| self.hears.recv(&mut bytes).ok().map(|size| bytes[..size].to_vec()))
                .flat_map(|bytes| {
                    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
                })
                .filter(|line| !line.starts_with("MONOTONIC_USEC="))
                .collect()
        }
    }

    fn condition(words: &str, status: &str) -> Condition {
        let has = |word| words.split(' ').any(|it| it == word);
        Condition {
            is_ready: has("ready"),
            is_reloading: has("reloading"),
            is_stopping: has("stopping"),
            status: status.into(),
        }
    }

    #[test]
    fn each_change_is_told_once() {
        let (stage, now) = (Stage::new(), Instant::now());
        let mut manager = ServiceManager::at(stage.address.clone(), None, now);
        let mut after = |words, status| {
            manager.follow(condition(words, status), now);
            stage.heard()
        };
        assert_eq!(after("", "starting"), ["STATUS=starting"]);
        assert_eq!(after("ready", "1 serves"), ["READY=1", "STATUS=1 serves"]);
        assert_eq!(after("ready", "1 serves"), [""; 0]);
        assert_eq!(after("", "0 serve"), ["STATUS=0 serve"], "a service that was ready has begun");
        assert_eq!(after("reloading", "0 serve"), ["RELOADING=1"]);
        assert_eq!(after("ready", "2 serve"), ["READY=1", "STATUS=2 serve"]);
        assert_eq!(after("stopping", "2 serve"), ["STOPPING=1"]);
        assert_eq!(manager.due(), None);
    }

    #[test]
    fn a_release_that_comes_before_the_first_is_ready_is_part_of_the_start() {
        let told = Condition::default();
        let reloading = condition("reloading", "");
        assert_eq!(difference(&told, &reloading), "");
        assert_eq!(difference(&reloading, &condition("ready", "")), "READY=1\n");
    }

    #[test]
    fn the_watchdog_hears_twice_as_often_as_it_must() {
        let (stage, start) = (Stage::new(), Instant::now());
        let mut manager = ServiceManager::at(stage.address.clone(), Some(2 * SECOND), start);
        let mut signs = 0;
        for tenths in 0..=100 {
            let now = start + SECOND / 10 * tenths;
            if manager.due().is_some_and(|due| due <= now) {
                manager.act(now);
            }
            signs += stage.heard().len();
        }
        assert_eq!(signs, 11);
    }

    #[test]
    fn what_does_not_get_through_is_told_later_as_it_is_then() {
        let (stage, mut now) = (Stage::new(), Instant::now());
        let mut manager = ServiceManager::at(stage.address.clone(), None, now);
        let mut count = 0;
        while manager.due().is_none() {
            count += 1;
            manager.follow(condition("", &count.to_string()), now);
        }
        manager.follow(condition("ready", "last"), now);
        assert_eq!(stage.heard().len(), count - 1);
        now += AGAIN;
        manager.act(now);
        assert_eq!(stage.heard(), ["READY=1", "STATUS=last"]);
        assert_eq!(manager.due(), None);
    }

    #[test]
    fn a_service_manager_that_is_gone_is_told_nothing_more() {
        let (stage, now) = (Stage::new(), Instant::now());
        let mut manager = ServiceManager::at(stage.address.clone(), None, now);
        drop(stage);
        manager.follow(condition("ready", ""), now);
        assert!(!manager.listens());
    }

    #[test]
    fn addresses_are_paths_or_abstract_names() {
        assert!(address(OsStr::new("/run/systemd/notify")).is_some());
        assert_eq!(address(OsStr::new("@abc")).is_some(), cfg!(target_os = "linux"));
        assert!(address(OsStr::new("vsock:2:1234")).is_none());
        assert!(address(OsStr::new("")).is_none());
    }
}
