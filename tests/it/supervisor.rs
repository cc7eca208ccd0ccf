//! The way through the Supervisor, on which no token of Home Assistant is needed.

use serde_json::json;

use crate::support::bridge::{Bridge, house};
use crate::support::supervisor;

async fn bridge_under(supervisor: &str) -> Bridge {
    let environment = [
        ("SUPERVISOR_TOKEN", supervisor::TOKEN),
        ("MCP_BRIDGE__SUPERVISOR", supervisor),
    ];
    Bridge::start_with(&[], &environment).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_pass_the_supervisors_proxy_without_a_token_of_home_assistant() {
    let house = house().await;
    let supervisor = supervisor::start(Some((house.url(), "core".to_owned()))).await;
    let bridge = bridge_under(&supervisor).await;
    let call = bridge
        .call("intent__HassTurnOn", json!({"name": "Kitchen Light"}))
        .await;
    assert_eq!(call.result()["isError"], false);
    let status = bridge.status().await;
    assert_eq!(status["upstream"]["way"], "supervisor");
    assert_eq!(
        status["upstream"]["url"],
        format!("{supervisor}/core/api/mcp")
    );
    let seen = house.last_request().unwrap();
    assert_eq!(seen.header("authorization"), Some("Bearer core"));
    assert_eq!(seen.header("mcp-protocol-version"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_is_starting_is_told_as_such() {
    let supervisor = supervisor::start(None).await;
    let bridge = bridge_under(&supervisor).await;
    let call = bridge
        .call("intent__HassTurnOn", json!({"name": "Kitchen Light"}))
        .await;
    assert_eq!(call.code(), "home_assistant_starting");
    assert!(!call.text.contains("Outcome unknown"));
    assert!(bridge.rpc("initialize", json!({})).await.result()["capabilities"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisors_own_welcome_does_not_prove_that_core_is_there() {
    let supervisor = supervisor::start(None).await;
    let bridge = bridge_under(&supervisor).await;
    let status = bridge
        .until(|status| status["home_assistant"]["trouble"].is_string())
        .await;
    let home = &status["home_assistant"];
    assert_eq!(home["state"], "unknown", "{home}");
    assert_eq!(home["events_told"], false);
}
