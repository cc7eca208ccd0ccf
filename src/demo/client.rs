//! A raw HTTP client for the tests, which see exactly what was sent, and what was not.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::endpoint::PATH;
use super::server::{DemoHouse, Settings};

/// Nothing here takes long; this only keeps a broken test from hanging.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) async fn house() -> DemoHouse {
    DemoHouse::start(Settings::default()).await.unwrap()
}

pub(super) async fn house_with(settings: Settings) -> DemoHouse {
    DemoHouse::start(settings).await.unwrap()
}

/// An HTTP answer, taken apart by hand so that the tests see what was really sent.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Self {
            status,
            headers,
            body: bytes[end + 4..].to_vec(),
        })
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(super) const USUAL: &str =
    "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n";

pub(super) fn http(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: house\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(super) fn post(body: &Value) -> String {
    http("POST", PATH, USUAL, &body.to_string())
}

pub(super) fn rpc(id: impl Into<Value>, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

pub(super) fn turn_on(id: impl Into<Value>) -> Value {
    rpc(
        id,
        "tools/call",
        &json!({"name": "intent__HassTurnOn", "arguments": {"name": "Printer"}}),
    )
}

pub(super) async fn open(house: &DemoHouse, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(house.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

pub(super) async fn read(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("an answer or an end")?;
    Ok(bytes)
}

pub(super) async fn send(house: &DemoHouse, request: &str) -> Answer {
    Answer::parse(&read(open(house, request).await).await.unwrap()).expect("a whole answer")
}

pub(super) async fn until(house: &DemoHouse, condition: impl Fn(&DemoHouse) -> bool) {
    timeout(PATIENCE, house.until(condition))
        .await
        .expect("what was waited for");
}
