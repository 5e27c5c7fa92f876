//! The page for people: one document, nothing loaded from anywhere.
//!
//! The renderer writes it from a [`ViewModel`]; pure but for the nonce that lets its own style and script in. Without
//! JavaScript the page is complete and loads itself again every few seconds; with JavaScript the stream of events keeps it
//! up to date. It also works with a screen reader, on a phone and in dark mode.
//! Invariant: text from outside goes through [`Escaped`], and colour never says what words don't.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use hyper::header::HeaderValue;

use crate::monitor::data::trends::POINTS;
use crate::monitor::views::html::{self, Escaped, STYLE, nonce};
use crate::monitor::views::timeline::Timeline;
use crate::monitor::views::view_model::{Cell, ViewModel};

const SCRIPT: &str = include_str!("assets/monitor.js");
/// Three bars, in a colour that shows on light and dark.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' fill='%232a9d6a'\
    %3E%3Crect x='1' y='8' width='4' height='7' rx='1'/%3E%3Crect x='6' y='4' width='4' height='11' rx='1'/%3E\
    %3Crect x='11' y='1' width='4' height='14' rx='1'/%3E%3C/svg%3E";

/// Name, label, and the place in a point of its graph.
type Column = (&'static str, &'static str, Option<usize>);

/// The large figures at the top.
const TILES: [Column; 9] = [
    ("workers", "Serving", None),
    ("rate", "Requests/s", Some(0)),
    ("p50", "p50", None),
    ("p99", "p99", None),
    ("connections", "Connections", None),
    ("queue", "Accept queue", None),
    ("lag", "Loop lag, worst", Some(1)),
    ("cpu", "CPU", Some(2)),
    ("rss", "Memory", Some(3)),
];

/// The columns of the table of workers, after the name.
const COLUMNS: [Column; 13] = [
    ("pid", "PID", None),
    ("state", "State", None),
    ("age", "Age", None),
    ("rate", "Req/s", Some(0)),
    ("p50", "p50", None),
    ("p99", "p99", None),
    ("connections", "Conns", None),
    ("lag", "Loop lag", Some(1)),
    ("loop", "Loop", None),
    ("cpu", "CPU", Some(2)),
    ("rss", "RSS", Some(3)),
    ("generation", "Release", None),
    ("restarts", "Restarts", None),
];

/// The details at the end.
const DETAILS: [Column; 9] = [
    ("addresses", "Listening on", None),
    ("queues", "Waiting, by port", None),
    ("since", "Running since", None),
    ("lives", "Workers so far", None),
    ("pid", "PID of the master", None),
    ("host", "Machine", None),
    ("cores", "Cores", None),
    ("memory", "Memory", None),
    ("load", "Load average", None),
];

/// The signs in the header.
const SIGNS: [Column; 4] =
    [("state", "Cluster", None), ("ecv", "ECV", None), ("ready", "Ready", None), ("age", "Up for", None)];

/// Where the links at the end lead, and their labels.
const LINKS: [(&str, &str); 6] = [
    ("logs", "Logs"),
    ("deps", "Modules"),
    ("status.json", "JSON"),
    ("metrics", "Metrics"),
    ("live", "Live"),
    ("ready", "Ready"),
];

/// A page about one moment.
pub(crate) struct Page<'a> {
    model: &'a ViewModel<'a>,
    /// Leads from the page's address to the site's root, also behind a proxy that adds a prefix.
    root: String,
    /// Whether the page has buttons.
    control: bool,
    facts: BTreeMap<&'static str, Cell>,
    nonce: Option<String>,
}

impl<'a> Page<'a> {
    /// A page that is asked for by a path with so many slashes.
    pub(crate) fn new(model: &'a ViewModel<'a>, slashes: usize, control: bool) -> Self {
        let facts = model.facts().into_iter().map(|cell| (cell.name, cell)).collect();
        let root = "../".repeat(slashes.saturating_sub(1));
        Self { model, root, control, facts, nonce: nonce() }
    }

    /// The `Content-Security-Policy` to send with it: its own style and script, its own stream, and nothing else.
    pub(crate) fn policy(&self) -> HeaderValue {
        let form = if self.control { "'self'" } else { "'none'" };
        html::policy(self.nonce.as_deref(), true, form)
    }

    /// Facts with their labels, one after the other.
    fn labelled(&self, facts: &[Column], tag: &'static str) -> String {
        let one = |(name, label, graph): &Column| {
            let shown = self.fact(name, tag);
            format!("<div><dt>{label}</dt><dd>{shown}{}</dd></div>\n", Graph(*graph))
        };
        facts.iter().map(one).collect()
    }

