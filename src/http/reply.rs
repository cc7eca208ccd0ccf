//! Answers and failures as HTTP, in the two languages of the bridge: JSON-RPC and plain HTTP.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::error::{Code, Entry, Failure};
use crate::protocol::code;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Payload, Request, Response};
use crate::protocol::revision::Revision;
use crate::protocol::{era, sse};
use crate::resilience::rate::Standing;

/// The key under which a failed tool call carries its code.
const ERROR_META: &str = "mcp-bridge/error";

/// When to try again after a 503 of which nothing better is known.
const LATER: Duration = Duration::from_secs(5);

/// Why a request was refused before it was a call; an extension of the answer, for those who count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused(pub(super) Code);

/// What the client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON text.
    Json,
    /// One JSON text, or an event stream where the answer takes its time.
    Either,
    /// An event stream, for clients that accept nothing else.
    Events,
}

impl Form {
    /// The form that `Accept` asks for. Missing and careless headers mean JSON, as most are.
    ///
    /// # Errors
    /// [`Code::NotAcceptable`] if it rules out both.
    pub(super) fn accepted(accept: Option<&str>) -> Result<Self, Failure> {
        let Some(accept) = accept else {
            return Ok(Self::Json);
        };
        let accept = accept.to_ascii_lowercase();
        let mut kinds = accept
            .split(',')
            .map(|k| k.split(';').next().unwrap_or_default().trim());
        if kinds.clone().all(str::is_empty)
            || kinds
                .clone()
                .any(|k| matches!(k, "*/*" | "application/*" | "application/json"))
        {
            let streams = kinds.any(|kind| kind == "text/event-stream");
            Ok(if streams { Self::Either } else { Self::Json })
        } else if kinds.any(|kind| matches!(kind, "text/event-stream" | "text/*")) {
            Ok(Self::Events)
        } else {
            Err(Failure::with(
                Code::NotAcceptable,
                format_args!("it accepts {accept:?}"),
            ))
        }
    }
}

/// A JSON-RPC message, or several, as the body of an answer.
pub(super) fn message(status: StatusCode, body: Bytes, form: Form) -> HttpResponse {
    let (kind, body) = match form {
        Form::Json | Form::Either => ("application/json", body),
        Form::Events => ("text/event-stream", sse::encode_message(&body)),
    };
    let reply = respond(status, kind, body);
    if form == Form::Events {
        unbuffered(reply)
    } else {
        reply
    }
}

/// An event stream that is sent as it comes.
pub(super) fn events(stream: Body) -> HttpResponse {
    let mut reply = HttpResponse::new(stream);
    let kind = HeaderValue::from_static("text/event-stream");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    unbuffered(reply)
}

/// Keeps proxies from holding events back.
fn unbuffered(mut reply: HttpResponse) -> HttpResponse {
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    reply
}

