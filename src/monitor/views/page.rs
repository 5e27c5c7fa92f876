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
use crate::monitor::views::html::{Escaped, STYLE, nonce};
use crate::monitor::views::timeline::Timeline;
use crate::monitor::views::view_model::{Cell, ViewModel};

const SCRIPT: &str = include_str!("assets/monitor.js");
/// Three bars, in a colour that shows on light and dark.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' fill='%232a9d6a'\
    %3E%3Crect x='1' y='8' width='4' height='7' rx='1'/%3E%3Crect x='6' y='4' width='4' height='11' rx='1'/%3E\
    %3Crect x='11' y='1' width='4' height='14' rx='1'/%3E%3C/svg%3E";

/// Name, label, and the place in a point of its graph.
type Column = (&'static str, &'static str, Option<usize>);

/// What is seen first.
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

/// What is shown of a worker, beside its name.
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

/// What is looked up now and then.
const DETAILS: [(&str, &str); 9] = [
    ("addresses", "Listening on"),
    ("queues", "Waiting, by port"),
    ("since", "Running since"),
    ("lives", "Workers so far"),
    ("pid", "PID of the master"),
    ("host", "Machine"),
    ("cores", "Cores"),
    ("memory", "Memory"),
    ("load", "Load average"),
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
        let own = self.nonce.as_ref().map_or_else(|| "'none'".into(), |nonce| format!("'nonce-{nonce}'"));
        let form = if self.control { "'self'" } else { "'none'" };
        let policy = format!(
            "default-src 'none'; style-src {own}; script-src {own}; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action {form}; frame-ancestors 'none'"
        );
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    }

    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")?;
        f.write_str("<title>Runtime Monitor</title>\n")?;
        f.write_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")?;
        f.write_str("<meta name=\"color-scheme\" content=\"light dark\">\n")?;
        writeln!(f, "<link rel=\"icon\" href=\"{ICON}\">")?;
        f.write_str("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n")?;
        if let Some(nonce) = &self.nonce {
            write!(f, "<style nonce=\"{nonce}\">\n{STYLE}</style>\n")?;
        }
        f.write_str("</head>\n")
    }

    fn body(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (root, look) = (&self.root, self.model.trends.number());
        writeln!(f, "<body data-root=\"{root}\" data-look=\"{look}\" data-points=\"{POINTS}\">")?;
        self.banner(f)?;
        f.write_str("<main>\n")?;
        self.tiles(f)?;
        self.workers(f)?;
        f.write_str("<div class=\"pair\">\n")?;
        self.timeline(f)?;
        f.write_str("<div class=\"side\">\n")?;
        if self.control {
            self.steering(f)?;
        }
        self.details(f)?;
        f.write_str("</div>\n</div>\n</main>\n")?;
        self.foot(f)
    }

    fn banner(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let host = Escaped(&self.model.host.hostname);
        writeln!(f, "<header>\n<div class=\"name\"><h1>Runtime Monitor</h1><p>{host}</p></div>")?;
        f.write_str("<dl class=\"signs\">\n")?;
        for (name, label) in [("state", "Cluster"), ("ecv", "ECV"), ("ready", "Ready"), ("age", "Up for")] {
            writeln!(f, "<div><dt>{label}</dt><dd>{}</dd></div>", self.fact(name, "strong"))?;
        }
        f.write_str(
            "</dl>\n<p class=\"live\" id=\"live\" role=\"status\">not live: reload to see what is new</p>\n",
        )?;
        let (change, why) = (self.fact("change", "span"), self.fact("why", "span"));
        writeln!(f, "<p class=\"change\">{change} {why}</p>\n</header>")
    }

    fn tiles(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(
            "<section aria-labelledby=\"cluster\">\n<h2 id=\"cluster\" class=\"unseen\">Cluster</h2>\n",
        )?;
        f.write_str("<dl class=\"tiles\">\n")?;
        for (name, label, graph) in TILES {
            writeln!(f, "<div><dt>{label}</dt><dd>{}{}</dd></div>", self.fact(name, "strong"), Graph(graph))?;
        }
        f.write_str("</dl>\n</section>\n")
    }

    fn workers(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(
            "<section class=\"card\" aria-labelledby=\"workers\">\n<h2 id=\"workers\">Workers</h2>\n",
        )?;
        f.write_str("<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-labelledby=\"workers\">\n")?;
        f.write_str("<table role=\"table\">\n<thead role=\"rowgroup\"><tr role=\"row\">")?;
        for label in std::iter::once("Worker").chain(COLUMNS.map(|(_, label, _)| label)) {
            write!(f, "<th role=\"columnheader\" scope=\"col\">{label}</th>")?;
        }
        if self.steers_workers() {
            f.write_str("<th role=\"columnheader\" scope=\"col\"><span class=\"unseen\">Action</span></th>")?;
        }
        f.write_str("</tr></thead>\n<tbody id=\"rows\" role=\"rowgroup\">\n")?;
        for worker in &self.model.stats.workers {
            self.row(f, Some(worker.id.0), worker.pid, &self.model.cells(worker))?;
        }
        f.write_str("</tbody>\n</table>\n</div>\n<template id=\"row\">")?;
        self.row(f, None, 0, &[])?;
        f.write_str("</template>\n</section>\n")
    }

    /// A worker's line; without a worker the one that the script copies for new ones.
    fn row(&self, f: &mut Formatter<'_>, id: Option<u32>, pid: u32, cells: &[Cell]) -> fmt::Result {
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        write!(f, "<tr role=\"row\" data-worker=\"{id}\"><th role=\"rowheader\" scope=\"row\">{id}</th>")?;
        for (name, label, graph) in COLUMNS {
            let cell = cells.iter().find(|cell| cell.name == name);
            let shown = Shown { name, cell, tag: "span" };
            write!(f, "<td role=\"cell\" data-label=\"{label}\">{shown}{}</td>", Graph(graph))?;
        }
        if self.steers_workers() {
            let root = &self.root;
            write!(
                f,
                "<td role=\"cell\" class=\"action\"><form method=\"post\" action=\"{root}control/recycle\">"
            )?;
            write!(f, "<input type=\"hidden\" name=\"pid\" value=\"{pid}\"><button>Recycle")?;
            write!(
                f,
                "<span class=\"unseen\"> worker <span data-id>{id}</span></span></button></form></td>"
            )?;
        }
        f.write_str("</tr>\n")
    }

    fn timeline(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(
            "<section class=\"card\" aria-labelledby=\"events\">\n<h2 id=\"events\">Timeline</h2>\n",
        )?;
        f.write_str(
            "<div class=\"scroll tall\" role=\"group\" tabindex=\"0\" aria-labelledby=\"events\">\n",
        )?;
        let history = &self.model.stats.history;
        writeln!(f, "<ol id=\"timeline\" reversed>\n{}</ol>\n</div>\n</section>", Timeline(history))
    }

    fn steering(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (root, wanted) = (&self.root, self.model.stats.wanted);
        writeln!(
            f,
            "<section class=\"card steer\" aria-labelledby=\"steer\">\n<h2 id=\"steer\">Control</h2>\n\
             <form method=\"post\" action=\"{root}control/disable\">\
             <label>Reason <input name=\"reason\" maxlength=\"200\" autocomplete=\"off\"></label>\
             <button>Take out of rotation</button></form>\n\
             <form method=\"post\" action=\"{root}control/enable\">\
             <button>Put back into rotation</button></form>"
        )?;
        if self.steers_workers() {
            writeln!(
                f,
                "<form method=\"post\" action=\"{root}control/scale\">\
                 <label>Workers <input name=\"workers\" type=\"number\" min=\"1\" max=\"1024\" value=\"{wanted}\" \
                 required></label><button>Scale</button></form>\n\
                 <form method=\"post\" action=\"{root}control/reload\"><button>Reload all workers</button></form>"
            )?;
        }
        f.write_str("<p id=\"answer\" role=\"status\"></p>\n</section>\n")
    }

    /// Whether there are buttons for workers; a process that serves by itself has none.
    fn steers_workers(&self) -> bool {
        self.control && !self.model.stats.serves_itself()
    }

    fn details(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(
            "<section class=\"card\" aria-labelledby=\"details\">\n<h2 id=\"details\">Details</h2>\n",
        )?;
        f.write_str("<dl class=\"details\">\n")?;
        for (name, label) in DETAILS {
            writeln!(f, "<div><dt>{label}</dt><dd>{}</dd></div>", self.fact(name, "span"))?;
        }
        f.write_str("</dl>\n</section>\n")
    }

    fn foot(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let root = &self.root;
        f.write_str("<footer>\n<nav aria-label=\"More\">")?;
        for (path, label) in [
            ("logs", "Logs"),
            ("deps", "Modules"),
            ("status.json", "JSON"),
            ("metrics", "Metrics"),
            ("live", "Live"),
            ("ready", "Ready"),
        ] {
            write!(f, " <a href=\"{root}{path}\">{label}</a>")?;
        }
        writeln!(
            f,
            "</nav>\n<p>cluster2-rs {}. Times are UTC; percentiles are of the last minute.</p>\n</footer>",
            env!("CARGO_PKG_VERSION")
        )
    }

    fn fact<'b>(&'b self, name: &'static str, tag: &'static str) -> Shown<'b> {
        Shown { name, cell: self.facts.get(name), tag }
    }
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.body(f)?;
        if let Some(nonce) = &self.nonce {
            write!(f, "<script nonce=\"{nonce}\">\n{SCRIPT}</script>\n")?;
        }
        f.write_str("</body>\n</html>\n")
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
