//! Whether a browser says that another site made it send a request.
//!
//! Pure. The control requests of both ports ask: those of `ecv.path` here and in the workers, and `/control/*`. Programs
//! that are no browsers send neither header, and pass.

/// The headers that tell where a request comes from, as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// `Sec-Fetch-Site`.
    pub site: Option<&'a str>,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Host`, or `:authority` of HTTP/2.
    pub host: Option<&'a str>,
}

impl Origin<'_> {
    /// Whether another site brought the request about.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        let is_foreign = |site| site != "same-origin" && site != "none";
        self.site.is_some_and(is_foreign) || self.names_this_host() == Some(false)
    }

    /// Whether a header that no other site can set says that our own page sent the request.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.site == Some("same-origin") || self.names_this_host() == Some(true)
    }

    /// Whether `Origin` names the host that was asked; `None` without the header.
    fn names_this_host(&self) -> Option<bool> {
        let authority = self.origin?.split_once("://").map(|(_, authority)| authority);
        Some(authority.zip(self.host).is_some_and(|(named, asked)| named.eq_ignore_ascii_case(asked)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_another_site_is_told_by_either_header() {
        let host = Some("ops:3001");
        for origin in ["http://evil", "null", "http://ops:3002", "http://ops", ""] {
            let from = Origin { origin: Some(origin), host, ..Origin::default() };
            assert!(from.is_elsewhere() && !from.is_here(), "{origin}");
        }
        for site in ["cross-site", "same-site", "rubbish"] {
            let from = Origin { site: Some(site), origin: Some("http://ops:3001"), host };
            assert!(from.is_elsewhere(), "{site}");
        }
        assert!(Origin { origin: Some("http://ops:3001"), ..Origin::default() }.is_elsewhere(), "no host");
    }

    #[test]
    fn programs_and_the_page_itself_come_from_nowhere_else() {
        let host = Some("ops:3001");
        assert!(!Origin { host, ..Origin::default() }.is_elsewhere());
        assert!(!Origin { site: Some("none"), host, ..Origin::default() }.is_elsewhere());
        let page = Origin { site: Some("same-origin"), origin: Some("http://OPS:3001"), host };
        assert!(!page.is_elsewhere() && page.is_here());
        assert!(!Origin::default().is_here());
    }
}
