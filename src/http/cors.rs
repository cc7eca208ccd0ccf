//! Lets the web pages that may use the bridge read its answers (CORS, in the Fetch standard).
//!
//! Only pages of origins that are listed, each named by itself and never `*`; cookies play no part.
//! All others are refused at the door.

use axum::body::Body;
use axum::extract::Request;
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

/// The web page that sent a request, if it is a listed one.
#[derive(Debug)]
pub(super) struct Page(Option<HeaderValue>);

impl Page {
    /// Says that the page may read the answer, if it may.
    pub(super) fn sign(self, mut reply: Response) -> Response {
        let headers = reply.headers_mut();
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.0 {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        reply
    }
}

/// Finds out who asks.
///
/// # Errors
/// The answer to a browser that asks first what a page may do.
pub(super) fn ask(bridge: &Bridge, request: &Request) -> Result<Page, Box<Response>> {
    let Some(origin) = request.headers().get(ORIGIN).cloned() else {
        return Ok(Page(None));
    };
    let asks_first = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let source = admission::check_source(bridge, request);
    let is_listed = source.is_ok() && origin.to_str().is_ok_and(|o| bridge.access.lists_origin(o));
    let page = Page(is_listed.then_some(origin));
    match source {
        Err(failure) if asks_first => Err(Box::new(page.sign(reply::problem(&failure)))),
        Ok(()) if asks_first && is_listed => Err(Box::new(page.sign(permission()))),
        _ => Ok(page),
    }
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
