//! The end of the process: in order, and with exit code 0.

use std::sync::Arc;

use mcp_bridge::demo::Fault;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::Bridge;
use crate::support::bridge::{house, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_runs_and_refuses_what_is_new() {
    for signal in ["TERM", "INT"] {
        let house = house().await;
        let mut bridge = Bridge::before(&house).await;
        bridge.rpc("tools/list", json!({})).await.result();
        let gate = Arc::new(Semaphore::new(0));
        house.set_fault(Some(Fault::Hold(gate.clone())));
        let params = json!({"name": "intent__HassTurnOn", "arguments": {"name": "Kitchen Light"}});
        let running = tokio::spawn(send(bridge.post("/mcp/tools/call", params)));
        bridge
            .until(|status| status["calls"]["queue"]["running"] == 1)
            .await;
        bridge.signal(signal);
        bridge.until(|status| status["state"] == "stopping").await;
        let ready = send(bridge.request(http::Method::GET, "/health/ready")).await;
        assert_eq!(ready.status, 503);
        let new = bridge.call("llm__GetDateTime", json!({})).await;
        assert_eq!(new.code(), "shutting_down");
        gate.add_permits(10);
        assert_eq!(running.await.unwrap().json()["isError"], false);
        assert_eq!(bridge.wait().code(), Some(0), "{signal}");
        assert_eq!(house.executed().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_do_not_end_do_not_hold_the_bridge_for_ever() {
    let house = house().await;
    let soon = [("MCP_BRIDGE__LIMITS__DRAIN_TIMEOUT", "300ms")];
    let mut bridge = Bridge::start_with(&["--upstream", &house.url()], &soon).await;
    bridge.rpc("tools/list", json!({})).await.result();
    house.set_fault(Some(Fault::Hang));
    let hanging = tokio::spawn(
        bridge
            .post("/mcp/tools/call", json!({"name": "llm__GetDateTime"}))
            .send(),
    );
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    bridge.signal("TERM");
    assert_eq!(bridge.wait().code(), Some(0));
    assert!(hanging.await.unwrap().is_err());
    assert!(
        bridge
            .logged()
            .iter()
            .any(|line| line.contains("not over after the time to drain"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let house = house().await;
    let mut bridge = Bridge::before(&house).await;
    bridge.rpc("tools/list", json!({})).await.result();
    house.set_fault(Some(Fault::Hang));
    let hanging = tokio::spawn(
        bridge
            .post("/mcp/tools/call", json!({"name": "llm__GetDateTime"}))
            .send(),
    );
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    bridge.signal("TERM");
    bridge.until(|status| status["state"] == "stopping").await;
    bridge.signal("TERM");
    assert_eq!(bridge.wait().code(), Some(1));
    hanging.abort();
}
