//! What revision 2026-07-28 asks of a server, beyond what the other tests of MCP over HTTP show.

use http::header::ACCEPT;
use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::bridge::{house, modern, modern_post, send};
use crate::support::events::Events;
use crate::support::inside::Inside;
use crate::support::script::Script;

const EVENTS: &str = "application/json, text/event-stream";

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_hears_first_what_can_be_heard_and_at_the_end_that_it_is_over() {
    let offer = json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}});
    let server = Script::start(offer, |_, _| json!({})).await;
    let mut bridge = Bridge::start(&["--upstream", &server.url]).await;
    bridge.rpc("initialize", json!({})).await.result();
    let wanted = json!({"notifications": {"toolsListChanged": true, "promptsListChanged": true,
        "resourceSubscriptions": ["a://1"]}});
    let request = modern_post(&bridge, "subscriptions/listen", wanted).header(ACCEPT, EVENTS);
    let mut stream = Events::of(request).await;
    let first = stream.message().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let honoured = json!({"toolsListChanged": true, "resourceSubscriptions": ["a://1"]});
    assert_eq!(first["params"]["notifications"], honoured);
    let id = "io.modelcontextprotocol/subscriptionId";
    assert_eq!(first["params"]["_meta"][id], 1);
    bridge.signal("TERM");
    let last = stream.message().await.unwrap();
    assert_eq!(last["id"], 1);
    assert_eq!(last["result"]["resultType"], "complete");
    assert_eq!(last["result"]["_meta"][id], 1);
    assert_eq!(stream.message().await, None);
    assert_eq!(bridge.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_needs_a_filter_and_a_client_that_reads_events() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let listen = |params| modern_post(&bridge, "subscriptions/listen", params);
    let reply = send(listen(json!({})).header(ACCEPT, EVENTS)).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "invalid_params")
    );
    assert_eq!(reply.json()["id"], 1);
    let wanted = json!({"notifications": {}});
    let reply = send(listen(wanted).header(ACCEPT, "application/json")).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (406, "not_acceptable")
    );
    // A legacy client has no such method.
    let reply = bridge
        .rpc("subscriptions/listen", json!({"notifications": {}}))
        .await;
    assert_eq!(reply.json()["error"]["code"], -32601);
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_are_repeated_in_headers_have_to_agree_with_them() {
    let server = Script::start(json!({"tools": {}}), |method, _| match method {
        "tools/list" => json!({"tools": [{"name": "sql", "inputSchema": {"type": "object",
            "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}}]}),
        _ => json!({"content": []}),
    });
    let server = server.await;
    let bridge = Bridge::start(&["--upstream", &server.url]).await;
    let call = |region: Value, header: Option<&str>| {
        let params = json!({"name": "sql", "arguments": {"region": region}});
        let request = modern_post(&bridge, "tools/call", params).header("mcp-name", "sql");
        let request = match header {
            Some(value) => request.header("Mcp-Param-Region", value),
            None => request,
        };
        send(request)
    };
    // Nobody knows of it yet, and a header that nobody knows is left alone.
    assert_eq!(call(json!("eu"), Some("us")).await.status, 200);
    send(modern_post(&bridge, "tools/list", json!({})))
        .await
        .result();
    for (region, header) in [
        (json!("eu"), Some("eu")),
        (json!("lümen"), Some("=?base64?bMO8bWVu?=")),
        (json!(null), None),
    ] {
        let reply = call(region, header).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let calls = server.seen().len();
    for (region, header) in [
        (json!("eu"), Some("us")),
        (json!("eu"), None),
        (json!(null), Some("eu")),
        (json!("eu"), Some("=?base64?!?=")),
    ] {
        let reply = call(region, header).await;
        let code = &reply.json()["error"]["code"];
        assert_eq!((reply.status, code), (400, &json!(-32020)), "{header:?}");
    }
    assert_eq!(
        server.seen().len(),
        calls,
        "none of them reached the server"
    );
    // Legacy clients know nothing of such headers.
    let params = json!({"name": "sql", "arguments": {"region": "eu"}});
    assert_eq!(bridge.rpc("tools/call", params).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_base64_is_the_name() {
    let server = Script::start(json!({"prompts": {}}), |_, params| params.clone()).await;
    let bridge = Bridge::start(&["--upstream", &server.url]).await;
    let get = |header: &str| {
        let request = modern_post(&bridge, "prompts/get", json!({"name": "lümen"}));
        send(request.header("mcp-name", header))
    };
    assert_eq!(get("=?base64?bMO8bWVu?=").await.result()["name"], "lümen");
    assert_eq!(
        get("=?BASE64?bMO8bWVu?=").await.json()["error"]["code"],
        -32020
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_last_event_ids_mean_nothing_to_a_modern_request() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let request = modern_post(&bridge, "tools/list", json!({}));
    let reply = send(
        request
            .header("mcp-session-id", "x")
            .header("last-event-id", "y"),
    )
    .await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("mcp-session-id"), None);
    let version = "2026-07-28";
    for method in [http::Method::GET, http::Method::DELETE] {
        let request = bridge
            .request(method.clone(), "/mcp")
            .header("mcp-protocol-version", version);
        let reply = send(request.header(ACCEPT, EVENTS)).await;
        assert_eq!(reply.status, 405, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_request_is_accepted_without_a_body_or_refused() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let mut note = modern("notifications/cancelled", json!({"requestId": 9}));
    note.as_object_mut().unwrap().remove("id");
    let post = |version| {
        bridge
            .post("/mcp", &note)
            .header("mcp-protocol-version", version)
    };
    let reply = send(post("2026-07-28")).await;
    assert_eq!((reply.status, reply.text.as_str()), (202, ""));
    assert_eq!(send(post("2031-01-01")).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_hears_what_was_asked_for_and_nothing_else() {
    let offer = json!({"tools": {"listChanged": true}, "prompts": {"listChanged": true},
        "resources": {"subscribe": true}});
    let server = Script::start(offer, |_, _| json!({})).await;
    let bridge = Inside::before(&server.url).await;
    let wanted = json!({"notifications": {"toolsListChanged": true,
        "resourceSubscriptions": ["a://1"]}});
    let mut request = modern("subscriptions/listen", wanted);
    request["id"] = json!("my stream");
    let post = bridge.post("/mcp", &request).header(ACCEPT, EVENTS);
    let post = post.header("mcp-protocol-version", "2026-07-28");
    let mut stream = Events::of(post.header("mcp-method", "subscriptions/listen")).await;
    stream.message().await.unwrap();
    bridge.announce("notifications/prompts/list_changed", json!({}));
    bridge.announce("notifications/resources/updated", json!({"uri": "a://2"}));
    bridge.announce(
        "notifications/message",
        json!({"level": "error", "data": 1}),
    );
    bridge.announce(
        "notifications/tools/list_changed",
        json!({"_meta": {"own": 1.0}}),
    );
    bridge.announce("notifications/resources/updated", json!({"uri": "a://1"}));
    for (method, own) in [
        ("tools/list_changed", json!(1.0)),
        ("resources/updated", json!(null)),
    ] {
        let heard = stream.message().await.unwrap();
        assert_eq!(heard["method"], format!("notifications/{method}"));
        let meta = &heard["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/subscriptionId"], "my stream");
        assert_eq!(meta["own"], own);
    }
}
