//! HTTP+SSE of revision 2024-11-05.

use http::Method;
use http::header::ACCEPT;
use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::bridge::{Reply, house, send};
use crate::support::events::Events;
use crate::support::inside::Inside;
use crate::support::script::Script;

async fn open(bridge: &Bridge, path: &str) -> (Events, String) {
    let request = bridge
        .request(Method::GET, path)
        .header(ACCEPT, "text/event-stream");
    let mut stream = Events::of(request).await;
    let first = stream.next().await.unwrap();
    assert_eq!(first.name, "endpoint");
    (stream, first.data)
}

async fn say(bridge: &Bridge, endpoint: &str, message: Value) -> Reply {
    send(bridge.post(endpoint, message)).await
}

fn request(id: &str, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sends_by_post_and_hears_on_its_stream() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for (n, path, prefix) in [
        (1, "/sse", "/messages?sessionId="),
        (2, "/mcp_server/sse", "/mcp_server/messages/"),
    ] {
        let (mut stream, endpoint) = open(&bridge, path).await;
        assert!(endpoint.starts_with(prefix), "{endpoint}");
        let hello = json!({"protocolVersion": "2024-11-05", "capabilities": {}});
        for (id, method, params) in [
            ("hello", "initialize", hello),
            ("list", "tools/list", json!({})),
            (
                "call",
                "tools/call",
                json!({"name": "light__HassLightSet",
                "arguments": {"name": "Kitchen Light", "brightness": n}}),
            ),
        ] {
            let reply = say(&bridge, &endpoint, request(id, method, params)).await;
            assert_eq!((reply.status, reply.text.as_str()), (202, ""));
            let answer = stream.message().await.unwrap();
            assert_eq!(answer["id"], id);
            assert!(answer["result"].is_object(), "{answer}");
        }
        let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(say(&bridge, &endpoint, note).await.status, 202);
        assert_eq!(house.executed().len(), n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_address_stands_in_the_address_for_posts_too() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let made = bridge.command(&["token", "create", "old client", "--path-token"]);
    let prefix = format!("/c/{}", made.lines().last().unwrap());
    bridge.until(|status| status["clients"] == 2).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| bridge.url(path);
    let mut stream = Events::of(client.get(url(&format!("{prefix}/sse")))).await;
    let endpoint = stream.next().await.unwrap().data;
    assert!(endpoint.starts_with(&format!("{prefix}/messages?")));
    let ping = request("x", "ping", json!({}));
    let post = client.post(url(&endpoint)).body(ping.to_string());
    let reply = send(post.header("content-type", "application/json")).await;
    assert_eq!(reply.status, 202);
    assert_eq!(stream.message().await.unwrap()["result"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_message_is_refused_and_an_unknown_method_is_answered() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let (mut stream, endpoint) = open(&bridge, "/sse").await;
    let reply = send(bridge.post(&endpoint, "{")).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "malformed_json")
    );
    let reply = send(bridge.post(&endpoint, "[]")).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "invalid_message")
    );
    say(&bridge, &endpoint, request("x", "no/such", json!({}))).await;
    assert_eq!(stream.message().await.unwrap()["error"]["code"], -32601);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sends_to_a_stream_that_is_gone_or_not_their_own() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let ping = request("x", "ping", json!({}));
    for endpoint in [
        "/messages",
        "/messages?sessionId=x",
        "/mcp_server/messages/x",
    ] {
        let reply = say(&bridge, endpoint, ping.clone()).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (404, "session_unknown")
        );
    }
    let (stream, endpoint) = open(&bridge, "/sse").await;
    let token = bridge.command(&["token", "create", "other"]);
    let token = token
        .split_whitespace()
        .find(|word| word.starts_with("mcpb_"))
        .unwrap();
    bridge.until(|status| status["clients"] == 2).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = client
        .post(bridge.url(&endpoint))
        .bearer_auth(token)
        .body(ping.to_string());
    let reply = send(post.header("content-type", "application/json")).await;
    assert_eq!(reply.code(), "session_unknown");
    assert_eq!(send(client.post(bridge.url(&endpoint))).await.status, 401);
    assert_eq!(send(client.get(bridge.url("/sse"))).await.status, 401);
    drop(stream);
    while say(&bridge, &endpoint, ping.clone()).await.status != 404 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_of_what_it_watches_from_its_handshake_on() {
    let offer = json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}});
    let server = Script::start(offer, |_, _| json!({})).await;
    let bridge = Inside::before(&server.url).await;
    let listen = bridge.request(Method::GET, "/sse");
    let mut stream = Events::of(listen).await;
    let endpoint = stream.next().await.unwrap().data;
    let say = |message: Value| send(bridge.post(&endpoint, message));
    bridge.announce("notifications/tools/list_changed", json!({}));
    say(request(
        "hello",
        "initialize",
        json!({"protocolVersion": "2024-11-05"}),
    ))
    .await;
    let hello = stream.message().await.unwrap();
    assert_eq!(
        hello["result"]["capabilities"]["resources"]["subscribe"],
        true
    );
    say(request(
        "watch",
        "resources/subscribe",
        json!({"uri": "a://1"}),
    ))
    .await;
    assert_eq!(stream.message().await.unwrap()["id"], "watch");
    bridge.announce("notifications/resources/updated", json!({"uri": "a://2"}));
    bridge.announce("notifications/resources/updated", json!({"uri": "a://1"}));
    assert_eq!(stream.message().await.unwrap()["params"]["uri"], "a://1");
    bridge.stop().await;
    assert_eq!(stream.message().await, None);
}
