//! Who may read the monitor, and who may steer the cluster by it.
//!
//! Pure: judges by a request's headers and the option `monitor`. The token comes as `Authorization: Bearer <token>`, as
//! the password of `Authorization: Basic`, which browsers ask for and then add to every request, or in a form. Since
//! browsers add it to requests that other sites make them send as well, such a request must show where it comes from.
//! Invariant: no answer tells why somebody was refused.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};

use crate::options::Monitor;

/// Browsers send it to other sites only after they have asked these, and we never agree.
const OWN_HEADER: &str = "x-cluster2-control";

/// Whether a client may see everything that is not about health.
pub(crate) fn may_read(headers: &HeaderMap, monitor: &Monitor) -> bool {
    let Some(token) = &monitor.token else { return true };
    // Compared in any case, so that a missing header costs what a wrong one does.
    let given = presented(headers);
    token.is(given.as_ref().map(Presented::secret).unwrap_or_default()) & given.is_some()
}

/// Whether a client may change something; `form` is the token that it sent in a form.
pub(crate) fn may_steer(headers: &HeaderMap, monitor: &Monitor, form: Option<&str>) -> bool {
    let Some(token) = monitor.token.as_ref().filter(|_| monitor.control) else { return false };
    let given = presented(headers);
    let is_meant = match (&given, form) {
        // Nobody sends these without meaning it.
        (Some(Presented::Bearer(_)), _) | (_, Some(_)) => true,
        (Some(Presented::Basic(_)), None) => comes_from_here(headers),
        (None, None) => false,
    };
    let secret = form.or_else(|| given.as_ref().map(Presented::secret)).unwrap_or_default();
    token.is(secret) & is_meant & !comes_from_elsewhere(headers)
}

/// A token, and how it came.
enum Presented {
    Bearer(String),
    Basic(String),
}

impl Presented {
    fn secret(&self) -> &str {
        let (Self::Bearer(secret) | Self::Basic(secret)) = self;
        secret
    }
}

fn presented(headers: &HeaderMap) -> Option<Presented> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Presented::Bearer(rest.trim().to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(base64(rest.trim())?).ok()?;
    let (_user, password) = pair.split_once(':')?;
    Some(Presented::Basic(password.to_owned()))
}

/// A browser says that another site made it send this.
fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(hyper::header::HeaderValue::as_bytes);
    let is_foreign_site = site.is_some_and(|site| site != b"same-origin" && site != b"none");
    is_foreign_site || origin_is_ours(headers) == Some(false)
}

/// Something that no other site can bring about says that the page sent this.
fn comes_from_here(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(hyper::header::HeaderValue::as_bytes);
    site == Some(b"same-origin") || origin_is_ours(headers) == Some(true) || headers.contains_key(OWN_HEADER)
}

/// Whether `Origin` names the host that was asked; `None` without one.
fn origin_is_ours(headers: &HeaderMap) -> Option<bool> {
    let origin = headers.get(ORIGIN)?;
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    Some(authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host)))
}

/// RFC 4648's alphabet, with or without the padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut width) = (Vec::new(), 0_u32, 0_u32);
    for byte in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | u32::from(digit(byte)?);
        width += 6;
        if width >= 8 {
            width -= 8;
            bytes.push(u8::try_from(bits >> width & 0xff).ok()?);
            bits &= (1 << width) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::ecv::guard::Token;

    /// `user:s3cret`
    const BASIC: (&str, &str) = ("authorization", "Basic dXNlcjpzM2NyZXQ=");
    const BEARER: (&str, &str) = ("authorization", "Bearer s3cret");
    const HERE: (&str, &str) = ("host", "ops:3001");

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        given.iter().map(pair).collect()
    }

    fn monitor() -> Monitor {
        Monitor { control: true, token: Some(Token::new("s3cret".into())) }
    }

    #[test]
    fn everybody_reads_where_there_is_no_token() {
        assert!(may_read(&headers(&[]), &Monitor::default()));
        assert!(!may_steer(&headers(&[BEARER]), &Monitor::default(), Some("s3cret")));
        let unused = Monitor { control: false, ..monitor() };
        assert!(!may_steer(&headers(&[BEARER]), &unused, None));
    }

    #[test]
    fn the_token_is_read_from_both_schemes() {
        for good in
            [BASIC, BEARER, ("authorization", "bEARER  s3cret "), ("authorization", "basic OnMzY3JldA")]
        {
            assert!(may_read(&headers(&[good]), &monitor()), "{good:?}");
        }
        for bad in [
            "",
            "s3cret",
            "Bearer",
            "Bearer s3cre",
            "Bearer s3crets",
            "Basic s3cret",
            "Basic ====",
            "Basic %",
        ] {
            assert!(!may_read(&headers(&[("authorization", bad)]), &monitor()), "{bad}");
        }
        assert!(!may_read(&headers(&[]), &monitor()));
    }

    #[test]
    fn who_sends_the_token_on_purpose_may_steer() {
        assert!(may_steer(&headers(&[HERE, BEARER]), &monitor(), None));
        assert!(may_steer(&headers(&[HERE]), &monitor(), Some("s3cret")));
        assert!(!may_steer(&headers(&[HERE]), &monitor(), Some("wrong")));
        assert!(!may_steer(&headers(&[HERE]), &monitor(), None));
    }

    #[test]
    fn a_password_that_the_browser_adds_counts_on_requests_of_the_page_only() {
        assert!(!may_steer(&headers(&[HERE, BASIC]), &monitor(), None));
        for proof in
            [("origin", "http://ops:3001"), ("sec-fetch-site", "same-origin"), ("x-cluster2-control", "1")]
        {
            assert!(may_steer(&headers(&[HERE, BASIC, proof]), &monitor(), None), "{proof:?}");
        }
        assert!(!may_steer(&headers(&[HERE, BASIC, ("sec-fetch-site", "none")]), &monitor(), None));
    }

    #[test]
    fn requests_that_another_site_brought_about_are_refused_whatever_they_bring() {
        let own = ("x-cluster2-control", "1");
        for foreign in [
            ("origin", "http://evil"),
            ("origin", "null"),
            ("origin", "http://ops:3002"),
            ("origin", ""),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            for token in [BASIC, BEARER] {
                assert!(!may_steer(&headers(&[HERE, own, token, foreign]), &monitor(), None), "{foreign:?}");
            }
            assert!(!may_steer(&headers(&[HERE, foreign]), &monitor(), Some("s3cret")), "{foreign:?}");
        }
        let without_host = [BASIC, ("origin", "http://ops:3001")];
        assert!(!may_steer(&headers(&without_host), &monitor(), None));
    }
}
