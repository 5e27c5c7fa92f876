//! The page for people: one document, nothing loaded from anywhere, no script.
//!
//! Called by the routes with a snapshot; pure but for the nonce that lets its own style in. It is read aloud, on a phone and
//! in the dark as well, and it turns to itself again every two seconds.
//! Invariant: text from outside goes through [`Escaped`], and colour never says what words don't.

use std::fmt::{self, Display, Formatter, Write};
use std::fs::File;
use std::io::Read;
use std::time::SystemTime;

use hyper::header::HeaderValue;

use super::calendar::{age, iso};
use super::host::{Host, approximate};
use super::stats::{Address, ClusterState, Entry, Stats, Worker, WorkerState};

const STYLE: &str = include_str!("assets/monitor.css");
const MEGABYTE: f64 = 1_048_576.0;

/// A page about one moment.
pub(super) struct Page<'a> {
    stats: &'a Stats,
    host: &'a Host,
    busy: Option<f64>,
    now: SystemTime,
    nonce: Option<String>,
}

impl<'a> Page<'a> {
    pub(super) fn new(stats: &'a Stats, host: &'a Host, busy: Option<f64>, now: SystemTime) -> Self {
        Self { stats, host, busy, now, nonce: nonce() }
    }

    /// The `Content-Security-Policy` to send with it: its own style and nothing else.
    pub(super) fn policy(&self) -> HeaderValue {
        let style = self.nonce.as_ref().map_or_else(|| "'none'".into(), |nonce| format!("'nonce-{nonce}'"));
        let policy = format!(
            "default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    }

    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")?;
        f.write_str("<title>Runtime Monitor</title>\n")?;
        f.write_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")?;
        f.write_str("<meta http-equiv=\"refresh\" content=\"2\">\n")?;
        if let Some(nonce) = &self.nonce {
            write!(f, "<style nonce=\"{nonce}\">\n{STYLE}</style>\n")?;
        }
        f.write_str("</head>\n")
    }

    fn title(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (hostname, os) = (Escaped(&self.host.hostname), Escaped(&self.host.os));
        writeln!(f, "<header>\n<h1>Runtime Monitor</h1>\n<p>{hostname}, {os}</p>\n</header>")
    }

    fn overview(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let stats = self.stats;
        f.write_str("<section aria-labelledby=\"cluster\">\n<h2 id=\"cluster\">Cluster</h2>\n<dl>\n")?;
        let mood = cluster_mood(stats);
        fact(f, "State", format_args!("<span class=\"{mood}\">{}</span>", stats.state.name()))?;
        let (serving, wanted) = (stats.serving(), stats.wanted);
        fact(f, "Workers", format_args!("{serving} serving of {wanted} wanted"))?;
        fact(
            f,
            "Workers forked",
            format_args!("{} ({} died, {} restarts)", stats.forked, stats.died, stats.restarts),
        )?;
        fact(f, "Running since", format_args!("{} ({})", Time(stats.started), age(stats.started, self.now)))?;
        self.rotation(f)?;
        fact(f, "PID", format_args!("{}", stats.master_pid))?;
        fact(f, "Listening on", format_args!("{}", Addresses(&stats.addresses)))?;
        self.machine(f)?;
        f.write_str("</dl>\n</section>\n")
    }

    fn rotation(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rotation = &self.stats.rotation;
        let (mood, state) = match (rotation.disabled, self.stats.leaving) {
            (true, _) => ("bad", "disabled"),
            (false, true) => ("waits", "enabled, but shutting down"),
            (false, false) => ("good", "enabled"),
        };
        let state = format_args!("<span class=\"{mood}\">{state}</span>").to_string();
        let Some(change) = &rotation.change else { return fact(f, "ECV", format_args!("{state}")) };
        let (by, at, ago) = (Escaped(&change.by), Time(change.at), age(change.at, self.now));
        match &change.reason {
            Some(reason) => {
                fact(f, "ECV", format_args!("{state} by {by}, {at} ({ago} ago): {}", Escaped(reason)))
            }
            None => fact(f, "ECV", format_args!("{state} by {by}, {at} ({ago} ago)")),
        }
    }

    fn machine(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let host = self.host;
        match self.busy {
            Some(busy) => fact(f, "Cores", format_args!("{}, {busy:.0}% busy", host.cores))?,
            None => fact(f, "Cores", format_args!("{}", host.cores))?,
        }
        if let (Some(total), Some(free)) = (host.total_memory, host.free_memory) {
            let (total, free) = (approximate(total) / MEGABYTE, approximate(free) / MEGABYTE);
            fact(f, "Memory", format_args!("{free:.0} MB free of {total:.0} MB"))?;
        }
        if let Some([one, five, fifteen]) = host.load {
            fact(f, "Load average", format_args!("{one:.2} {five:.2} {fifteen:.2}"))?;
        }
        Ok(())
    }

    fn workers(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("<section aria-labelledby=\"workers\">\n<h2 id=\"workers\">Workers</h2>\n")?;
        let columns = ["Worker", "PID", "Slot", "State", "For", "Age", "Generation", "Listens"];
        table(f, "workers", &columns, self.stats.workers.iter().map(|worker| Row(worker, self.now)))?;
        f.write_str("</section>\n")
    }

    fn events(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("<section aria-labelledby=\"events\">\n<h2 id=\"events\">Last events</h2>\n")?;
        table(f, "events", &["Time", "Event", "PID", "What"], self.stats.history.iter().rev().map(EventRow))?;
        f.write_str("</section>\n")
    }
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        f.write_str("<body>\n")?;
        self.title(f)?;
        f.write_str("<main>\n")?;
        self.overview(f)?;
        self.workers(f)?;
        self.events(f)?;
        f.write_str("</main>\n</body>\n</html>\n")
    }
}

