//! Sessions of legacy clients: none where nothing is remembered, and self-describing ids elsewhere.

use http::Method;
use http::header::ACCEPT;
use mcp_bridge::demo::{self, DemoHouse};
use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::bridge::{Reply, house, send};
use crate::support::events::Events;
use crate::support::inside::Inside;
use crate::support::script::Script;

const SESSION: &str = "mcp-session-id";
const ALWAYS: [(&str, &str); 1] = [("MCP_BRIDGE__LEGACY_SESSIONS", "always")];

async fn greet(bridge: &Bridge, version: &str) -> Reply {
    let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
    bridge.rpc("initialize", params).await
}

async fn ping(bridge: &Bridge, id: &str) -> Reply {
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    send(bridge.post("/mcp", ping).header(SESSION, id)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_an_upstream_with_sessions_have_sessions() {
    let settings = demo::Settings {
        sessions: true,
        ..demo::Settings::default()
    };
    let house = DemoHouse::start(settings).await.unwrap();
    let bridge = Bridge::before(&house).await;
    let reply = greet(&bridge, "2025-06-18").await;
    let id = reply.header(SESSION).expect("no session").to_owned();
    assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    assert_eq!(ping(&bridge, &id).await.result(), json!({}));
    assert_eq!(bridge.status().await["sessions"], 1);
    // Who does not ask for one needs none.
    let reply = bridge.rpc("tools/list", json!({})).await;
    assert!(reply.result()["tools"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_ended_is_unknown_and_so_is_one_that_never_was() {
    let house = house().await;
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &ALWAYS).await;
    let id = greet(&bridge, "2025-11-25")
        .await
        .header(SESSION)
        .unwrap()
        .to_owned();
    let end = |id: &str| bridge.request(Method::DELETE, "/mcp").header(SESSION, id);
    assert_eq!(send(end("nonsense")).await.code(), "session_unknown");
    assert_eq!(ping(&bridge, &id).await.status, 200);
    assert_eq!(send(end(&id)).await.status, 200);
    for unknown in [id.as_str(), "nonsense", &id[1..]] {
        let reply = ping(&bridge, unknown).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (404, "session_unknown")
        );
        let get = bridge.request(Method::GET, "/mcp").header(SESSION, unknown);
        assert_eq!(
            send(get.header(ACCEPT, "text/event-stream")).await.status,
            404
        );
        let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(
            send(bridge.post("/mcp", note).header(SESSION, unknown))
                .await
                .status,
            404
        );
    }
    // The handshake opens a new one, whatever it still has of the old one.
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let reply = send(bridge.post("/mcp", hello).header(SESSION, &id)).await;
    assert_ne!(reply.header(SESSION).unwrap(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_a_restart_and_belongs_to_its_client() {
    let house = house().await;
    let args = ["--upstream", &house.url()];
    let first = Bridge::start_with(&args, &ALWAYS).await;
    let id = greet(&first, "2025-06-18")
        .await
        .header(SESSION)
        .unwrap()
        .to_owned();
    let token = first.command(&["token", "create", "other"]);
    first.until(|status| status["clients"] == 2).await;
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(first.data()).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    drop(first);
    let second = Bridge::start_in(copy, &args, &ALWAYS).await;
    assert_eq!(ping(&second, &id).await.status, 200);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = token
        .split_whitespace()
        .find(|word| word.starts_with("mcpb_"))
        .unwrap();
    let request = client
        .post(second.url("/mcp"))
        .bearer_auth(token)
        .body(ping.to_string());
    let request = request
        .header("content-type", "application/json")
        .header(SESSION, &id);
    assert_eq!(send(request).await.code(), "session_unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_session_its_revision_needs_no_header() {
    let house = house().await;
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &ALWAYS).await;
    let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]);
    for (version, status) in [("2025-03-26", 200), ("2025-06-18", 400)] {
        let id = greet(&bridge, version)
            .await
            .header(SESSION)
            .unwrap()
            .to_owned();
        let reply = send(bridge.post("/mcp", &batch).header(SESSION, id)).await;
        assert_eq!(reply.status, status, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_be_remembered_is_offered_only_where_it_is() {
    let offer = json!({"logging": {}, "resources": {"subscribe": true, "listChanged": true}});
    let server = Script::start(offer, |_, _| json!({})).await;
    let args = ["--upstream", &server.url];
    for (environment, subscribe, logging) in [
        (&[][..], false, json!(null)),
        (&ALWAYS[..], true, json!({})),
    ] {
        let bridge = Bridge::start_with(&args, environment).await;
        let offered = &greet(&bridge, "2025-11-25").await.result()["capabilities"];
        assert_eq!(
            offered["resources"],
            json!({"subscribe": subscribe, "listChanged": true})
        );
        assert_eq!(offered["logging"], logging);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_hears_what_it_subscribed_to() {
    let offer = json!({"resources": {"subscribe": true, "listChanged": true}});
    let server = Script::start(offer, |_, _| json!({})).await;
    let always = mcp_bridge::http::LegacySessions::Always;
    let bridge = Inside::start(&server.url, |settings| {
        settings.http.legacy_sessions = always;
    })
    .await;
    let rpc = |method: &str, params: Value| {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        bridge.post("/mcp", message)
    };
    let hello = send(rpc("initialize", json!({"protocolVersion": "2025-11-25"}))).await;
    let id = hello.header(SESSION).unwrap().to_owned();
    let listen = bridge.request(Method::GET, "/mcp").header(SESSION, &id);
    let mut stream = Events::of(listen.header(ACCEPT, "text/event-stream")).await;
    let beginning = stream.next().await.unwrap();
    assert!(beginning.data.is_empty() && !beginning.id.is_empty() && !beginning.retry.is_empty());
    let updated = |uri: &str| {
        bridge.announce("notifications/resources/updated", json!({"uri": uri}));
    };
    send(rpc("resources/subscribe", json!({"uri": "a://1"})).header(SESSION, &id))
        .await
        .result();
    updated("a://2");
    updated("a://1");
    assert_eq!(stream.message().await.unwrap()["params"]["uri"], "a://1");
    send(rpc("resources/unsubscribe", json!({"uri": "a://1"})).header(SESSION, &id))
        .await
        .result();
    updated("a://1");
    bridge.announce("notifications/resources/list_changed", json!({}));
    let heard = stream.message().await.unwrap();
    assert_eq!(heard["method"], "notifications/resources/list_changed");
    bridge.stop().await;
    assert_eq!(stream.message().await, None);
}
