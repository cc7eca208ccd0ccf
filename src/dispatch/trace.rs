//! What traces tell of a call, in the words that OpenTelemetry has for MCP
//! (<https://github.com/open-telemetry/semantic-conventions-genai>, `docs/gen-ai/mcp.md`).

use std::borrow::Cow;
use std::time::Duration;

use super::Call;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Request, Response};
use crate::protocol::revision::Revision;
use crate::telemetry::Outcome;
use crate::telemetry::spans::{Attributes, Side, Span};
use crate::upstream::{Context, Trouble, Upstream};

/// The span of a whole call, in which everything else that is told of it belongs from now on.
pub(super) fn of_call(call: &mut Call) -> Span {
    let parent = call.origin.trace.as_ref();
    let (request, revision) = (&call.request, call.revision);
    let mut span = Span::begin(Side::Server, parent, call.received.elapsed(), || {
        name(request)
    });
    span.describe(|told| {
        describe(told, request, revision);
        told.put("mcp_bridge.client", &call.client.name);
        told.put("mcp_bridge.request_id", &call.origin.request_id);
    });
    call.origin.trace = span.place().or_else(|| call.origin.trace.take());
    span
}

/// How a call ended.
pub(super) fn end(span: &mut Span, outcome: Outcome, failure: Option<&str>, source: &str) {
    span.describe(|told| told.put("mcp_bridge.source", source));
    match outcome {
        Outcome::Answered => {}
        Outcome::ToolFailed => span.fail("tool_error"),
        Outcome::Refused | Outcome::Failed | Outcome::Left => {
            span.fail(failure.unwrap_or(outcome.name()));
        }
    }
}

/// The span of an exchange with the upstream, and the request and its context as they belong into
/// that span.
pub(super) fn of_exchange<'a>(
    request: &'a Request,
    context: &'a Context,
    upstream: &Upstream,
) -> (Span, Cow<'a, Request>, Cow<'a, Context>) {
    let parent = context.trace.as_ref();
    let mut span = Span::begin(Side::Client, parent, Duration::ZERO, || name(request));
    let Some(place) = span.place() else {
        return (span, Cow::Borrowed(request), Cow::Borrowed(context));
    };
    span.describe(|told| {
        describe(told, request, context.revision);
        let url = upstream.url();
        told.put("server.address", url.host_str().unwrap_or_default());
        told.put(
            "server.port",
            url.port_or_known_default().unwrap_or_default(),
        );
    });
    // Where the client has named its own span in the message, that would count more than the header.
    let mut params = request.param_members();
    let names_parent = params
        .get("_meta")
        .is_some_and(|meta| meta.contains("\"traceparent\""));
    let request = if names_parent {
        params.set_within("_meta", "traceparent", &RawJson::of(&place.to_string()));
        let params = Some(params.write());
        Cow::Owned(Request::new(request.id.clone(), &request.method, params))
    } else {
        Cow::Borrowed(request)
    };
    let context = Context {
        trace: Some(place),
        ..context.clone()
    };
    (span, request, Cow::Owned(context))
}

/// What the upstream answered.
pub(super) fn end_exchange(span: &mut Span, answer: &Result<Response, Trouble>) {
    match answer {
        Ok(response) => {
            if let Some(code) = response.error_code() {
                span.describe(|told| told.put("rpc.response.status_code", code));
                span.fail(&code.to_string());
            }
        }
        Err(trouble) => span.fail(trouble.code().entry().name),
    }
}

/// The method, and what it is called on where there are few of that.
fn name(request: &Request) -> String {
    let method = &request.method;
    match (method.as_ref(), request.param_members().get_str("name")) {
        ("tools/call" | "prompts/get", Some(target)) => format!("{method} {target}"),
        _ => method.clone(),
    }
}

fn describe(told: &mut Attributes, request: &Request, revision: Revision) {
    let params = request.param_members();
    told.put("mcp.method.name", &request.method);
    told.put("mcp.protocol.version", revision.as_str());
    told.put("network.transport", "tcp");
    told.put("network.protocol.name", "http");
    let id = String::from_utf8_lossy(request.id.json().as_bytes()).into_owned();
    told.put("jsonrpc.request.id", id.trim_matches('"'));
    match (request.method.as_ref(), params.get_str("name")) {
        ("tools/call", Some(tool)) => {
            told.put("gen_ai.tool.name", tool);
            told.put("gen_ai.operation.name", "execute_tool");
        }
        ("prompts/get", Some(prompt)) => told.put("gen_ai.prompt.name", prompt),
        _ => {}
    }
    if let Some(uri) = params.get_str("uri") {
        told.put("mcp.resource.uri", uri);
    }
}
