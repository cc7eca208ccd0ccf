//! The way to Core: what it lets through, and what it loses.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State as Shared};
use axum::response::Response;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};

use super::wire::Wire;
use super::{Core, State, piece_by_piece, text};

/// Headers that are passed on, compared letter by letter.
const FORWARDED: [&str; 5] = [
    "X-Speech-Content",
    "Accept",
    "Last-Event-ID",
    "Mcp-Session-Id",
    "MCP-Protocol-Version",
];
/// Names whose spelling the Supervisor's HTTP library restores.
const RESTORED: [&str; 2] = ["Accept", "Last-Event-ID"];
/// Headers of the answer that survive, besides the bare content type.
const RETURNED: [&str; 2] = ["cache-control", "mcp-session-id"];
const MAX_BODY: usize = 16 << 20;

pub(super) async fn forward(
    Shared(state): Shared<Arc<State>>,
    Path(path): Path<String>,
    Extension(wire): Extension<Wire>,
    request: Request<Body>,
) -> Response {
    if path.starts_with("hassio") {
        return text(StatusCode::FORBIDDEN, "403: Forbidden");
    }
    let Some(core) = state.core.lock().unwrap().clone() else {
        return text(StatusCode::BAD_GATEWAY, "502: Bad Gateway");
    };
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "413: Payload Too Large");
    };
    let Core { url, token } = core;
    let query = head.uri.query().map(|query| format!("?{query}"));
    let url = format!("{url}/api/{path}{}", query.unwrap_or_default());
    let mut forwarded = state
        .http
        .request(head.method.clone(), url)
        .timeout(state.patience)
        .bearer_auth(token)
        .body(body.to_bytes());
    for (name, value) in wire.headers() {
        let restored = RESTORED
            .iter()
            .find(|known| name.eq_ignore_ascii_case(known));
        let name = restored.map_or(name.as_str(), |known| known);
        if FORWARDED.contains(&name) {
            forwarded = forwarded.header(name, value);
        }
    }
    if let Some(kind) = bare_content_type(&head.headers) {
        forwarded = forwarded.header(header::CONTENT_TYPE, kind);
    }
    match forwarded.send().await {
        // Its HTTP library cannot send the body of a POST once more.
        Ok(answer) if answer.status().is_redirection() && head.method == Method::POST => {
            text(StatusCode::BAD_GATEWAY, "502: Bad Gateway")
        }
        Ok(answer) => give_back(answer).await,
        Err(_) => text(StatusCode::BAD_GATEWAY, "502: Bad Gateway"),
    }
}

/// The answer of Core, as much of it as the client gets to see.
async fn give_back(answer: reqwest::Response) -> Response {
    let kind = bare_content_type(answer.headers());
    let kind = kind.unwrap_or_else(|| "application/octet-stream".to_owned());
    let mut response = Response::builder()
        .status(answer.status())
        .header(header::CONTENT_TYPE, &kind);
    for name in RETURNED {
        if let Some(value) = answer.headers().get(name) {
            response = response.header(name, value);
        }
    }
    let body = if kind == "text/event-stream" {
        piece_by_piece(answer)
    } else {
        Body::from(answer.bytes().await.unwrap_or_default())
    };
    response.body(body).unwrap()
}

/// The content type without its parameters.
pub(super) fn bare_content_type(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(kind.split(';').next()?.trim().to_owned())
}
