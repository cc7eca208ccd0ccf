//! Lets the web pages that may use the bridge read its answers (CORS, in the Fetch standard).
//!
//! Only pages of origins that are listed, each named by itself and never `*`; cookies play no part.
//! All others are refused at the door.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderValue, Method, StatusCode};

use super::{Bridge, admission, reply};

/// What a page may send.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, X-API-Key, MCP-Protocol-Version, Mcp-Method, Mcp-Name, \
     Mcp-Session-Id, Last-Event-ID, Idempotency-Key, Priority, X-Request-Timeout, \
     X-Request-Id, Traceparent, Tracestate",
);
/// What a page may read, besides what every page may.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Mcp-Session-Id, MCP-Protocol-Version, Retry-After, X-Request-Id");
/// Seconds for which a browser remembers the permission; two hours are the most that Chrome takes.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Answers the questions of browsers, and signs the answers to listed pages.
pub(super) async fn share(
    State(bridge): State<Arc<Bridge>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let asks_first = request.method() == Method::OPTIONS
        && origin.is_some()
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let source = admission::check_source(&bridge, &request);
    let listed = origin.filter(|origin| {
        source.is_ok() && origin.to_str().is_ok_and(|o| bridge.access.lists_origin(o))
    });
    let mut reply = match (source, &listed) {
        (Err(failure), _) if asks_first => reply::problem(&failure),
        (Ok(()), Some(_)) if asks_first => permission(),
        _ => next.run(request).await,
    };
    let headers = reply.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = listed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    reply
}

fn permission() -> Response {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    reply
}