    fn rows(&self) -> String {
        let workers = self.model.stats.workers.iter();
        workers
            .map(|worker| self.row(&worker.id.to_string(), worker.pid, &self.model.cells(worker)))
            .collect()
    }

    /// A worker's line; without an id the one that the script copies for new workers.
    fn row(&self, id: &str, pid: u32, cells: &[Cell]) -> String {
        let cell = |(name, label, graph)| {
            let shown = Shown { name, cell: cells.iter().find(|cell| cell.name == name), tag: "span" };
            format!("<td role=\"cell\" data-label=\"{label}\">{shown}{}</td>", Graph(graph))
        };
        let recycle = self
            .controls_workers()
            .then(|| format!(include_str!("assets/recycle.html"), root = self.root, pid = pid, id = id));
        format!(
            "<tr role=\"row\" data-worker=\"{id}\"><th role=\"rowheader\" scope=\"row\">{id}</th>{}{}</tr>\n",
            COLUMNS.map(cell).concat(),
            recycle.unwrap_or_default(),
        )
    }

    fn columns(&self) -> String {
        let action = self.controls_workers().then_some("<span class=\"unseen\">Action</span>");
        let labels = std::iter::once("Worker").chain(COLUMNS.map(|(_, label, _)| label)).chain(action);
        let head = |label| ["<th role=\"columnheader\" scope=\"col\">", label, "</th>"].concat();
        labels.map(head).collect()
    }

    fn controls(&self) -> String {
        if !self.control {
            return String::new();
        }
        let root = &self.root;
        let workers = self.controls_workers().then(|| {
            format!(include_str!("assets/scale.html"), root = root, wanted = self.model.stats.wanted)
        });
        format!(include_str!("assets/control.html"), root = root, workers = workers.unwrap_or_default())
    }

    /// Whether there are buttons for workers; a process that serves by itself has none.
    fn controls_workers(&self) -> bool {
        self.control && !self.model.stats.serves_itself()
    }

    fn links(&self) -> String {
        let link = |(path, label)| format!(" <a href=\"{}{path}\">{label}</a>", self.root);
        LINKS.map(link).concat()
    }

    fn fact<'b>(&'b self, name: &'static str, tag: &'static str) -> Shown<'b> {
        Shown { name, cell: self.facts.get(name), tag }
    }

    /// One of the page's own elements, which the nonce lets in.
    fn own(&self, tag: &str, content: &str) -> String {
        let nonce = self.nonce.as_ref();
        nonce.map(|nonce| format!("<{tag} nonce=\"{nonce}\">\n{content}</{tag}>\n")).unwrap_or_default()
    }
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            include_str!("assets/page.html"),
            icon = ICON,
            style = self.own("style", STYLE),
            script = self.own("script", SCRIPT),
            root = self.root,
            look = self.model.trends.number(),
            points = POINTS,
            host = Escaped(&self.model.host.hostname),
            signs = self.labelled(&SIGNS, "strong"),
            change = self.fact("change", "span"),
            why = self.fact("why", "span"),
            tiles = self.labelled(&TILES, "strong"),
            columns = self.columns(),
            rows = self.rows(),
            new_row = self.row("", 0, &[]),
            timeline = Timeline(&self.model.stats.history),
            controls = self.controls(),
            details = self.labelled(&DETAILS, "span"),
            links = self.links(),
            version = env!("CARGO_PKG_VERSION"),
        )
    }
}

/// A cell in its place, where the script finds it again.
struct Shown<'a> {
    name: &'static str,
    cell: Option<&'a Cell>,
    tag: &'static str,
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, cell, tag } = self;
        write!(f, "<{tag} data-cell=\"{name}\"")?;
        if let Some(mood) = cell.and_then(|cell| cell.mood) {
            write!(f, " class=\"{}\"", mood.name())?;
        }
        write!(f, ">{}</{tag}>", Escaped(cell.map_or("", |cell| &cell.text)))
    }
}

/// Where the script draws a graph, if there is one.
struct Graph(Option<usize>);

impl Display for Graph {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(place) => {
                write!(f, "<svg data-graph=\"{place}\" aria-hidden=\"true\" focusable=\"false\"></svg>")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_cannot_end_their_elements_nor_load_anything() {
        assert!(!STYLE.contains("</") && !STYLE.contains("url(") && !STYLE.contains("@import"));
        for hint in ["</", "<!--", "http:", "https:", "import(", "eval("] {
            assert!(!SCRIPT.contains(hint), "{hint}");
        }
    }
}
