//! The whole protocol between master and worker on one page.
//!
//! Everything that travels is one JSON text per line on the worker's `NODE_CHANNEL_FD`. Messages whose `cmd` begins with
//! `NODE_` belong to Node and to us and never reach the application; every other line is the application's and passes
//! unread. Node's part was compared in its own sources from Node 18 to 26 and did not change; ours rides beside it as
//! `NODE_CLUSTER2`, which Node hands to listeners of `internalMessage` and otherwise ignores.
//!
//! `docs/protocol.md` shows one exchange per message.

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::listen::{ListeningAddress, Query};

/// What every internal `cmd` begins with.
const INTERNAL: &str = "NODE_";

/// What a worker says to the master.
#[derive(Debug)]
pub enum ToMaster {
    /// Node's bootstrap is done; the script is about to run.
    Online,
    /// The worker wants to listen and asks for the socket.
    QueryServer {
        /// To be echoed in the answer.
        seq: u64,
        /// What it wants to listen on.
        query: Box<Query>,
        /// Opaque server data (TLS ticket keys); the first worker's is echoed to all.
        data: Value,
    },
    /// A server of the worker listens; the address as Node reports it.
    Listening(Box<ListeningAddress>),
    /// The worker closed the socket that it was lent under this key.
    Close {
        /// The key of the loan.
        key: String,
    },
    /// `cluster.worker.disconnect()` or `kill()`: the worker leaves on purpose and waits for our nod.
    ExitedAfterDisconnect {
        /// To be echoed in the answer.
        seq: u64,
    },
    /// The answer to a connection that was handed over.
    Accepted {
        /// The `seq` of our `newconn`.
        ack: u64,
        /// `false`: the server has closed or is full; somebody else should take it.
        accepted: bool,
    },
    /// A descriptor arrived.
    HandleAck,
    /// A message that should have brought a descriptor came without one.
    HandleNack,
    /// The application sent a message with a handle; the descriptor came beside it.
    AppHandle {
        /// Node's name for the kind of handle, for example `net.Socket`; `udp4` or `udp6` for datagram sockets.
        kind: String,
        /// The application's message, as JSON text.
        text: String,
    },
    /// The worker has more connections than others and gives this one back unread; the descriptor came beside it.
    Excess,
    /// Our own agent in the worker speaks.
    Agent(FromAgent),
    /// Internal, but nothing we know: a later Node's, ignored.
    Unknown,
}

/// What `lib/worker/worker.js` tells the master.
#[derive(Debug, Deserialize)]
#[serde(tag = "act", rename_all = "camelCase")]
pub enum FromAgent {
    /// The script uses our library: wait for its last [`FromAgent::Listening`] rather than for the first server that listens.
    Hello,
    /// One application listens on all of its ports.
    Listening {
        /// It was the last one: the worker is in service.
        #[serde(default)]
        ready: bool,
    },
    /// There is no application to listen for: the worker is in service as it is.
    Ready,
    /// Nothing but clients is waited for in it.
    Quiet,
    /// The worker got SIGINT or SIGTERM and waits for the order to drain.
    Leaving {
        /// The signal's name.
        signal: String,
    },
    /// The worker asks to be replaced.
    Recycle {
        /// `connections`, `requests`, `uptime`, `memory`, `exception` or `asked`.
        why: String,
    },
    /// The text of an error that is about to end the worker, or that made it ask for a successor.
    Fatal {
        /// First line of the error.
        text: String,
    },
    /// The answer to [`ToWorker::Turn`].
    Turned,
    /// The cluster is to be taken out of rotation or put back; answered by [`ToWorker::Rotated`].
    Rotate {
        /// To be echoed in the answer.
        seq: u64,
        /// Out, or back.
        disabled: bool,
        /// Who wants it, for people.
        by: String,
        /// Why, if it was said.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Something about components, between `lib/components/status.js` and `lib/components/hub.js`.
    Component {
        /// Theirs alone.
        fact: Value,
    },
    /// What the application should be told in the master too.
    Warning {
        /// The sentence.
        message: String,
    },
}

/// Whether a line belongs to Node or to us, judged by Node's own rule: a `cmd` that begins with `NODE_` and goes on.
///
/// Most lines are the application's, and a substring search lets those pass without being parsed.
#[must_use]
pub fn parse(line: &[u8]) -> Option<ToMaster> {
    memmem::find(line, INTERNAL.as_bytes())?;
    let envelope: Envelope = serde_json::from_slice(line).ok()?;
    let cmd = envelope
        .cmd
        .as_str()
        .filter(|cmd| cmd.strip_prefix(INTERNAL).is_some_and(|rest| !rest.is_empty()))?;
    Some(match cmd {
        "NODE_CLUSTER" => envelope.clustering().unwrap_or(ToMaster::Unknown),
        "NODE_CLUSTER2" => serde_json::from_slice(line).map_or(ToMaster::Unknown, ToMaster::Agent),
        "NODE_HANDLE_ACK" => ToMaster::HandleAck,
        "NODE_HANDLE_NACK" => ToMaster::HandleNack,
        "NODE_HANDLE" => serde_json::from_slice(line).map_or(ToMaster::Unknown, AppHandle::into_message),
        _ => ToMaster::Unknown,
    })
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    cmd: Value,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Envelope {
    fn clustering(mut self) -> Option<ToMaster> {
        if let Some(ack) = self.number("ack") {
            let accepted = self.rest.get("accepted").and_then(Value::as_bool).unwrap_or(false);
            return Some(ToMaster::Accepted { ack, accepted });
        }
        Some(match self.rest.get("act")?.as_str()? {
            "online" => ToMaster::Online,
            "queryServer" => ToMaster::QueryServer {
                seq: self.number("seq")?,
                data: self.rest.remove("data").unwrap_or(Value::Null),
                query: Box::new(self.body()?),
            },
            "listening" => ToMaster::Listening(Box::new(self.body()?)),
            "close" => ToMaster::Close { key: self.rest.get("key")?.as_str()?.to_owned() },
            "exitedAfterDisconnect" => ToMaster::ExitedAfterDisconnect { seq: self.number("seq")? },
            _ => return None,
        })
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.rest.get(name)?.as_u64()
    }

    fn body<T: for<'de> Deserialize<'de>>(self) -> Option<T> {
        T::deserialize(Value::Object(self.rest)).ok()
    }
}

#[derive(Deserialize)]
struct AppHandle {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "dgramType")]
    datagram_kind: Option<String>,
    msg: Box<RawValue>,
}

