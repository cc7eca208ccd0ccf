//! The Supervisor's proxy to Core, with the quirks that matter to what passes it.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::websocket::{connect, hear, say};

pub(crate) const TOKEN: &str = "supervisor-token";

/// Headers that are passed on, compared by their exact spelling.
const FORWARDED: [&str; 5] = [
    "X-Speech-Content",
    "Accept",
    "Last-Event-ID",
    "Mcp-Session-Id",
    "MCP-Protocol-Version",
];

/// Starts a proxy in front of `core`, an MCP address with its token; gives the proxy's address.
///
/// Like the real one it demands its own token, passes on only the headers above (of which an HTTP
/// library that writes lower case gets through only `accept`), and drops parameters of the content
/// type in the answer. On the websocket it lets in by itself before it looks for Core. `core` of
/// `None` is a Core that is starting.
pub(crate) async fn start(core: Option<(String, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (core, client) = (core.clone(), client.clone());
            let service = hyper::service::service_fn(move |request| {
                let (core, client) = (core.clone(), client.clone());
                async move { Ok::<_, Infallible>(proxy(request, core, &client).await) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades(),
            );
        }
    });
    address
}

async fn proxy(
    request: Request<Incoming>,
    core: Option<(String, String)>,
    client: &reqwest::Client,
) -> Response<Full<Bytes>> {
    let answer = |status: StatusCode, body: &'static str| {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response
    };
    if request.uri().path() == "/core/websocket" {
        return upgrade(request, core);
    }
    let bearer = format!("Bearer {TOKEN}");
    if request
        .headers()
        .get("authorization")
        .is_none_or(|value| value != bearer.as_str())
    {
        return answer(StatusCode::UNAUTHORIZED, "401: Unauthorized");
    }
    if request.uri().path() != "/core/api/mcp" {
        return answer(StatusCode::NOT_FOUND, "404: Not Found");
    }
    let Some((url, token)) = core else {
        return answer(StatusCode::BAD_GATEWAY, "502: Bad Gateway");
    };
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut forwarded = client
        .request(head.method, url)
        .bearer_auth(token)
        .body(body);
    for (name, value) in &head.headers {
        // `accept` is one of the names whose case the Supervisor's HTTP parser restores.
        let spelt = if name == "accept" {
            "Accept"
        } else {
            name.as_str()
        };
        if name == "content-type" || FORWARDED.contains(&spelt) {
            forwarded = forwarded.header(name, value);
        }
    }
    let reply = forwarded.send().await.unwrap();
    let mut response = Response::builder().status(reply.status());
    if let Some(kind) = reply
        .headers()
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
    {
        response = response.header("content-type", kind.split(';').next().unwrap_or(kind));
    }
    response
        .body(Full::from(reply.bytes().await.unwrap()))
        .unwrap()
}

/// Switches to the websocket.
fn upgrade(request: Request<Incoming>, core: Option<(String, String)>) -> Response<Full<Bytes>> {
    let key = request.headers()["sec-websocket-key"].as_bytes().to_owned();
    tokio::spawn(async move {
        let connection = hyper::upgrade::on(request).await.unwrap();
        let connection = TokioIo::new(connection);
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
        let _ = pass_on(socket, core).await;
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", derive_accept_key(&key))
        .body(Full::default())
        .unwrap()
}

/// Plays Core until the token is shown, then passes everything on to Core. Ends with either side.
async fn pass_on(
    mut app: WebSocketStream<TokioIo<Upgraded>>,
    core: Option<(String, String)>,
) -> Option<()> {
    say(
        &mut app,
        &json!({"type": "auth_required", "ha_version": "2026.11.0"}),
    )
    .await;
    let shown = hear(&mut app).await?;
    if shown["access_token"] != TOKEN {
        say(
            &mut app,
            &json!({"type": "auth_invalid", "message": "Invalid access"}),
        )
        .await;
        return None;
    }
    say(
        &mut app,
        &json!({"type": "auth_ok", "ha_version": "2026.11.0"}),
    )
    .await;
    let (url, token) = core?;
    let mut core = connect(&url.replace("/api/mcp", "/api/websocket")).await;
    hear(&mut core).await?;
    say(&mut core, &json!({"type": "auth", "access_token": token})).await;
    hear(&mut core).await?;
    loop {
        tokio::select! {
            message = app.next() => core.send(message?.ok()?).await.ok()?,
            message = core.next() => app.send(message?.ok()?).await.ok()?,
        }
    }
}
