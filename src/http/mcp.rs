//! Streamable HTTP, all revisions: one POST, one answer.

use std::sync::Arc;

use axum::body::Body as HttpBody;
use axum::extract::{Request as HttpRequest, State};
use axum::response::Response as HttpResponse;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::ACCEPT;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use super::reply::{self, Form};
use super::{Bridge, admission, body};
use crate::access::Client;
use crate::dispatch::Call;
use crate::error::{Code, Failure};
use crate::protocol::era::{self, EraFault, RoutingHeaders};
use crate::protocol::message::{Body, Malformed, Message, Request};
use crate::protocol::revision::Revision;

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        let code = match malformed {
            Malformed::Invalid(_) => Code::InvalidMessage,
            Malformed::Empty
            | Malformed::NotUtf8(_)
            | Malformed::TooDeep { .. }
            | Malformed::Syntax(_) => Code::MalformedJson,
        };
        Self::with(code, malformed)
    }
}

impl From<EraFault> for Failure {
    fn from(fault: EraFault) -> Self {
        match &fault {
            EraFault::HeaderMismatch(_) => Self::with(Code::HeaderMismatch, fault),
            EraFault::MissingMeta(_) => Self::with(Code::InvalidParams, fault),
            EraFault::UnsupportedVersion(requested) => Self {
                data: Some(json!({
                    "supported": Revision::ALL.map(Revision::as_str),
                    "requested": requested,
                })),
                ..Self::with(Code::UnsupportedVersion, &fault)
            },
        }
    }
}

/// `POST /mcp`.
pub(super) async fn post(State(bridge): State<Arc<Bridge>>, request: HttpRequest) -> HttpResponse {
    let received = Instant::now();
    match read(&bridge, request).await {
        Ok(sent) => answer(&bridge, sent, received).await,
        Err(failure) => reply::refusal(&failure),
    }
}

/// `DELETE /mcp`: the client ends its session. There is none, so nothing is left of it.
pub(super) async fn delete(
    State(bridge): State<Arc<Bridge>>,
    request: HttpRequest,
) -> HttpResponse {
    match admission::admit(&bridge, &request) {
        Ok(_) => HttpResponse::new(HttpBody::empty()),
        Err(failure) => reply::refusal(&failure),
    }
}

/// `GET /mcp` and the like. Without a token, too: a client that looks for the old event stream must
/// hear that there is none, or it starts to ask for OAuth.
pub(super) async fn wrong_method(method: Method) -> HttpResponse {
    reply::wrong_method(&method, "POST, DELETE")
}

/// What came in, checked as far as it can be without looking into the messages.
struct Sent {
    client: Arc<Client>,
    headers: HeaderMap,
    form: Form,
    body: Bytes,
}

async fn read(bridge: &Bridge, request: HttpRequest) -> Result<Sent, Failure> {
    let client = admission::admit(bridge, &request)?;
    let (head, body) = request.into_parts();
    let form = Form::accepted(admission::text(&head.headers, ACCEPT.as_str()))?;
    let body = body::read(&head.headers, body, bridge.settings).await?;
    Ok(Sent {
        client,
        headers: head.headers,
        form,
        body,
    })
}

async fn answer(bridge: &Bridge, sent: Sent, received: Instant) -> HttpResponse {
    let routing = routing(&sent.headers);
    match Body::parse(&sent.body, bridge.settings.max_depth) {
        Ok(Body::One(message)) => {
            let message = Ok(message);
            match answer_message(bridge, &sent.client, message, routing, received).await {
                Some((status, body)) => reply::message(status, body, sent.form),
                None => accepted(),
            }
        }
        Ok(Body::Batch(messages)) => match check_batch(bridge, messages.len(), routing) {
            Ok(()) => {
                let answers = answer_batch(bridge, &sent.client, messages, routing, received).await;
                answers.map_or_else(accepted, |body| {
                    reply::message(StatusCode::OK, body, sent.form)
                })
            }
            Err(failure) => reply::refusal(&failure),
        },
        Err(malformed) => reply::refusal(&malformed.into()),
    }
}

