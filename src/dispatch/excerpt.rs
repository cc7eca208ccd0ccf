//! As much of arguments and answers as people want to see in the history, and nothing secret.

use serde_json::Value;

use super::flights::Outcome;
use crate::error::Code;
use crate::protocol::message::{Payload, Request, Response};
use crate::protocol::tool_result::is_error;
use crate::telemetry::{self, Redaction};

/// Bytes of arguments that are kept.
const MAX_ARGUMENTS: usize = 500;
/// Bytes of an answer that are kept.
const MAX_ANSWER: usize = 1000;
/// Bytes of the reason of a failure that are kept.
const MAX_DETAIL: usize = 300;
/// Larger arguments are not taken apart.
const MAX_PARSED: usize = 16 << 10;

/// The beginning of arguments, as JSON.
pub(super) fn arguments(raw: &str) -> String {
    let parsed = (raw.len() <= MAX_PARSED).then(|| serde_json::from_str(raw));
    match parsed {
        Some(Ok(arguments @ Value::Object(_))) => {
            let shown = Redaction::default().hide(arguments);
            cut(&shown.to_string(), MAX_ARGUMENTS)
        }
        _ => format!("{} bytes", raw.len()),
    }
}

/// The beginning of a result, as JSON.
pub(super) fn answer(result: &[u8]) -> String {
    let some = &result[..result.len().min(MAX_ANSWER + 4)];
    cut(&String::from_utf8_lossy(some), MAX_ANSWER)
}

/// How a call ended, with the code and the reason of a failure.
pub(super) fn outcome(
    request: &Request,
    outcome: &Outcome,
) -> (telemetry::Outcome, Option<Code>, Option<String>) {
    use telemetry::Outcome::{Answered, Failed, Refused, ToolFailed};
    match outcome {
        Ok(Response {
            payload: Payload::Result(result),
            ..
        }) => {
            let failed = request.method == "tools/call" && is_error(result);
            (if failed { ToolFailed } else { Answered }, None, None)
        }
        Ok(Response {
            payload: Payload::Error(error),
            ..
        }) => {
            let members = error.members();
            let message =
                members.and_then(|members| Some(cut(&members.get_str("message")?, MAX_DETAIL)));
            (Refused, None, message)
        }
        Err(failure) => {
            let detail = failure.detail.as_ref().map(|text| cut(text, MAX_DETAIL));
            (Failed, Some(failure.code), detail)
        }
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(most)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;
    use crate::protocol::json::RawJson;
    use crate::protocol::message::Id;
    use serde_json::json;
    use telemetry::Outcome::{Answered, Failed, Refused, ToolFailed};

    #[test]
    fn arguments_are_cut_and_secrets_left_out() {
        assert_eq!(
            arguments(r#"{"name": "Alarm", "code": 1234, "user_pin": "9", "encoded": "x"}"#),
            r#"{"name":"Alarm","code":"•••","user_pin":"•••","encoded":"x"}"#
        );
        let long = json!({"text": "ü".repeat(MAX_ARGUMENTS)}).to_string();
        assert!(arguments(&long).len() <= MAX_ARGUMENTS + '…'.len_utf8());
        let huge = json!({"pin": "9".repeat(MAX_PARSED)}).to_string();
        assert_eq!(arguments(&huge), format!("{} bytes", huge.len()));
        assert_eq!(arguments("[1]"), "3 bytes");
    }

    #[test]
    fn an_answer_is_cut_between_characters() {
        let text = format!("x{}", "ü".repeat(MAX_ANSWER));
        let kept = answer(text.as_bytes());
        assert_eq!(kept.chars().count(), MAX_ANSWER / 2 + 1);
        assert!(kept.ends_with("ü…"), "{kept}");
        assert_eq!(answer(b"{}"), "{}");
    }

    #[test]
    fn outcomes_tell_tools_home_assistant_and_the_bridge_apart() {
        let request = |method| Request::new(Id::number(1), method, None);
        let outcome = |it: &Outcome| super::outcome(&request("tools/call"), it);
        let with = |payload| Ok(Response::new(None, payload));
        let result = |value| with(Payload::Result(RawJson::of(&value)));
        assert_eq!(outcome(&result(json!({"isError": false}))).0, Answered);
        let failed = result(json!({"isError": true}));
        assert_eq!(outcome(&failed).0, ToolFailed);
        assert_eq!(super::outcome(&request("prompts/get"), &failed).0, Answered);
        let error = json!({"code": -32602, "message": "no such tool"});
        let refused = with(Payload::Error(RawJson::of(&error)));
        assert_eq!(
            outcome(&refused),
            (Refused, None, Some("no such tool".into()))
        );
        let failed = Err(Failure::with(Code::QueueFull, "50 waiting"));
        assert_eq!(
            outcome(&failed),
            (Failed, Some(Code::QueueFull), Some("50 waiting".into()))
        );
    }
}