impl AppHandle {
    fn into_message(self) -> ToMaster {
        if self.is_excess() {
            return ToMaster::Excess;
        }
        ToMaster::AppHandle { kind: self.datagram_kind.unwrap_or(self.kind), text: self.msg.get().to_owned() }
    }
}

impl AppHandle {
    /// Whether it is ours and not the application's.
    fn is_excess(&self) -> bool {
        #[derive(Deserialize)]
        struct Ours {
            cmd: String,
            act: String,
        }
        memmem::find(self.msg.get().as_bytes(), b"NODE_CLUSTER2").is_some()
            && serde_json::from_str(self.msg.get())
                .is_ok_and(|Ours { cmd, act }| cmd == "NODE_CLUSTER2" && act == "excess")
    }
}

/// What the master says to a worker. Those that lend or hand over a socket travel with its descriptor.
#[derive(Clone, Debug)]
pub enum ToWorker {
    /// The answer to `queryServer`: the socket comes with it.
    Lend {
        /// The `seq` of the query.
        ack: u64,
        /// Names the loan; unique per worker and query.
        key: String,
        /// The first worker's server data.
        data: Value,
    },
    /// The answer to `queryServer` where connections are handed over: no socket comes with it.
    LendNothing {
        /// The `seq` of the query.
        ack: u64,
        /// Names the loan; unique per worker and query.
        key: String,
        /// The first worker's server data.
        data: Value,
        /// What `server.address()` gives, `{address, family, port}`; null for a path.
        name: Value,
    },
    /// The answer to `queryServer` that failed, with libuv's negative error number.
    Refuse {
        /// The `seq` of the query.
        ack: u64,
        /// For example -98.
        errno: i32,
        /// The first worker's server data.
        data: Value,
    },
    /// A connection for the server that listens under `key`: the socket comes with it.
    NewConnection {
        /// Names this hand-over; echoed as `ack`.
        seq: u64,
        /// The loan of the listening socket.
        key: String,
    },
    /// A bare nod.
    Ack {
        /// The `seq` of what is acknowledged.
        ack: u64,
    },
    /// Please disconnect: `worker.disconnect()` in the master.
    Disconnect,
    /// The application's handle has arrived.
    HandleAck,
    /// The application's message came without its handle: please send it again.
    HandleNack,
    /// Show that your loop turns: you may be given connections; ours.
    Turn,
    /// Finish what is under way and go; ours.
    Drain {
        /// Why, in one word, for the log and for events.
        why: &'static str,
    },
    /// The deadline has come: say what is left, then go at once; ours.
    End,
    /// The answer to `Rotate`: every worker's next answer goes by it; ours.
    Rotated {
        /// The `seq` of what is answered.
        ack: u64,
    },
    /// What the header of the scoreboard would say, for workers that have none; ours.
    OutOfRotation {
        /// The answer is DISABLED.
        is_out: bool,
    },
}

