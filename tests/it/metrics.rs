//! `/metrics`, as Prometheus and people with curl read it.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use mcp_bridge::demo::Fault;
use mcp_bridge::telemetry::metrics::Metric;
use serde_json::json;

use crate::support::Bridge;
use crate::support::bridge::{Reply, house, send};

/// The figures that a bridge tells, by name and labels.
struct Page {
    text: String,
    /// Whole numbers of what is counted; the rest is cut off.
    values: BTreeMap<String, i64>,
}

impl Page {
    fn of(reply: &Reply) -> Self {
        let lines = reply.text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap();
            #[expect(clippy::cast_possible_truncation, reason = "that is meant")]
            let whole = value as i64;
            (series.to_owned(), whole)
        });
        Self {
            values: values.collect(),
            text: reply.text.clone(),
        }
    }

    async fn at(bridge: &Bridge) -> Self {
        let reply = send(bridge.request(http::Method::GET, "/metrics")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        Self::of(&reply)
    }

    /// The value of a series; 0 if it is not there.
    fn value(&self, series: &str) -> i64 {
        self.values.get(series).copied().unwrap_or_default()
    }
}

/// What `promtool check metrics` says to a page.
fn promtool(page: &str) -> (bool, String) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = promtool.expect("promtool is missing; Debian's package is `prometheus`");
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(page.as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_wrong_with_any_metric() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    bridge.rpc("tools/list", json!({})).await.result();
    bridge.call("llm__GetDateTime", json!({})).await.result();
    bridge.call("no_such_tool", json!({})).await;
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    send(stranger.post(bridge.url("/mcp"))).await;
    let page = Page::at(&bridge).await;
    let (fine, said) = promtool(&page.text);
    assert!(fine && said.is_empty(), "{said}\n{}", page.text);
    for metric in Metric::ALL {
        let definition = metric.definition();
        let name = definition.query_name();
        let kind = definition.kind.name();
        let typed = format!("# TYPE {name} {kind}\n");
        assert!(page.text.contains(&typed), "{typed}{}", page.text);
    }
    // The check would find something if there were something.
    let (fine, said) = promtool("# TYPE calls counter\ncalls 1\n");
    assert!(!fine && said.contains("_total"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_by_how_they_ended_and_where_they_failed() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {},
                       "clientInfo": {"name": "t", "version": "1"}});
    bridge.rpc("initialize", hello).await.result();
    let turn_on = async |name: &str| {
        bridge
            .call("intent__HassTurnOn", json!({"name": name}))
            .await
    };
    for lamp in ["Kitchen Light", "Reading Lamp", "Kitchen Light 2"] {
        turn_on(lamp).await.result();
    }
    house.set_fault(Some(Fault::Status {
        status: 401,
        body: String::new(),
        content_type: String::new(),
    }));
    let refused = turn_on("Desk Lamp").await.code();
    let malformed = send(bridge.post("/mcp", "{")).await.code();
    let page = Page::at(&bridge).await;
    let calls = |method: &str, outcome: &str| {
        let labels = format!("client=\"default\",method=\"{method}\",outcome=\"{outcome}\"");
        page.value(&format!("mcp_bridge_calls_total{{{labels}}}"))
    };
    assert_eq!(calls("initialize", "answered"), 1);
    assert_eq!(calls("tools/call", "answered"), 2, "{}", page.text);
    assert_eq!(calls("tools/call", "tool_failed"), 1);
    assert_eq!(calls("tools/call", "failed"), 1);
    let failures = |stage: &str, code: &str| {
        let labels = format!("stage=\"{stage}\",code=\"{code}\"");
        page.value(&format!("mcp_bridge_failures_total{{{labels}}}"))
    };
    assert_eq!(failures("upstream", &refused), 1, "{}", page.text);
    assert_eq!(failures("request", &malformed), 1);
    let tool = "tool=\"intent__HassTurnOn\"";
    let answered = format!("mcp_bridge_tool_calls_total{{{tool},outcome=\"answered\"}}");
    assert_eq!(page.value(&answered), 2);
    let times = format!("mcp_bridge_call_upstream_seconds_count{{method=\"tools/call\",{tool}}}");
    assert_eq!(page.value(&times), 4, "{}", page.text);
    let waited = "mcp_bridge_call_waiting_seconds_count{priority=\"normal\"}";
    assert_eq!(page.value(waited), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_were_never_answered_get_no_series() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for n in 0..5 {
        bridge.call(&format!("invented_{n}"), json!({})).await;
        bridge.rpc(&format!("invented/{n}"), json!({})).await;
    }
    let page = Page::at(&bridge).await;
    assert!(!page.text.contains("invented"), "{}", page.text);
    assert!(page.text.contains("tool=\"other\"") && page.text.contains("method=\"other\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_by_priority_and_client() {
    let house = house().await;
    let one = [("MCP_BRIDGE__QUEUE__MAX_PARALLEL_CALLS", "1")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &one).await;
    bridge.rpc("tools/list", json!({})).await.result();
    send(bridge.admin_request(http::Method::POST, "/api/queue/pause")).await;
    let call = bridge.post("/mcp/tools/call", json!({"name": "llm__GetDateTime"}));
    let waiting = tokio::spawn(send(call.header("priority", "u=7")));
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 1)
        .await;
    let page = Page::at(&bridge).await;
    assert_eq!(
        page.value("mcp_bridge_queue_waiting{priority=\"background\"}"),
        1
    );
    assert_eq!(
        page.value("mcp_bridge_queue_waiting{priority=\"normal\"}"),
        0
    );
    assert_eq!(
        page.value("mcp_bridge_queue_client_waiting{client=\"default\"}"),
        1
    );
    assert!(
        page.values
            .contains_key("mcp_bridge_queue_client_oldest_seconds{client=\"default\"}")
    );
    assert_eq!(page.value("mcp_bridge_queue_mode{mode=\"paused\"}"), 1);
    assert_eq!(page.value("mcp_bridge_queue_mode{mode=\"open\"}"), 0);
    send(bridge.admin_request(http::Method::POST, "/api/queue/resume")).await;
    assert_eq!(waiting.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_needs_a_token_unless_the_settings_say_otherwise() {
    let house = house().await;
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    let bridge = Bridge::before(&house).await;
    let reply = send(stranger.get(bridge.url("/metrics"))).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (401, "token_missing")
    );
    let operators = send(bridge.admin_request(http::Method::GET, "/api/metrics")).await;
    assert_eq!(operators.status, 200);
    let open = [("MCP_BRIDGE__METRICS__TOKEN_REQUIRED", "false")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &open).await;
    let reply = send(stranger.get(bridge.url("/metrics"))).await;
    assert_eq!(reply.status, 200);
    let foreign = stranger.get(bridge.url("/metrics"));
    let reply = send(foreign.header("host", "evil.example")).await;
    assert_eq!(reply.code(), "host_refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_can_have_a_listener_of_their_own() {
    let house = house().await;
    let own = [
        ("MCP_BRIDGE__METRICS__LISTEN", "127.0.0.1:0"),
        ("MCP_BRIDGE__METRICS__TOKEN_REQUIRED", "false"),
    ];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &own).await;
    let there = bridge.request(http::Method::GET, "/metrics");
    assert_eq!(send(there).await.status, 404, "not where the clients are");
    let address = bridge.metrics.unwrap();
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = |path: &str| send(stranger.get(format!("http://{address}{path}")));
    assert_eq!(get("/metrics").await.status, 200);
    assert_eq!(get("/health/ready").await.status, 200);
    assert_eq!(get("/mcp").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_openmetrics_gets_it() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let ask = bridge.request(http::Method::GET, "/metrics");
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1";
    let reply = send(ask.header("accept", accept)).await;
    let kind = reply.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(reply.text.ends_with("# EOF\n"));
    for metric in Metric::ALL {
        let definition = metric.definition();
        let (name, kind) = (definition.name, definition.kind.name());
        assert!(
            reply.text.contains(&format!("# TYPE {name} {kind}\n")),
            "{name}"
        );
    }
}
