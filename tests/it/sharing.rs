//! Calls that are the same call: run once, answered to everybody who asked.

use std::sync::Arc;

use mcp_bridge::demo::{DemoHouse, Fault};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::Bridge;
use crate::support::bridge::{Reply, house, send};

/// A house that holds every call until the gate has permits, and a bridge that knows the house.
async fn held() -> (DemoHouse, Arc<Bridge>, Arc<Semaphore>) {
    let house = house().await;
    let bridge = Arc::new(Bridge::before(&house).await);
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    (house, bridge, gate)
}

fn spawn(
    bridge: &Arc<Bridge>,
    tool: &'static str,
    arguments: Value,
) -> tokio::task::JoinHandle<Reply> {
    let bridge = bridge.clone();
    tokio::spawn(async move { bridge.call(tool, arguments).await })
}

fn keyed(bridge: &Bridge, key: &str, brightness: u64) -> reqwest::RequestBuilder {
    let arguments = json!({"name": "Kitchen Light", "brightness": brightness});
    let call = json!({"name": "light__HassLightSet", "arguments": arguments});
    bridge
        .post("/mcp/tools/call", call)
        .header("idempotency-key", key)
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_reads_at_the_same_time_are_one_read() {
    let (house, bridge, gate) = held().await;
    let first = spawn(
        &bridge,
        "homeassistant__GetLiveContext",
        json!({"domain": "light", "area": "Office"}),
    );
    house.until(|house| house.in_flight() == 1).await;
    let others: Vec<_> = (0..5)
        .map(|_| {
            spawn(
                &bridge,
                "homeassistant__GetLiveContext",
                json!({"area": "Office", "domain": "light"}),
            )
        })
        .collect();
    // A call in progress has not necessarily found the one that it joins.
    bridge.until(|status| status["calls"]["joined"] == 5).await;
    first.abort();
    bridge
        .until(|status| status["calls"]["in_progress"] == 5)
        .await;
    gate.add_permits(1);
    for other in others {
        assert_eq!(other.await.unwrap().result()["isError"], false);
    }
    assert_eq!(house.executed().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_said_twice_is_done_once_and_both_hear_of_it() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let on = json!({"name": "Desk Lamp"});
    let first = bridge.call("intent__HassTurnOn", on.clone()).await;
    let again = bridge.call("intent__HassTurnOn", on.clone()).await;
    assert_eq!(first.text, again.text);
    assert_eq!(house.executed().len(), 1);
    bridge
        .call("intent__HassTurnOff", on.clone())
        .await
        .result();
    bridge.call("intent__HassTurnOn", on).await.result();
    let tools: Vec<_> = house.executed().iter().map(|e| e.tool.clone()).collect();
    assert_eq!(
        tools,
        [
            "intent__HassTurnOn",
            "intent__HassTurnOff",
            "intent__HassTurnOn"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_and_other_clients_repeat_as_often_as_they_like() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for _ in 0..3 {
        let louder = json!({"name": "Kitchen Radio", "volume_step": "up"});
        bridge
            .call("media_player__HassSetVolumeRelative", louder)
            .await
            .result();
    }
    assert_eq!(house.executed().len(), 3);
    let made = bridge.command(&["token", "create", "other"]);
    bridge.until(|status| status["clients"] == 2).await;
    let call = json!({"name": "intent__HassTurnOn", "arguments": {"name": "Desk Lamp"}});
    send(bridge.post("/mcp/tools/call", &call)).await;
    let other = bridge
        .post("/mcp/tools/call", &call)
        .header("authorization", "");
    let mut other = other.build().unwrap();
    let token = format!("Bearer {}", made.lines().last().unwrap());
    other
        .headers_mut()
        .insert("authorization", token.parse().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.execute(other).await.unwrap().status(), 200);
    assert_eq!(house.executed().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_makes_a_call_one_call_and_belongs_to_it_alone() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let first = send(keyed(&bridge, "k1", 10)).await;
    send(keyed(&bridge, "k2", 10)).await.json();
    send(keyed(&bridge, "k3", 20)).await.json();
    assert_eq!(send(keyed(&bridge, "k1", 10)).await.text, first.text);
    assert_eq!(house.executed().len(), 3);
    let misused = send(keyed(&bridge, "k1", 11)).await;
    assert_eq!(
        (misused.status, misused.code().as_str()),
        (422, "idempotency_key_reused")
    );
    assert_eq!(house.executed().len(), 3);
    let meta = json!({"mcp-bridge/idempotencyKey": "k4", "io.home-assistant/device_id": "d"});
    let arguments = json!({"name": "Kitchen Light", "brightness": 30});
    let params = json!({"name": "light__HassLightSet", "arguments": arguments, "_meta": meta});
    for _ in 0..2 {
        assert_eq!(
            bridge.rpc("tools/call", params.clone()).await.result()["isError"],
            false
        );
    }
    assert_eq!(
        house.executed().len(),
        4,
        "also where an upstream may look at the metadata"
    );
    let long = send(keyed(&bridge, &"x".repeat(300), 1)).await;
    assert_eq!(long.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_of_a_lost_answer_does_not_run_again() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    bridge.rpc("tools/list", json!({})).await.result();
    house.fail_next_calls(Fault::Reset, 1);
    for _ in 0..3 {
        let call = send(keyed(&bridge, "lost", 10)).await;
        assert_eq!(call.code(), "home_assistant_connection_lost");
        assert_eq!(call.json()["outcome"], "unknown");
    }
    assert_eq!(house.executed().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_batch_are_calls_of_their_own_in_the_order_of_the_batch() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let set = |id: u64, brightness: u64| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "light__HassLightSet", "arguments": {"name": "Desk Lamp", "brightness": brightness}}})
    };
    let read = |id: &str| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "llm__GetDateTime"}});
    let unknown = json!({"jsonrpc": "2.0", "id": "u", "method": "no/such"});
    let batch =
        json!([set(1, 10), read("a"), set(2, 20), unknown, {"id": 9}, read("b"), set(3, 30)]);
    let reply = send(bridge.post("/mcp/batch", batch)).await;
    let answers = reply.json();
    let ids: Vec<_> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["id"].clone())
        .collect();
    let expected = [
        json!(1),
        json!("a"),
        json!(2),
        json!("u"),
        json!(null),
        json!("b"),
        json!(3),
    ];
    assert_eq!(ids, expected);
    assert_eq!(answers[3]["error"]["code"], -32601);
    assert_eq!(answers[4]["error"]["code"], -32600);
    let sets = house
        .executed()
        .into_iter()
        .filter(|e| e.tool == "light__HassLightSet");
    let order: Vec<_> = sets
        .map(|e| e.arguments["brightness"].as_u64().unwrap())
        .collect();
    assert_eq!(order, [10, 20, 30]);
    assert_eq!(send(bridge.post("/mcp/batch", json!({}))).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_leaves_the_queue_and_a_running_write_goes_on() {
    let house = house().await;
    let one = [("MCP_BRIDGE__QUEUE__MAX_PARALLEL_CALLS", "1")];
    let bridge = Arc::new(Bridge::start_with(&["--upstream", &house.url()], &one).await);
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    let call = |id: u64, tool: &str| {
        let params = json!({"name": tool, "arguments": {"name": "Kitchen Light"}});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        tokio::spawn(send(bridge.post("/mcp", message)))
    };
    let running = call(1, "intent__HassTurnOn");
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    let waiting = call(2, "intent__HassTurnOff");
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 1)
        .await;
    for id in [2, 1, 7] {
        let params = json!({"requestId": id});
        let cancel =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        assert_eq!(send(bridge.post("/mcp", cancel)).await.status, 202);
    }
    assert_eq!(waiting.await.unwrap().code(), "cancelled");
    assert_eq!(running.await.unwrap().code(), "cancelled");
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 0)
        .await;
    gate.add_permits(10);
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 0)
        .await;
    let tools: Vec<_> = house.executed().iter().map(|e| e.tool.clone()).collect();
    assert_eq!(tools, ["intent__HassTurnOn"]);
}
