//! HTTP+SSE of revision 2024-11-05: the client listens by GET and sends by POST.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body as HttpBody;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures_util::stream;
use tokio::time::sleep;
use url::form_urlencoded;

use super::address_token::AddressToken;
use super::connection::Connection;
use super::messages::Sender;
use super::outbox::Outgoing;
use super::outlet::KEEP_ALIVE;
use super::{Bridge, body, mcp, reply};
use crate::error::{Code, Failure};
use crate::protocol::sse;

/// The connections, by the ids in the addresses to which their clients send.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<HashMap<String, (String, Arc<Connection>)>>);

impl Connections {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (String, Arc<Connection>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET /sse`.
pub(super) async fn get(State(bridge): State<Arc<Bridge>>, request: HttpRequest) -> HttpResponse {
    let endpoint = |id: &str| format!("/messages?sessionId={id}");
    open(&bridge, request, endpoint).unwrap_or_else(|failure| reply::refusal(&failure))
}

/// `GET /mcp_server/sse`, where Home Assistant has it.
pub(super) async fn get_as_home_assistant(
    State(bridge): State<Arc<Bridge>>,
    request: HttpRequest,
) -> HttpResponse {
    let endpoint = |id: &str| format!("/mcp_server/messages/{id}");
    open(&bridge, request, endpoint).unwrap_or_else(|failure| reply::refusal(&failure))
}

/// `POST /messages?sessionId=...`.
pub(super) async fn post(State(bridge): State<Arc<Bridge>>, request: HttpRequest) -> HttpResponse {
    let query = request.uri().query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let id = pairs.find(|(key, _)| key == "sessionId");
    let id = id.map_or_else(String::new, |(_, id)| id.into_owned());
    let taken = take(&bridge, &id, request).await;
    taken.unwrap_or_else(|failure| reply::refusal(&failure))
}

/// `POST /mcp_server/messages/...`.
pub(super) async fn post_as_home_assistant(
    State(bridge): State<Arc<Bridge>>,
    Path(id): Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let taken = take(&bridge, &id, request).await;
    taken.unwrap_or_else(|failure| reply::refusal(&failure))
}

fn open(
    bridge: &Arc<Bridge>,
    request: HttpRequest,
    endpoint: impl Fn(&str) -> String,
) -> Result<HttpResponse, Failure> {
    // Who shows the token in the address cannot show it in another place.
    let token = request.extensions().get::<AddressToken>();
    let token = token.map_or_else(String::new, |token| format!("/c/{}", token.0));
    let (sender, _) = Sender::admit(bridge, request)?;
    if bridge.is_draining() {
        return Err(Failure::new(Code::ShuttingDown));
    }
    let (connection, outgoing) = Connection::new(bridge);
    let id = format!("{:032x}", rand::random::<u128>());
    let open = (sender.client().name.clone(), connection.clone());
    bridge.connections.lock().insert(id.clone(), open);
    let endpoint = format!("{token}{}", endpoint(&id));
    let beginning = sse::encode_named("endpoint", &endpoint);
    let reader = Reader {
        beginning: Some(beginning),
        connection,
        outgoing,
        sender,
        id,
    };
    let events = stream::unfold(reader, |mut reader| async {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    Ok(reply::events(HttpBody::from_stream(events)))
}

/// The one who reads what a connection says. When it goes, the connection is over.
struct Reader {
    beginning: Option<Bytes>,
    connection: Arc<Connection>,
    outgoing: Outgoing,
    sender: Sender,
    id: String,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(beginning) = self.beginning.take() {
            return Some(beginning);
        }
        tokio::select! {
            biased;
            message = self.outgoing.next() => Some(sse::encode_message(&message?)),
            () = self.connection.bridge().drained.cancelled() => None,
            () = self.connection.too_slow() => None,
            () = self.sender.dismissed() => None,
            () = sleep(KEEP_ALIVE) => Some(sse::COMMENT),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.connection.bridge().connections.lock().remove(&self.id);
        self.connection.end();
    }
}

/// Takes a message for the connection with that id.
async fn take(
    bridge: &Arc<Bridge>,
    id: &str,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    let (sender, body) = Sender::admit(bridge, request)?;
    let text = body::read(sender.headers(), body, bridge.settings()).await?;
    let open = bridge.connections.lock().get(id).cloned();
    let own = open.filter(|(client, _)| *client == sender.client().name);
    let (_, connection) = own.ok_or_else(|| Failure::new(Code::SessionUnknown))?;
    if connection.is_too_slow() {
        return Err(Failure::with(
            Code::SessionUnknown,
            "its stream is not read",
        ));
    }
    if let Some(place) = connection.place().await {
        connection.take(sender, &text, place)?;
    }
    Ok(mcp::accepted())
}
