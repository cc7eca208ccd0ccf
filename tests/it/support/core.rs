//! A Home Assistant Core that a test leads by the hand: a demo house with a websocket beside it that
//! says what the test wants to be said.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use mcp_bridge::demo::DemoHouse;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::bridge::{Bridge, house};
use super::websocket::{hear, say};

/// How Core is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It serves everything.
    Running,
    /// Its websocket is there, its MCP server is not.
    Starting,
    /// It closes its websocket. What it was asked before it still answers.
    Down,
}

/// A Core and its house.
pub(crate) struct Core {
    pub(crate) house: DemoHouse,
    pub(crate) url: String,
    mood: watch::Sender<Mood>,
}

impl Core {
    /// Starts one that runs.
    pub(crate) async fn start() -> Self {
        let house = house().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (mood, _) = watch::channel(Mood::Running);
        tokio::spawn(serve(listener, house.url(), mood.subscribe()));
        Self { house, url, mood }
    }

    /// A bridge before it that knows how it is.
    pub(crate) async fn bridge(&self, environment: &[(&str, &str)]) -> Bridge {
        let arguments = ["--upstream", &self.url, "--upstream-token", "any"];
        let bridge = Bridge::start_with(&arguments, environment).await;
        bridge
            .until(|status| status["home_assistant"]["events_told"] == true)
            .await;
        bridge
    }

    /// Is like that from now on, and lets the bridge notice.
    pub(crate) async fn be(&self, mood: Mood, bridge: &Bridge) {
        self.mood.send_replace(mood);
        let state = match mood {
            Mood::Running => "running",
            Mood::Starting => "starting",
            Mood::Down => "gone",
        };
        bridge
            .until(|status| status["home_assistant"]["state"] == state)
            .await;
    }
}

async fn serve(listener: TcpListener, house: String, mood: watch::Receiver<Mood>) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let (house, client, mood) = (house.clone(), client.clone(), mood.clone());
        let service = hyper::service::service_fn(move |request| {
            let (house, client, mood) = (house.clone(), client.clone(), mood.clone());
            async move { Ok::<_, Infallible>(answer(request, &house, &client, mood).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::spawn(connection);
    }
}

async fn answer(
    request: Request<Incoming>,
    house: &str,
    client: &reqwest::Client,
    mood: watch::Receiver<Mood>,
) -> Response<Full<Bytes>> {
    let status = |status: StatusCode| {
        let body = Full::from("404: Not Found");
        Response::builder().status(status).body(body).unwrap()
    };
    let now = *mood.borrow();
    if request.uri().path() == "/api/websocket" {
        if now == Mood::Down {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        let key = request.headers()["sec-websocket-key"].as_bytes().to_owned();
        tokio::spawn(async move {
            let connection = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
            talk(socket, mood).await;
        });
        return Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", derive_accept_key(&key))
            .body(Full::default())
            .unwrap();
    }
    if now != Mood::Running {
        return status(StatusCode::NOT_FOUND);
    }
    let (head, body) = request.into_parts();
    let mut forwarded = client
        .request(head.method, house)
        .body(body.collect().await.unwrap().to_bytes());
    for name in ["content-type", "accept", "mcp-protocol-version"] {
        if let Some(value) = head.headers.get(name) {
            forwarded = forwarded.header(name, value);
        }
    }
    let reply = forwarded.send().await.unwrap();
    let response = Response::builder()
        .status(reply.status())
        .header("content-type", "application/json");
    response
        .body(Full::from(reply.bytes().await.unwrap()))
        .unwrap()
}

/// Talks as Core does, until it goes down.
async fn talk<S>(mut socket: WebSocketStream<S>, mut mood: watch::Receiver<Mood>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    say(
        &mut socket,
        &json!({"type": "auth_required", "ha_version": "2026.11.0"}),
    )
    .await;
    hear(&mut socket).await;
    say(
        &mut socket,
        &json!({"type": "auth_ok", "ha_version": "2026.11.0"}),
    )
    .await;
    let mut wants_start = None;
    loop {
        tokio::select! {
            message = hear(&mut socket) => {
                let Some(message) = message else { return };
                if message["event_type"] == "homeassistant_started" {
                    wants_start = Some(message["id"].clone());
                }
                let mood = *mood.borrow();
                say(&mut socket, &reply(&message, mood)).await;
            }
            changed = mood.changed() => {
                if changed.is_err() || *mood.borrow() == Mood::Down {
                    let _ = socket.close(None).await;
                    return;
                }
                let now = *mood.borrow();
                if let (Some(id), Mood::Running) = (&wants_start, now) {
                    let started = json!({"id": id, "type": "event", "event": {"data": {}}});
                    say(&mut socket, &started).await;
                }
            }
        }
    }
}

fn reply(message: &Value, mood: Mood) -> Value {
    let id = &message["id"];
    let result = match message["type"].as_str().unwrap() {
        "ping" => return json!({"id": id, "type": "pong"}),
        "get_config" if mood == Mood::Running => json!({"state": "RUNNING", "version": "1"}),
        "get_config" => json!({"state": "NOT_RUNNING", "version": "1"}),
        "auth/current_user" => json!({"is_admin": true}),
        "homeassistant/expose_entity/list" => json!({"exposed_entities": {}}),
        "llm/api/list" => json!({"apis": []}),
        list if list.ends_with("/list") => json!([]),
        _ => Value::Null,
    };
    json!({"id": id, "type": "result", "success": true, "result": result})
}
