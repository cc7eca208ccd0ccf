//! Messages of Home Assistant's websocket API, as they are on the wire.
//!
//! <https://developers.home-assistant.io/docs/api/websocket>

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What Home Assistant says.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    /// It wants to know who is there.
    AuthRequired,
    /// It lets us in.
    AuthOk {
        /// Its version; the Supervisor says one, too.
        version: Cow<'a, str>,
    },
    /// It does not.
    AuthInvalid {
        /// Why.
        message: Cow<'a, str>,
    },
    /// The answer to a command.
    Result {
        /// The command's.
        id: u64,
        /// What it gave, `null` included, or the reason for which it did nothing.
        outcome: Result<&'a RawValue, CommandError>,
    },
    /// Something that a subscription is for.
    Event {
        /// The subscribing command's.
        id: u64,
        /// What happened.
        event: &'a RawValue,
    },
    /// Something that is not for us.
    Other,
}

/// Why Home Assistant did not do what a command says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Deserialize)]
#[error("{message} ({code})")]
pub struct CommandError {
    /// A word for programs, such as `unauthorized`.
    #[serde(default)]
    pub code: String,
    /// A sentence for people.
    #[serde(default)]
    pub message: String,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    id: Option<u64>,
    success: Option<bool>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<CommandError>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    ha_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

impl<'a> From<Raw<'a>> for Incoming<'a> {
    fn from(raw: Raw<'a>) -> Self {
        match (&*raw.kind, raw.id) {
            ("auth_required", _) => Self::AuthRequired,
            ("auth_ok", _) => Self::AuthOk {
                version: raw.ha_version.unwrap_or_default(),
            },
            ("auth_invalid", _) => Self::AuthInvalid {
                message: raw.message.unwrap_or_default(),
            },
            ("result", Some(id)) if raw.success == Some(true) => Self::Result {
                id,
                outcome: Ok(raw.result.unwrap_or(RawValue::NULL)),
            },
            ("result", Some(id)) => Self::Result {
                id,
                outcome: Err(raw.error.unwrap_or_else(|| CommandError {
                    code: "unknown_error".to_owned(),
                    message: "no reason was given".to_owned(),
                })),
            },
            ("pong", Some(id)) => Self::Result {
                id,
                outcome: Ok(RawValue::NULL),
            },
            ("event", Some(id)) => Self::Event {
                id,
                event: raw.event.unwrap_or(RawValue::NULL),
            },
            _ => Self::Other,
        }
    }
}

/// Takes a text message apart: one message, or several that Home Assistant put together since it
/// was told that it may (`coalesce_messages`).
///
/// # Errors
/// It is no message of this protocol.
pub(super) fn parse(text: &str) -> Result<Vec<Incoming<'_>>, serde_json::Error> {
    if text.trim_ascii_start().starts_with('[') {
        let messages: Vec<Raw<'_>> = serde_json::from_str(text)?;
        Ok(messages.into_iter().map(Incoming::from).collect())
    } else {
        let message: Raw<'_> = serde_json::from_str(text)?;
        Ok(vec![message.into()])
    }
}

/// A command with its arguments, which are the members of an object.
pub(super) fn command(id: u64, kind: &str, arguments: &serde_json::Value) -> String {
    #[derive(Serialize)]
    struct Outgoing<'a> {
        id: u64,
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(flatten)]
        arguments: &'a serde_json::Value,
    }
    let message = Outgoing {
        id,
        kind,
        arguments,
    };
    // Numbers, texts and a JSON value with text keys: there is nothing that could not be written.
    serde_json::to_string(&message).unwrap_or_default()
}

/// The answer to `auth_required`.
pub(super) fn auth(token: &str) -> String {
    serde_json::json!({"type": "auth", "access_token": token}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn only(text: &str) -> Incoming<'_> {
        let mut messages = parse(text).unwrap();
        assert_eq!(messages.len(), 1);
        messages.remove(0)
    }

    #[test]
    fn every_kind_of_message_is_told_apart() {
        assert!(matches!(
            only(r#"{"type":"auth_required","ha_version":"2026.11.0"}"#),
            Incoming::AuthRequired
        ));
        assert!(matches!(
            only(r#"{"type":"auth_ok","ha_version":"2026.11.0"}"#),
            Incoming::AuthOk { version } if version == "2026.11.0"
        ));
        assert!(matches!(
            only(r#"{"type":"auth_invalid","message":"Invalid access token or password"}"#),
            Incoming::AuthInvalid { message } if message.starts_with("Invalid")
        ));
        assert!(matches!(
            only(r#"{"id":3,"type":"result","success":true,"result":null}"#),
            Incoming::Result { id: 3, outcome: Ok(nothing) } if nothing.get() == "null"
        ));
        assert!(matches!(
            only(r#"{"id":12,"type":"pong"}"#),
            Incoming::Result {
                id: 12,
                outcome: Ok(_)
            }
        ));
        let refused = r#"{"id":4,"type":"result","success":false,
            "error":{"code":"unauthorized","message":"Unauthorized"}}"#;
        assert!(matches!(
            only(refused),
            Incoming::Result { id: 4, outcome: Err(error) } if error.code == "unauthorized"
        ));
        assert!(matches!(
            only(r#"{"id":5,"type":"event","event":{"a":{}}}"#),
            Incoming::Event { id: 5, event } if event.get() == r#"{"a":{}}"#
        ));
        assert!(matches!(only(r#"{"type":"news"}"#), Incoming::Other));
    }

    #[test]
    fn messages_that_come_together_are_taken_apart() {
        let messages = parse(r#" [{"id":1,"type":"pong"},{"id":2,"type":"event"}]"#).unwrap();
        assert!(matches!(
            messages[..],
            [
                Incoming::Result { id: 1, .. },
                Incoming::Event { id: 2, .. }
            ]
        ));
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for text in ["", "hello", "5", "[5]", r#"{"id":1}"#, "{\"type\":\"x\""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_command_carries_its_arguments_beside_its_id() {
        let text = command(
            7,
            "subscribe_events",
            &json!({"event_type": "component_loaded"}),
        );
        let message: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            message,
            json!({"id": 7, "type": "subscribe_events", "event_type": "component_loaded"})
        );
        assert_eq!(command(8, "ping", &json!({})), r#"{"id":8,"type":"ping"}"#);
    }
}
