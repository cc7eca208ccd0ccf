//! An MCP server that does nothing, as fast as it can: what `bench/compare` puts behind everything.
//!
//! `fixed_upstream ADDRESS`. Each request gets a result under its own id: the handshake a handshake,
//! `tools/list` a list of about 20 KB, everything else a small text. It has no sessions, as Home
//! Assistant has none.

#![expect(clippy::unwrap_used, reason = "a bench ends where it cannot go on")]

use std::convert::Infallible;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

const TOOLS: usize = 45;

static LIST: LazyLock<String> = LazyLock::new(|| {
    let tool = |n: usize| {
        json!({
            "name": format!("tool_{n}"),
            "description": "x".repeat(300),
            "inputSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
            "annotations": {"readOnlyHint": true},
        })
    };
    json!({"tools": (0..TOOLS).map(tool).collect::<Vec<_>>()}).to_string()
});

static GREETING: LazyLock<String> = LazyLock::new(|| {
    json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "fixed", "version": "1"},
    })
    .to_string()
});

const DONE: &str = r#"{"content":[{"type":"text","text":"done"}],"isError":false}"#;

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: &'a str,
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
    }
    let Ok(body) = request.into_body().collect().await else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let body = body.to_bytes();
    let Ok(asked) = serde_json::from_slice::<Asked<'_>>(&body) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let Some(id) = asked.id else {
        return Ok(status(StatusCode::ACCEPTED));
    };
    let result = match asked.method {
        "initialize" => &GREETING,
        "tools/list" => &LIST,
        _ => DONE,
    };
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    let mut reply = Response::new(Full::new(Bytes::from(text)));
    let kind = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(reply)
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    reply
}

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let serve = http1::Builder::new();
            let connection = serve.serve_connection(TokioIo::new(stream), service_fn(answer));
            // Whoever hangs up has what it wanted.
            let _ = connection.await;
        });
    }
}
