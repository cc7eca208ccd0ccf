//! The websocket to Core: the Supervisor lets the app in by itself before it looks for Core.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Core, State, TOKEN};
use crate::support::websocket::{connect, hear, say};

/// Switches to the websocket.
pub(super) async fn upgrade(Shared(state): Shared<Arc<State>>, request: Request<Body>) -> Response {
    let core = state.core.lock().unwrap().clone();
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
        .body(Body::empty())
        .unwrap()
}

/// Plays Core until the token is shown, then passes everything on to Core. Ends with either side.
async fn pass_on(mut app: WebSocketStream<TokioIo<Upgraded>>, core: Option<Core>) -> Option<()> {
    let required = json!({"type": "auth_required", "ha_version": "2026.11.0"});
    say(&mut app, &required).await;
    let shown = hear(&mut app).await?;
    if shown["access_token"] != TOKEN {
        let invalid = json!({"type": "auth_invalid", "message": "Invalid access"});
        say(&mut app, &invalid).await;
        return None;
    }
    let ok = json!({"type": "auth_ok", "ha_version": "2026.11.0"});
    say(&mut app, &ok).await;
    let Core { url, token } = core?;
    let mut core = connect(&format!("{url}/api/websocket")).await;
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
