//! Who may take the cluster out of rotation and put it back over HTTP.
//!
//! Pure. Built from the options `ecv.controlFrom` and `ecv.token`; the workers and the monitor ask it at each control
//! request.
//! Invariant: a refusal does not tell how close the request came.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use subtle::ConstantTimeEq;

use super::cross_site::Origin;

/// An address, or a block of addresses in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the block holds the address. An IPv4 address that is written as IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(|_| ())?,
        };
        // A block of IPv4 addresses that is written as IPv6 is an IPv4 block; a larger one keeps its IPv6 part only.
        let mapped = net.prefix_len().checked_sub(96).filter(|_| net.addr().to_canonical().is_ipv4());
        let is_v4 = net.addr().is_ipv4();
        match mapped.filter(|_| !is_v4) {
            Some(prefix) => IpNet::new(net.addr().to_canonical(), prefix).map(Self).map_err(|_| ()),
            None => Ok(Self(net)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A shared secret; it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// Whether `given` is the secret. The time tells its length at most.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The rules of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Where control requests may come from; empty is everywhere.
    pub from: Vec<Network>,
    /// What they must bring.
    pub token: Option<Token>,
}

impl Guard {
    /// Whether a control request is granted. `peer` is the address of the connection itself (no header is believed); a
    /// unix socket has none, and is in no block. `authorization` is that header, as it came. A request that another site
    /// made a browser send is never granted.
    #[must_use]
    pub fn admits(&self, peer: Option<IpAddr>, authorization: Option<&str>, origin: Origin<'_>) -> bool {
        let is_near =
            self.from.is_empty() || peer.is_some_and(|peer| self.from.iter().any(|net| net.contains(peer)));
        let is_known = self.token.as_ref().is_none_or(|token| {
            // Compared also when the header is missing, so that both refusals take the same time.
            let given = authorization.and_then(bearer);
            token.is(given.unwrap_or_default()) & given.is_some()
        });
        is_near & is_known & !origin.is_elsewhere()
    }
}

/// The token of an `Authorization: Bearer` header.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
