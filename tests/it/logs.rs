//! The log, and the names by which requests are found in it and elsewhere.

use http::Method;
use mcp_bridge::demo::Fault;
use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::bridge::{house, send};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The lines of calls in a log.
fn calls(log: &[String]) -> Vec<Value> {
    log.iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["message"] == "call")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_one_line_that_says_who_what_how_and_how_long() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let call = json!({"name": "intent__HassTurnOn", "arguments": {"name": "Kitchen Light"}});
    let call = bridge.post("/mcp/tools/call", call);
    let named = send(
        call.header("x-request-id", "req-4711")
            .header("traceparent", PARENT),
    )
    .await;
    assert_eq!(named.header("x-request-id"), Some("req-4711"));
    house.set_fault(Some(Fault::Status {
        status: 401,
        body: String::new(),
        content_type: String::new(),
    }));
    let failed = bridge
        .call("intent__HassTurnOff", json!({"name": "Kitchen Light"}))
        .await;
    let code = failed.code();
    let other = failed.header("x-request-id").unwrap().to_owned();
    let log = bridge.whole_log();
    let calls = calls(&log);
    let called = |id: &str| {
        let mut lines = calls.iter().filter(|line| line["request_id"] == id);
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("{id}: {log:?}"))
            .clone();
        assert_eq!(lines.next(), None, "{id}");
        line
    };
    let line = called("req-4711");
    assert_eq!(line["client"], "default");
    assert_eq!(line["method"], "tools/call");
    assert_eq!(line["tool"], "intent__HassTurnOn");
    assert_eq!(
        (&line["outcome"], &line["source"]),
        (&json!("answered"), &json!("upstream"))
    );
    assert_eq!(line["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let time = |name: &str| {
        line[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {line}"))
    };
    assert!(
        time("waited_ms") + time("upstream_ms") <= time("total_ms") + 0.2,
        "{line}"
    );
    assert_eq!(called(&other)["outcome"], code.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_could_do_harm_in_a_log_is_replaced() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for id in ["a b", "\"}", &"x".repeat(200)] {
        let reply = send(
            bridge
                .post("/mcp/tools/list", "{}")
                .header("x-request-id", id),
        )
        .await;
        let given = reply.header("x-request-id").unwrap();
        assert!(given.len() == 16 && given != id, "{given}");
    }
    let refused = send(bridge.post("/mcp", "{")).await;
    assert!(
        refused.header("x-request-id").is_some(),
        "also with a refusal"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_request_goes_on_to_the_upstream() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let told = |name: &str| {
        house
            .last_request()
            .unwrap()
            .header(name)
            .map(str::to_owned)
    };
    let call = |lamp: &str, meta: Value| {
        let call =
            json!({"name": "intent__HassTurnOn", "arguments": {"name": lamp}, "_meta": meta});
        bridge.post("/mcp/tools/call", call)
    };
    send(call("Kitchen Light", json!({}))).await;
    assert_eq!(told("traceparent"), None);
    let headers = call("Reading Lamp", json!({})).header("traceparent", PARENT);
    send(headers.header("tracestate", "vendor=1")).await;
    assert_eq!(told("traceparent").as_deref(), Some(PARENT));
    assert_eq!(told("tracestate").as_deref(), Some("vendor=1"));
    let own = PARENT.replace("00f067aa0ba902b7", "00f067aa0ba902b8");
    let metadata = call("Bedroom Light", json!({"traceparent": own}));
    send(metadata.header("traceparent", PARENT)).await;
    assert_eq!(
        told("traceparent"),
        Some(own),
        "what the message says counts"
    );
    send(call("Hallway Light", json!({})).header("traceparent", "00-zz")).await;
    assert_eq!(told("traceparent"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_changes_while_the_bridge_runs() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let patch = async |levels: Value| {
        let request = bridge.admin_request(Method::PATCH, "/api/log-level");
        let request = request.header("content-type", "application/json");
        send(request.body(levels.to_string())).await
    };
    let call = async |id: &str| {
        let call = bridge
            .post("/mcp/tools/list", "{}")
            .header("x-request-id", id);
        assert_eq!(send(call).await.status, 200);
    };
    call("first").await;
    assert_eq!(patch(json!({"level": "error"})).await.json()["done"], true);
    call("silent").await;
    let own = json!({"level": "error", "modules": {"calls": "info"}});
    assert_eq!(patch(own.clone()).await.status, 200);
    let shown = send(bridge.admin_request(Method::GET, "/api/log-level")).await;
    assert_eq!(shown.json(), own);
    // The modules stay as they are.
    assert_eq!(patch(json!({"level": "warn"})).await.status, 200);
    call("told").await;
    assert_eq!(
        patch(json!({"level": "loud"})).await.code(),
        "invalid_params"
    );
    let log = bridge.whole_log();
    let told: Vec<_> = calls(&log)
        .iter()
        .map(|line| line["request_id"].clone())
        .collect();
    assert_eq!(told, ["first", "told"]);
    assert!(
        !log.iter().any(|line| line.contains("\"stopped\"")),
        "{log:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_the_bridge_can_be_told_apart_from_the_start() {
    let house = house().await;
    let levels = [("MCP_BRIDGE__LOG_LEVELS", "{calls=error}")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &levels).await;
    bridge.rpc("tools/list", json!({})).await.result();
    let log = bridge.whole_log();
    assert_eq!(calls(&log), Vec::<Value>::new());
    assert!(
        log.iter().any(|line| line.contains("\"stopped\"")),
        "{log:?}"
    );
}
