//! The whole protocol between master and worker on one page.
//!
//! Everything that travels is one JSON text per line on the worker's `NODE_CHANNEL_FD`. Messages whose `cmd` begins with
//! `NODE_` belong to Node and to us and never reach the application; every other line is the application's and passes
//! unread. Node's part was compared in its own sources from Node 18 to 26 and did not change; ours rides beside it as
//! `NODE_CLUSTER2`, which Node hands to listeners of `internalMessage` and otherwise ignores.
//!
//! `docs/protocol.md` shows one exchange per message.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::listen::Query;
use super::text::{self, Text};
use crate::event::ListeningAddress;
use crate::ids::SlotIndex;
use crate::reasons::RecycleReason;

/// What every internal `cmd` begins with.
pub(super) const INTERNAL: &str = "NODE_";

/// The longest message of Node's own that is read. They have some hundred bytes, and the values in them take many times as
/// much memory as their text.
const LONGEST_OF_NODE: usize = 1024 * 1024;

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
        data: ServerData,
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
    /// The application sent a message with a handle; the descriptor comes beside it.
    AppHandle {
        /// Node's name for the kind of handle, for example `net.Socket`; `udp4` or `udp6` for datagram sockets.
        kind: String,
        /// Of which server of the worker the connection is one, where it must know when that is closed.
        key: Option<String>,
        /// The application's message, as JSON text.
        text: String,
    },
    /// The worker has more connections than others and gives this one back unread; the descriptor comes beside it.
    Excess {
        /// To be echoed in [`ToWorker::Excess`].
        seq: u64,
    },
    /// Our own JavaScript in the worker speaks.
    Agent(FromAgent),
    /// Our own JavaScript said something that is not understood.
    Malformed {
        /// What is wrong with it.
        problem: String,
    },
    /// Internal, but nothing we know: a later Node's, ignored.
    Unknown,
}

/// The first worker's server data, as JSON text that nobody here reads.
#[derive(Clone, Debug)]
pub struct ServerData(Box<RawValue>);

impl Default for ServerData {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

/// What `lib/worker/` tells the master.
#[derive(Debug)]
pub enum FromAgent {
    /// Our package is loaded; the script may yet use it.
    Loaded,
    /// The script has made a `Cluster`: the worker is ready when what that hands over listens, and not when any server does.
    Announces,
    /// The worker takes our orders.
    Hello {
        /// The script has called `listen` of our package. Else it knows nothing of us, and its first server makes it ready.
        hands_over: bool,
    },
    /// One application listens on all of its ports.
    Listening {
        /// It was the last one: the worker is in service.
        ready: bool,
    },
    /// There is no application to listen for: the worker is in service as it is.
    Ready,
    /// The worker waits for nothing but clients.
    Quiet,
    /// The worker got SIGINT or SIGTERM and waits for the order to drain.
    Leaving,
    /// The worker asks to be replaced.
    Recycle {
        /// Why.
        why: RecycleReason,
    },
    /// The text of an error that is about to end the worker, or that made it ask for a successor.
    Fatal {
        /// First line of the error.
        text: String,
    },
    /// The worker has lately accepted more than others and leaves its neighbours' queues alone, or does so no more.
    Ahead {
        /// Which of the two.
        is_ahead: bool,
    },
    /// The answer to [`ToWorker::Unwatch`].
    Unwatched {
        /// The loan.
        key: String,
        /// The slot whose queue is left alone.
        slot: SlotIndex,
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
        reason: Option<String>,
    },
    /// Something about components, between `lib/components/status.js` and `lib/components/hub.js`.
    Component {
        /// Theirs alone, as JSON text.
        fact: String,
    },
    /// What the application should be told in the master too.
    Warning {
        /// The sentence.
        message: String,
    },
}

/// Reads a line that belongs to Node or to us, by Node's own rule: its `cmd` begins with `NODE_` and goes on. `None`: the
/// line is the application's.
///
/// Most lines are the application's, and a substring search lets those pass without being parsed. Of the others only the
/// envelope is read; what the application put inside is carried as it is, whatever strings or depth it has.
#[must_use]
pub fn parse(line: &[u8]) -> Option<ToMaster> {
    memmem::find(line, INTERNAL.as_bytes())?;
    let envelope: Envelope<'_> = serde_json::from_slice(line).ok()?;
    let cmd: Cow<'_, str> = serde_json::from_str(envelope.cmd?.get()).ok()?;
    cmd.strip_prefix(INTERNAL).filter(|rest| !rest.is_empty())?;
    Some(match &*cmd {
        "NODE_CLUSTER" => from_node(&envelope, line).unwrap_or(ToMaster::Unknown),
        "NODE_CLUSTER2" => {
            from_agent(&envelope, line).unwrap_or_else(|problem| ToMaster::Malformed { problem })
        }
        "NODE_HANDLE_ACK" => ToMaster::HandleAck,
        "NODE_HANDLE_NACK" => ToMaster::HandleNack,
        "NODE_HANDLE" => handle(&envelope),
        // Of connections that JavaScript has received: it alone knows of them.
        socket if socket.starts_with("NODE_SOCKET_") => return None,
        _ => ToMaster::Unknown,
    })
}

/// What decides how the rest of a message is read.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    cmd: Option<&'a RawValue>,
    #[serde(borrow)]
    act: Option<&'a RawValue>,
    #[serde(borrow)]
    msg: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "dgramType")]
    datagram_kind: Option<&'a RawValue>,
    #[serde(borrow)]
    ack: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
}

