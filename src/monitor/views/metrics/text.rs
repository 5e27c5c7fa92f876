//! The two text formats in which Prometheus reads metrics, so far as they differ in what we write.
//!
//! `mod.rs` says what there is, this file how it is written down. Pure.

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Prometheus text, 0.0.4.
    Prometheus,
    /// `OpenMetrics` text, 1.0.
    OpenMetrics,
}

impl Format {
    /// For the `Content-Type` header.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What kind of number a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows; its samples' names end in `_total`.
    Counter,
    /// Comes and goes.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// Labels of a sample.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

/// A page of metrics in the making.
pub(crate) struct Text {
    format: Format,
    name: String,
    kind: Kind,
    out: String,
}

impl Text {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, name: String::new(), kind: Kind::Gauge, out: String::with_capacity(16 * 1024) }
    }

    /// Begins a family; `name` comes without our prefix and without `_total`.
    pub(crate) fn family(&mut self, kind: Kind, name: &str, help: &str) {
        self.name = format!("cluster2_{name}");
        self.kind = kind;
        let (word, suffix) = match (kind, self.format) {
            (Kind::Counter, Format::Prometheus) => ("counter", "_total"),
            (Kind::Counter, Format::OpenMetrics) => ("counter", ""),
            (Kind::Gauge, _) => ("gauge", ""),
            (Kind::Histogram, _) => ("histogram", ""),
        };
        self.line(&format!("# HELP {}{suffix} {help}", self.name));
        self.line(&format!("# TYPE {}{suffix} {word}", self.name));
        let units = ["seconds", "bytes", "ratio"];
        if let (Format::OpenMetrics, Some(unit)) =
            (self.format, units.iter().find(|unit| self.name.ends_with(&format!("_{unit}"))))
        {
            self.line(&format!("# UNIT {} {unit}", self.name));
        }
    }

    /// One number of the family.
    pub(crate) fn sample(&mut self, labels: Labels<'_>, value: f64) {
        let suffix = if self.kind == Kind::Counter { "_total" } else { "" };
        self.suffixed(suffix, labels, value);
    }

    /// A family of one number.
    pub(crate) fn one(&mut self, kind: Kind, name: &str, help: &str, value: f64) {
        self.family(kind, name, help);
        self.sample(&[], value);
    }

    /// One number of a family whose samples' names go on after its own, as those of histograms do.
    pub(crate) fn suffixed(&mut self, suffix: &str, labels: Labels<'_>, value: f64) {
        let pairs: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        self.line(&format!("{}{suffix}{labels} {}", self.name, number(value)));
    }

    /// Adds lines that are written already; each ends with a newline.
    pub(crate) fn verbatim(&mut self, lines: &str) {
        self.out.push_str(lines);
    }

    /// The whole page.
    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }
}

/// Numbers as both formats take them.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value == f64::INFINITY => "+Inf".to_owned(),
        value if value.is_nan() => "NaN".to_owned(),
        value => value.to_string(),
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
