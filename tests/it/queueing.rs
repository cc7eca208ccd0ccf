//! The queue as its users see it: bounded, in order, and never more at Home Assistant than allowed.

use std::sync::Arc;

use mcp_bridge::demo::Fault;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::Bridge;
use crate::support::bridge::{house, send};

const ONE_AT_A_TIME: (&str, &str) = ("MCP_BRIDGE__QUEUE__MAX_PARALLEL_CALLS", "1");

#[tokio::test(flavor = "multi_thread")]
async fn home_assistant_never_gets_more_calls_at_once_than_allowed_and_gets_every_call_once() {
    let house = house().await;
    let bridge = Arc::new(Bridge::before(&house).await);
    let calls: Vec<_> = (0..40)
        .map(|n| {
            let bridge = bridge.clone();
            tokio::spawn(async move {
                bridge
                    .call(
                        "light__HassLightSet",
                        json!({"name": "Kitchen Light", "brightness": n}),
                    )
                    .await
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().result()["isError"], false);
    }
    assert!(house.peak_in_flight() <= 4, "{}", house.peak_in_flight());
    let mut seen: Vec<_> = house
        .executed()
        .iter()
        .map(|e| e.arguments["brightness"].as_i64())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..40).map(Some).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_calls_run_in_the_order_of_their_arrival() {
    let house = house().await;
    let bridge =
        Arc::new(Bridge::start_with(&["--upstream", &house.url()], &[ONE_AT_A_TIME]).await);
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    let mut calls = Vec::new();
    for n in 0..10 {
        let caller = bridge.clone();
        calls.push(tokio::spawn(async move {
            caller
                .call(
                    "light__HassLightSet",
                    json!({"name": "Kitchen Light", "brightness": n}),
                )
                .await
        }));
        bridge
            .until(|status| {
                let queue = &status["calls"]["queue"];
                queue["waiting"].as_u64().unwrap() + queue["running"].as_u64().unwrap() == n + 1
            })
            .await;
    }
    gate.add_permits(100);
    for call in calls {
        assert_eq!(call.await.unwrap().result()["isError"], false);
    }
    let seen: Vec<_> = house
        .executed()
        .iter()
        .map(|e| e.arguments["brightness"].as_u64().unwrap())
        .collect();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_with_figures_and_a_time_to_come_back() {
    let house = house().await;
    let small = [ONE_AT_A_TIME, ("MCP_BRIDGE__QUEUE__MAX_WAITING", "1")];
    let bridge = Arc::new(Bridge::start_with(&["--upstream", &house.url()], &small).await);
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    let held: Vec<_> = (0..2)
        .map(|_| {
            let bridge = bridge.clone();
            tokio::spawn(async move { bridge.call("llm__GetDateTime", json!({})).await })
        })
        .collect();
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 1)
        .await;
    let refused = bridge.call("llm__GetDateTime", json!({})).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (200, "queue_full")
    );
    assert!(refused.text.contains("1 waiting, 1 running"), "{refused:?}");
    let plain = send(bridge.post("/mcp/tools/call", json!({"name": "llm__GetDateTime"}))).await;
    assert_eq!(
        (plain.status, plain.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(bridge.rpc("ping", json!({})).await.result(), json!({}));
    gate.add_permits(100);
    for call in held {
        assert_eq!(call.await.unwrap().result()["isError"], false);
    }
    assert_eq!(bridge.status().await["calls"]["queue"]["refused"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_its_place_but_what_runs_is_finished() {
    let house = house().await;
    let bridge =
        Arc::new(Bridge::start_with(&["--upstream", &house.url()], &[ONE_AT_A_TIME]).await);
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    let call = |tool: &'static str| {
        let bridge = bridge.clone();
        tokio::spawn(async move { bridge.call(tool, json!({"name": "Kitchen Light"})).await })
    };
    let running = call("intent__HassTurnOn");
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    let waiting = call("intent__HassTurnOff");
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 1)
        .await;
    waiting.abort();
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 0)
        .await;
    running.abort();
    gate.add_permits(100);
    house.until(|house| !house.executed().is_empty()).await;
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 0)
        .await;
    let tools: Vec<_> = house.executed().iter().map(|e| e.tool.clone()).collect();
    assert_eq!(tools, ["intent__HassTurnOn"]);
}
