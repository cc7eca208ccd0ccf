//! MCP over a WebSocket.

use futures_util::{SinkExt as _, StreamExt as _};
use mcp_bridge::demo::Fault;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::Bridge;
use crate::support::bridge::{PATIENCE, house, send};
use crate::support::inside::Inside;
use crate::support::script::Script;

type Socket = WebSocketStream<TcpStream>;

/// A handshake with these headers; the answer if it is none.
async fn shake(
    lan: std::net::SocketAddr,
    headers: &[(&'static str, &str)],
) -> Result<(Socket, String), Error> {
    let mut request = format!("ws://{lan}/mcp/ws").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(lan).await.unwrap();
    let (socket, reply) = tokio_tungstenite::client_async(request, stream).await?;
    let chosen = reply.headers().get("sec-websocket-protocol");
    Ok((
        socket,
        chosen
            .map_or("", |value| value.to_str().unwrap())
            .to_owned(),
    ))
}

async fn connect(bridge: &Bridge) -> Socket {
    let bearer = format!("Bearer {}", bridge.token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("sec-websocket-protocol", "mcp"),
    ];
    shake(bridge.lan, &headers).await.unwrap().0
}

async fn say(socket: &mut Socket, message: Value) {
    socket
        .send(Message::text(message.to_string()))
        .await
        .unwrap();
}

/// The next message of the bridge.
async fn hear(socket: &mut Socket) -> Value {
    match next(socket).await {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn next(socket: &mut Socket) -> Message {
    let next = tokio::time::timeout(PATIENCE, socket.next()).await;
    next.expect("silence").expect("the end").unwrap()
}

async fn ask(socket: &mut Socket, method: &str, params: Value) -> Value {
    say(
        socket,
        json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params}),
    )
    .await;
    let answer = hear(socket).await;
    assert_eq!(answer["id"], method, "{answer}");
    answer
}

fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}});
    params
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_client_greets_lists_and_calls() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let mut socket = connect(&bridge).await;
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}});
    let hello = ask(&mut socket, "initialize", hello).await;
    assert_eq!(hello["result"]["protocolVersion"], "2025-06-18");
    say(
        &mut socket,
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
    )
    .await;
    let list = ask(&mut socket, "tools/list", json!({})).await;
    assert_eq!(list["result"]["tools"].as_array().unwrap().len(), 16);
    let call = json!({"name": "intent__HassTurnOn", "arguments": {"name": "Kitchen Light"}});
    assert_eq!(
        ask(&mut socket, "tools/call", call).await["result"]["isError"],
        false
    );
    assert_eq!(house.executed().len(), 1);
    assert_eq!(
        ask(&mut socket, "no/such", json!({})).await["error"]["code"],
        -32601
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_client_needs_no_handshake() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let mut socket = connect(&bridge).await;
    let found = ask(&mut socket, "server/discover", modern(json!({}))).await;
    assert_eq!(found["result"]["supportedVersions"], json!(["2026-07-28"]));
    let list = ask(&mut socket, "tools/list", modern(json!({}))).await;
    assert_eq!(list["result"]["resultType"], "complete");
    assert_eq!(
        ask(&mut socket, "ping", modern(json!({}))).await["error"]["code"],
        -32601
    );
    let mut wrong = modern(json!({}));
    wrong["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2031-01-01".into();
    let refused = ask(&mut socket, "tools/list", wrong).await;
    assert_eq!(refused["error"]["code"], -32022);
    let mut incomplete = modern(json!({}));
    incomplete["_meta"]
        .as_object_mut()
        .unwrap()
        .remove("io.modelcontextprotocol/clientCapabilities");
    let refused = ask(&mut socket, "tools/list", incomplete).await;
    assert_eq!(refused["error"]["code"], -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_its_token_among_the_subprotocols() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let offer = format!("mcp, bearer.{}", bridge.token);
    let (mut socket, chosen) = shake(bridge.lan, &[("sec-websocket-protocol", &offer)])
        .await
        .unwrap();
    assert_eq!(chosen, "mcp");
    assert_eq!(
        ask(&mut socket, "ping", json!({})).await["result"],
        json!({})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_come_in_hears_why_before_anything_is_upgraded() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let bearer = format!("Bearer {}", bridge.token);
    for (headers, status, code) in [
        (
            vec![("sec-websocket-protocol", "mcp")],
            401,
            "token_missing",
        ),
        (
            vec![("sec-websocket-protocol", "mcp, bearer.mcpb_x")],
            401,
            "token_malformed",
        ),
        (
            vec![
                ("authorization", bearer.as_str()),
                ("origin", "https://evil.example"),
            ],
            403,
            "origin_refused",
        ),
    ] {
        let Err(Error::Http(reply)) = shake(bridge.lan, &headers).await else {
            panic!("{headers:?} came in");
        };
        assert_eq!(reply.status(), status);
        let body = String::from_utf8(reply.into_body().unwrap()).unwrap();
        assert!(body.contains(code), "{body}");
    }
    let reply = send(bridge.request(http::Method::GET, "/mcp/ws")).await;
    assert_eq!((reply.status, reply.code().as_str()), (426, "no_websocket"));
    let reply = send(bridge.post("/mcp/ws", "{}")).await;
    assert_eq!(reply.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_text_is_answered_and_the_connection_goes_on() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let mut socket = connect(&bridge).await;
    for (text, code) in [
        ("{", -32700),
        ("5", -32600),
        ("[]", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
    ] {
        socket.send(Message::text(text)).await.unwrap();
        let answer = hear(&mut socket).await;
        assert_eq!(
            (&answer["error"]["code"], &answer["id"]),
            (&json!(code), &Value::Null)
        );
    }
    assert_eq!(
        ask(&mut socket, "ping", json!({})).await["result"],
        json!({})
    );
    // The revision that is assumed has batches.
    let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"jsonrpc": "2.0", "id": 2, "method": "ping"}]);
    say(&mut socket, batch).await;
    assert_eq!(hear(&mut socket).await.as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_binary_or_too_large_ends_the_connection_with_a_reason() {
    let house = house().await;
    let small = [("MCP_BRIDGE__LIMITS__REQUEST_BODY", "2KiB")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &small).await;
    for (frame, code) in [
        (Message::binary(vec![1, 2]), CloseCode::Unsupported),
        (Message::text("x".repeat(5000)), CloseCode::Size),
    ] {
        let mut socket = connect(&bridge).await;
        socket.send(frame).await.unwrap();
        let Message::Close(Some(close)) = next(&mut socket).await else {
            panic!("no reason");
        };
        assert_eq!(close.code, code);
        assert!(!close.reason.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let mut socket = connect(&bridge).await;
    socket.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("x".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_run_side_by_side_and_are_cancelled_by_their_ids() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    let mut socket = connect(&bridge).await;
    let call = json!({"name": "llm__GetDateTime"});
    say(
        &mut socket,
        json!({"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": call}),
    )
    .await;
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    assert_eq!(
        ask(&mut socket, "ping", json!({})).await["result"],
        json!({})
    );
    say(&mut socket, json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}})).await;
    let answer = hear(&mut socket).await;
    assert_eq!(answer["id"], "slow");
    assert!(answer["error"]["data"]["code"] == "cancelled", "{answer}");
    gate.add_permits(10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_connection_is_gone_is_given_up() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    bridge.rpc("tools/list", json!({})).await.result();
    house.set_fault(Some(Fault::Hang));
    let mut socket = connect(&bridge).await;
    let call = json!({"name": "llm__GetDateTime"});
    say(
        &mut socket,
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}),
    )
    .await;
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    drop(socket);
    bridge.until(|status| status["calls"]["left"] == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_closed() {
    let offer = json!({"tools": {}});
    let server = Script::start(offer, |_, _| json!({"text": "x".repeat(1 << 20)})).await;
    let bridge = Bridge::start(&["--upstream", &server.url]).await;
    let mut socket = connect(&bridge).await;
    for number in 0.. {
        let params = json!({"uri": format!("a://{number}")});
        let read =
            json!({"jsonrpc": "2.0", "id": number, "method": "resources/read", "params": params});
        // Until the bridge has hung up.
        if socket.send(Message::text(read.to_string())).await.is_err() {
            break;
        }
    }
    let reason = |line: &String| line.contains("does not read what it is sent");
    assert!(bridge.whole_log().iter().any(reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_no_call_is_heard_by_both_eras() {
    let offer = json!({"tools": {"listChanged": true}});
    let server = Script::start(offer, |_, _| json!({})).await;
    let bridge = Inside::before(&server.url).await;
    let (mut legacy, _) = shake(bridge.lan, &[]).await.unwrap();
    ask(
        &mut legacy,
        "initialize",
        json!({"protocolVersion": "2025-11-25"}),
    )
    .await;
    ask(&mut legacy, "ping", json!({})).await;
    let (mut listener, _) = shake(bridge.lan, &[]).await.unwrap();
    let wanted = modern(json!({"notifications": {"toolsListChanged": true}}));
    let listen =
        json!({"jsonrpc": "2.0", "id": "s", "method": "subscriptions/listen", "params": wanted});
    say(&mut listener, listen).await;
    let first = hear(&mut listener).await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    bridge.announce("notifications/tools/list_changed", json!({}));
    for socket in [&mut legacy, &mut listener] {
        assert_eq!(
            hear(socket).await["method"],
            "notifications/tools/list_changed"
        );
    }
    let over = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "s"}});
    say(&mut listener, over).await;
    ask(&mut listener, "tools/list", modern(json!({}))).await;
    bridge.announce("notifications/tools/list_changed", json!({}));
    assert_eq!(
        hear(&mut legacy).await["method"],
        "notifications/tools/list_changed"
    );
    ask(&mut listener, "tools/list", modern(json!({}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_stops_says_so() {
    let house = house().await;
    let mut bridge = Bridge::before(&house).await;
    let mut socket = connect(&bridge).await;
    bridge.signal("TERM");
    let Message::Close(Some(close)) = next(&mut socket).await else {
        panic!("no reason");
    };
    assert_eq!(close.code, CloseCode::Away);
    assert_eq!(bridge.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_counts_as_a_connection() {
    let house = house().await;
    let few = [("MCP_BRIDGE__LIMITS__CONNECTIONS", "1")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &few).await;
    let mut socket = connect(&bridge).await;
    ask(&mut socket, "ping", json!({})).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let waiting = tokio::spawn(send(bridge.post("/mcp", ping)));
    ask(&mut socket, "ping", json!({})).await;
    assert!(!waiting.is_finished());
    drop(socket);
    assert_eq!(waiting.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_client_may_do_changes_on_an_open_connection_and_its_end_ends_it() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let mut socket = connect(&bridge).await;
    let arguments = json!({"name": "Kitchen Light", "brightness": 5});
    let light = json!({"name": "light__HassLightSet", "arguments": arguments});
    let answer = ask(&mut socket, "tools/call", light.clone()).await;
    assert_ne!(answer["result"]["isError"], true, "{answer}");
    let looking = r#"{"read_only": true}"#;
    bridge.command(&["rights", "set", "default", "--rights", looking]);
    while ask(&mut socket, "tools/call", light.clone()).await["result"]["isError"] != true {}
    bridge.command(&["token", "revoke", "default"]);
    let Message::Close(Some(close)) = next(&mut socket).await else {
        panic!("no reason");
    };
    assert_eq!(close.code, CloseCode::Policy);
}