/// The answer to one message; nothing for those that get none.
pub(super) async fn answer_message(
    bridge: &Bridge,
    client: &Client,
    message: Result<Message, Malformed>,
    routing: RoutingHeaders<'_>,
    received: Instant,
) -> Option<(StatusCode, Bytes)> {
    match message {
        Ok(Message::Request(request)) => {
            Some(answer_request(bridge, client, request, routing, received).await)
        }
        Ok(Message::Notification(_) | Message::Response(_)) => None,
        Err(malformed) => {
            let failure = Failure::from(malformed);
            Some((
                StatusCode::BAD_REQUEST,
                reply::error_message(&failure, None),
            ))
        }
    }
}

async fn answer_request(
    bridge: &Bridge,
    client: &Client,
    request: Request,
    routing: RoutingHeaders<'_>,
    received: Instant,
) -> (StatusCode, Bytes) {
    let revision = match era::revision_of(&request, routing) {
        Ok(revision) => revision,
        Err(fault) => {
            let failure = Failure::from(fault);
            return (
                StatusCode::BAD_REQUEST,
                reply::error_message(&failure, Some(request.id)),
            );
        }
    };
    let call = Call {
        client: client.name.as_str().into(),
        request: request.clone(),
        revision,
        received,
    };
    let outcome = bridge.dispatcher.handle(call).await;
    reply::to_request(&request, revision, outcome)
}

/// The answers to a batch, in the order of its requests; nothing if it had none.
///
/// One after another: members may depend on each other, and no two actions of a client may overlap.
async fn answer_batch(
    bridge: &Bridge,
    client: &Client,
    messages: Vec<Result<Message, Malformed>>,
    routing: RoutingHeaders<'_>,
    received: Instant,
) -> Option<Bytes> {
    let mut answers = BytesMut::new();
    for message in messages {
        let answer = match message {
            Ok(Message::Request(request)) if request.method == "initialize" => {
                let failure =
                    Failure::with(Code::InvalidMessage, "initialize cannot be part of a batch");
                Some(reply::error_message(&failure, Some(request.id)))
            }
            message => answer_message(bridge, client, message, routing, received)
                .await
                .map(|a| a.1),
        };
        if let Some(answer) = answer {
            answers.put_u8(if answers.is_empty() { b'[' } else { b',' });
            answers.put_slice(&answer);
        }
    }
    if answers.is_empty() {
        return None;
    }
    answers.put_u8(b']');
    Some(answers.freeze())
}

fn check_batch(bridge: &Bridge, size: usize, routing: RoutingHeaders<'_>) -> Result<(), Failure> {
    let revision = routing
        .version
        .map_or(Some(Revision::ASSUMED), Revision::parse);
    if !revision.is_some_and(Revision::has_batches) {
        let why = "there are no batches since revision 2025-06-18; send one message at a time";
        return Err(Failure::with(Code::InvalidMessage, why));
    }
    let limit = bridge.settings.max_batch;
    if size > limit {
        let why = format_args!("a batch of {size} messages, at most {limit} are accepted");
        return Err(Failure::with(Code::InvalidMessage, why));
    }
    Ok(())
}

/// What the headers of a request say about its message.
pub(super) fn routing(headers: &HeaderMap) -> RoutingHeaders<'_> {
    RoutingHeaders {
        version: admission::text(headers, "mcp-protocol-version"),
        method: admission::text(headers, "mcp-method"),
        name: admission::text(headers, "mcp-name"),
    }
}

/// What was sent wants no answer.
pub(super) fn accepted() -> HttpResponse {
    let mut reply = HttpResponse::new(HttpBody::empty());
    *reply.status_mut() = StatusCode::ACCEPTED;
    reply
}
