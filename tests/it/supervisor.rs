//! Life as an app of Home Assistant: the way through the Supervisor, on which no token of Home
//! Assistant is needed.

use serde_json::json;

use crate::support::bridge::{Bridge, house};
use crate::support::supervisor::{Core, Supervisor};

#[tokio::test(flavor = "multi_thread")]
async fn calls_pass_the_supervisors_proxy_without_a_token_of_home_assistant() {
    let house = house().await;
    let supervisor = Supervisor::before(&house.url(), "core").await;
    let bridge = Bridge::start_with(&[], &supervisor.environment()).await;
    let call = bridge
        .call("intent__HassTurnOn", json!({"name": "Kitchen Light"}))
        .await;
    assert_eq!(call.result()["isError"], false);
    let status = bridge.status().await;
    assert_eq!(status["upstream"]["way"], "supervisor");
    assert_eq!(
        status["upstream"]["url"],
        format!("{}/core/api/mcp", supervisor.url)
    );
    let seen = house.last_request().unwrap();
    assert_eq!(seen.header("authorization"), Some("Bearer core"));
    // The proxy compares names letter by letter, and loses this one.
    assert_eq!(seen.header("mcp-protocol-version"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_is_starting_is_told_as_such_and_used_once_it_runs() {
    let house = house().await;
    let supervisor = Supervisor::start(None).await;
    let bridge = Bridge::start_with(&[], &supervisor.environment()).await;
    let lamp = json!({"name": "Kitchen Light"});
    let call = bridge.call("intent__HassTurnOn", lamp.clone()).await;
    assert_eq!(call.code(), "home_assistant_starting");
    assert!(!call.text.contains("Outcome unknown"));
    assert!(bridge.rpc("initialize", json!({})).await.result()["capabilities"].is_object());
    supervisor.set_core(Some(Core::at(&house.url(), "core")));
    let call = bridge.call("intent__HassTurnOn", lamp).await;
    assert_eq!(call.result()["isError"], false, "{call:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisors_own_welcome_does_not_prove_that_core_is_there() {
    let supervisor = Supervisor::start(None).await;
    let bridge = Bridge::start_with(&[], &supervisor.environment()).await;
    let status = bridge
        .until(|status| status["home_assistant"]["trouble"].is_string())
        .await;
    let home = &status["home_assistant"];
    assert_eq!(home["state"], "unknown", "{home}");
    assert_eq!(home["events_told"], false);
}
