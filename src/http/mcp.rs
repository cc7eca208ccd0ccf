//! Streamable HTTP, all revisions: one POST, one answer.

use std::sync::Arc;

use axum::body::Body as HttpBody;
use axum::extract::{Request as HttpRequest, State};
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use http::header::ACCEPT;
use http::{Method, StatusCode};

use super::messages::Sender;
use super::reply::{self, Form};
use super::{Bridge, admission, body, outlet};
use crate::error::{Code, Failure};
use crate::protocol::body::{Batch, Body};
use crate::protocol::message::Message;

/// `POST /mcp`.
pub(super) async fn post(State(bridge): State<Arc<Bridge>>, request: HttpRequest) -> HttpResponse {
    answer(&bridge, request)
        .await
        .unwrap_or_else(|failure| reply::refusal(&failure))
}

/// `POST /mcp/batch`: several messages at once, whatever the revision.
pub(super) async fn batch(State(bridge): State<Arc<Bridge>>, request: HttpRequest) -> HttpResponse {
    answer_batch(&bridge, request)
        .await
        .unwrap_or_else(|failure| reply::problem(&failure))
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

async fn answer(bridge: &Arc<Bridge>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let (sender, body) = Sender::admit(bridge, request)?;
    let form = Form::accepted(admission::text(sender.headers(), ACCEPT.as_str()))?;
    let body = body::read(sender.headers(), body, bridge.settings).await?;
    match Body::parse(&body, bridge.settings.max_depth)? {
        Body::One(Message::Request(request)) if form == Form::Json => {
            let (status, body) = sender.answer_request(request, None).await;
            Ok(reply::message(status, body, form))
        }
        Body::One(Message::Request(request)) => {
            let (outlet, messages) = sender.outlet();
            let answer = async move { sender.answer_request(request, Some(outlet)).await };
            Ok(outlet::answer(messages, Box::pin(answer), form).await)
        }
        Body::One(message) => {
            let answer = sender.answer(Ok(message)).await;
            Ok(answer.map_or_else(accepted, |(status, body)| {
                reply::message(status, body, form)
            }))
        }
        Body::Batch(batch) => {
            if !sender.revision()?.has_batches() {
                let why = "only revision 2025-03-26 has batches; send one message at a time, or use \
                           /mcp/batch";
                return Err(Failure::with(Code::InvalidMessage, why));
            }
            answer_all(bridge, &sender, &batch, form).await
        }
    }
}

async fn answer_batch(bridge: &Arc<Bridge>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let (sender, body) = Sender::admit(bridge, request)?;
    sender.revision()?;
    let body: Bytes = body::read(sender.headers(), body, bridge.settings).await?;
    match Body::parse(&body, bridge.settings.max_depth)? {
        Body::Batch(batch) => answer_all(bridge, &sender, &batch, Form::Json).await,
        Body::One(_) => {
            let why = "a batch is a JSON array of JSON-RPC messages";
            Err(Failure::with(Code::InvalidMessage, why))
        }
    }
}

async fn answer_all(
    bridge: &Bridge,
    sender: &Sender,
    batch: &Batch,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let messages = batch.messages(bridge.settings.max_batch)?;
    let answers = sender.answer_all(messages).await;
    Ok(answers.map_or_else(accepted, |body| reply::message(StatusCode::OK, body, form)))
}

/// What was sent wants no answer.
pub(super) fn accepted() -> HttpResponse {
    let mut reply = HttpResponse::new(HttpBody::empty());
    *reply.status_mut() = StatusCode::ACCEPTED;
    reply
}
