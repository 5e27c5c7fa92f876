//! V8's serialization of plain values, in which Node speaks where a program wants `serialization: 'advanced'`.
//!
//! `serialization` is the only caller. Node's protocol consists of what JSON could say as well, so these are the only values
//! that are read and written here: of anything else the reader says that it can't read it. Checked with what Node 18 to 26
//! write, and with what they read.

use serde_json::{Map, Number, Value};

/// The version in the header that is written; every supported Node reads it.
const VERSION: u8 = 15;
/// What begins the header.
const HEADER: u8 = 0xff;
/// Values may lie so deep in each other.
const DEEPEST: u32 = 64;
/// So many values of one message are kept. A value takes one byte on the wire and 72 here, and an application's message may
/// have millions; the protocol's have some dozens.
pub(crate) const MOST_VALUES: usize = 10_000;

/// Writes a value.
pub(crate) fn write(value: &Value) -> Vec<u8> {
    let mut bytes = vec![HEADER, VERSION];
    write_value(value, &mut bytes);
    bytes
}

/// Reads the fields of an object, up to the first that holds what is not read here. `None`: it is no object. Of what comes
/// after [`MOST_VALUES`] values nothing is kept.
pub(crate) fn read_fields(bytes: &[u8]) -> Option<Map<String, Value>> {
    let mut reader = Reader { rest: bytes, room: MOST_VALUES };
    reader.skip_header()?;
    if reader.tag()? != b'o' {
        return None;
    }
    let mut fields = Map::new();
    while let Some(Some((name, value))) = reader.field(b'{', DEEPEST) {
        reader.insert(&mut fields, name, value);
    }
    Some(fields)
}

fn write_value(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(b'0'),
        Value::Bool(true) => bytes.push(b'T'),
        Value::Bool(false) => bytes.push(b'F'),
        Value::Number(number) => write_number(number, bytes),
        Value::String(text) => write_text(text, bytes),
        Value::Array(values) => {
            bytes.push(b'A');
            write_length(values.len(), bytes);
            for value in values {
                write_value(value, bytes);
            }
            bytes.extend([b'$', 0]);
            write_length(values.len(), bytes);
        }
        Value::Object(fields) => {
            bytes.push(b'o');
            for (name, value) in fields {
                write_text(name, bytes);
                write_value(value, bytes);
            }
            bytes.push(b'{');
            write_length(fields.len(), bytes);
        }
    }
}

fn write_number(number: &Number, bytes: &mut Vec<u8>) {
    if let Some(small) = number.as_i64().and_then(|number| i32::try_from(number).ok()) {
        bytes.push(b'I');
        let zigzag = (small << 1) ^ (small >> 31);
        write_varint(u64::from(zigzag.cast_unsigned()), bytes);
    } else {
        bytes.push(b'N');
        bytes.extend(number.as_f64().unwrap_or_default().to_le_bytes());
    }
}

fn write_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.push(b'S');
    write_length(text.len(), bytes);
    bytes.extend_from_slice(text.as_bytes());
}

fn write_length(length: usize, bytes: &mut Vec<u8>) {
    write_varint(u64::try_from(length).unwrap_or(u64::MAX), bytes);
}

fn write_varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or_default());
}

struct Reader<'a> {
    rest: &'a [u8],
    /// How many more values are kept.
    room: usize,
}

/// `None` in all of them: what comes can't be read here, and neither can what follows.
impl Reader<'_> {
    fn skip_header(&mut self) -> Option<()> {
        if self.byte()? != HEADER {
            return None;
        }
        self.varint().map(drop)
    }

    /// The next field of an object that ends with the tag `end`; `Some(None)` at its end.
    #[expect(clippy::option_option, reason = "the end of the object, and the end of what can be read")]
    fn field(&mut self, end: u8, depth: u32) -> Option<Option<(String, Option<Value>)>> {
        let tag = self.tag()?;
        if tag == end {
            self.varint()?;
            return Some(None);
        }
        let name = match self.value(tag, depth)?? {
            Value::String(name) => name,
            Value::Number(index) => index.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        let tag = self.tag()?;
        Some(Some((name, self.value(tag, depth)?)))
    }

    /// The value behind a tag; `Some(None)` is undefined.
    #[expect(clippy::option_option, reason = "undefined, and what can't be read")]
    fn value(&mut self, tag: u8, depth: u32) -> Option<Option<Value>> {
        let depth = depth.checked_sub(1)?;
        Some(match tag {
            b'_' | b'-' => None,
            b'0' => Some(Value::Null),
            b'T' => Some(Value::Bool(true)),
            b'F' => Some(Value::Bool(false)),
            b'I' => {
                let zigzag = u32::try_from(self.varint()?).ok()?;
                Some(((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()).into())
            }
            b'U' => Some(self.varint()?.into()),
            b'N' => Some(number(f64::from_le_bytes(*self.bytes(8)?.first_chunk()?))),
            b'"' => Some(self.sized()?.iter().copied().map(char::from).collect::<String>().into()),
            b'S' => Some(String::from_utf8_lossy(self.sized()?).into_owned().into()),
            b'c' => {
                let units = self.sized()?.chunks_exact(2).filter_map(|unit| unit.first_chunk());
                let units: Vec<u16> = units.map(|unit| u16::from_le_bytes(*unit)).collect();
                Some(String::from_utf16_lossy(&units).into())
            }
            b'o' => Some(self.object(b'{', depth)?.into()),
            b'A' => Some(self.array(depth)?),
            _ => return None,
        })
    }

    /// As `JSON.stringify`, which leaves out what is undefined.
    fn insert(&mut self, fields: &mut Map<String, Value>, name: String, value: Option<Value>) {
        if let Some(value) = value.filter(|_| self.has_room()) {
            fields.insert(name, value);
        }
    }

    /// Whether one more value is kept; it counts from then on.
    fn has_room(&mut self) -> bool {
        let room = self.room.checked_sub(1);
        self.room = room.unwrap_or_default();
        room.is_some()
    }

    fn object(&mut self, end: u8, depth: u32) -> Option<Map<String, Value>> {
        let mut fields = Map::new();
        while let Some((name, value)) = self.field(end, depth)? {
            self.insert(&mut fields, name, value);
        }
        Some(fields)
    }

    fn array(&mut self, depth: u32) -> Option<Value> {
        let length = self.varint()?;
        let mut values = Vec::new();
        for _ in 0..length {
            let tag = self.tag()?;
            let value = self.value(tag, depth)?.unwrap_or(Value::Null);
            if self.has_room() {
                values.push(value);
            }
        }
        // Fields of the array itself, which JSON leaves out; then their number, and once more the length.
        self.object(b'$', depth)?;
        self.varint()?;
        Some(values.into())
    }

    /// The next tag. Zeros may lie before it, so that what follows is aligned.
    fn tag(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
                0 => {}
                tag => return Some(tag),
            }
        }
    }

    fn sized(&mut self) -> Option<&[u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.bytes(length)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    fn bytes(&mut self, length: usize) -> Option<&[u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }
}

