//! Shows a value in a message as JavaScript would print it, cut where it gets long.
//!
//! Used for refused values and unknown names. Both come from the user, so the work is bounded by what is shown and not by
//! what was given, and no character that could break the line is shown as it is.

use std::fmt::Write;

use serde_json::Value;

use super::read::js_marker;

/// How many characters are shown.
const LIMIT: usize = 80;

/// One value in JavaScript's notation, for example `'abc'`, `[ 1, 2 ]` or `[Function: f]`.
pub(super) fn show(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    cut(&text)
}

/// A name without quotes; what could break the line is escaped.
pub(super) fn show_name(name: &str) -> String {
    let mut text = String::new();
    write_escaped(&mut text, name, '`');
    cut(&text)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Whether the text has all that `cut` leaves.
fn is_full(text: &str) -> bool {
    text.chars().nth(LIMIT).is_some()
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(given) => text.push_str(if *given { "true" } else { "false" }),
        Value::Number(given) => match given.as_f64() {
            Some(float) if !given.is_u64() && !given.is_i64() => write_float(text, float),
            Some(_) | None => append(text, format_args!("{given}")),
        },
        Value::String(given) => write_quoted(text, given),
        Value::Array(items) => write_group(text, ('[', ']'), items, write_value),
        Value::Object(parts) => match js_marker(value) {
            Some(marker) => write_escaped(text, marker, '`'),
            None => write_group(text, ('{', '}'), parts, |text, (name, value)| {
                write_key(text, name);
                text.push_str(": ");
                write_value(text, value);
            }),
        },
    }
}

fn write_group<I: IntoIterator>(
    text: &mut String,
    (open, close): (char, char),
    items: I,
    write_item: impl Fn(&mut String, I::Item),
) {
    text.push(open);
    let mut separator = " ";
    for item in items {
        if is_full(text) {
            return;
        }
        text.push_str(separator);
        write_item(text, item);
        separator = ", ";
    }
    if separator == ", " {
        text.push(' ');
    }
    text.push(close);
}

fn write_key(text: &mut String, name: &str) {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '$';
    if !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(is_plain)
    {
        write_escaped(text, name, '\'');
    } else {
        write_quoted(text, name);
    }
}

fn write_quoted(text: &mut String, given: &str) {
    text.push('\'');
    write_escaped(text, given, '\'');
    text.push('\'');
}

fn write_escaped(text: &mut String, given: &str, quote: char) {
    for letter in given.chars().take(LIMIT + 1) {
        match letter {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\\' => text.push_str("\\\\"),
            letter if letter == quote => text.extend(['\\', letter]),
            letter if letter.is_control() => append(text, format_args!("\\x{:02X}", u32::from(letter))),
            letter => text.push(letter),
        }
    }
}

/// JavaScript prints digits up to 1e21 and down to 1e-6, and an exponent with its sign beyond.
fn write_float(text: &mut String, float: f64) {
    if (1e-6..1e21).contains(&float.abs()) || float == 0.0 {
        append(text, format_args!("{float}"));
    } else {
        let shown = format!("{float:e}");
        text.push_str(&if shown.contains("e-") { shown } else { shown.replace('e', "e+") });
    }
}

fn append(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String never fails.
    let _ = text.write_fmt(what);
}
