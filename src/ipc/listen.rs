//! Where a worker wants to listen, and where it does: what Node's protocol says of addresses.
//!
//! A worker may name a port of the master's own host as if it were a descriptor (`lib/worker/serving/listening.js` says why); `with_host`
//! gives such a message the form that Node's own would have, so nobody else knows of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What `queryServer` asks for; the names are Node's.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    /// Which of several `listen` calls for the same address in one worker.
    #[serde(default)]
    pub index: u32,
    /// An address, a path, or nothing for "any".
    #[serde(default)]
    pub address: Option<String>,
    /// A port; -1 or nothing for a path.
    #[serde(default)]
    pub port: Option<i64>,
    /// 4, 6, -1 (path), `udp4` or `udp6`.
    #[serde(default)]
    pub address_type: Value,
    /// A descriptor of the master's own.
    #[serde(default)]
    pub fd: Option<i32>,
    /// libuv's bind flags.
    #[serde(default)]
    pub flags: Option<u32>,
    /// 0 and `false` mean Node's default.
    #[serde(default)]
    pub backlog: Value,
    /// `listen({readableAll})`, for paths.
    #[serde(default)]
    pub readable_all: bool,
    /// `listen({writableAll})`, for paths.
    #[serde(default)]
    pub writable_all: bool,
}

/// What `lib/worker/serving/listening.js` adds to a port to ask for it on the master's own host: a number that no descriptor has.
const PORT_OF_HOST: i64 = 0x7fff_0000;

impl Query {
    /// The same with its address, where a port of the master's own `host` is asked for as if it were a descriptor.
    #[must_use]
    pub fn with_host(mut self, host: Option<IpAddr>) -> Self {
        let port = self.fd.and_then(|fd| port_of_host(fd.into()));
        if let Some((host, port)) = host.zip(port) {
            self.fd = None;
            self.address = Some(host.to_string());
            self.port = Some(port.into());
            self.address_type = family(host);
        }
        self
    }
}

fn port_of_host(fd: i64) -> Option<u16> {
    u16::try_from(fd - PORT_OF_HOST).ok()
}

/// In Node's words.
fn family(ip: IpAddr) -> Value {
    json!(if ip.is_ipv6() { 6 } else { 4 })
}

/// Where a server of a worker listens, as Node reports it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListeningAddress {
    /// An address, a path, or nothing for "any".
    #[serde(default)]
    pub address: Value,
    /// The port, -1 for a path.
    #[serde(default)]
    pub port: Value,
    /// 4, 6, -1, `udp4` or `udp6`.
    #[serde(default)]
    pub address_type: Value,
    /// The descriptor, where the worker listens on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fd: Option<i64>,
}

impl ListeningAddress {
    /// The same with its address, where the port of the master's own `host` was asked for as if it were a descriptor.
    #[must_use]
    pub fn with_host(mut self, host: Option<IpAddr>) -> Self {
        let Some(host) = host.filter(|_| self.fd.and_then(port_of_host).is_some()) else { return self };
        self.fd = None;
        self.address = json!(host);
        self.address_type = family(host);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_the_masters_host_is_asked_for_as_a_descriptor() {
        let host = Some(IpAddr::from([127, 0, 0, 1]));
        let line = format!(
            r#"{{"cmd":"NODE_CLUSTER","address":null,"port":null,"addressType":null,"fd":{},"index":1,"data":null,
            "act":"queryServer","backlog":7,"seq":2}}"#,
            PORT_OF_HOST + 3000
        );
        let query: Query = serde_json::from_str(&line).unwrap();
        let unknown = query.clone().with_host(None);
        assert_eq!((unknown.fd, unknown.port), (Some(0x7fff_0bb8), None));
        let query = query.with_host(host);
        assert_eq!((query.fd, query.port, query.address.as_deref()), (None, Some(3000), Some("127.0.0.1")));
        assert_eq!((query.address_type, query.index, query.backlog), (json!(4), 1, json!(7)));

        let listens =
            ListeningAddress { fd: Some(PORT_OF_HOST), ..address(json!(null), json!(4321), json!(null)) };
        let listens = listens.with_host(host);
        assert_eq!(json!(listens), json!({ "address": "127.0.0.1", "port": 4321, "addressType": 4 }));
    }

    #[test]
    fn a_descriptor_stays_one() {
        let host = Some(IpAddr::from([127, 0, 0, 1]));
        let query: Query = serde_json::from_value(json!({ "fd": 5, "index": 0 })).unwrap();
        assert_eq!((query.clone().with_host(host).fd, query.with_host(host).port), (Some(5), None));
        let listens = ListeningAddress { fd: Some(5), ..address(json!(null), json!(4321), json!(null)) };
        assert_eq!(listens.with_host(host).fd, Some(5));
    }

    fn address(address: Value, port: Value, address_type: Value) -> ListeningAddress {
        ListeningAddress { address, port, address_type, fd: None }
    }
}
