//! What all pages of the monitor share: the style, harmless text, and the word that lets a page's own style and script in.

use std::fmt::{self, Display, Formatter, Write};
use std::fs::File;
use std::io::Read;

use hyper::header::HeaderValue;

pub(crate) const STYLE: &str = include_str!("assets/monitor.css");

/// Text from outside, harmless between tags and within a quoted attribute.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

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

/// A random word, new for each page. Without one (when no descriptor is left) a page has no style and no script, and is
/// complete all the same.
pub(crate) fn nonce() -> Option<String> {
    let mut random = [0; 16];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut random)).ok()?;
    Some(format!("{:032x}", u128::from_ne_bytes(random)))
}

/// The `Content-Security-Policy` of a page: its own style, its own `script` with what that asks for, and forms to `form`.
pub(crate) fn policy(nonce: Option<&str>, script: bool, form: &str) -> HeaderValue {
    let own = nonce.map_or_else(|| "'none'".into(), |nonce| format!("'nonce-{nonce}'"));
    let script =
        if script { format!(" script-src {own}; connect-src 'self'; img-src data:;") } else { String::new() };
    let policy = format!(
        "default-src 'none'; style-src {own};{script} base-uri 'none'; form-action {form}; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
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
}