impl ToWorker {
    /// The line that goes on the wire, without its newline.
    #[must_use]
    pub fn to_line(&self) -> String {
        match self {
            Self::Lend { ack, key, data } => native_handle(&json!({
                "cmd": "NODE_CLUSTER", "ack": ack, "errno": 0, "key": key, "data": data,
            })),
            Self::LendNothing { ack, key, data, name } => {
                let mut message =
                    json!({ "cmd": "NODE_CLUSTER", "ack": ack, "errno": 0, "key": key, "data": data });
                // Node takes the mere presence of a name for that of a TCP server.
                if let (false, Some(fields)) = (name.is_null(), message.as_object_mut()) {
                    fields.insert("sockname".into(), name.clone());
                }
                message.to_string()
            }
            Self::NewConnection { seq, key } => native_handle(&json!({
                "cmd": "NODE_CLUSTER", "act": "newconn", "key": key, "seq": seq,
            })),
            Self::Refuse { ack, errno, data } => {
                json!({ "cmd": "NODE_CLUSTER", "ack": ack, "errno": errno, "key": null, "data": data })
                    .to_string()
            }
            Self::Ack { ack } => json!({ "cmd": "NODE_CLUSTER", "ack": ack }).to_string(),
            Self::Disconnect => json!({ "cmd": "NODE_CLUSTER", "act": "disconnect" }).to_string(),
            Self::HandleAck => json!({ "cmd": "NODE_HANDLE_ACK" }).to_string(),
            Self::HandleNack => json!({ "cmd": "NODE_HANDLE_NACK" }).to_string(),
            Self::Turn => json!({ "cmd": "NODE_CLUSTER2", "act": "turn" }).to_string(),
            Self::Drain { why } => json!({ "cmd": "NODE_CLUSTER2", "act": "drain", "why": why }).to_string(),
            Self::End => json!({ "cmd": "NODE_CLUSTER2", "act": "end" }).to_string(),
            Self::Rotated { ack } => {
                json!({ "cmd": "NODE_CLUSTER2", "act": "rotated", "ack": ack }).to_string()
            }
            Self::OutOfRotation { is_out } => {
                json!({ "cmd": "NODE_CLUSTER2", "act": "rotation", "isOut": is_out }).to_string()
            }
        }
    }
}

/// Wraps a message that brings a listening socket, a connection or a datagram socket.
fn native_handle(message: &Value) -> String {
    json!({ "cmd": "NODE_HANDLE", "type": "net.Native", "msg": message }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_applications_lines_pass_unread() {
        for line in [
            r#"{"type":"delegate"}"#,
            r#""NODE_ was said""#,
            r#"{"cmd":"other","text":"NODE_"}"#,
            r#"{"cmd":"NODE_"}"#,
            "[1,2]",
            "null",
        ] {
            assert!(parse(line.as_bytes()).is_none(), "{line}");
        }
    }

    #[test]
    fn a_query_keeps_what_node_asked_for() {
        let line = r#"{"cmd":"NODE_CLUSTER","address":null,"port":3000,"addressType":4,"flags":0,"index":0,
            "data":null,"act":"queryServer","backlog":false,"seq":2}"#;
        let Some(ToMaster::QueryServer { seq, query, data }) = parse(line.as_bytes()) else {
            panic!("not a query")
        };
        assert_eq!((seq, query.port, query.address, data), (2, Some(3000), None, Value::Null));
        assert_eq!(query.address_type, json!(4));
    }

    #[test]
    fn the_agents_words_are_known_and_others_are_ignored() {
        let recycle = parse(br#"{"cmd":"NODE_CLUSTER2","act":"recycle","why":"uptime"}"#);
        assert!(matches!(recycle, Some(ToMaster::Agent(FromAgent::Recycle { why })) if why == "uptime"));
        assert!(matches!(parse(br#"{"cmd":"NODE_CLUSTER2","act":"sing"}"#), Some(ToMaster::Unknown)));
        assert!(matches!(parse(br#"{"cmd":"NODE_CLUSTER","act":"dance","seq":1}"#), Some(ToMaster::Unknown)));
        assert!(matches!(parse(br#"{"cmd":"NODE_HANDLE_ACK"}"#), Some(ToMaster::HandleAck)));
    }

    #[test]
    fn an_applications_handle_keeps_its_message_to_the_letter() {
        let line = br#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{"b":1,"a":[ 2 ]}}"#;
        let Some(ToMaster::AppHandle { kind, text }) = parse(line) else { panic!("not a handle") };
        assert_eq!((kind.as_str(), text.as_str()), ("net.Socket", r#"{"b":1,"a":[ 2 ]}"#));
        let line =
            br#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER2","act":"excess"}}"#;
        assert!(matches!(parse(line), Some(ToMaster::Excess)));
        let line = br#"{"cmd":"NODE_HANDLE","type":"dgram.Socket","dgramType":"udp6","msg":1}"#;
        assert!(matches!(parse(line), Some(ToMaster::AppHandle { kind, .. }) if kind == "udp6"));
    }

    #[test]
    fn a_loan_says_errno_0_because_null_would_be_taken_for_an_error() {
        let line = ToWorker::Lend { ack: 2, key: "k".into(), data: Value::Null }.to_line();
        assert!(
            line.contains(r#""errno":0"#) && line.starts_with(r#"{"cmd":"NODE_HANDLE","type":"net.Native""#)
        );
    }
}
