//! What probes hear.

use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::bridge::{house, program, send};

async fn ask(bridge: &Bridge, probe: &str) -> (u16, Value) {
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    let reply = send(stranger.get(bridge.url(&format!("/health/{probe}")))).await;
    (reply.status, reply.json())
}

/// The exit code of `mcp-bridge healthcheck`.
fn healthcheck(bridge: &Bridge, ready: &[&str]) -> Option<i32> {
    let listen = bridge.lan.to_string();
    let mut command = program(["healthcheck", "--listen", &listen]);
    command.args(ready).output().unwrap().status.code()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_start_is_healthy_whether_or_not_home_assistant_is_there() {
    let house = house().await;
    for upstream in [house.url(), "http://127.0.0.1:9/api/mcp".to_owned()] {
        let bridge = Bridge::start(&["--upstream", &upstream]).await;
        for (probe, status) in [("live", "live"), ("startup", "started"), ("ready", "ready")] {
            assert_eq!(ask(&bridge, probe).await, (200, json!({"status": status})));
        }
        assert_eq!(healthcheck(&bridge, &[]), Some(0));
        assert_eq!(healthcheck(&bridge, &["--ready"]), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_takes_no_calls_is_not_ready_and_says_why() {
    let house = house().await;
    let small = [("MCP_BRIDGE__QUEUE__MAX_WAITING", "1")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &small).await;
    bridge.rpc("tools/list", json!({})).await.result();
    let operate = async |operation: &str| {
        let path = format!("/api/queue/{operation}");
        send(bridge.admin_request(http::Method::POST, &path)).await
    };
    let not_ready = |why: &str| (503, json!({"status": "not_ready", "reasons": [why]}));
    operate("drain").await;
    assert_eq!(ask(&bridge, "ready").await, not_ready("draining"));
    assert_eq!(ask(&bridge, "live").await.0, 200, "it turns all the same");
    assert_eq!(healthcheck(&bridge, &[]), Some(0));
    assert_eq!(healthcheck(&bridge, &["--ready"]), Some(1));
    operate("resume").await;
    assert_eq!(ask(&bridge, "ready").await.0, 200);
    operate("pause").await;
    assert_eq!(
        ask(&bridge, "ready").await.0,
        200,
        "calls are taken, and wait"
    );
    let call = bridge.post("/mcp/tools/call", json!({"name": "llm__GetDateTime"}));
    let waiting = tokio::spawn(send(call));
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 1)
        .await;
    assert_eq!(ask(&bridge, "ready").await, not_ready("queue_full"));
    operate("resume").await;
    assert_eq!(waiting.await.unwrap().status, 200);
    assert_eq!(ask(&bridge, "ready").await.0, 200);
}
