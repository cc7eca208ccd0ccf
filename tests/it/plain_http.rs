//! MCP over plain HTTP: what curl and n8n's HTTP node see.

use http::Method;
use serde_json::json;

use crate::support::Bridge;
use crate::support::bridge::{house, send};

#[tokio::test(flavor = "multi_thread")]
async fn the_body_is_the_params_and_the_answer_is_the_result() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let body = json!({"name": "intent__HassTurnOn", "arguments": {"name": "Kitchen Light"}});
    let reply = send(bridge.post("/mcp/tools/call", body)).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json()["isError"], false);
    assert_eq!(house.executed()[0].tool, "intent__HassTurnOn");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_has_an_address_and_an_empty_body_is_enough() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for (path, member) in [
        ("/mcp/initialize", "/protocolVersion"),
        ("/mcp/server/discover", "/supportedVersions"),
        ("/mcp/tools/list", "/tools/0/name"),
        ("/mcp/prompts/list", "/prompts"),
        ("/mcp/resources/list", "/resources"),
    ] {
        let reply = send(bridge.request(Method::POST, path)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.json().pointer(member).is_some(), "{path}: {reply:?}");
    }
    assert_eq!(
        send(bridge.request(Method::POST, "/mcp/ping")).await.json(),
        json!({})
    );
    let reply = send(bridge.request(Method::POST, "/mcp/notifications/initialized")).await;
    assert_eq!(reply.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_envelope_is_answered_as_one() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let envelope = json!({"jsonrpc": "2.0", "id": "e", "method": "tools/list"});
    let reply = send(bridge.post("/mcp/tools/list", &envelope)).await;
    assert_eq!(reply.json()["id"], "e");
    assert!(reply.result()["tools"].is_array());
    let reply = send(bridge.post("/mcp/tools/call", &envelope)).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "invalid_message")
    );
    let notification = json!({"jsonrpc": "2.0", "method": "x"});
    assert_eq!(send(bridge.post("/mcp/x", notification)).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_upstream_are_problems_with_a_fitting_status() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let reply = send(bridge.request(Method::POST, "/mcp/no/such/method")).await;
    assert_eq!(reply.status, 404);
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        reply.json()["error"],
        json!({"code": -32601, "message": "Method not found", "data": "no/such/method"})
    );
    for (path, params, message) in [
        (
            "/mcp/prompts/get",
            json!({"name": "nope"}),
            "Unknown prompt: nope",
        ),
        (
            "/mcp/resources/read",
            json!({"uri": "homeassistant://nope"}),
            "Unknown resource: homeassistant://nope",
        ),
    ] {
        let reply = send(bridge.post(path, params)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (404, "answered_by_home_assistant")
        );
        let problem = reply.json();
        assert_eq!(problem["error"], json!({"code": 0, "message": message}));
        assert_eq!(
            (&problem["title"], &problem["status"]),
            (&json!(message), &json!(404))
        );
        assert!(problem["fix"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_tool_is_a_result_that_says_so() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let body = json!({"name": "intent__HassTurnOn", "arguments": {"name": "No Such Lamp"}});
    let reply = send(bridge.post("/mcp/tools/call", body)).await;
    assert_eq!(
        (reply.status, &reply.json()["isError"]),
        (200, &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bodies_types_and_methods_are_refused_in_json() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let plain = bridge
        .request(Method::POST, "/mcp/tools/list")
        .body("{}")
        .header("content-type", "text/plain");
    let untyped = bridge.request(Method::POST, "/mcp/tools/list").body("{}");
    let packed = bridge
        .post("/mcp/tools/list", "{}")
        .header("content-encoding", "gzip");
    for (request, status, code) in [
        (plain, 415, "unsupported_media_type"),
        (untyped, 415, "unsupported_media_type"),
        (packed, 415, "unsupported_media_type"),
        (bridge.post("/mcp/tools/list", "[]"), 400, "invalid_params"),
        (bridge.post("/mcp/tools/list", "{"), 400, "malformed_json"),
        (
            bridge.request(Method::GET, "/mcp/tools/list"),
            405,
            "method_not_allowed",
        ),
        (
            bridge.request(Method::POST, "/mcp/status"),
            405,
            "method_not_allowed",
        ),
        (bridge.request(Method::GET, "/nowhere"), 404, "not_found"),
    ] {
        let reply = send(request).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code));
        assert!(reply.json()["fix"].is_string());
    }
    assert_eq!(house.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_with_a_body_that_is_none_is_refused() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for (body, code) in [
        ("{broken", "malformed_json"),
        ("{", "malformed_json"),
        (r#"{"a":1}}"#, "malformed_json"),
        ("[]", "invalid_params"),
        (r#"{"jsonrpc":"2.0","x":1}"#, "invalid_message"),
        (r#"{"jsonrpc":"2.0","id":1}"#, "invalid_message"),
    ] {
        let reply = send(bridge.post("/mcp/notifications/x", body)).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_taken_now_says_when_to_try_again() {
    let bridge = Bridge::start(&["--upstream", "http://127.0.0.1:9"]).await;
    let request = bridge.post("/mcp/tools/list", "{}");
    let reply = send(request.header("x-request-timeout", "1")).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_how_the_bridge_and_its_upstream_are() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    assert_eq!(bridge.status().await["upstream"]["reachable"], json!(null));
    bridge.rpc("tools/list", json!({})).await;
    let status = bridge.status().await;
    assert_eq!(status["state"], "running");
    assert_eq!(status["upstream"]["reachable"], true);
    assert_eq!(status["calls"]["answered"], 1);
    assert_eq!(status["calls"]["queue"]["started"], 1);
    let text = send(bridge.request(Method::GET, "/mcp/status")).await.text;
    let queue =
        &text[text.find(r#""queue":"#).unwrap()..text.find(r#""adaptive_limit":"#).unwrap()];
    assert_eq!(
        queue.matches(r#""limit":"#).count(),
        1,
        "no member twice: {queue}"
    );
    let admin = send(bridge.admin_request(Method::GET, "/api/status")).await;
    assert_eq!(admin.json()["state"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_open_on_both_listeners_and_says_nothing_but_the_state() {
    let bridge = Bridge::start(&["--upstream", "http://127.0.0.1:9"]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for address in [bridge.lan, bridge.admin] {
        let live = send(client.get(format!("http://{address}/health/live"))).await;
        assert_eq!((live.status, live.json()), (200, json!({"status": "live"})));
        let ready = send(client.get(format!("http://{address}/health/ready"))).await;
        assert_eq!(
            (ready.status, ready.json()),
            (200, json!({"status": "ready"}))
        );
    }
}
