//! Which form of an answer a client prefers, by its `Accept` headers. Pure; called by the routes.

use hyper::HeaderMap;
use hyper::header::ACCEPT;

/// Weights in thousandths, as HTTP allows three decimals.
type Weight = u16;

/// Whether the client would rather have JSON than HTML.
///
/// JSON must be named (`application/json`, or a type that ends in `+json`) and not be liked less than HTML. A client that
/// takes anything gets the page, as with the original.
pub(crate) fn prefers_json(headers: &HeaderMap) -> bool {
    let mut json: Weight = 0;
    let mut html: Option<(Specificity, Weight)> = None;
    for header in headers.get_all(ACCEPT) {
        // Bytes that are no text name no type that we know.
        for range in header.to_str().unwrap_or_default().split(',') {
            let (name, weight) = parse(range);
            if is_json(&name) {
                json = json.max(weight);
            } else if let Some(specificity) = names_html(&name) {
                html = html.max(Some((specificity, weight)));
            }
        }
    }
    json > 0 && json >= html.map_or(0, |(_, weight)| weight)
}

/// Whether the client would rather have HTML where JSON is the rule: it must name HTML, and not like JSON more.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json): (Weight, Weight) = (0, 0);
    for header in headers.get_all(ACCEPT) {
        for range in header.to_str().unwrap_or_default().split(',') {
            let (name, weight) = parse(range);
            if names_html(&name) == Some(Specificity::Html) {
                html = html.max(weight);
            } else if is_json(&name) {
                json = json.max(weight);
            }
        }
    }
    html > 0 && html >= json
}

/// Whether the client would rather have `OpenMetrics` than Prometheus' own text: it must name it, and not like it less.
pub(crate) fn prefers_open_metrics(headers: &HeaderMap) -> bool {
    let (mut open, mut plain): (Weight, Weight) = (0, 0);
    for header in headers.get_all(ACCEPT) {
        for range in header.to_str().unwrap_or_default().split(',') {
            let (name, weight) = parse(range);
            match name.as_str() {
                "application/openmetrics-text" => open = open.max(weight),
                "text/plain" => plain = plain.max(weight),
                _ => {}
            }
        }
    }
    open > 0 && open >= plain
}

/// How closely a range names HTML; of several, the closest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    Anything,
    AnyText,
    Html,
}

fn is_json(name: &str) -> bool {
    name == "application/json" || (name.contains('/') && name.ends_with("+json"))
}

fn names_html(name: &str) -> Option<Specificity> {
    match name {
        "text/html" | "application/xhtml+xml" => Some(Specificity::Html),
        "text/*" => Some(Specificity::AnyText),
        "*/*" => Some(Specificity::Anything),
        _ => None,
    }
}

fn parse(range: &str) -> (String, Weight) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, weight.map_or(1000, thousandths))
}

/// A weight that can't be read counts as none given.
fn thousandths(weight: &str) -> Weight {
    let mut digits = weight.trim().splitn(2, '.');
    let whole = digits.next().unwrap_or_default();
    let fraction: String = digits.next().unwrap_or_default().chars().chain("000".chars()).take(3).collect();
    match (whole, fraction.parse()) {
        ("0", Ok(thousandths)) => thousandths,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn asks_for_json(accept: &[&[u8]]) -> bool {
        let values = accept.iter().map(|value| (ACCEPT, HeaderValue::from_bytes(value).unwrap()));
        prefers_json(&values.collect())
    }

    #[test]
    fn json_is_for_those_who_name_it() {
        for accept in [
            "application/json",
            "application/json, text/plain, */*",
            "Application/JSON;charset=utf-8",
            "text/html, application/json",
            "application/vnd.api+json",
            "text/html;q=0.5, application/json;q=0.9",
            "*/*;q=0.1,application/json; q=0.2",
            "application/json;q=rubbish",
            "*/*, text/html;q=0, application/json;q=0.1",
        ] {
            assert!(asks_for_json(&[accept.as_bytes()]), "{accept}");
        }
        assert!(asks_for_json(&[b"text/plain", b"application/json"]));
    }

    #[test]
    fn open_metrics_is_for_those_who_name_it_and_like_it_best() {
        let asks = |accept: &'static str| {
            prefers_open_metrics(&[(ACCEPT, HeaderValue::from_static(accept))].into_iter().collect())
        };
        // What Prometheus sends.
        assert!(asks(
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        ));
        for accept in ["", "*/*", "text/plain", "application/openmetrics-text;q=0.1,text/plain", "text/html"]
        {
            assert!(!asks(accept), "{accept}");
        }
    }

    #[test]
    fn where_json_is_the_rule_html_is_for_those_who_name_it() {
        let asks = |accept: &'static str| {
            prefers_html(&[(ACCEPT, HeaderValue::from_static(accept))].into_iter().collect())
        };
        // What browsers send.
        assert!(asks("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        for accept in
            ["", "*/*", "text/*", "application/json", "text/html;q=0.5, application/json", "text/html;q=0"]
        {
            assert!(!asks(accept), "{accept}");
        }
    }

    #[test]
    fn everybody_else_gets_the_page() {
        for accept in [
            "",
            "*/*",
            "json",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/html, application/json;q=0.9",
            "application/json;q=0",
            "application/json;q=0.000, */*",
            "+json",
            ",;,q=;;",
        ] {
            assert!(!asks_for_json(&[accept.as_bytes()]), "{accept}");
        }
        assert!(!asks_for_json(&[]));
        assert!(!asks_for_json(&[b"application/json\xff"]));
    }
}
