//! A Home Assistant Core that a test leads by the hand: a demo house with a websocket beside it that
//! says what the test wants to be said.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use mcp_bridge::demo::DemoHouse;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
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
    entities: Arc<Entities>,
}

/// What is exposed: states as `subscribe_entities` tells them, all of them in the area `kitchen`.
#[derive(Debug)]
struct Entities {
    exposed: Mutex<BTreeMap<String, Value>>,
    /// Events of `subscribe_entities`.
    events: broadcast::Sender<Value>,
    /// Calls of services over the websocket.
    called: Mutex<Vec<Value>>,
}

impl Entities {
    fn exposed(&self) -> Value {
        json!(*self.exposed.lock().unwrap())
    }
}

impl Core {
    /// Starts one that runs and exposes nothing.
    pub(crate) async fn start() -> Self {
        Self::exposing(std::iter::empty::<(String, Value)>()).await
    }

    /// Starts one that runs and exposes these entities.
    pub(crate) async fn exposing<S: Into<String>>(
        entities: impl IntoIterator<Item = (S, Value)>,
    ) -> Self {
        let house = house().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (mood, _) = watch::channel(Mood::Running);
        let entities = entities.into_iter();
        let entities = entities.map(|(id, state)| (id.into(), state));
        let entities = Arc::new(Entities {
            exposed: Mutex::new(entities.collect()),
            events: broadcast::Sender::new(64),
            called: Mutex::default(),
        });
        let heard = mood.subscribe();
        tokio::spawn(serve(listener, house.url(), heard, entities.clone()));
        Self {
            house,
            url,
            mood,
            entities,
        }
    }

    /// The calls of this service over the websocket: what was sent with each.
    pub(crate) fn called(&self, domain: &str, service: &str) -> Vec<Value> {
        let called = self.entities.called.lock().unwrap();
        let calls = called.iter();
        let calls = calls.filter(|call| call["domain"] == domain && call["service"] == service);
        calls.map(|call| call["service_data"].clone()).collect()
    }

    /// An event of `subscribe_entities` happens.
    pub(crate) fn happen(&self, event: Value) {
        self.entities.events.send(event).unwrap();
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

async fn serve(
    listener: TcpListener,
    house: String,
    mood: watch::Receiver<Mood>,
    entities: Arc<Entities>,
) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let (house, client) = (house.clone(), client.clone());
        let (mood, entities) = (mood.clone(), entities.clone());
        let service = hyper::service::service_fn(move |request| {
            let (house, client) = (house.clone(), client.clone());
            let (mood, entities) = (mood.clone(), entities.clone());
            async move { Ok::<_, Infallible>(answer(request, &house, &client, mood, entities).await) }
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
    entities: Arc<Entities>,
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
            talk(socket, mood, &entities).await;
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
async fn talk<S>(
    mut socket: WebSocketStream<S>,
    mut mood: watch::Receiver<Mood>,
    entities: &Entities,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut events = entities.events.subscribe();
    let mut wants_states = None;
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
                say(&mut socket, &reply(&message, mood, entities)).await;
                if message["type"] == "subscribe_entities" {
                    wants_states = Some(message["id"].clone());
                    let all = json!({"a": entities.exposed()});
                    say(&mut socket, &event(&message["id"], &all)).await;
                }
            }
            Ok(happened) = events.recv() => {
                if let Some(id) = &wants_states {
                    say(&mut socket, &event(id, &happened)).await;
                }
            }
            changed = mood.changed() => {
                if changed.is_err() || *mood.borrow() == Mood::Down {
                    let _ = socket.close(None).await;
                    return;
                }
                let now = *mood.borrow();
                if let (Some(id), Mood::Running) = (&wants_start, now) {
                    say(&mut socket, &event(id, &json!({"data": {}}))).await;
                }
            }
        }
    }
}

fn event(id: &Value, event: &Value) -> Value {
    json!({"id": id, "type": "event", "event": event})
}

fn reply(message: &Value, mood: Mood, entities: &Entities) -> Value {
    let id = &message["id"];
    let each = |about: Value| {
        let exposed = entities.exposed.lock().unwrap();
        let all = exposed.keys().map(|id| (id.clone(), about.clone()));
        Value::Object(all.collect())
    };
    let result = match message["type"].as_str().unwrap() {
        "ping" => return json!({"id": id, "type": "pong"}),
        "get_config" if mood == Mood::Running => json!({"state": "RUNNING", "version": "1"}),
        "get_config" => json!({"state": "NOT_RUNNING", "version": "1"}),
        "auth/current_user" => json!({"is_admin": true}),
        "homeassistant/expose_entity/list" => {
            json!({"exposed_entities": each(json!({"conversation": true}))})
        }
        "config/entity_registry/get_entries" => each(json!({"area_id": "kitchen"})),
        "config/area_registry/list" => json!([{"area_id": "kitchen", "name": "Kitchen"}]),
        "call_service" => {
            entities.called.lock().unwrap().push(message.clone());
            Value::Null
        }
        "llm/api/list" => json!({"apis": []}),
        list if list.ends_with("/list") => json!([]),
        _ => Value::Null,
    };
    json!({"id": id, "type": "result", "success": true, "result": result})
}
