//! Event streams over GET: what belongs to no call, and answers that are taken up again.

use std::sync::Arc;

use http::Method;
use http::header::ACCEPT;
use mcp_bridge::demo::Fault;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::Bridge;
use crate::support::bridge::{house, modern_post, send};
use crate::support::events::{Event, Events};
use crate::support::inside::Inside;
use crate::support::script::Script;

const VERSION: &str = "mcp-protocol-version";
const EVENTS: &str = "text/event-stream";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_names_its_version_hears_of_changed_lists_without_a_session() {
    let server = Script::start(json!({"tools": {"listChanged": true}}), |_, _| json!({})).await;
    let bridge = Inside::before(&server.url).await;
    let listen = || {
        let request = bridge
            .request(Method::GET, "/mcp")
            .header(VERSION, "2025-06-18");
        request.header(ACCEPT, EVENTS)
    };
    let mut stream = Events::of(listen()).await;
    let beginning = stream.next().await.unwrap();
    bridge.announce("notifications/resources/updated", json!({"uri": "a://1"}));
    bridge.announce("notifications/tools/list_changed", json!({}));
    let heard = stream.message().await.unwrap();
    assert_eq!(heard["method"], "notifications/tools/list_changed");
    drop(stream);
    // Who comes back may have missed something, and hears of everything that may have changed.
    let mut stream = Events::of(listen().header("last-event-id", beginning.id)).await;
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(stream.message().await.unwrap()["method"].clone());
    }
    assert!(
        heard.contains(&json!("notifications/tools/list_changed")),
        "{heard:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_in_distress_hears_that_there_is_no_stream_even_without_a_token() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = || client.get(bridge.url("/mcp")).header(ACCEPT, EVENTS);
    let reply = send(get()).await;
    assert_eq!(
        (reply.status, reply.header("allow")),
        (405, Some("POST, DELETE"))
    );
    assert_eq!(reply.code(), "method_not_allowed");
    assert_eq!(reply.header("www-authenticate"), None);
    assert!(reply.text.contains("failed with its POST"), "{reply:?}");
    // One that knows what it does needs a token, and an open mind.
    assert_eq!(send(get().header(VERSION, "2025-11-25")).await.status, 401);
    let get = |version| bridge.request(Method::GET, "/mcp").header(VERSION, version);
    assert_eq!(send(get("2026-07-28")).await.status, 405);
    assert_eq!(send(get("2031-01-01")).await.status, 400);
    let reply = send(get("2025-11-25").header(ACCEPT, "application/json")).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (406, "not_acceptable")
    );
}

/// Two calls at a house that holds them: the second waits in the queue and hears so.
struct Held {
    bridge: Bridge,
    gate: Arc<Semaphore>,
    waiting: Events,
    first: Event,
}

async fn held(house: &mcp_bridge::demo::DemoHouse, version: &str) -> Held {
    let one = [("MCP_BRIDGE__QUEUE__MAX_PARALLEL_CALLS", "1")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &one).await;
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    let call = |name: &str| {
        let params = json!({"name": "intent__HassTurnOn", "arguments": {"name": name},
            "_meta": {"progressToken": "p"}});
        let call = json!({"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": params});
        let request = bridge.post("/mcp", call).header(VERSION, version);
        request.header(ACCEPT, "application/json, text/event-stream")
    };
    tokio::spawn(call("Kitchen Light").send());
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    let mut waiting = Events::of(call("Desk Lamp")).await;
    let first = waiting.next().await.unwrap();
    Held {
        bridge,
        gate,
        waiting,
        first,
    }
}

impl Held {
    fn resume(&self, event: &Event) -> reqwest::RequestBuilder {
        let get = self
            .bridge
            .request(Method::GET, "/mcp")
            .header("last-event-id", &event.id);
        get.header(VERSION, "2025-11-25").header(ACCEPT, EVENTS)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_stream_broke_is_taken_up_where_it_was_lost() {
    let house = house().await;
    let mut held = held(&house, "2025-11-25").await;
    // The first event says where the stream begins, and when to come back.
    assert!(held.first.data.is_empty() && !held.first.retry.is_empty());
    let progress = held.waiting.next().await.unwrap();
    assert_eq!(progress.json()["method"], "notifications/progress");
    let again = Events::of(held.resume(&progress)).await;
    drop(std::mem::replace(&mut held.waiting, again));
    held.gate.add_permits(10);
    let answer = loop {
        let event = held.waiting.next().await.expect("no answer");
        assert_ne!(event.id, progress.id, "that one was seen");
        if event.json()["id"] == "Desk Lamp" {
            break event;
        }
    };
    assert_eq!(answer.json()["result"]["isError"], false);
    assert_eq!(held.waiting.next().await, None);
    assert_eq!(house.executed().len(), 2);
    // It was read to its end, so there is nothing to come back for.
    let reply = send(held.resume(&progress)).await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "stream_gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_up_the_stream_of_another_client() {
    let house = house().await;
    let held = held(&house, "2025-11-25").await;
    let token = held.bridge.command(&["token", "create", "other"]);
    let token = token
        .split_whitespace()
        .find(|word| word.starts_with("mcpb_"))
        .unwrap();
    held.bridge.until(|status| status["clients"] == 2).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = client.get(held.bridge.url("/mcp")).bearer_auth(token);
    let get = get
        .header(VERSION, "2025-11-25")
        .header("last-event-id", &held.first.id);
    assert_eq!(send(get.header(ACCEPT, EVENTS)).await.code(), "stream_gone");
    held.gate.add_permits(10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_client_gets_no_event_without_data() {
    let house = house().await;
    let held = held(&house, "2025-06-18").await;
    assert_eq!(held.first.json()["method"], "notifications/progress");
    assert!(!held.first.id.is_empty());
    held.gate.add_permits(10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_reader_has_the_stream() {
    let house = house().await;
    let mut held = held(&house, "2025-11-25").await;
    let mut again = Events::of(held.resume(&held.first)).await;
    held.gate.add_permits(10);
    while let Some(event) = held.waiting.next().await {
        assert_ne!(
            event.json()["id"],
            "Desk Lamp",
            "the old connection got the answer"
        );
    }
    let mut last = None;
    while let Some(message) = again.message().await {
        last = Some(message);
    }
    assert_eq!(last.unwrap()["id"], "Desk Lamp");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_client_that_is_revoked_end() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let get = |path| bridge.request(Method::GET, path).header(ACCEPT, EVENTS);
    let nothing = json!({"notifications": {}});
    let listen = modern_post(&bridge, "subscriptions/listen", nothing).header(ACCEPT, EVENTS);
    let mut streams = [
        Events::of(get("/mcp").header(VERSION, "2025-06-18")).await,
        Events::of(get("/sse")).await,
        Events::of(listen).await,
    ];
    for stream in &mut streams {
        assert!(stream.next().await.is_some());
    }
    bridge.command(&["token", "revoke", "default"]);
    for stream in &mut streams {
        assert_eq!(stream.next().await, None);
    }
}
