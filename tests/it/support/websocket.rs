//! Home Assistant's websocket: a client for it, and what stand-ins for it need.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Opens a websocket at an address of HTTP.
pub(crate) async fn connect(http: &str) -> WebSocketStream<TcpStream> {
    let url: url::Url = http.parse().unwrap();
    let host = (url.host_str().unwrap(), url.port().unwrap());
    let stream = TcpStream::connect(host).await.unwrap();
    let address = http.replacen("http", "ws", 1);
    let (socket, _) = tokio_tungstenite::client_async(address, stream)
        .await
        .unwrap();
    socket
}

/// Sends a message.
pub(crate) async fn say<S>(socket: &mut WebSocketStream<S>, message: &Value)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let message = Message::text(message.to_string());
    socket.send(message).await.unwrap();
}

/// The next message; nothing once the other side has closed.
pub(crate) async fn hear<S>(socket: &mut WebSocketStream<S>) -> Option<Value>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Commands to Home Assistant, one at a time.
pub(crate) struct Commands {
    socket: WebSocketStream<TcpStream>,
    last_id: u64,
}

impl Commands {
    pub(crate) async fn connect(home_assistant: &str, token: &str) -> Self {
        let mut socket = connect(&format!("{home_assistant}/api/websocket")).await;
        hear(&mut socket).await.unwrap();
        say(&mut socket, &json!({"type": "auth", "access_token": token})).await;
        let answer = hear(&mut socket).await.unwrap();
        assert_eq!(answer["type"], "auth_ok");
        Self { socket, last_id: 0 }
    }

    /// The result of a command.
    pub(crate) async fn run(&mut self, kind: &str, mut arguments: Value) -> Value {
        self.last_id += 1;
        arguments["id"] = json!(self.last_id);
        arguments["type"] = json!(kind);
        say(&mut self.socket, &arguments).await;
        let mut answer = hear(&mut self.socket).await.unwrap();
        assert_eq!(answer["success"], true, "{kind}: {answer}");
        answer["result"].take()
    }
}