/// The answer to one request of MCP, with the HTTP status that its revision wants.
pub(super) fn to_request(
    request: &Request,
    revision: Revision,
    outcome: Result<Response, Failure>,
) -> (StatusCode, Bytes) {
    match outcome {
        Ok(response) if revision.is_modern() => {
            let code = response.error_code().and_then(|c| i32::try_from(c).ok());
            let status = match code {
                Some(code::METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
                Some(
                    code::HEADER_MISMATCH | code::MISSING_CAPABILITY | code::UNSUPPORTED_VERSION,
                ) => StatusCode::BAD_REQUEST,
                _ => StatusCode::OK,
            };
            let response = era::error_to_modern(&request.method, response);
            (status, response.to_bytes())
        }
        Ok(response) => (StatusCode::OK, response.to_bytes()),
        Err(failure) => {
            let entry = failure.code.entry();
            let in_trouble = entry.kind.concerns_calls();
            if request.method == "tools/call" && in_trouble {
                let payload = Payload::Result(failed_tool(&failure, revision));
                let response = Response::new(Some(request.id.clone()), payload);
                return (StatusCode::OK, response.to_bytes());
            }
            // Clients hide the body of any HTTP error from the person; trouble behind the bridge is
            // told inside an HTTP success for that reason.
            let status = if in_trouble {
                StatusCode::OK
            } else {
                status_of(entry)
            };
            (status, error_message(&failure, Some(request.id.clone())))
        }
    }
}

/// A failure as the JSON-RPC error to `id`.
pub(super) fn error_message(failure: &Failure, id: Option<Id>) -> Bytes {
    let entry = failure.code.entry();
    let data = failure
        .data
        .clone()
        .unwrap_or_else(|| json!({"code": entry.name, "fix": entry.fix}));
    let error = json!({"code": entry.rpc, "message": failure.to_string(), "data": data});
    Response::new(id, Payload::Error(RawJson::of(&error))).to_bytes()
}

/// Whether answers at this address are JSON-RPC.
pub(super) fn speaks_rpc(path: &str) -> bool {
    matches!(path, "/mcp" | "/mcp/" | "/api/mcp")
}

/// A refusal in the language of the address.
pub(super) fn refuse(path: &str, failure: &Failure) -> HttpResponse {
    if speaks_rpc(path) {
        refusal(failure)
    } else {
        problem(failure)
    }
}

/// A failure that has no request to answer, in JSON-RPC.
pub(super) fn refusal(failure: &Failure) -> HttpResponse {
    let status = status_of(failure.code.entry());
    let reply = message(status, error_message(failure, None), Form::Json);
    marked(with_retry_after(reply, failure), failure)
}

/// A tool's result that says that it did not work, in words for the model.
fn failed_tool(failure: &Failure, revision: Revision) -> RawJson {
    let result = RawJson::of(&json!({
        "content": [{"type": "text", "text": failure.for_model()}],
        "isError": true,
        "_meta": {ERROR_META: {"code": failure.code.entry().name}},
    }));
    if revision.is_modern() {
        era::to_modern("tools/call", &result, None, None)
    } else {
        result
    }
}

/// A request that became no call, over plain HTTP (RFC 9457).
pub(super) fn problem(failure: &Failure) -> HttpResponse {
    marked(failed_call(failure), failure)
}

/// A call that failed, over plain HTTP.
pub(super) fn failed_call(failure: &Failure) -> HttpResponse {
    let entry = failure.code.entry();
    let mut problem = problem_of(entry);
    if let Some(detail) = &failure.detail {
        problem["detail"] = Value::from(detail.as_str());
    }
    if failure.outcome_unknown {
        problem["outcome"] = "unknown".into();
    }
    with_retry_after(problem_body(status_of(entry), &problem), failure)
}

/// A JSON-RPC error of the upstream to `method` over plain HTTP, the error itself unchanged inside.
pub(super) fn upstream_error(method: &str, response: &Response, error: &RawJson) -> HttpResponse {
    let entry = Code::AnsweredByHomeAssistant.entry();
    let code = response.error_code().and_then(|c| i32::try_from(c).ok());
    let status = match code {
        Some(code::METHOD_NOT_FOUND | code::RESOURCE_NOT_FOUND) => StatusCode::NOT_FOUND,
        // What these two trip over is the name of what they ask for.
        Some(code::EXCEPTION) if matches!(method, "prompts/get" | "resources/read") => {
            StatusCode::NOT_FOUND
        }
        Some(code::INVALID_PARAMS) => StatusCode::BAD_REQUEST,
        _ => status_of(entry),
    };
    let title = error
        .members()
        .and_then(|m| m.get_str("message").map(std::borrow::Cow::into_owned));
    let mut problem = problem_of(entry);
    problem["title"] = title.unwrap_or_else(|| entry.title.to_owned()).into();
    problem["status"] = status.as_u16().into();
    problem["error"] = json!(error);
    problem_body(status, &problem)
}

/// Says what is left of the client's rate (draft-ietf-httpapi-ratelimit-headers-10).
pub(super) fn tell_standing(reply: &mut HttpResponse, standing: Standing) {
    let Standing {
        rate,
        remaining,
        reset,
    } = standing;
    let policy = format!("\"calls\";q={};w={}", rate.calls(), rate.period().as_secs());
    let left = format!("\"calls\";r={remaining};t={}", reset.as_secs_f64().ceil());
    for (name, value) in [("ratelimit-policy", policy), ("ratelimit", left)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            reply.headers_mut().insert(name, value);
        }
    }
}

/// Something is at this address, but over TLS.
pub(super) async fn tls_required(uri: http::Uri) -> HttpResponse {
    refuse(uri.path(), &Failure::new(Code::TlsRequired))
}

