//! The stream of what happens: lists that changed, and how the bridge is.

use http::Method;
use mcp_bridge::protocol::sse::{Decoder, Event};
use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::bridge::{house, modern_post, send};
use crate::support::events::Events;
use crate::support::upstream::Upstream;

/// An open stream of events.
struct Stream {
    response: reqwest::Response,
    decoder: Decoder,
    events: std::collections::VecDeque<Event>,
}

impl Stream {
    async fn open(bridge: &Bridge) -> Self {
        let request = bridge.request(Method::GET, "/mcp/events");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self {
            response,
            decoder: Decoder::default(),
            events: std::collections::VecDeque::new(),
        }
    }

    /// The next event; nothing when the stream has ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        while self.events.is_empty() {
            let piece = self.response.chunk().await.unwrap()?;
            self.events.extend(self.decoder.push(&piece));
        }
        let event = self.events.pop_front()?;
        Some((event.name, serde_json::from_str(&event.data).unwrap()))
    }

    /// The next event for which the condition holds.
    async fn until(&mut self, condition: impl Fn(&str, &Value) -> bool) -> Value {
        loop {
            let (name, data) = self.next().await.expect("the stream ended");
            if condition(&name, &data) {
                return data;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_both_eras_hear_of_a_list_whose_server_never_tells() {
    let upstream = Upstream::start().await;
    let soon = [("MCP_BRIDGE__CACHE__LIST_TTL_WITHOUT_EVENTS", "1ms")];
    let bridge = Bridge::start_with(&["--upstream", upstream.url()], &soon).await;
    let hello = json!({"protocolVersion": "2025-11-25"});
    let hello = bridge.rpc("initialize", hello).await.result();
    let discovered = send(modern_post(&bridge, "server/discover", json!({}))).await;
    for said in [hello, discovered.result()] {
        assert_eq!(said["capabilities"]["tools"]["listChanged"], true, "{said}");
    }
    let wanted = json!({"notifications": {"toolsListChanged": true}});
    let modern = modern_post(&bridge, "subscriptions/listen", wanted);
    let mut modern = Events::of(modern.header("accept", "text/event-stream")).await;
    let acknowledged = modern.message().await.unwrap();
    let honoured = &acknowledged["params"]["notifications"]["toolsListChanged"];
    assert_eq!(*honoured, true, "{acknowledged}");
    let legacy = bridge.request(Method::GET, "/mcp");
    let legacy = legacy.header("accept", "text/event-stream");
    let mut legacy = Events::of(legacy.header("mcp-protocol-version", "2025-11-25")).await;
    upstream.until_asked("tools/list", 1).await;
    upstream.add_tool("script__night");
    for stream in [&mut modern, &mut legacy] {
        let heard = stream.message().await.unwrap();
        assert_eq!(heard["method"], "notifications/tools/list_changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_differs_is_told_to_whoever_listens() {
    let upstream = Upstream::start().await;
    let soon = [("MCP_BRIDGE__CACHE__LIST_TTL_WITHOUT_EVENTS", "1ms")];
    let bridge = Bridge::start_with(&["--upstream", upstream.url()], &soon).await;
    let mut stream = Stream::open(&bridge).await;
    upstream.until_asked("tools/list", 1).await;
    upstream.add_tool("script__night");
    let told = stream.until(|name, _| name == "message").await;
    let expected = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    assert_eq!(told, expected);
    let list = bridge.rpc("tools/list", json!({})).await.text;
    assert!(list.contains("script__night"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_condition_of_the_bridge_is_told_at_once_and_when_it_changes() {
    let house = house().await;
    let mut bridge = Bridge::before(&house).await;
    let mut stream = Stream::open(&bridge).await;
    assert_eq!(stream.response.headers()["x-accel-buffering"], "no");
    let (name, first) = stream.next().await.unwrap();
    assert_eq!(
        (name.as_str(), &first["state"]),
        ("status", &json!("running"))
    );
    assert_eq!(
        (&first["queue"], &first["breaker"]),
        (&json!("open"), &json!("closed"))
    );
    let pause = bridge.admin_request(Method::POST, "/api/queue/pause");
    assert_eq!(send(pause).await.status, 200);
    stream.until(|_, data| data["queue"] == "paused").await;
    bridge.signal("TERM");
    stream.until(|_, data| data["state"] == "stopping").await;
    assert_eq!(stream.next().await, None);
    assert!(bridge.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_a_bound_and_want_a_token() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let stranger = reqwest::Client::new().get(bridge.url("/mcp/events"));
    assert_eq!(send(stranger).await.status, 401);
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(Stream::open(&bridge).await);
    }
    let one_more = send(bridge.request(Method::GET, "/mcp/events")).await;
    assert_eq!(
        (one_more.status, one_more.code().as_str()),
        (503, "queue_full")
    );
    assert!(one_more.header("retry-after").is_some());
    drop(streams);
    bridge
        .until(|status| status["calls"]["cache"]["listeners"] == 0)
        .await;
    Stream::open(&bridge).await;
}
