//! Who may read the monitor, and who may control the cluster by it.
//!
//! Pure: judges by a request's headers and the option `monitor`. The token comes as `Authorization: Bearer <token>`, as
//! the password of `Authorization: Basic`, which browsers ask for and then add to every request, or in a form. Since
//! browsers add the password also to requests that other sites make them send, such a request must show where it comes
//! from.
//! Invariant: no answer tells why a client was refused.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};

use crate::ecv::cross_site::Origin;
use crate::options::Monitor;

/// Browsers send it to other sites only after they have asked these, and we never agree.
const OWN_HEADER: &str = "x-cluster2-control";
/// With or without the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether a client may see everything that is not about health.
pub(crate) fn may_read(headers: &HeaderMap, monitor: &Monitor) -> bool {
    let Some(token) = &monitor.token else { return true };
    // Compared also when the header is missing, so that both refusals take the same time.
    let given = presented(headers);
    token.is(given.as_ref().map(Presented::secret).unwrap_or_default()) & given.is_some()
}

/// Whether a client may change something; `form` is the token that it sent in a form.
pub(crate) fn may_control(headers: &HeaderMap, monitor: &Monitor, form: Option<&str>) -> bool {
    let Some(token) = monitor.token.as_ref().filter(|_| monitor.control) else { return false };
    let given = presented(headers);
    let is_meant = match (&given, form) {
        // No browser adds these by itself.
        (Some(Presented::Bearer(_)), _) | (_, Some(_)) => true,
        (Some(Presented::Basic(_)), None) => origin(headers).is_here() || headers.contains_key(OWN_HEADER),
        (None, None) => false,
    };
    let secret = form.or_else(|| given.as_ref().map(Presented::secret)).unwrap_or_default();
    token.is(secret) & is_meant & !origin(headers).is_elsewhere()
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
    let (scheme, rest) = text_of(headers, AUTHORIZATION.as_str())?.trim().split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Presented::Bearer(rest.trim().to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64.decode(rest.trim()).ok()?).ok()?;
    let (_user, password) = pair.split_once(':')?;
    Some(Presented::Basic(password.to_owned()))
}

/// The headers by which browsers tell on whose behalf they send a request.
pub(crate) fn origin(headers: &HeaderMap) -> Origin<'_> {
    // A header that is no text counts as empty, which names no site.
    let text = |name: &str| headers.contains_key(name).then(|| text_of(headers, name).unwrap_or_default());
    Origin { site: text("sec-fetch-site"), origin: text(ORIGIN.as_str()), host: text(HOST.as_str()) }
}

/// A header as text; `None` also where it is none.
pub(crate) fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
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
        assert!(!may_control(&headers(&[BEARER]), &Monitor::default(), Some("s3cret")));
        let unused = Monitor { control: false, ..monitor() };
        assert!(!may_control(&headers(&[BEARER]), &unused, None));
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
        assert!(may_control(&headers(&[HERE, BEARER]), &monitor(), None));
        assert!(may_control(&headers(&[HERE]), &monitor(), Some("s3cret")));
        assert!(!may_control(&headers(&[HERE]), &monitor(), Some("wrong")));
        assert!(!may_control(&headers(&[HERE]), &monitor(), None));
    }

    #[test]
    fn a_password_that_the_browser_adds_counts_on_requests_of_the_page_only() {
        assert!(!may_control(&headers(&[HERE, BASIC]), &monitor(), None));
        for proof in
            [("origin", "http://ops:3001"), ("sec-fetch-site", "same-origin"), ("x-cluster2-control", "1")]
        {
            assert!(may_control(&headers(&[HERE, BASIC, proof]), &monitor(), None), "{proof:?}");
        }
        assert!(!may_control(&headers(&[HERE, BASIC, ("sec-fetch-site", "none")]), &monitor(), None));
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
                assert!(
                    !may_control(&headers(&[HERE, own, token, foreign]), &monitor(), None),
                    "{foreign:?}"
                );
            }
            assert!(!may_control(&headers(&[HERE, foreign]), &monitor(), Some("s3cret")), "{foreign:?}");
        }
        let without_host = [BASIC, ("origin", "http://ops:3001")];
        assert!(!may_control(&headers(&without_host), &monitor(), None));
    }
}