impl Envelope<'_> {
    fn act(&self) -> Option<String> {
        string(self.act)
    }
}

fn string(json: Option<&RawValue>) -> Option<String> {
    serde_json::from_str::<Text>(json?.get()).ok().map(|Text(text)| text)
}

/// Reads the fields of a message that its `act` calls for.
fn fields<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

fn from_node(envelope: &Envelope<'_>, line: &[u8]) -> Option<ToMaster> {
    #[derive(Deserialize)]
    struct Seq {
        seq: u64,
        data: Option<Box<RawValue>>,
    }
    #[derive(Deserialize)]
    struct Answer {
        ack: u64,
        #[serde(default)]
        accepted: bool,
    }
    #[derive(Deserialize)]
    struct Key {
        key: String,
    }
    if line.len() > LONGEST_OF_NODE {
        return None;
    }
    if envelope.ack.is_some() {
        let Answer { ack, accepted } = fields(line).ok()?;
        return Some(ToMaster::Accepted { ack, accepted });
    }
    Some(match envelope.act()?.as_str() {
        "online" => ToMaster::Online,
        "queryServer" => {
            let Seq { seq, data, .. } = fields(line).ok()?;
            let data = data.map(ServerData).unwrap_or_default();
            ToMaster::QueryServer { seq, query: Box::new(fields(line).ok()?), data }
        }
        "listening" => ToMaster::Listening(Box::new(fields(line).ok()?)),
        "close" => {
            let Key { key } = fields(line).ok()?;
            ToMaster::Close { key }
        }
        "exitedAfterDisconnect" => {
            let Seq { seq, .. } = fields(line).ok()?;
            ToMaster::ExitedAfterDisconnect { seq }
        }
        _ => return None,
    })
}

