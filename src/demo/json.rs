//! Writes JSON as Home Assistant's Python does: spaced, and on the wire in ASCII.

use std::io::{self, Write};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// An object that takes its members over; `json!` copies each of them, which counts where they are
/// large.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.map(|(name, value)| (name.to_owned(), value));
    Value::Object(members.into_iter().collect())
}

/// What goes over the wire: everything beyond ASCII is escaped.
pub(super) fn wire(value: &Value) -> Bytes {
    Bytes::from(write(value, true))
}

/// JSON inside a text block, which Home Assistant leaves in UTF-8.
pub(super) fn text(value: &Value) -> String {
    String::from_utf8(write(value, false)).unwrap_or_default()
}

fn write(value: &Value, ascii: bool) -> Vec<u8> {
    let mut written = Vec::with_capacity(256);
    let mut serializer = Serializer::with_formatter(&mut written, Spaced { ascii });
    if let Err(error) = value.serialize(&mut serializer) {
        // A `Value` has only string keys and a `Vec` takes every byte.
        tracing::error!(%error, "a JSON value could not be written");
    }
    written
}

struct Spaced {
    ascii: bool,
}

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        separate(out, first)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        separate(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if !self.ascii || fragment.is_ascii() {
            return out.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if character.is_ascii() {
                write!(out, "{character}")?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

fn separate<W: ?Sized + Write>(out: &mut W, first: bool) -> io::Result<()> {
    if first { Ok(()) } else { out.write_all(b", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commas_and_colons_are_followed_by_a_space() {
        assert_eq!(
            wire(&json!({"a": 1, "b": [true, null], "c": {}})),
            r#"{"a": 1, "b": [true, null], "c": {}}"#
        );
    }

    #[test]
    fn the_wire_carries_ascii_only() {
        assert_eq!(
            wire(&json!("21 °C \u{1f3e0}\n\"")),
            r#""21 \u00b0C \ud83c\udfe0\n\"""#
        );
    }

    #[test]
    fn text_blocks_keep_utf8() {
        assert_eq!(text(&json!({"unit": "°C"})), "{\"unit\": \"°C\"}");
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let value = json!({"name": "Küche \u{1f3e0}", "n": [1, -2, 0.5]});
        assert_eq!(
            serde_json::from_slice::<Value>(&wire(&value)).unwrap(),
            value
        );
    }
}
