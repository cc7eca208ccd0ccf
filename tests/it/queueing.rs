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
    let roomy = [("MCP_BRIDGE__QUEUE__MAX_WAITING_PER_CLIENT", "50")];
    let bridge = Arc::new(Bridge::start_with(&["--upstream", &house.url()], &roomy).await);
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
    let held: Vec<_> = ["Kitchen Light", "Desk Lamp"]
        .into_iter()
        .map(|name| {
            let bridge = bridge.clone();
            let call = async move {
                bridge
                    .call("intent__HassTurnOn", json!({"name": name}))
                    .await
            };
            tokio::spawn(call)
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
    bridge.until(|status| status["calls"]["left"] == 2).await;
    gate.add_permits(100);
    house.until(|house| !house.executed().is_empty()).await;
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 0)
        .await;
    let tools: Vec<_> = house.executed().iter().map(|e| e.tool.clone()).collect();
    assert_eq!(tools, ["intent__HassTurnOn"]);
    let left = |line: &String| line.contains("\"outcome\":\"left\"");
    assert_eq!(
        bridge.whole_log().iter().filter(|line| left(line)).count(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn urgent_calls_go_first_and_no_request_is_more_urgent_than_its_client() {
    let house = house().await;
    let bridge =
        Arc::new(Bridge::start_with(&["--upstream", &house.url()], &[ONE_AT_A_TIME]).await);
    let made = bridge.command(&["token", "create", "urgent", "--priority", "interactive"]);
    let urgent = made.lines().last().unwrap().to_owned();
    bridge.until(|status| status["clients"] == 2).await;
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    let set = |token: &str, priority: &str, brightness: usize| {
        let lamp = [
            "Kitchen Light",
            "Desk Lamp",
            "Bedroom Light",
            "Hallway Light",
        ];
        let arguments = json!({"name": lamp[brightness % 4], "brightness": brightness});
        let call = json!({"name": "light__HassLightSet", "arguments": arguments});
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = client
            .post(bridge.url("/mcp/tools/call"))
            .bearer_auth(token)
            .body(call.to_string());
        let call = call
            .header("content-type", "application/json")
            .header("priority", priority);
        tokio::spawn(send(call))
    };
    let mut calls = vec![set(&bridge.token, "u=3", 0)];
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    for (n, (token, priority)) in (1..).zip([
        (bridge.token.as_str(), "u=7"),
        (bridge.token.as_str(), "u=0"),
        (urgent.as_str(), "u=0"),
    ]) {
        calls.push(set(token, priority, n));
        bridge
            .until(|status| status["calls"]["queue"]["waiting"] == n)
            .await;
    }
    let waiting = &bridge.status().await["calls"]["queue"]["waiting_by_priority"];
    // The client's first write got the priority of the one that waits for it.
    assert_eq!(waiting, &json!([1, 2, 0]));
    gate.add_permits(100);
    for call in calls {
        assert_eq!(call.await.unwrap().json()["isError"], false);
    }
    let order: Vec<_> = house
        .executed()
        .iter()
        .map(|e| e.arguments["brightness"].as_u64().unwrap())
        .collect();
    assert_eq!(
        order,
        [0, 3, 1, 2],
        "one client's writes keep their order; the urgent one goes first"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_pause_drain_and_resume() {
    let house = house().await;
    let bridge = Arc::new(Bridge::before(&house).await);
    let operate = |operation: &str| {
        let path = format!("/api/queue/{operation}");
        send(bridge.admin_request(http::Method::POST, &path))
    };
    let mode =
        |reply: &crate::support::bridge::Reply| reply.json()["calls"]["queue"]["mode"].clone();
    assert_eq!(mode(&operate("pause").await), "paused");
    let caller = bridge.clone();
    let held = tokio::spawn(async move { caller.call("llm__GetDateTime", json!({})).await });
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 1)
        .await;
    assert_eq!(house.executed().len(), 0);
    assert_eq!(mode(&operate("drain").await), "draining");
    assert_eq!(held.await.unwrap().result()["isError"], false);
    assert_eq!(
        bridge.call("llm__GetDateTime", json!({})).await.code(),
        "shutting_down"
    );
    assert_eq!(mode(&operate("resume").await), "open");
    assert_eq!(
        bridge.call("llm__GetDateTime", json!({})).await.result()["isError"],
        false
    );
    assert_eq!(operate("explode").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_call_hears_of_its_place_if_it_asked_to() {
    let house = house().await;
    let bridge =
        Arc::new(Bridge::start_with(&["--upstream", &house.url()], &[ONE_AT_A_TIME]).await);
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    let caller = bridge.clone();
    let running = tokio::spawn(async move { caller.call("llm__GetDateTime", json!({})).await });
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    let params = json!({"name": "homeassistant__GetLiveContext", "_meta": {"progressToken": "p1"}});
    let message = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params});
    let request = bridge
        .post("/mcp", message)
        .header("accept", "application/json, text/event-stream");
    let mut response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let first = String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(
        first.contains("notifications/progress") && first.contains(r#""progressToken":"p1""#),
        "{first}"
    );
    gate.add_permits(10);
    let mut rest = String::new();
    while let Some(piece) = response.chunk().await.unwrap() {
        rest.push_str(std::str::from_utf8(&piece).unwrap());
    }
    let answer = rest.split("data: ").last().unwrap();
    let answer: serde_json::Value = serde_json::from_str(answer.trim()).unwrap();
    assert_eq!(
        (&answer["id"], &answer["result"]["isError"]),
        (&json!(5), &json!(false))
    );
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_background_calls_does_not_hold_up_another_client() {
    let house = house().await;
    let roomy = [
        ONE_AT_A_TIME,
        ("MCP_BRIDGE__QUEUE__MAX_WAITING", "1000"),
        ("MCP_BRIDGE__QUEUE__MAX_WAITING_PER_CLIENT", "500"),
    ];
    let bridge = Arc::new(Bridge::start_with(&["--upstream", &house.url()], &roomy).await);
    let made = bridge.command(&["token", "create", "patient"]);
    let other = made.lines().last().unwrap().to_owned();
    bridge.until(|status| status["clients"] == 2).await;
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    let flood: Vec<_> = (0..200)
        .map(|n| {
            let call = json!({"name": "homeassistant__GetLiveContext", "arguments": {"name": n.to_string()}});
            tokio::spawn(send(bridge.post("/mcp/tools/call", call).header("priority", "u=7")))
        })
        .collect();
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 199)
        .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let call =
        json!({"name": "light__HassLightSet", "arguments": {"name": "Desk Lamp", "brightness": 1}});
    let call = client
        .post(bridge.url("/mcp/tools/call"))
        .bearer_auth(other)
        .body(call.to_string());
    let call = tokio::spawn(send(call.header("content-type", "application/json")));
    bridge
        .until(|status| status["calls"]["queue"]["waiting"] == 200)
        .await;
    gate.add_permits(2);
    assert_eq!(call.await.unwrap().json()["isError"], false);
    assert_eq!(
        house.executed().len(),
        2,
        "only the call that ran already went before it"
    );
    gate.add_permits(1000);
    for call in flood {
        assert_eq!(call.await.unwrap().status, 200);
    }
}
