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
    let json = weight(headers, json);
    json > 0 && json >= weight(headers, html)
}

/// Whether the client would rather have HTML where JSON is the rule: it must name HTML, and not like JSON more.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    let named = weight(headers, |name| html(name).filter(|closeness| *closeness == NAMED));
    named > 0 && named >= weight(headers, json)
}

/// Whether the client would rather have `OpenMetrics` than Prometheus' own text: it must name it, and not like it less.
pub(crate) fn prefers_open_metrics(headers: &HeaderMap) -> bool {
    let open = weight(headers, |name| (name == "application/openmetrics-text").then_some(NAMED));
    open > 0 && open >= weight(headers, |name| (name == "text/plain").then_some(NAMED))
}

/// How closely a range names a type: `*/*`, `text/*`, or the type itself.
type Closeness = u8;
const NAMED: Closeness = 2;

fn json(name: &str) -> Option<Closeness> {
    (name == "application/json" || (name.contains('/') && name.ends_with("+json"))).then_some(NAMED)
}

fn html(name: &str) -> Option<Closeness> {
    match name {
        "text/html" | "application/xhtml+xml" => Some(NAMED),
        "text/*" => Some(1),
        "*/*" => Some(0),
        _ => None,
    }
}

/// The weight of the range that names a type most closely, the largest of several; 0 where none does.
fn weight(headers: &HeaderMap, closeness: impl Fn(&str) -> Option<Closeness>) -> Weight {
    // Bytes that are no text name no type that we know.
    let texts = headers.get_all(ACCEPT).iter().map(|header| header.to_str().unwrap_or_default());
    let ranges = texts.flat_map(|text| text.split(',')).map(parse);
    let fitting = ranges.filter_map(|(name, weight)| Some((closeness(&name)?, weight)));
    fitting.max().map_or(0, |(_, weight)| weight)
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
