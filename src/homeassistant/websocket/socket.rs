//! The socket under the websocket: opens it over the bridge's own HTTP client, so that addresses,
//! certificates and time limits are the same as for calls; reads and writes text messages.

use std::fmt;
use std::pin::Pin;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use url::Url;

use super::link::Loss;
use crate::upstream::Trouble;
use crate::upstream::http_client::HttpClient;

/// Bytes of a message of Home Assistant. The states and registries of 10,000 entities are smaller.
const MAX_MESSAGE: usize = 32 << 20;
/// Bytes that are read at once.
const READ_BUFFER: usize = 32 << 10;

/// What a connection is made of, whatever lies below.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// An open websocket.
pub(super) struct Socket(WebSocketStream<Pin<Box<dyn Connection>>>);

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}

impl Socket {
    /// Opens a websocket with the handshake of RFC 6455, section 4.1.
    ///
    /// # Errors
    /// [`Loss::Unreachable`] or [`Loss::NotOffered`].
    pub(super) async fn open(client: &HttpClient, url: &Url) -> Result<Self, Loss> {
        let key = generate_key();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        if let Ok(key) = HeaderValue::from_str(&key) {
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
        }
        let (answer, connection) = client.upgrade(url, headers).await.map_err(refusal)?;
        let accepted = answer.get(header::SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|accept| accept != derive_accept_key(key.as_bytes()).as_str()) {
            return Err(Loss::NotOffered(
                "it switched to a protocol that is no websocket".to_owned(),
            ));
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE))
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0);
        let connection: Pin<Box<dyn Connection>> = Box::pin(connection);
        let stream = WebSocketStream::from_raw_socket(connection, Role::Client, Some(config)).await;
        Ok(Self(stream))
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// [`Loss::Closed`].
    pub(super) async fn send(&mut self, text: String) -> Result<(), Loss> {
        let sent = self.0.send(Message::text(text)).await;
        sent.map_err(|error| Loss::Closed(error.to_string()))
    }

    /// The next text message. Pings are answered on the way. May be given up and asked for again.
    ///
    /// # Errors
    /// [`Loss::Closed`].
    pub(super) async fn receive(&mut self) -> Result<Utf8Bytes, Loss> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => {
                    let why = frame.map(|frame| format!("{} {}", frame.code, frame.reason));
                    let why = why.unwrap_or_else(|| "without a reason".to_owned());
                    return Err(Loss::Closed(why.trim_end().to_owned()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Loss::Closed(error.to_string())),
                None => return Err(Loss::Closed("without a word".to_owned())),
            }
        }
    }
}

/// What a failed attempt says. The Supervisor answers 502 while Core is not there.
fn refusal(trouble: Trouble) -> Loss {
    match trouble {
        Trouble::Status { status, .. } if status < 500 => {
            Loss::NotOffered(format!("HTTP {status}"))
        }
        other => Loss::Unreachable(other.to_string()),
    }
}
