//! Traces, as a collector gets them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use mcp_bridge::demo::Fault;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::Bridge;
use crate::support::bridge::{PATIENCE, house, send};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector: takes OTLP over HTTP, and keeps what it got.
struct Collector {
    url: String,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<Value>>>::default();
        let take = async |State(requests): State<Arc<Mutex<Vec<Value>>>>, body: Bytes| {
            let request = serde_json::from_slice(&body).unwrap();
            requests.lock().unwrap().push(request);
            "{}"
        };
        let router = Router::new().route("/v1/traces", post(take));
        let router = router.with_state(requests.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, requests }
    }

    /// Everything of which a trace consists, by name, once there is a span of this name in it.
    async fn trace(&self, id: &str, name: &str) -> HashMap<String, Value> {
        let wait = async {
            loop {
                let spans = self.spans(id);
                if spans.contains_key(name) {
                    return spans;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("{name}: {:?}", self.requests.lock().unwrap()))
    }

    fn spans(&self, id: &str) -> HashMap<String, Value> {
        let requests = self.requests.lock().unwrap();
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        requests
            .iter()
            .flat_map(|request| list(request, "resourceSpans"))
            .flat_map(|resource| list(&resource, "scopeSpans"))
            .flat_map(|scope| list(&scope, "spans"))
            .filter(|span| span["traceId"] == id)
            .map(|span| {
                (
                    format!("{} {}", span["kind"], span["name"].as_str().unwrap()),
                    span,
                )
            })
            .collect()
    }
}

/// What a span says under this name.
fn told<'a>(span: &'a Value, name: &str) -> Option<&'a str> {
    let attributes = span["attributes"].as_array()?;
    let attribute = attributes
        .iter()
        .find(|attribute| attribute["key"] == name)?;
    attribute["value"]["stringValue"].as_str()
}

// Kinds of spans, as OTLP numbers them.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_the_stages_of_a_call_in_the_trace_of_its_client() {
    let (house, collector) = (house().await, Collector::start().await);
    let traced = [("MCP_BRIDGE__TRACES__COLLECTOR", collector.url.as_str())];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &traced).await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let call = |meta: Value| {
        let arguments = json!({"name": "Kitchen Light"});
        let call = json!({"name": "intent__HassTurnOn", "arguments": arguments, "_meta": meta});
        bridge.post("/mcp/tools/call", call)
    };
    send(call(json!({"traceparent": parent})).header("x-request-id", "req-1")).await;
    let sent = house.last_request().unwrap();
    let whole = format!("{SERVER} tools/call intent__HassTurnOn");
    let spans = collector.trace(TRACE, &whole).await;
    let server = &spans[&whole];
    assert_eq!(server["parentSpanId"], PARENT);
    for (name, value) in [
        ("mcp.method.name", "tools/call"),
        ("gen_ai.tool.name", "intent__HassTurnOn"),
        ("gen_ai.operation.name", "execute_tool"),
        ("mcp_bridge.client", "default"),
        ("mcp_bridge.request_id", "req-1"),
        ("mcp_bridge.source", "upstream"),
    ] {
        assert_eq!(told(server, name), Some(value), "{server}");
    }
    assert_eq!(told(server, "error.type"), None);
    for stage in ["screening", "queue"] {
        let stage = &spans[&format!("{INTERNAL} {stage}")];
        assert_eq!(stage["parentSpanId"], server["spanId"]);
    }
    let client = &spans[&format!("{CLIENT} tools/call intent__HassTurnOn")];
    assert_eq!(client["parentSpanId"], server["spanId"]);
    assert_eq!(told(client, "server.address"), Some("127.0.0.1"));
    let own = format!("00-{TRACE}-{}-01", client["spanId"].as_str().unwrap());
    assert_eq!(sent.header("traceparent"), Some(own.as_str()));
    let meta = &sent.json()["params"]["_meta"];
    assert_eq!(meta["traceparent"], own, "it counts more than the header");

    house.set_fault(Some(Fault::Status {
        status: 401,
        body: String::new(),
        content_type: String::new(),
    }));
    let other = "5bf92f3577b34da6a3ce929d0e0e4736";
    let call = json!({"name": "intent__HassTurnOff", "arguments": {"name": "Kitchen Light"}});
    let call = bridge.post("/mcp/tools/call", call);
    let parent = format!("00-{other}-{PARENT}-01");
    let code = send(call.header("traceparent", parent)).await.code();
    let whole = format!("{SERVER} tools/call intent__HassTurnOff");
    let spans = collector.trace(other, &whole).await;
    assert_eq!(told(&spans[&whole], "error.type"), Some(code.as_str()));
    assert_eq!(spans[&whole]["status"]["code"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_records_nothing_is_not_recorded_and_a_collector_that_is_away_does_no_harm() {
    let (house, collector) = (house().await, Collector::start().await);
    let traced = [("MCP_BRIDGE__TRACES__COLLECTOR", collector.url.as_str())];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &traced).await;
    let ask = |trace: &str, flags: &str| {
        let ask = bridge.post("/mcp/prompts/list", "{}");
        send(ask.header("traceparent", format!("00-{trace}-{PARENT}-{flags}")))
    };
    let silent = "6bf92f3577b34da6a3ce929d0e0e4736";
    ask(silent, "00").await;
    ask(TRACE, "01").await;
    collector
        .trace(TRACE, &format!("{SERVER} prompts/list"))
        .await;
    assert!(collector.spans(silent).is_empty());
    let away = [("MCP_BRIDGE__TRACES__COLLECTOR", "http://127.0.0.1:9")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &away).await;
    bridge.rpc("tools/list", json!({})).await.result();
}