fn from_agent(envelope: &Envelope<'_>, line: &[u8]) -> Result<ToMaster, String> {
    #[derive(Deserialize)]
    struct Listening {
        #[serde(default)]
        ready: bool,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Ahead {
        is_ahead: bool,
    }
    #[derive(Deserialize)]
    struct Unwatched {
        key: String,
        slot: u16,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Hello {
        #[serde(default = "yes")]
        hands_over: bool,
    }
    #[derive(Deserialize)]
    struct Recycle {
        why: RecycleReason,
    }
    #[derive(Deserialize)]
    struct Rotate {
        seq: u64,
        disabled: bool,
        #[serde(deserialize_with = "text::lossy")]
        by: String,
        #[serde(default)]
        reason: Option<Text>,
    }
    #[derive(Deserialize)]
    struct Component {
        fact: Box<RawValue>,
    }
    #[derive(Deserialize)]
    struct Sentence {
        #[serde(alias = "message", deserialize_with = "text::lossy")]
        text: String,
    }
    let act = envelope.act().ok_or("a message without an act")?;
    Ok(ToMaster::Agent(match act.as_str() {
        "loaded" => FromAgent::Loaded,
        "announces" => FromAgent::Announces,
        "hello" => {
            let Hello { hands_over } = fields(line)?;
            FromAgent::Hello { hands_over }
        }
        "listening" => {
            let Listening { ready } = fields(line)?;
            FromAgent::Listening { ready }
        }
        "ready" => FromAgent::Ready,
        "quiet" => FromAgent::Quiet,
        "leaving" => FromAgent::Leaving,
        "recycle" => {
            let Recycle { why } = fields(line)?;
            FromAgent::Recycle { why }
        }
        "fatal" => {
            let Sentence { text } = fields(line)?;
            FromAgent::Fatal { text }
        }
        "ahead" => {
            let Ahead { is_ahead } = fields(line)?;
            FromAgent::Ahead { is_ahead }
        }
        "unwatched" => {
            let Unwatched { key, slot } = fields(line)?;
            FromAgent::Unwatched { key, slot: SlotIndex(slot) }
        }
        "turned" => FromAgent::Turned,
        "rotate" => {
            let Rotate { seq, disabled, by, reason } = fields(line)?;
            FromAgent::Rotate { seq, disabled, by, reason: reason.map(|Text(reason)| reason) }
        }
        "component" => {
            let Component { fact } = fields(line)?;
            FromAgent::Component { fact: fact.get().to_owned() }
        }
        "warning" => {
            let Sentence { text } = fields(line)?;
            FromAgent::Warning { message: text }
        }
        unknown => return Err(format!("there is no act '{unknown}'")),
    }))
}

fn yes() -> bool {
    true
}

/// A message with a handle: ours, if it gives a connection back, else the application's.
fn handle(envelope: &Envelope<'_>) -> ToMaster {
    let text = envelope.msg.map_or("null", RawValue::get);
    if let Some(excess) = parse_excess(text) {
        return excess;
    }
    let kind = string(envelope.datagram_kind).or_else(|| string(envelope.kind)).unwrap_or_default();
    ToMaster::AppHandle { kind, key: string(envelope.key), text: text.to_owned() }
}

fn parse_excess(text: &str) -> Option<ToMaster> {
    #[derive(Deserialize)]
    struct Seq {
        seq: u64,
    }
    memmem::find(text.as_bytes(), b"NODE_CLUSTER2")?;
    let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
    let is_ours = string(envelope.cmd)? == "NODE_CLUSTER2" && envelope.act()? == "excess";
    let Seq { seq } = fields(text.as_bytes()).ok()?;
    is_ours.then_some(ToMaster::Excess { seq })
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
        data: ServerData,
    },
    /// The answer to `queryServer` where connections are handed over: no socket comes with it.
    LendNothing {
        /// The `seq` of the query.
        ack: u64,
        /// Names the loan; unique per worker and query.
        key: String,
        /// The first worker's server data.
        data: ServerData,
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
        data: ServerData,
    },
    /// A connection for the server that listens under `key`: the socket comes with it.
    NewConnection {
        /// Names this hand-over; echoed as `ack`.
        seq: u64,
        /// The loan of the listening socket.
        key: String,
    },
    /// Accept from this socket of another slot too, for the server that listens under `key`: it comes with the message; ours.
    Watch {
        /// The loan of the worker's own listening socket.
        key: String,
        /// Whose socket it is.
        slot: SlotIndex,
        /// The length of the queue.
        backlog: u32,
    },
    /// Accept no more from the socket of another slot; ours.
    Unwatch {
        /// The loan of the worker's own listening socket.
        key: String,
        /// Whose socket it is.
        slot: SlotIndex,
    },
    /// A bare nod.
    Ack {
        /// The `seq` of what is acknowledged.
        ack: u64,
    },
    /// Please disconnect: `worker.disconnect()` in the master.
    Disconnect,
    /// What came of a connection that the worker gave back; ours.
    Excess {
        /// The `seq` of what is answered.
        ack: u64,
        /// It arrived; otherwise the worker serves it itself.
        is_taken: bool,
    },
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
            Self::Lend { ack, key, data } => with_handle(&answer(*ack, 0, Some(key), data, &Value::Null)),
            Self::LendNothing { ack, key, data, name } => answer(*ack, 0, Some(key), data, name),
            Self::Refuse { ack, errno, data } => answer(*ack, *errno, None, data, &Value::Null),
            Self::NewConnection { seq, key } => with_handle(
                &json!({ "cmd": "NODE_CLUSTER", "act": "newconn", "key": key, "seq": seq }).to_string(),
            ),
            Self::Watch { key, slot, backlog } => {
                with_handle(&ours(json!({ "act": "watch", "key": key, "slot": slot.0, "backlog": backlog })))
            }
            Self::Unwatch { key, slot } => ours(json!({ "act": "unwatch", "key": key, "slot": slot.0 })),
            Self::Ack { ack } => json!({ "cmd": "NODE_CLUSTER", "ack": ack }).to_string(),
            Self::Disconnect => json!({ "cmd": "NODE_CLUSTER", "act": "disconnect" }).to_string(),
            Self::HandleAck => json!({ "cmd": "NODE_HANDLE_ACK" }).to_string(),
            Self::HandleNack => json!({ "cmd": "NODE_HANDLE_NACK" }).to_string(),
            Self::Excess { ack, is_taken } => {
                ours(json!({ "act": "excess", "ack": ack, "isTaken": is_taken }))
            }
            Self::Turn => ours(json!({ "act": "turn" })),
            Self::Drain { why } => ours(json!({ "act": "drain", "why": why })),
            Self::End => ours(json!({ "act": "end" })),
            Self::Rotated { ack } => ours(json!({ "act": "rotated", "ack": ack })),
            Self::OutOfRotation { is_out } => ours(json!({ "act": "rotation", "isOut": is_out })),
        }
    }
}

