//! The ways in which the house can misbehave on demand.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::json;
use super::reply::{Content, End, Reply};

/// The size of the pieces in which a huge answer is sent.
const PIECE: usize = 64 * 1024;
static PADDING: [u8; PIECE] = [b'x'; PIECE];

/// Something that goes wrong with a POST.
///
/// Those that spoil the answer leave alone what is no JSON-RPC answer: a 202, or a refusal.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Waits before it executes.
    Slow(Duration),
    /// Waits before it executes, until the semaphore has a permit. Each permit lets one POST go on.
    Hold(Arc<Semaphore>),
    /// Never answers, and executes nothing.
    Hang,
    /// Executes, and never answers.
    HangAfter,
    /// Answers with this, and executes nothing.
    Status {
        /// The HTTP status; an impossible one becomes 500.
        status: u16,
        /// The body as it is sent.
        body: String,
        /// The media type; empty for none.
        content_type: String,
    },
    /// Executes, and answers 200 with the type of JSON and a body that is none.
    Garbage,
    /// Executes, and answers 200 with JSON that is no JSON-RPC message.
    NotRpc,
    /// Executes, and answers under an id that nobody used.
    WrongId,
    /// Executes, promises the whole answer, sends half of it and closes the connection.
    Truncated,
    /// Executes, and resets the connection instead of answering.
    Reset,
    /// Resets the connection, and executes nothing.
    ResetBefore,
    /// Executes, and answers with a result of this many bytes.
    Huge(usize),
    /// Answers 307 with this `Location`, and executes nothing.
    Redirect(String),
    /// Executes, and answers as `text/event-stream`: a priming event, a comment, a notification,
    /// then the response.
    EventStream,
}

/// The connection is to be reset.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the connection is to be reset")]
pub(super) struct Abort;

impl Fault {
    /// What happens before anything executes: a pause, an answer that takes the place of the real
    /// one, or the end.
    pub(super) async fn before(&self) -> Result<Option<Reply>, Abort> {
        match self {
            Self::Slow(pause) => tokio::time::sleep(*pause).await,
            Self::Hold(semaphore) => {
                if let Ok(permit) = semaphore.acquire().await {
                    permit.forget();
                }
            }
            Self::Hang => pending().await,
            Self::ResetBefore => return Err(Abort),
            Self::Status {
                status,
                body,
                content_type,
            } => {
                let status =
                    StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let mut reply = Reply::text(status, body.clone());
                reply.headers.remove(CONTENT_TYPE);
                if let Some(content_type) = header_value(content_type) {
                    reply.headers.insert(CONTENT_TYPE, content_type);
                }
                return Ok(Some(reply));
            }
            Self::Redirect(location) => {
                let mut reply = Reply::empty(StatusCode::TEMPORARY_REDIRECT);
                reply
                    .headers
                    .extend(header_value(location).map(|value| (LOCATION, value)));
                return Ok(Some(reply));
            }
            Self::HangAfter
            | Self::Garbage
            | Self::NotRpc
            | Self::WrongId
            | Self::Truncated
            | Self::Reset
            | Self::Huge(_)
            | Self::EventStream => {}
        }
        Ok(None)
    }

    /// What becomes of the real answer.
    pub(super) async fn after(&self, reply: Reply) -> Result<Reply, Abort> {
        match self {
            Self::Reset => return Err(Abort),
            Self::HangAfter => pending::<()>().await,
            _ => {}
        }
        let Content::Message(message) = &reply.content else {
            return Ok(reply);
        };
        let mut spoilt = match self {
            Self::Garbage => {
                Reply::json_bytes(Bytes::from_static(b"<!doctype html>\n{\"jsonrpc\""))
            }
            Self::NotRpc => {
                Reply::json_bytes(Bytes::from_static(br#"{"message": "API running."}"#))
            }
            Self::WrongId => wrong_id(message),
            Self::Truncated => truncated(message),
            Self::Huge(length) => huge(message, *length),
            Self::EventStream => event_stream(message),
            _ => return Ok(reply),
        };
        // A session id is still told.
        spoilt.headers.extend(reply.headers);
        Ok(spoilt)
    }
}

fn header_value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text)
        .ok()
        .filter(|value| !value.is_empty())
}

fn wrong_id(message: &Value) -> Reply {
    let mut message = message.clone();
    message["id"] = match &message["id"] {
        Value::String(id) => json!(format!("{id}-of-another")),
        id => json!(id.as_i64().unwrap_or_default().wrapping_add(1_000_000)),
    };
    Reply::message(message)
}

fn truncated(message: &Value) -> Reply {
    let whole = json::wire(message);
    let half = whole.slice(..whole.len() / 2);
    Reply::pieces([half], End::Promised(whole.len()))
}

fn huge(message: &Value, length: usize) -> Reply {
    let opening = json::text(&json!({"jsonrpc": "2.0", "id": message["id"]}));
    let opening = opening.trim_end_matches('}');
    let head = format!(r#"{opening}, "result": {{"content": [{{"text": ""#);
    let tail = r#"", "type": "text"}], "isError": false}}"#;
    let mut padding = length.saturating_sub(head.len() + tail.len());
    let mut pieces = vec![Bytes::from(head)];
    while padding > 0 {
        let piece = Bytes::from_static(&PADDING).slice(..padding.min(PIECE));
        padding -= piece.len();
        pieces.push(piece);
    }
    pieces.push(Bytes::from_static(tail.as_bytes()));
    Reply::pieces(pieces, End::Exact)
}

fn event_stream(message: &Value) -> Reply {
    let notification = json!({
        "jsonrpc": "2.0",
        "method": "notifications/message",
        "params": {"level": "info", "data": "The answer follows."},
    });
    let notification = json::text(&notification);
    let message = json::text(message);
    let pieces = [
        "id: 0\ndata:\n\n".to_owned(),
        ": still here\n\n".to_owned(),
        format!("event: message\nid: 1\ndata: {notification}\n\n"),
        // In two pieces, because nothing promises that an event arrives whole.
        "event: message\nid: 2\ndata: ".to_owned(),
        format!("{message}\n\n"),
    ];
    Reply::pieces(pieces.map(Bytes::from), End::Open)
        .with(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))
}

/// Which fault the next POST meets.
#[derive(Debug, Default)]
pub(super) struct Faults {
    standing: Option<Fault>,
    next: VecDeque<Planned>,
}

#[derive(Debug)]
struct Planned {
    fault: Fault,
    left: usize,
    calls_only: bool,
}

impl Faults {
    pub(super) fn set(&mut self, fault: Option<Fault>) {
        if fault.is_none() {
            self.next.clear();
        }
        self.standing = fault;
    }

    pub(super) fn plan(&mut self, fault: Fault, count: usize, calls_only: bool) {
        if count > 0 {
            self.next.push_back(Planned {
                fault,
                left: count,
                calls_only,
            });
        }
    }

    /// The fault for a POST that has just arrived: the first planned one that fits, else the
    /// standing one.
    pub(super) fn take(&mut self, is_call: bool) -> Option<Fault> {
        let fits = |planned: &Planned| is_call || !planned.calls_only;
        let Some(at) = self.next.iter().position(fits) else {
            return self.standing.clone();
        };
        let planned = self.next.get_mut(at)?;
        planned.left -= 1;
        let fault = planned.fault.clone();
        if planned.left == 0 {
            self.next.remove(at);
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests;