/// A worker's line of the table.
struct Row<'a>(&'a Worker, SystemTime);

impl Display for Row<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(worker, now) = *self;
        write!(f, "<tr><th scope=\"row\">{}</th><td>{}</td><td>", worker.id, worker.pid)?;
        match worker.slot {
            Some(slot) => write!(f, "{slot}")?,
            None => f.write_str("none")?,
        }
        write!(f, "</td><td class=\"{}\">{}</td>", worker_mood(worker.state), worker.state.name())?;
        write!(f, "<td>{}</td><td>{}</td>", age(worker.since, now), age(worker.forked_at, now))?;
        writeln!(f, "<td>{}</td><td>{}</td></tr>", worker.generation, worker.listening)
    }
}

/// An event's line of the table.
struct EventRow<'a>(&'a Entry);

impl Display for EventRow<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let entry = self.0;
        write!(f, "<tr><td>{}</td><td>{}</td><td>", Time(entry.time), Escaped(entry.event))?;
        if let Some(pid) = entry.pid {
            write!(f, "{pid}")?;
        }
        writeln!(f, "</td><td class=\"text\">{}</td></tr>", Escaped(&entry.text))
    }
}

/// A moment, for people and for programs.
struct Time(SystemTime);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let exact = iso(self.0);
        let read = exact.get(..19).unwrap_or(&exact).replace('T', " ");
        write!(f, "<time datetime=\"{exact}\">{read} UTC</time>")
    }
}

/// Where the application listens, one after another.
struct Addresses<'a>(&'a [Address]);

impl Display for Addresses<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing yet");
        }
        for (index, address) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            match address {
                Address::Ip(ip) => write!(f, "{ip}")?,
                Address::Path(path) => write!(f, "{}", Escaped(&path.to_string_lossy()))?,
            }
        }
        Ok(())
    }
}

/// Text from outside, harmless between tags and within a quoted attribute.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(' ')?,
                // Terminal colours and other controls would show as nothing, or confuse a reader.
                control if control.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                harmless => f.write_char(harmless)?,
            }
        }
        Ok(())
    }
}

fn fact(f: &mut Formatter<'_>, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "<div><dt>{name}</dt><dd>{value}</dd></div>")
}

/// A table that scrolls by itself where the screen is narrow, by keyboard too.
fn table<R: Display>(
    f: &mut Formatter<'_>,
    label: &str,
    columns: &[&str],
    rows: impl Iterator<Item = R>,
) -> fmt::Result {
    write!(
        f,
        "<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-labelledby=\"{label}\">\n<table>\n<thead><tr>"
    )?;
    for column in columns {
        write!(f, "<th scope=\"col\">{column}</th>")?;
    }
    f.write_str("</tr></thead>\n<tbody>\n")?;
    for row in rows {
        row.fmt(f)?;
    }
    f.write_str("</tbody>\n</table>\n</div>\n")
}

fn cluster_mood(stats: &Stats) -> &'static str {
    match stats.state {
        ClusterState::Serving if stats.serving() >= stats.wanted => "good",
        ClusterState::Serving if stats.serving() == 0 => "poor",
        ClusterState::Serving | ClusterState::Starting | ClusterState::ShuttingDown => "fair",
        ClusterState::NoWorkerLeft => "poor",
    }
}

fn worker_mood(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Serving | WorkerState::Spare => "good",
        WorkerState::Starting | WorkerState::Draining => "fair",
    }
}

/// A word that nobody can foretell; without one (no descriptor is left, say) the page is plain, and whole all the same.
fn nonce() -> Option<String> {
    let mut random = [0; 16];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut random)).ok()?;
    Some(format!("{:032x}", u128::from_ne_bytes(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_harmless() {
        let nasty = "</td><script>alert(\"1\" & '2')</script>\u{1b}[31m\0\r\nnext";
        let shown = Escaped(nasty).to_string();
        assert_eq!(
            shown,
            "&lt;/td&gt;&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;\u{fffd}[31m\u{fffd}\u{fffd} next"
        );
    }

    #[test]
    fn two_pages_never_share_a_nonce() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_eq!((one.len(), other.len()), (32, 32));
        assert_ne!(one, other);
    }

    #[test]
    fn the_style_cannot_end_its_element() {
        assert!(!STYLE.contains("</") && !STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
