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
use crate::monitor::views::html::{Escaped, STYLE, nonce, policy};
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
        let style = nonce.as_ref().map(|nonce| format!("<style nonce=\"{nonce}\">\n{STYLE}</style>\n"));
        let text = format!(
            include_str!("assets/subpage.html"),
            title = Escaped(title),
            style = style.unwrap_or_default(),
            home = Escaped(if home.is_empty() { "/" } else { home }),
            content = content,
        );
        Self { text, policy: Some(policy(nonce.as_deref(), false, "'none'")) }
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
