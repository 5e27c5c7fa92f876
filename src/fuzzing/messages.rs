//! Messages of the protocol: as lines of JSON and as V8 writes them, and the answers that repeat a part of them.
//!
//! The first byte says which of the two the rest is.

use serde_json::{Map, Value, json};

use super::input::Input;
use crate::ids::SlotIndex;
use crate::ipc::message::{FromAgent, ToMaster, ToWorker};
use crate::ipc::serialization::Serialization;
use crate::ipc::v8;

/// The largest whole number that both ways of writing hold.
const EXACT: u64 = 9_007_199_254_740_991;

/// A message is ours only if it says so, is the same in both ways of writing, and what is answered is one whole message.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let is_json = input.byte() & 1 == 0;
    let message = input.rest();
    if is_json { line(message) } else { values(message) }
}

fn line(line: &[u8]) {
    if line.contains(&b'\n') {
        return;
    }
    let known: Option<Value> = serde_json::from_slice(line).ok();
    let read = Serialization::Json.parse(line);
    if let (Some(read), Some(known)) = (&read, &known) {
        let cmd = known.get("cmd").and_then(Value::as_str).unwrap_or_default();
        assert!(cmd.len() > 5 && cmd.starts_with("NODE_"), "{cmd} is not ours: {read:?}");
    }
    if let Some(read) = read {
        answers(read, Serialization::Json);
    }
    if let Some(Value::Object(known)) = known {
        in_both_ways(known);
    }
}

fn values(message: &[u8]) {
    let Some(read) = v8::read_fields(message) else {
        assert!(Serialization::Advanced.parse(message).is_none());
        return;
    };
    assert!(read.values().map(count).sum::<usize>() + read.len() <= v8::MOST_VALUES);
    if let Some(read) = Serialization::Advanced.parse(message) {
        answers(read, Serialization::Advanced);
    }
    in_both_ways(read);
}

/// How many values lie in a value.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.len() + values.iter().map(count).sum::<usize>(),
        Value::Object(fields) => fields.len() + fields.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// What is written in V8's way and read again is as before, and means the same as in JSON.
fn in_both_ways(fields: Map<String, Value>) {
    let object = Value::Object(fields);
    if !is_exact(&object, 60) || count(&object) > v8::MOST_VALUES / 2 {
        return;
    }
    let written = v8::write(&object);
    let fields = Value::Object(v8::read_fields(&written).unwrap());
    assert_eq!(fields, in_javascript(object));
    let (one, other) =
        (Serialization::Json.parse(fields.to_string().as_bytes()), Serialization::Advanced.parse(&written));
    match (one, other) {
        // Of a message with a handle the whole is passed on, and not only what the application put in.
        (Some(ToMaster::AppHandle { kind, key, .. }), Some(ToMaster::AppHandle { kind: k, key: y, .. })) => {
            assert_eq!((kind, key), (k, y));
        }
        (one, other) => assert_eq!(format!("{one:?}"), format!("{other:?}")),
    }
}

/// A whole number has no point there.
fn in_javascript(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(in_javascript).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, in_javascript(value))).collect()
        }
        Value::Number(number) => match number.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "whole, and within the range")]
            Some(float) if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_991.0 => {
                json!(float as i64)
            }
            _ => Value::Number(number),
        },
        other => other,
    }
}

/// Whether both ways hold it: not too deep, and without numbers that JavaScript does not have.
fn is_exact(value: &Value, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => {
            number.as_f64().is_some_and(f64::is_finite)
                && number.as_i64().is_none_or(|number| number.unsigned_abs() <= EXACT)
                && number.as_u64().is_none_or(|number| number <= EXACT)
        }
        Value::Array(values) => values.iter().all(|value| is_exact(value, depth)),
        Value::Object(fields) => fields.values().all(|value| is_exact(value, depth)),
    }
}

/// Answers with everything that can be repeated.
fn answers(message: ToMaster, serialization: Serialization) {
    let all = match message {
        ToMaster::QueryServer { seq: ack, query, data } => {
            let key = format!("{:?}", query.address);
            vec![
                ToWorker::Lend { ack, key: key.clone(), data: data.clone() },
                ToWorker::LendNothing { ack, key, data: data.clone(), name: query.address_type },
                ToWorker::Refuse { ack, errno: -98, data },
            ]
        }
        ToMaster::Close { key } => vec![
            ToWorker::NewConnection { seq: 1, key: key.clone() },
            ToWorker::Watch { key: key.clone(), slot: SlotIndex(3), backlog: 511 },
            ToWorker::Unwatch { key, slot: SlotIndex(3) },
        ],
        ToMaster::ExitedAfterDisconnect { seq: ack } => vec![ToWorker::Ack { ack }],
        ToMaster::Excess { seq: ack } => vec![ToWorker::Excess { ack, is_taken: true }],
        ToMaster::Agent(FromAgent::Rotate { seq: ack, .. }) => vec![ToWorker::Rotated { ack }],
        ToMaster::Agent(FromAgent::Component { fact }) => {
            assert!(serde_json::from_str::<&serde_json::value::RawValue>(&fact).is_ok(), "{fact}");
            vec![]
        }
        _ => vec![],
    };
    for answer in all {
        let text = answer.to_line();
        assert!(!text.contains('\n'), "{text}");
        let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        assert!(is_json, "{text}");
        let sent = serialization.protocol(text);
        match serialization {
            Serialization::Json => assert_eq!(memchr::memchr(b'\n', &sent), sent.len().checked_sub(1)),
            Serialization::Advanced => {
                let (length, message) = sent.split_first_chunk::<4>().unwrap();
                assert_eq!(u32::from_be_bytes(*length) as usize, message.len());
                assert!(v8::read_fields(message).is_some_and(|fields| !fields.is_empty()));
            }
        }
    }
}
