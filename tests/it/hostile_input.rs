//! Whatever is sent, the answer is a clear error and the bridge goes on.

use std::sync::Arc;

use mcp_bridge::demo::{DemoHouse, Fault};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use crate::support::Bridge;
use crate::support::bridge::{PATIENCE, house, send};

/// Sends `body` to `/mcp` as it is; gives status and JSON-RPC error code.
async fn refused(bridge: &Bridge, body: impl Into<reqwest::Body>) -> (u16, i64) {
    let request = bridge.request(http::Method::POST, "/mcp").body(body);
    let reply = send(request.header("content-type", "application/json")).await;
    (
        reply.status,
        reply.json()["error"]["code"].as_i64().unwrap(),
    )
}

async fn is_well(bridge: &Bridge) {
    assert_eq!(bridge.rpc("ping", json!({})).await.result(), json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_is_a_parse_error() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for body in [
        &b"{"[..],
        b"nonsense",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} {}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",}",
        b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":NaN,\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\\ud800\"}",
        b"   ",
        b"",
        b"\0",
    ] {
        let answer = refused(&bridge, body).await;
        assert!(
            matches!(answer, (400, -32700 | -32600)),
            "{:?}: {answer:?}",
            String::from_utf8_lossy(body)
        );
    }
    is_well(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_json_but_no_request_is_an_invalid_request() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for body in [
        "5",
        "null",
        "[]",
        r#""ping""#,
        "{}",
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1e400,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
    ] {
        assert_eq!(refused(&bridge, body).await, (400, -32600), "{body}");
    }
    assert_eq!(house.requests(), 0);
    is_well(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nesting_is_bounded() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":{open}{close}}}}}"#)
    };
    assert_eq!(refused(&bridge, nested(100)).await, (400, -32700));
    assert_eq!(refused(&bridge, nested(100_000)).await, (400, -32700));
    assert_eq!(refused(&bridge, "[".repeat(1_000_000)).await, (400, -32700));
    assert_eq!(
        send(bridge.post("/mcp", nested(60))).await.result(),
        json!({})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_beyond_any_type_pass_in_params() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"n":1e999999,"m":-0.000000000000000000000000000000001}}"#;
    assert_eq!(send(bridge.post("/mcp", body)).await.result(), json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    assert_eq!(
        refused(&bridge, vec![b' '; (4 << 20) + 1]).await,
        (413, -32600)
    );
    let mut socket = TcpStream::connect(bridge.lan).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        bridge.token
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut answer = [0; 12];
    let (mut read, mut write) = socket.split();
    let flood = async {
        while write.write_all(chunk.as_bytes()).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = flood => {}
        read = read.read_exact(&mut answer) => { read.unwrap(); }
    }
    assert_eq!(&answer, b"HTTP/1.1 413");
    is_well(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_is_given_up() {
    let house = house().await;
    let bridge = Bridge::start_with(
        &["--upstream", &house.url()],
        &[("MCP_BRIDGE__LIMITS__BODY_TIMEOUT", "200ms")],
    )
    .await;
    let mut socket = TcpStream::connect(bridge.lan).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{",
        bridge.token
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let n = tokio::time::timeout(PATIENCE, socket.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8_lossy(&answer[..n]);
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("body_too_slow"),
        "{answer}"
    );
}

/// A connection that has sent `bytes`.
async fn connected(bridge: &Bridge, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut socket = TcpStream::connect(bridge.lan).await.unwrap();
    socket.write_all(bytes.as_ref()).await.unwrap();
    socket
}

/// Waits until the bridge has closed a connection.
async fn closed(mut socket: TcpStream) {
    let mut answer = Vec::new();
    let end = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "the connection is still open: {answer:?}");
}

async fn impatient(house: &DemoHouse) -> Bridge {
    let soon = [("MCP_BRIDGE__LIMITS__HEAD_TIMEOUT", "200ms")];
    Bridge::start_with(&["--upstream", &house.url()], &soon).await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_ask_nothing_are_given_up() {
    let house = house().await;
    let bridge = impatient(&house).await;
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for bytes in [
        &b""[..],
        b"P",
        b"POST /mcp HTTP/1.1\r\nHost: x\r\nX-A",
        b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        settings,
    ] {
        closed(connected(&bridge, bytes).await).await;
    }
    is_well(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_may_take_longer_than_a_connection_may_idle() {
    let house = house().await;
    let bridge = impatient(&house).await;
    let client = || reqwest::Client::builder().no_proxy();
    let http2 = client().http2_prior_knowledge();
    bridge.rpc("tools/list", json!({})).await.result();
    for client in [client(), http2] {
        let gate = Arc::new(Semaphore::new(0));
        house.set_fault(Some(Fault::Hold(gate.clone())));
        let call = client.build().unwrap().post(bridge.url("/mcp/tools/call"));
        let call = call.header("content-type", "application/json");
        let call = call.body(json!({"name": "llm__GetDateTime"}).to_string());
        let call = tokio::spawn(send(call.bearer_auth(&bridge.token)));
        bridge
            .until(|status| status["calls"]["queue"]["running"] == 1)
            .await;
        // One that came later, and asks nothing, goes first.
        closed(connected(&bridge, "").await).await;
        gate.add_permits(10);
        assert_eq!(call.await.unwrap().json()["isError"], false);
        house.set_fault(None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_http_end_their_own_connection_only() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00garbage\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"\0\0\0\0",
        b"POST /mcp HTTP/9.9\r\n\r\n",
    ] {
        let mut socket = TcpStream::connect(bridge.lan).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    is_well(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_paths_and_methods_in_addresses_are_answered() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for path in [
        "/mcp/%ff%fe",
        "/mcp/..%2f..%2fetc",
        "/mcp//",
        "/mcp/tools%2Fcall",
        "/%00",
    ] {
        let reply = send(bridge.post(path, "{}")).await;
        assert!((200..500).contains(&reply.status), "{path}: {reply:?}");
        assert!(
            reply.text.is_empty() || serde_json::from_str::<Value>(&reply.text).is_ok(),
            "{path}: {reply:?}"
        );
    }
    is_well(&bridge).await;
}

const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Asks on an open connection whether the bridge is alive; nothing if it was closed.
async fn ask(socket: &mut TcpStream) -> Option<()> {
    let exchange = async {
        socket.write_all(LIVE.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            if socket.read_buf(&mut answer).await.ok()? == 0 {
                return None;
            }
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
        Some(())
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap()
}

/// A connection that is served.
async fn served(bridge: &Bridge) -> TcpStream {
    let mut socket = connected(bridge, "").await;
    ask(&mut socket).await.unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_all_connections() {
    let house = house().await;
    let few = [("MCP_BRIDGE__LIMITS__CONNECTIONS_PER_ADDRESS", "2")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &few).await;
    let mut mine = [served(&bridge).await, served(&bridge).await];
    closed(connected(&bridge, "").await).await;
    let other = TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(bridge.lan).await.unwrap();
    ask(&mut other).await.unwrap();
    for socket in &mut mine {
        ask(socket).await.unwrap();
    }
    drop(mine);
    let again = async { while ask(&mut connected(&bridge, "").await).await.is_none() {} };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_wait_and_are_served_later() {
    let house = house().await;
    let bridge = Bridge::start_with(
        &["--upstream", &house.url()],
        &[("MCP_BRIDGE__LIMITS__CONNECTIONS", "2")],
    )
    .await;
    let mut first = served(&bridge).await;
    let mut second = served(&bridge).await;
    let mut extra = connected(&bridge, LIVE).await;
    // Time enough to be served by mistake, measured in answers that others got.
    for _ in 0..100 {
        ask(&mut first).await.unwrap();
        ask(&mut second).await.unwrap();
    }
    let nothing = extra.try_read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    let answer = tokio::time::timeout(PATIENCE, extra.read_u8()).await;
    assert_eq!(answer.unwrap().unwrap(), b'H');
}
