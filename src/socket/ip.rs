//! IP addresses as Node writes them: one of IPv6 may end in a zone, as `fe80::1%eth0`.
//!
//! The zone names the interface on which an address is meant, by the interface's name or number; a link-local address says
//! nothing without it. The border, the supervisor and the monitor read and show addresses by this file. Only the names of
//! interfaces are asked of the kernel.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use nix::net::if_::{if_indextoname, if_nametoindex};

/// An address and, for one of IPv6, the number of its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ip {
    address: IpAddr,
    /// 0 where no interface was named.
    interface: u32,
}

impl Ip {
    /// Reads an address; `None` for anything else, and for a zone that names no interface of this machine.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, interface) = match text.split_once('%') {
            Some((address, zone)) if address.contains(':') => (address, interface(zone)?),
            Some(_) => return None,
            None => (text, 0),
        };
        Some(Self { address: address.parse().ok()?, interface })
    }

    /// The same with a port.
    #[must_use]
    pub fn at(self, port: u16) -> SocketAddr {
        match self.address {
            IpAddr::V4(_) => SocketAddr::new(self.address, port),
            IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, self.interface).into(),
        }
    }
}

impl From<IpAddr> for Ip {
    fn from(address: IpAddr) -> Self {
        Self { address, interface: 0 }
    }
}

impl From<SocketAddr> for Ip {
    fn from(address: SocketAddr) -> Self {
        let interface = match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(address) => address.scope_id(),
        };
        Self { address: address.ip(), interface }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        if self.interface == 0 {
            return Ok(());
        }
        match name_of(self.interface) {
            Some(name) => write!(f, "%{name}"),
            None => write!(f, "%{}", self.interface),
        }
    }
}

/// The number of the interface that a zone means, by its name or its number.
#[must_use]
pub fn interface(zone: &str) -> Option<u32> {
    let by_number = || zone.parse().ok().filter(|number| name_of(*number).is_some());
    if_nametoindex(zone).ok().or_else(by_number)
}

fn name_of(interface: u32) -> Option<String> {
    let name = if_indextoname(interface).ok()?.into_string().ok()?;
    // What nix gives for a number that no interface has.
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown_with_the_name_of_its_interface() {
        let lo = if_nametoindex("lo").unwrap();
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("fe80::1%lo", "fe80::1%lo"),
            (&format!("fe80:0::1%{lo}"), "fe80::1%lo"),
        ] {
            let ip = Ip::parse(text).unwrap();
            assert_eq!(ip.to_string(), shown);
            assert_eq!(Ip::from(ip.at(80)), ip);
        }
        let SocketAddr::V6(at) = Ip::parse("fe80::1%lo").unwrap().at(80) else { panic!("IPv6") };
        assert_eq!((at.scope_id(), at.port()), (lo, 80));
    }

    #[test]
    fn what_is_no_address_of_this_machine_is_not_read() {
        for text in
            ["", "localhost", "127.0.0.1%lo", "fe80::1%", "fe80::1%no such", "fe80::1%4000000000", "[::1]"]
        {
            assert_eq!(Ip::parse(text), None, "{text}");
        }
    }
}