/// Whole numbers are read as such, since serde takes no other for a `seq`.
fn number(given: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_991.0;
    if given.fract() == 0.0 && given.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within the range")]
        return (given as i64).into();
    }
    Number::from_f64(given).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What `v8.serialize` of Node writes.
    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let value = json!({
            "text": "a \u{fc} \u{1f600}", "numbers": [0, -1, 63, 64, -65, 2_147_483_647, 4_294_967_296_i64, 0.5],
            "list": [null, true, false, { "deep": [] }], "": {},
        });
        assert_eq!(Value::Object(read_fields(&write(&value)).unwrap()), value);
    }

    #[test]
    fn what_node_writes_is_read() {
        // {cmd: 'NODE_CLUSTER', seq: 1, data: null, index: undefined, list: [1, 'ü', 'Ω'], big: 2 ** 40}
        let given = bytes(concat!(
            "ff0f6f2203636d64220c4e4f44455f434c555354455222037365714902220464617461302205696e6465785f",
            "22046c697374410349022201fc006302a90324000322036269674e00000000000070427b06",
        ));
        let value = Value::Object(read_fields(&given).unwrap());
        let wanted = json!({
            "cmd": "NODE_CLUSTER", "seq": 1, "data": null, "list": [1, "\u{fc}", "\u{3a9}"],
            "big": 1_099_511_627_776_i64,
        });
        assert_eq!(value, wanted);
    }

    #[test]
    fn fields_before_what_is_not_read_are_known() {
        // {cmd: 'a', when: new Date(0), later: 1}
        let given = bytes("ff0f6f2203636d6422016122047768656e44000000000000000022056c6174657249027b03");
        assert_eq!(Value::Object(read_fields(&given).unwrap()), json!({ "cmd": "a" }));
        assert_eq!(read_fields(&[]), None);
        assert_eq!(read_fields(&bytes("ff0f2201")), None);
    }

    #[test]
    fn a_message_of_millions_of_values_is_read_without_keeping_them() {
        fn count(value: &Value) -> usize {
            match value {
                Value::Array(values) => values.len() + values.iter().map(count).sum::<usize>(),
                Value::Object(fields) => fields.len() + fields.values().map(count).sum::<usize>(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
            }
        }
        let values = vec![json!([{ "a": 1 }]); MOST_VALUES];
        let given = write(&json!({ "cmd": "NODE_HANDLE", "msg": values, "type": "net.Socket" }));
        let read = Value::Object(read_fields(&given).unwrap());
        assert_eq!((&read["cmd"], read.get("type")), (&json!("NODE_HANDLE"), None));
        assert!(count(&read) <= MOST_VALUES);
    }

    #[test]
    fn no_bytes_make_it_fail() {
        let whole = write(&json!({ "cmd": "NODE_CLUSTER", "list": [1, "x", { "y": 0.5 }] }));
        for at in 0..whole.len() {
            for byte in [0, 0x7f, 0xff, b'A', b'o', b'S'] {
                let mut broken = whole.clone();
                broken[at] = byte;
                let _ = read_fields(&broken);
                let _ = read_fields(&broken[..at]);
            }
        }
        let deep = [&[HEADER, VERSION, b'o', b'"', 1, b'a'][..], &[b'A', 1].repeat(100_000)].concat();
        assert_eq!(read_fields(&deep).map(|fields| fields.len()), Some(0));
    }
}