/// Nothing is at this address.
pub(super) async fn not_found(uri: http::Uri) -> HttpResponse {
    problem(&Failure::with(Code::NotFound, uri.path()))
}

/// The address takes GET.
pub(super) async fn wrong_method_get(method: Method) -> HttpResponse {
    wrong_method(&method, "GET, HEAD")
}

/// The address takes POST.
pub(super) async fn wrong_method_post(method: Method) -> HttpResponse {
    wrong_method(&method, "POST")
}

/// A method that the address does not take, with those that it does.
pub(super) fn wrong_method(method: &Method, allow: &'static str) -> HttpResponse {
    let why = format_args!("{method}; use {allow}");
    method_not_allowed(&Failure::with(Code::MethodNotAllowed, why), allow)
}

/// The same with other words.
pub(super) fn method_not_allowed(failure: &Failure, allow: &'static str) -> HttpResponse {
    let mut reply = problem(failure);
    let allow = HeaderValue::from_static(allow);
    reply.headers_mut().insert(ALLOW, allow);
    reply
}

/// What a request hears that met a defect of ours.
pub(super) fn panicked(in_rpc: bool) -> HttpResponse {
    let failure = Failure::new(Code::Internal);
    if in_rpc {
        refusal(&failure)
    } else {
        problem(&failure)
    }
}

/// Any body with its content type.
pub(super) fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> HttpResponse {
    let mut reply = HttpResponse::new(Body::from(body));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

fn problem_of(entry: &Entry) -> Value {
    json!({
        "type": format!("urn:mcp-bridge:error:{}", entry.name),
        "title": entry.title,
        "status": entry.http,
        "code": entry.name,
        "cause": entry.cause,
        "fix": entry.fix,
    })
}

fn problem_body(status: StatusCode, problem: &Value) -> HttpResponse {
    respond(
        status,
        "application/problem+json",
        format!("{problem}\n").into(),
    )
}

fn with_retry_after(mut reply: HttpResponse, failure: &Failure) -> HttpResponse {
    let later = (reply.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(LATER);
    if let Some(after) = failure.retry_after.or(later) {
        reply
            .headers_mut()
            .insert(RETRY_AFTER, after.as_secs().max(1).into());
    }
    reply
}

fn marked(mut reply: HttpResponse, failure: &Failure) -> HttpResponse {
    reply.extensions_mut().insert(Refused(failure.code));
    reply
}

fn status_of(entry: &Entry) -> StatusCode {
    StatusCode::from_u16(entry.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn careless_accept_headers_mean_json() {
        for accept in [
            None,
            Some(""),
            Some("*/*"),
            Some("Application/JSON"),
            Some("text/html, */*;q=0.1"),
        ] {
            assert_eq!(Form::accepted(accept).unwrap(), Form::Json, "{accept:?}");
        }
        let both = Some("application/json, text/event-stream");
        assert_eq!(Form::accepted(both).unwrap(), Form::Either);
    }

    #[test]
    fn a_client_that_reads_only_events_gets_events() {
        assert_eq!(
            Form::accepted(Some("text/event-stream")).unwrap(),
            Form::Events
        );
    }

    #[test]
    fn a_client_that_reads_neither_is_told_so() {
        let failure = Form::accepted(Some("text/html, image/png")).unwrap_err();
        assert_eq!(failure.code, Code::NotAcceptable);
    }

    #[test]
    fn what_is_unavailable_says_when_to_try_again() {
        let told = |failure: &Failure| {
            let reply = problem(failure);
            let after = reply.headers().get(RETRY_AFTER);
            after.map(|after| after.to_str().unwrap().to_owned())
        };
        for &code in Code::ALL {
            let expected = (code.entry().http == 503).then(|| "5".to_owned());
            assert_eq!(told(&Failure::new(code)), expected, "{code:?}");
        }
        let known = Failure {
            retry_after: Some(Duration::from_secs(30)),
            ..Failure::new(Code::QueueFull)
        };
        assert_eq!(told(&known).as_deref(), Some("30"));
    }

    #[test]
    fn every_code_of_the_catalogue_has_a_real_http_status() {
        for code in Code::ALL {
            assert_eq!(status_of(code.entry()).as_u16(), code.entry().http);
        }
    }
}
