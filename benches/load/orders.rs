//! What the load is told to do.

use std::time::Duration;

use serde::Deserialize;

/// One object of JSON from `benches/lib/load.js`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Orders {
    pub(crate) port: u16,
    pub(crate) mode: Mode,
    /// How many clients there are, each with one request under way at a time; for `Rate`, how many at most.
    pub(crate) clients: usize,
    /// How long requests are begun; those under way then are waited for.
    pub(crate) seconds: f64,
    /// For `Short` and `Kept`: how many threads share the clients.
    #[serde(default = "one")]
    pub(crate) threads: usize,
    #[serde(default = "root")]
    pub(crate) path: String,
    /// For `Rate`: connections begun in a second, whatever became of earlier ones.
    #[serde(default)]
    pub(crate) rate: u32,
    /// Every so-manieth request asks for `heavy_path` instead; 0 means none.
    #[serde(default)]
    pub(crate) heavy_every: u32,
    #[serde(default = "root")]
    pub(crate) heavy_path: String,
    /// How long a client pauses between an answer and its next request.
    #[serde(default)]
    pub(crate) think_ms: u64,
    /// An answer that takes longer is a failure.
    #[serde(default = "patience")]
    pub(crate) timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mode {
    /// A new connection for each request, which says `Connection: close`.
    Short,
    /// One connection for as long as it stays open.
    Kept,
    /// New connections at a fixed rate; the time of each counts from the moment it was planned for, so that a server
    /// which holds up the load is not spared what it held up.
    Rate,
    /// Each connection is opened, asked one thing, and stays open, idle, until stdin ends.
    Idle,
}

impl Orders {
    /// The orders of each thread.
    pub(crate) fn shares(&self) -> Vec<Self> {
        let count = if matches!(self.mode, Mode::Short | Mode::Kept) { self.threads.max(1) } else { 1 };
        let share = |thread: usize| self.clients * (thread + 1) / count - self.clients * thread / count;
        (0..count).map(|thread| Self { clients: share(thread), ..self.clone() }).collect()
    }

    /// The usual request, and the heavy one.
    pub(crate) fn requests(&self) -> [Vec<u8>; 2] {
        [&self.path, &self.heavy_path].map(|path| self.request(path))
    }

    fn request(&self, path: &str) -> Vec<u8> {
        let closing = match self.mode {
            Mode::Short | Mode::Rate => "Connection: close\r\n",
            Mode::Kept | Mode::Idle => "",
        };
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{closing}\r\n").into_bytes()
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(crate) fn think(&self) -> Duration {
        Duration::from_millis(self.think_ms)
    }
}

fn one() -> usize {
    1
}

fn root() -> String {
    "/".to_owned()
}

fn patience() -> u64 {
    5000
}
