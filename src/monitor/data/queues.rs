//! How many connections wait to be accepted, by port.
//!
//! Asked of the kernel when the metrics or the page are asked for. Its socket diagnostics list the sockets that listen and
//! nothing else, in some microseconds. Where they are not to be had, `/proc`'s tables say the same for milliseconds of
//! processor time, since the kernel looks through the table of all connections to fill the first page that is read.
//! Absent where there is neither; unix sockets are in none of these.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use crate::monitor::data::stats::Address;

const LISTENS: &str = "0A";

/// The queues of the ports that the application is bound to; all sockets of a port together.
pub(crate) fn lengths(addresses: &[Address]) -> BTreeMap<u16, u64> {
    let ports: Vec<u16> = addresses
        .iter()
        .filter_map(|address| match address {
            Address::Ip(bound) => Some(bound.port()),
            Address::Path(_) => None,
        })
        .collect();
    if ports.is_empty() {
        return BTreeMap::new();
    }
    let zero = || ports.iter().map(|port| (*port, 0)).collect();
    diagnosed(zero()).or_else(|| tabled(zero())).unwrap_or_default()
}

/// From the kernel's socket diagnostics; `None` where it has none for us.
#[cfg(target_os = "linux")]
fn diagnosed(mut lengths: BTreeMap<u16, u64>) -> Option<BTreeMap<u16, u64>> {
    crate::monitor::data::netlink::listening(|port, waiting| {
        if let Some(length) = lengths.get_mut(&port) {
            *length += u64::from(waiting);
        }
    })
    .ok()?;
    Some(lengths)
}

#[cfg(not(target_os = "linux"))]
fn diagnosed(_: BTreeMap<u16, u64>) -> Option<BTreeMap<u16, u64>> {
    None
}

/// From `/proc`: sockets that listen stand first, and with the first other one the reading ends.
fn tabled(mut lengths: BTreeMap<u16, u64>) -> Option<BTreeMap<u16, u64>> {
    let tables: Vec<BufReader<File>> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| File::open(path).ok().map(BufReader::new))
        .collect();
    if tables.is_empty() {
        return None;
    }
    for table in tables {
        add(&mut lengths, table);
    }
    Some(lengths)
}

fn add(lengths: &mut BTreeMap<u16, u64>, table: impl BufRead) {
    let rows = table.lines().skip(1).map_while(Result::ok);
    for (port, waiting) in rows.map_while(|row| listening(&row)) {
        if let Some(length) = lengths.get_mut(&port) {
            *length += waiting;
        }
    }
}

/// Port and queue of a row, if its socket listens: `0: 0100007F:0BB8 00000000:0000 0A 00000000:00000003 ...`
fn listening(row: &str) -> Option<(u16, u64)> {
    let mut fields = row.split_whitespace().skip(1);
    let (local, _remote, state, queues) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    let waiting = u64::from_str_radix(queues.rsplit(':').next()?, 16).ok()?;
    (state == LISTENS).then_some((port, waiting))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_sockets_of_a_port_are_added_up_until_the_first_that_does_not_listen() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr\n\
            0: 0100007F:0BB8 00000000:0000 0A 00000000:00000003 00:00000000\n\
            1: 0100007F:0BB8 00000000:0000 0A 00000000:00000002 00:00000000\n\
            2: 0100007F:0016 00000000:0000 0A 00000000:00000009 00:00000000\n\
            3: 0100007F:9999 0100007F:0BB8 01 00000000:00000000 00:00000000\n\
            4: 0100007F:0BB8 00000000:0000 0A 00000000:00000001 00:00000000\n";
        let mut lengths = BTreeMap::from([(3000, 0)]);
        add(&mut lengths, table.as_bytes());
        assert_eq!(lengths, BTreeMap::from([(3000, 5)]));
        add(&mut lengths, "\nrubbish\n".as_bytes());
        assert_eq!(lengths, BTreeMap::from([(3000, 5)]));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_connection_that_nobody_accepts_is_seen() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let bound = listener.local_addr().unwrap();
        let port = bound.port();
        let length = || lengths(&[Address::Ip(bound)]).get(&port).copied();
        assert_eq!(length(), Some(0));
        let _client = TcpStream::connect(bound).unwrap();
        assert_eq!(length(), Some(1));
        assert_eq!(tabled(BTreeMap::from([(port, 0)])).unwrap().get(&port), Some(&1));
    }
}
