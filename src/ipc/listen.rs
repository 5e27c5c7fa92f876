//! Where a worker wants to listen: what Node's protocol says of addresses.

use serde::Deserialize;
use serde_json::Value;

use super::text::Text;

/// What `queryServer` asks for; the names are Node's.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    /// Which of several `listen` calls for the same address in one worker.
    #[serde(default)]
    pub index: u32,
    /// An address, a path, or nothing for "any".
    #[serde(default, deserialize_with = "optional")]
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

fn optional<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Text>::deserialize(deserializer)?.map(|Text(text)| text))
}
