//! MCP over a WebSocket: each text frame is one message, both ways.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Request as HttpRequest, State};
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::Connection;
use super::messages::Sender;
use super::outbox::Outgoing;
use super::{Bridge, reply};
use crate::error::{Code, Failure};
use crate::protocol::keep_alive::{Due, KeepAlive};

/// The subprotocol that is spoken.
const SUBPROTOCOL: &str = "mcp";
/// A client that is silent for so long is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(20);
/// How long one frame may take to go out.
const WRITE: Duration = Duration::from_secs(30);
/// How long the last frame may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a connection occupies at the listener until it is dropped.
pub type Place = Arc<dyn Any + Send + Sync>;

/// `GET /mcp/ws`.
pub(super) async fn get(State(bridge): State<Arc<Bridge>>, request: HttpRequest) -> HttpResponse {
    open(&bridge, request)
        .await
        .unwrap_or_else(|failure| reply::problem(&failure))
}

async fn open(bridge: &Arc<Bridge>, mut request: HttpRequest) -> Result<HttpResponse, Failure> {
    let place = request.extensions_mut().remove::<Place>();
    let (mut head, body) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut head, &()).await;
    let (sender, _) = Sender::admit(bridge, HttpRequest::from_parts(head, body))?;
    let upgrade = upgrade.map_err(|why| Failure::with(Code::NoWebSocket, why))?;
    if bridge.is_draining() {
        return Err(Failure::new(Code::ShuttingDown));
    }
    let (connection, outgoing) = Connection::new(bridge);
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(bridge.settings().max_body)
        .max_frame_size(bridge.settings().max_body);
    Ok(upgrade.on_upgrade(|socket| async move {
        carry(socket, &connection, outgoing, sender).await;
        connection.end();
        drop(place);
    }))
}

/// Why a connection ends.
enum End {
    /// The client has left.
    Left,
    /// For this reason, which the client is told.
    Closed(u16, &'static str),
}

/// Carries messages both ways until one side ends it.
async fn carry(
    socket: WebSocket,
    connection: &Arc<Connection>,
    outgoing: Outgoing,
    sender: Sender,
) {
    let client = sender.client().name.clone();
    let (mut sink, stream) = socket.split();
    let end = tokio::select! {
        end = relay(&mut sink, stream, connection, outgoing, sender) => end,
        () = connection.too_slow() => {
            End::Closed(close_code::POLICY, "the client does not read what it is sent")
        }
    };
    if let End::Closed(code, reason) = end {
        tracing::info!(client, code, reason, "a WebSocket was closed");
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        // Who does not read does not see it, either.
        let _ = timeout(FAREWELL, sink.send(Frame::Close(Some(frame)))).await;
    }
}

async fn relay(
    sink: &mut SplitSink<WebSocket, Frame>,
    mut stream: SplitStream<WebSocket>,
    connection: &Arc<Connection>,
    mut outgoing: Outgoing,
    sender: Sender,
) -> End {
    let mut keep_alive = KeepAlive::new(SILENCE, now());
    loop {
        if connection.is_busy() {
            // Nothing is read meanwhile, so nothing can be heard.
            keep_alive.heard(now());
        }
        let silent_until = match keep_alive.poll(now()) {
            Due::Nothing(until) => Instant::from_std(until),
            Due::GiveUp => return End::Closed(close_code::AWAY, "the client does not answer"),
            Due::Ask => {
                if !send(sink, Frame::Ping(Bytes::new())).await {
                    return End::Left;
                }
                continue;
            }
        };
        tokio::select! {
            Some(message) = outgoing.next() => {
                // Every message is JSON that was checked to be UTF-8, or made here.
                let Ok(text) = message.try_into() else { continue };
                if !send(sink, Frame::Text(text)).await {
                    return End::Left;
                }
            }
            (place, frame) = read(&mut stream, connection) => {
                keep_alive.heard(now());
                if let Some(end) = hear(frame, place, connection, &sender) {
                    return end;
                }
            }
            () = sleep_until(silent_until) => {}
            () = sender.dismissed() => {
                return End::Closed(close_code::POLICY, "the token is not good any more");
            }
            () = connection.bridge().drained.cancelled() => {
                return End::Closed(close_code::AWAY, "the bridge stops");
            }
        }
    }
}

type Read = Option<Result<Frame, axum::Error>>;

/// The next frame, once there is a place for what it may bring.
async fn read(
    stream: &mut SplitStream<WebSocket>,
    connection: &Connection,
) -> (Option<OwnedSemaphorePermit>, Read) {
    let place = connection.place().await;
    (place, stream.next().await)
}

/// Takes a frame; gives the end of the connection, if it is one.
fn hear(
    frame: Read,
    place: Option<OwnedSemaphorePermit>,
    connection: &Arc<Connection>,
    sender: &Sender,
) -> Option<End> {
    match (frame, place) {
        (Some(Ok(Frame::Text(text))), Some(place)) => {
            if let Err(failure) = connection.take(sender.clone(), &text.into(), place) {
                connection.say(reply::error_message(&failure, None));
            }
            None
        }
        (Some(Ok(Frame::Ping(_) | Frame::Pong(_))), _) => None,
        (Some(Ok(Frame::Binary(_))), _) => {
            let why = "messages are text, not binary";
            Some(End::Closed(close_code::UNSUPPORTED, why))
        }
        (Some(Err(error)), _) if is_too_large(&error) => {
            Some(End::Closed(close_code::SIZE, "the message is too large"))
        }
        _ => Some(End::Left),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    error.to_string().contains("too long")
}

async fn send(sink: &mut SplitSink<WebSocket, Frame>, frame: Frame) -> bool {
    matches!(timeout(WRITE, sink.send(frame)).await, Ok(Ok(())))
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
