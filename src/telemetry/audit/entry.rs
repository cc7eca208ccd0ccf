//! One line of the audit.

use std::io::{self, Write};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::ser::Formatter;

/// What was decided about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The client may make it.
    Allowed,
    /// The rights of the client refused it.
    Denied,
    /// A person agreed to it.
    Agreed,
    /// A person refused it.
    Refused,
    /// It needed a person's word, and there was none in time.
    Pending,
    /// It failed before anybody could decide.
    #[default]
    Undecided,
}

impl Decision {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Agreed => "agreed",
            Self::Refused => "refused",
            Self::Pending => "pending",
            Self::Undecided => "undecided",
        }
    }
}

/// The source of what operators do.
pub const OPERATOR: &str = "operator";

/// One call, as it stands in the audit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// When it came.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// Who made it: a client, or an operator.
    pub client: String,
    /// The tool, or the MCP method if it was not `tools/call`, or the request of an operator.
    pub tool: String,
    /// Its arguments (of what is no tool, its parameters), as its client sent them; secrets in them
    /// are hidden, and of long ones there is the beginning, as a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
    /// What was decided about it.
    pub decision: Decision,
    /// The person who decided, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The rule that refused it, or that wanted a person's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How it ended: `answered`, `tool_failed`, `refused` (by Home Assistant), `left` (by its client),
    /// or the code of a failure.
    pub outcome: String,
    /// From where its answer came; `joined` and `repeated` mean that it was not carried out once more,
    /// `operator` that it was a change to the bridge itself, by an operator.
    pub source: String,
    /// How long it waited for its turn, in milliseconds.
    pub waited_ms: f64,
    /// How long Home Assistant had it, in milliseconds; nothing if it never got there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_ms: Option<f64>,
    /// From its arrival to its end, in milliseconds.
    pub total_ms: f64,
    /// Bytes of its parameters.
    pub request_bytes: usize,
    /// Bytes of its result.
    pub answer_bytes: usize,
    /// The name of its request in logs.
    pub request_id: String,
    /// Calls before it that could not be written down.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Entry {
    /// The line for it, with its end. Whatever clients sent, it is one line of JSON, and it has no
    /// character in it that does something to a terminal or to the direction of writing.
    pub fn line(&self) -> Vec<u8> {
        let mut line = plain(self);
        line.push(b'\n');
        line
    }
}

/// JSON without characters that are not seen.
pub fn plain(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, Plain);
    // Nothing but a map with keys that are no texts can fail here, and there is none.
    let _ = value.serialize(&mut serializer);
    text
}

struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unseen) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut after = from.chars();
            if let Some(unseen) = after.next() {
                for unit in unseen.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = after.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Controls beyond those of ASCII, ends of lines, marks of direction, and what has no width. JSON
/// escapes the others by itself.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{7f}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nobody_forges_a_line_or_speaks_to_the_terminal() {
        let entry = Entry {
            client: "a\n{\"client\":\"b\"}\r".to_owned(),
            tool: "\u{1b}[2J\u{9b}2J\u{202e}x\u{2028}\u{e0041}".to_owned(),
            arguments: Some(serde_json::json!({"k\u{85}": "\u{feff}ü•"})),
            ..Entry::default()
        };
        let line = String::from_utf8(entry.line()).unwrap();
        assert!(line.ends_with("}\n"));
        assert!(
            !line
                .trim_end_matches('\n')
                .contains(|c: char| c.is_control() || is_unseen(c))
        );
        assert!(line.contains("ü•"), "what can be read stays: {line}");
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry);
    }

    proptest! {
        #[test]
        fn every_entry_is_one_line_that_is_read_as_it_was_written(
            (client, tool, why) in (any::<String>(), any::<String>(), any::<Option<String>>())
        ) {
            let entry = Entry { client, tool, why, ..Entry::default() };
            let line = entry.line();
            prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            prop_assert_eq!(serde_json::from_slice::<Entry>(&line).unwrap(), entry);
        }
    }
}