/// The answer to `queryServer`.
fn answer(ack: u64, errno: i32, key: Option<&str>, data: &ServerData, name: &Value) -> String {
    // Node takes the mere presence of a name for that of a TCP server.
    let name = if name.is_null() { String::new() } else { format!(r#","sockname":{name}"#) };
    let (key, data) = (json!(key), data.0.get());
    format!(r#"{{"cmd":"NODE_CLUSTER","ack":{ack},"errno":{errno},"key":{key},"data":{data}{name}}}"#)
}

/// Wraps a message that brings a listening socket, a connection or a datagram socket.
fn with_handle(message: &str) -> String {
    format!(r#"{{"cmd":"NODE_HANDLE","type":"net.Native","msg":{message}}}"#)
}

fn ours(mut message: Value) -> String {
    if let Some(fields) = message.as_object_mut() {
        fields.insert("cmd".into(), "NODE_CLUSTER2".into());
    }
    message.to_string()
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
            r#"{"cmd":7,"text":"NODE_"}"#,
            r#"{"cmd":"NODE_SOCKET_NOTIFY_CLOSE","key":"6::::0"}"#,
            "[1,2]",
            "null",
        ] {
            assert!(parse(line.as_bytes()).is_none(), "{line}");
        }
    }

    #[test]
    fn a_query_keeps_what_node_asked_for() {
        let line = r#"{"cmd":"NODE_CLUSTER","address":null,"port":3000,"addressType":4,"flags":0,"index":0,
            "data":{"\ud800":1},"act":"queryServer","backlog":false,"seq":2}"#;
        let Some(ToMaster::QueryServer { seq, query, data }) = parse(line.as_bytes()) else {
            panic!("not a query")
        };
        assert_eq!((seq, query.port, query.address), (2, Some(3000), None));
        assert_eq!(data.0.get(), r#"{"\ud800":1}"#);
        assert_eq!(query.address_type, json!(4));
    }

    #[test]
    fn the_agents_words_are_known_and_others_are_an_error() {
        let recycle = parse(br#"{"cmd":"NODE_CLUSTER2","act":"recycle","why":"uptime"}"#);
        let is_uptime = |why| why == RecycleReason::Uptime;
        assert!(matches!(recycle, Some(ToMaster::Agent(FromAgent::Recycle { why })) if is_uptime(why)));
        let unknown = parse(br#"{"cmd":"NODE_CLUSTER2","act":"recycle","why":"boredom"}"#);
        assert!(matches!(unknown, Some(ToMaster::Malformed { problem }) if problem.contains("boredom")));
        assert!(matches!(
            parse(br#"{"cmd":"NODE_CLUSTER2","act":"sing"}"#),
            Some(ToMaster::Malformed { .. })
        ));
        assert!(matches!(parse(br#"{"cmd":"NODE_CLUSTER","act":"dance","seq":1}"#), Some(ToMaster::Unknown)));
        assert!(matches!(parse(br#"{"cmd":"NODE_HANDLE_ACK"}"#), Some(ToMaster::HandleAck)));
    }

    #[test]
    fn a_message_of_node_that_is_longer_than_any_is_not_read() {
        for (brackets, is_read) in [(10, true), (LONGEST_OF_NODE, false)] {
            let list = vec!["[]"; brackets].join(",");
            let line = format!(r#"{{"cmd":"NODE_CLUSTER","act":"listening","address":[{list}]}}"#);
            let read = parse(line.as_bytes());
            assert_eq!(matches!(read, Some(ToMaster::Listening(_))), is_read, "{brackets}");
            assert!(is_read || matches!(read, Some(ToMaster::Unknown)));
        }
    }

    #[test]
    fn text_that_is_no_unicode_is_read_with_marks_in_its_place() {
        let line =
            br#"{"cmd":"NODE_CLUSTER2","act":"rotate","seq":1,"disabled":true,"by":"me","reason":"x\ud800"}"#;
        let Some(ToMaster::Agent(FromAgent::Rotate { reason: Some(reason), .. })) = parse(line) else {
            panic!("not understood")
        };
        assert!(reason.starts_with("x\u{FFFD}"), "{reason}");
    }

    #[test]
    fn an_applications_handle_keeps_its_message_to_the_letter() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        for message in [r#"{"b":1,"a":[ 2 ]}"#, r#"{"t":"\ud800"}"#, r#""NODE_CLUSTER2""#, &deep] {
            let line = format!(r#"{{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{message}}}"#);
            let Some(ToMaster::AppHandle { kind, text, .. }) = parse(line.as_bytes()) else {
                panic!("not a handle")
            };
            assert_eq!((kind.as_str(), text.as_str()), ("net.Socket", message));
        }
        let line =
            br#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER2","act":"excess","seq":3}}"#;
        assert!(matches!(parse(line), Some(ToMaster::Excess { seq: 3 })));
        let line = br#"{"cmd":"NODE_HANDLE","type":"dgram.Socket","dgramType":"udp6","msg":1}"#;
        assert!(matches!(parse(line), Some(ToMaster::AppHandle { kind, .. }) if kind == "udp6"));
    }

    #[test]
    fn a_loan_says_errno_0_because_null_would_be_taken_for_an_error() {
        let line = ToWorker::Lend { ack: 2, key: "k".into(), data: ServerData::default() }.to_line();
        assert_eq!(
            line,
            r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","ack":2,"errno":0,"key":"k","data":null}}"#
        );
    }
}
