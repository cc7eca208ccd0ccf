//! Every method of MCP over plain HTTP: the body is `params`, the answer is `result`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use http::StatusCode;

use super::messages::Sender;
use super::{Bridge, body, mcp, reply};
use crate::error::{Code, Failure};
use crate::protocol::body::check_text;
use crate::protocol::json::{Members, RawJson};
use crate::protocol::message::{Id, Message, Notification, Payload, Request};
use crate::protocol::revision::Revision;

/// `POST /mcp/tools/call` and its like; the path below `/mcp/` is the method.
pub(super) async fn post(
    State(bridge): State<Arc<Bridge>>,
    method: Result<Path<String>, PathRejection>,
    request: HttpRequest,
) -> HttpResponse {
    let outcome = match method {
        Ok(Path(method)) => answer(&bridge, method, request).await,
        Err(unreadable) => Err(Failure::with(Code::NotFound, unreadable)),
    };
    outcome.unwrap_or_else(|failure| reply::problem(&failure))
}

async fn answer(
    bridge: &Arc<Bridge>,
    method: String,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    let (sender, body) = Sender::admit(bridge, request)?;
    let body = body::read(sender.headers(), body, bridge.settings()).await?;
    let params = params(body, bridge.settings().max_depth)?;
    if params
        .members()
        .is_some_and(|members| members.get("jsonrpc").is_some())
    {
        return envelope(&sender, &method, params.into_bytes()).await;
    }
    if method.starts_with("notifications/") {
        sender.notice(&Notification::new(&method, Some(params)));
        return Ok(mcp::accepted());
    }
    let request = Request::new(Id::number(0), &method, Some(params));
    let outcome = sender
        .dispatch(request.clone(), Revision::NEWEST_LEGACY, None, None)
        .await;
    let mut reply = match outcome {
        Ok(response) => match &response.payload {
            Payload::Result(result) => reply::respond(
                StatusCode::OK,
                "application/json",
                result.clone().into_bytes(),
            ),
            Payload::Error(error) => reply::upstream_error(&request.method, &response, error),
        },
        Err(failure) => reply::failed_call(&failure),
    };
    if let Some(standing) = sender.standing(&request) {
        reply::tell_standing(&mut reply, standing);
    }
    Ok(reply)
}

/// Nothing sent means no params.
fn params(body: Bytes, max_depth: usize) -> Result<RawJson, Failure> {
    if body.is_empty() {
        return Ok(Members::empty().write());
    }
    check_text(&body, max_depth)?;
    let json = RawJson::parse(body).map_err(|error| Failure::with(Code::MalformedJson, error))?;
    if json.members().is_none() {
        let why = "the body is the `params` of the method, a JSON object";
        return Err(Failure::with(Code::InvalidParams, why));
    }
    Ok(json)
}

/// Somebody sent a whole JSON-RPC message to the method's own address, and gets one back.
async fn envelope(sender: &Sender, method: &str, whole: Bytes) -> Result<HttpResponse, Failure> {
    let message = Message::parse(&whole)?;
    if let Message::Request(request) = &message
        && request.method != method
    {
        let why = format_args!(
            "the address says {method:?}, the message {:?}",
            request.method
        );
        return Err(Failure::with(Code::InvalidMessage, why));
    }
    let answer = sender.answer(Ok(message)).await;
    Ok(answer.map_or_else(mcp::accepted, |(status, body)| {
        reply::message(status, body, reply::Form::Json)
    }))
}
