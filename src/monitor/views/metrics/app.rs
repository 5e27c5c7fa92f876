//! The application's own metrics on the page: its text in the format that is asked for.
//!
//! Families of our own names are left out, since a name must not come twice.

use std::collections::HashSet;
use std::fmt::Write;

use super::text::Format;

const OURS: &str = "cluster2_";

/// The application's text as it goes onto the page: without our names, comments and blank lines, and in `format`.
pub(crate) fn adapted(format: Format, text: &str) -> String {
    let counters: HashSet<&str> = text.lines().filter_map(counter_name).collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines().map(str::trim_end).filter(|line| is_wanted(line)) {
        let line = match format {
            Format::Prometheus => line.to_owned(),
            Format::OpenMetrics => in_open_metrics(line, &counters),
        };
        // A string takes whatever is written to it.
        let _ = writeln!(out, "{line}");
    }
    out
}

fn is_wanted(line: &str) -> bool {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("#"), Some("HELP" | "TYPE" | "UNIT"), Some(name)) => !name.starts_with(OURS),
        (None | Some("#"), ..) => false,
        (Some(sample), ..) => !sample.starts_with(OURS) && !sample.starts_with('#'),
    }
}

/// The name in a line that declares a counter.
fn counter_name(line: &str) -> Option<&str> {
    let mut words = line.strip_prefix("# TYPE ")?.split_whitespace();
    let name = words.next()?;
    (words.next() == Some("counter")).then_some(name)
}

/// There a counter's family is called without the `_total` of its samples, and one whose samples lack it is no counter.
fn in_open_metrics(line: &str, counters: &HashSet<&str>) -> String {
    let Some((keyword, rest)) = line.strip_prefix("# ").and_then(|line| line.split_once(' ')) else {
        return line.to_owned();
    };
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (name, kind) = match (counters.contains(name), name.strip_suffix("_total")) {
        (true, Some(family)) => (family, rest),
        (true, None) => (name, if keyword == "TYPE" { "unknown" } else { rest }),
        (false, _) => (name, if keyword == "TYPE" && rest == "untyped" { "unknown" } else { rest }),
    };
    format!("# {keyword} {name} {kind}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP orders_total Orders.\n# TYPE orders_total counter\norders_total{kind=\"a\"} 3\n\n\
        # a comment\n# TYPE hits counter\nhits 1\n# TYPE odd untyped\nodd 2\n# TYPE temperature gauge\n\
        temperature 20.5\n# TYPE cluster2_up gauge\ncluster2_up 7\n# EOF\n";

    #[test]
    fn prometheus_gets_the_text_as_it_is_but_for_our_names() {
        let expected = "# HELP orders_total Orders.\n# TYPE orders_total counter\norders_total{kind=\"a\"} 3\n\
            # TYPE hits counter\nhits 1\n# TYPE odd untyped\nodd 2\n# TYPE temperature gauge\ntemperature 20.5\n";
        assert_eq!(adapted(Format::Prometheus, TEXT), expected);
    }

    #[test]
    fn open_metrics_gets_families_by_their_own_names() {
        let expected = "# HELP orders Orders.\n# TYPE orders counter\norders_total{kind=\"a\"} 3\n\
            # TYPE hits unknown\nhits 1\n# TYPE odd unknown\nodd 2\n# TYPE temperature gauge\ntemperature 20.5\n";
        assert_eq!(adapted(Format::OpenMetrics, TEXT), expected);
    }
}
