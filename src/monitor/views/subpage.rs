//! A page of the monitor that is not the overview: a heading, a way back, and what there is to show.
//!
//! Called for the lists of logs and of modules; it has the overview's style, and like it loads and runs nothing.

use std::fmt::{self, Display, Formatter, Write};
use std::time::SystemTime;

use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

use crate::monitor::reply::{Body, whole};
use crate::monitor::views::calendar::iso;
use crate::monitor::views::html::{Escaped, STYLE, nonce};
use crate::monitor::views::view_model::readable;

/// A document, or data, ready to be sent.
#[derive(Debug)]
pub(crate) struct Subpage {
    text: String,
    /// The `Content-Security-Policy` of a page.
    policy: Option<HeaderValue>,
}

impl Subpage {
    /// A page titled `title`, with `content` below it; `home` is the path of the monitor's page.
    pub(crate) fn new(title: &str, home: &str, content: &str) -> Self {
        let nonce = nonce();
        let mut text =
            String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        let (shown, home) = (Escaped(title), if home.is_empty() { "/" } else { home });
        let style = nonce.as_ref().map(|nonce| format!("<style nonce=\"{nonce}\">\n{STYLE}</style>\n"));
        // Writing into a string can't fail.
        let _ = write!(
            text,
            "<title>{shown} - Runtime Monitor</title>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{}</head>\n<body>\n\
             <header>\n<div class=\"name\"><h1 id=\"list\">{shown}</h1>\n<p><a href=\"{}\">Runtime Monitor</a></p></div>\n</header>\n<main>\n\
             <section class=\"card\" aria-labelledby=\"list\">\n{content}</section>\n\
             </main>\n</body>\n</html>\n",
            style.unwrap_or_default(),
            Escaped(home),
        );
        Self { text, policy: Some(policy(nonce.as_deref())) }
    }

    pub(crate) fn answer(self) -> Response<Body> {
        let Some(policy) = self.policy else { return whole(StatusCode::OK, "application/json", self.text) };
        let mut response = whole(StatusCode::OK, "text/html; charset=utf-8", self.text);
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        response
    }
}

impl From<Value> for Subpage {
    fn from(data: Value) -> Self {
        Self { text: data.to_string(), policy: None }
    }
}

/// The `Content-Security-Policy` of such a page: its own style and nothing else.
fn policy(nonce: Option<&str>) -> HeaderValue {
    let style = nonce.map_or_else(|| "'none'".into(), |nonce| format!("'nonce-{nonce}'"));
    let policy = format!(
        "default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// A moment, for people and for programs.
pub(crate) struct Time(pub(crate) SystemTime);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "<time datetime=\"{}\">{} UTC</time>", iso(self.0), readable(self.0))
    }
}

/// A table that scrolls by itself where the screen is narrow, by keyboard too.
pub(crate) fn table<R: Display>(columns: &[&str], rows: impl Iterator<Item = R>) -> String {
    let mut text =
        String::from("<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-labelledby=\"list\">\n");
    text.push_str("<table>\n<thead><tr>");
    for column in columns {
        // Writing into a string can't fail.
        let _ = write!(text, "<th scope=\"col\">{column}</th>");
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        let _ = write!(text, "{row}");
    }
    text.push_str("</tbody>\n</table>\n</div>\n");
    text
}
