//! What becomes of calls while Home Assistant stops and starts, and its events say so.

use std::sync::Arc;

use mcp_bridge::demo::Fault;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::core::{Core, Mood};

/// Without a memory the bridge asks for no list by itself: what is in flight is the call of a test.
const ASKS_NOTHING: (&str, &str) = ("MCP_BRIDGE__CACHE__ENABLED", "false");

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_while_home_assistant_is_away_and_go_on_once_it_is_back() {
    let core = Core::start().await;
    let bridge = Arc::new(core.bridge(&[]).await);
    core.be(Mood::Down, &bridge).await;
    let status = bridge.status().await;
    assert_eq!(status["calls"]["queue"]["breaker"]["state"], "open");
    let before = core.house.requests();
    let calls: Vec<_> = [
        ("llm__GetDateTime", json!({})),
        ("intent__HassTurnOn", json!({"name": "Kitchen Light"})),
    ]
    .into_iter()
    .map(|(tool, arguments)| {
        let bridge = bridge.clone();
        tokio::spawn(async move { bridge.call(tool, arguments).await })
    })
    .collect();
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 2)
        .await;
    core.be(Mood::Starting, &bridge).await;
    let late = bridge
        .call_within("200ms", "llm__GetDateTime", json!({"n": 1}))
        .await;
    assert_eq!(late.code(), "home_assistant_starting", "{late:?}");
    assert!(!late.text.contains("Outcome unknown"));
    assert_eq!(core.house.requests(), before, "nothing was sent meanwhile");
    core.be(Mood::Running, &bridge).await;
    for call in calls {
        let reply = call.await.unwrap();
        assert_eq!(reply.result()["isError"], false, "{reply:?}");
    }
    assert_eq!(core.house.executed().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_want_to_wait_is_told_at_once() {
    let core = Core::start().await;
    let hold = ("MCP_BRIDGE__QUEUE__HOLD_DURING_RESTART", "false");
    let bridge = Arc::new(core.bridge(&[hold, ASKS_NOTHING]).await);
    // Let it be greeted before the fault.
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    core.house.set_fault(Some(Fault::Hold(gate.clone())));
    let running = {
        let bridge = bridge.clone();
        let call = async move { bridge.call("llm__GetDateTime", json!({})).await };
        tokio::spawn(call)
    };
    core.house.until(|house| house.in_flight() == 1).await;
    let waiting = {
        let bridge = bridge.clone();
        let call = async move {
            let lamp = json!({"name": "Kitchen Light"});
            bridge.call("intent__HassTurnOn", lamp).await
        };
        tokio::spawn(call)
    };
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 1)
        .await;
    core.be(Mood::Down, &bridge).await;
    let told = waiting.await.unwrap();
    assert_eq!(told.code(), "home_assistant_away", "{told:?}");
    assert!(!told.text.contains("Outcome unknown"));
    let next = bridge.call("llm__GetDateTime", json!({"n": 1})).await;
    assert_eq!(next.code(), "home_assistant_away", "{next:?}");
    gate.add_permits(10);
    assert_eq!(running.await.unwrap().result()["isError"], false);
}

/// Calls a tool that is still running when Core goes down, and then answers.
async fn answered_while_going_down(tool: &'static str) -> crate::support::bridge::Reply {
    let core = Core::start().await;
    let bridge = Arc::new(core.bridge(&[ASKS_NOTHING]).await);
    // Let it be greeted before the fault.
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    core.house.set_fault(Some(Fault::Hold(gate.clone())));
    let call = {
        let bridge = bridge.clone();
        let call = async move { bridge.call(tool, json!({"name": "Kitchen Light"})).await };
        tokio::spawn(call)
    };
    core.house.until(|house| house.in_flight() == 1).await;
    core.be(Mood::Down, &bridge).await;
    gate.add_permits(1);
    let reply = call.await.unwrap();
    assert_eq!(core.house.executed().len(), 1);
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_home_assistant_says_of_an_action_while_it_goes_down_is_not_believed() {
    for tool in ["intent__HassTurnOn", "script__movie_night"] {
        let reply = answered_while_going_down(tool).await;
        assert_eq!(reply.code(), "home_assistant_stopping", "{reply:?}");
        assert!(reply.text.contains("Outcome unknown"), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_of_a_question_is() {
    let reply = answered_while_going_down("homeassistant__GetLiveContext").await;
    assert_eq!(reply.result()["isError"], false, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_script_is_believed_once_home_assistant_is_heard_again() {
    let core = Core::start().await;
    let bridge = core.bridge(&[]).await;
    let reply = bridge.call("script__movie_night", json!({})).await;
    assert_eq!(reply.result()["isError"], false, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_was_only_interrupted_costs_nobody_a_call() {
    let core = Core::start().await;
    let bridge = Arc::new(core.bridge(&[]).await);
    core.be(Mood::Down, &bridge).await;
    let call = {
        let bridge = bridge.clone();
        tokio::spawn(async move { bridge.call("llm__GetDateTime", json!({})).await })
    };
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 1)
        .await;
    core.be(Mood::Running, &bridge).await;
    assert_eq!(call.await.unwrap().result()["isError"], false);
    let status = bridge
        .until(|status| status["calls"]["queue"]["breaker"]["state"] == "closed")
        .await;
    assert_eq!(status["calls"]["failed"], 0);
}
