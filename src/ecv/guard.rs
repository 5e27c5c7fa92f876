//! Who may take the cluster out of rotation and back over HTTP.
//!
//! Pure. Built from the options `ecv.controlFrom` and `ecv.token`; workers and the monitor ask it at each control request.
//! Invariant: nothing here tells the caller, or the clock, how near a refused request came.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address, or a block of addresses in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address is one of the block. IPv4 addresses in IPv6 clothes count as what they are.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                let differing = block.to_bits() ^ address.to_bits();
                differing.checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => {
                let differing = block.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let given: IpAddr = address.parse().map_err(|_| ())?;
        let longest = if given.is_ipv4() { 32 } else { 128 };
        let is_number = |prefix: &str| !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => longest,
            Some(prefix) if is_number(prefix) => prefix.parse().map_err(|_| ())?,
            Some(_) => return Err(()),
        };
        if prefix > longest {
            return Err(());
        }
        // Of a block that holds all of the IPv4 addresses in IPv6 clothes and more, only the IPv6 part is left.
        match given.to_canonical() {
            address if address.is_ipv4() && longest == 128 && prefix >= 96 => {
                Ok(Self { address, prefix: prefix - 96 })
            }
            _ => Ok(Self { address: given, prefix }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A shared secret; it shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// Whether `given` is the secret; takes as long for a near miss as for a far one.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), given.as_bytes());
        let mut differing = own.len() ^ given.len();
        for (at, byte) in given.iter().enumerate() {
            // Past the end it is compared with something, so that the length of the secret doesn't show either.
            let expected = own.get(at % own.len().max(1)).copied().unwrap_or(0);
            differing |= usize::from(expected ^ byte);
        }
        std::hint::black_box(differing) == 0
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
    /// Whether a control request is granted. `peer` is the address of the connection itself (no header is believed);
    /// a unix socket has none, and is in no block. `authorization` is that header, as it came.
    #[must_use]
    pub fn admits(&self, peer: Option<IpAddr>, authorization: Option<&str>) -> bool {
        let is_near =
            self.from.is_empty() || peer.is_some_and(|peer| self.from.iter().any(|net| net.contains(peer)));
        let is_known = self.token.as_ref().is_none_or(|token| {
            // Compared in any case, so that a missing header costs what a wrong one does.
            let given = authorization.and_then(bearer);
            token.is(given.unwrap_or_default()) & given.is_some()
        });
        is_near & is_known
    }
}

/// The token of an `Authorization: Bearer` header.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
