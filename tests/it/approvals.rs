//! Calls that wait for a person's word.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use mcp_bridge::demo::DemoHouse;
use serde_json::{Value, json};

use crate::support::bridge::{Bridge, Reply, house, send};

const ON: &str = "intent__HassTurnOn";

/// A house, and a bridge whose only client needs a person's word for locks.
async fn careful(timeout: &str) -> (DemoHouse, Arc<Bridge>) {
    let house = house().await;
    let environment = [("MCP_BRIDGE__ACCESS__APPROVAL_TIMEOUT", timeout)];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &environment).await;
    // The list shows when the running bridge has taken them over.
    let rights = r#"{"sensitive":{"lock":"confirm"},"deny":["llm__GetDateTime"]}"#;
    bridge.command(&["rights", "set", "default", "--rights", rights]);
    while bridge
        .rpc("tools/list", json!({}))
        .await
        .text
        .contains("GetDateTime")
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (house, Arc::new(bridge))
}

fn lock() -> Value {
    json!({"name": "Front Door", "domain": ["lock"]})
}

fn spawn(bridge: &Arc<Bridge>, arguments: Value) -> tokio::task::JoinHandle<Reply> {
    let bridge = bridge.clone();
    tokio::spawn(async move { bridge.call(ON, arguments).await })
}

async fn waiting(bridge: &Bridge) -> Vec<Value> {
    let reply = send(bridge.admin_request(Method::GET, "/api/approvals")).await;
    reply.json()["approvals"].as_array().unwrap().clone()
}

/// Waits until so many questions are there.
async fn until_asked(bridge: &Bridge, count: usize) -> Vec<Value> {
    loop {
        let waiting = waiting(bridge).await;
        if waiting.len() == count {
            return waiting;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn answer(bridge: &Bridge, id: &Value, approve: bool) -> Reply {
    let request = bridge.admin_request(Method::POST, &format!("/api/approvals/{id}"));
    let request = request.header("content-type", "application/json");
    send(request.body(json!({"approve": approve}).to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_runs_when_a_person_agrees_and_only_this_time() {
    let (house, bridge) = careful("40s").await;
    let call = spawn(&bridge, lock());
    let asked = until_asked(&bridge, 1).await;
    assert!(house.executed().is_empty());
    let question = &asked[0];
    assert_eq!(question["client"], "default");
    assert_eq!(question["tool"], ON);
    assert_eq!(question["arguments"], lock());
    assert_eq!(
        question["reason"],
        "it touches something of the class `lock`"
    );
    assert!(question["expires_s"].as_u64().unwrap() > 500);
    let said = answer(&bridge, &question["id"], true).await;
    assert_eq!(
        (said.status, said.json()),
        (200, json!({"id": question["id"], "approved": true}))
    );
    assert_eq!(call.await.unwrap().result()["isError"], false);
    assert_eq!(house.executed().len(), 1);
    assert!(waiting(&bridge).await.is_empty());
    let again = spawn(&bridge, lock());
    let asked = until_asked(&bridge, 1).await;
    assert_ne!(asked[0]["id"], question["id"]);
    let said = answer(&bridge, &asked[0]["id"], false).await;
    assert_eq!(said.json()["approved"], false);
    let refused = again.await.unwrap();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (200, "approval_refused")
    );
    assert_eq!(refused.result()["isError"], true);
    // The person is not asked again at once.
    assert_eq!(bridge.call(ON, lock()).await.code(), "approval_refused");
    assert_eq!(house.executed().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_is_bound_to_the_exact_arguments() {
    let (house, bridge) = careful("40s").await;
    let one = spawn(&bridge, lock());
    until_asked(&bridge, 1).await;
    let other = spawn(&bridge, json!({"domain": ["lock"]}));
    let asked = until_asked(&bridge, 2).await;
    answer(&bridge, &asked[0]["id"], true).await;
    assert_eq!(one.await.unwrap().result()["isError"], false);
    let left = waiting(&bridge).await;
    assert_eq!((left.len(), &left[0]["id"]), (1, &asked[1]["id"]));
    assert_eq!(house.executed().len(), 1);
    answer(&bridge, &asked[1]["id"], true).await;
    assert_eq!(other.await.unwrap().result()["isError"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_told_to_ask_again_gets_through_after_the_yes() {
    let (house, bridge) = careful("1ms").await;
    let pending = bridge.call(ON, lock()).await;
    assert_eq!(
        (pending.status, pending.code().as_str()),
        (200, "approval_pending")
    );
    let text = pending.result()["content"][0]["text"].to_string();
    assert!(text.contains("make exactly the same call again"), "{text}");
    let plain = json!({"name": ON, "arguments": lock()});
    let pending = send(bridge.post("/mcp/tools/call", plain)).await;
    assert_eq!(
        (pending.status, pending.code().as_str()),
        (409, "approval_pending")
    );
    let asked = until_asked(&bridge, 1).await;
    answer(&bridge, &asked[0]["id"], true).await;
    // The order of members and white space make no other call of it.
    let same =
        r#"{ "arguments":{"domain":["lock"], "name":"Front Door"},"name":"intent__HassTurnOn"}"#;
    let reply = send(bridge.post("/mcp/tools/call", same)).await;
    assert_eq!(reply.json()["isError"], false, "{reply:?}");
    assert_eq!(house.executed().len(), 1);
    assert_eq!(bridge.call(ON, lock()).await.code(), "approval_pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_answer_and_only_what_waits() {
    let (house, bridge) = careful("1ms").await;
    bridge.call(ON, lock()).await;
    let asked = until_asked(&bridge, 1).await;
    let url = |path: &str| format!("http://{}{path}", bridge.admin);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let one = format!("/api/approvals/{}", asked[0]["id"]);
    for request in [client.get(url("/api/approvals")), client.post(url(&one))] {
        let reply = send(request.bearer_auth(&bridge.token)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (401, "admin_token_wrong")
        );
    }
    let lan = send(bridge.request(Method::GET, "/api/approvals")).await;
    assert_eq!(lan.status, 404);
    for (id, body, status) in [
        ("999", r#"{"approve":true}"#, 404),
        ("x", r#"{"approve":true}"#, 404),
        (one.rsplit('/').next().unwrap(), r#"{"approve":"yes"}"#, 400),
        (one.rsplit('/').next().unwrap(), "{}", 400),
        (
            one.rsplit('/').next().unwrap(),
            r#"{"approve":true,"all":1}"#,
            400,
        ),
    ] {
        let request = bridge.admin_request(Method::POST, &format!("/api/approvals/{id}"));
        let request = request
            .header("content-type", "application/json")
            .body(body);
        assert_eq!(send(request).await.status, status, "{id} {body}");
    }
    assert!(house.executed().is_empty());
    assert_eq!(waiting(&bridge).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_stops_waits_for_nobodys_word() {
    let (house, mut bridge) = careful("10m").await;
    let call = spawn(&bridge, lock());
    until_asked(&bridge, 1).await;
    bridge.signal("TERM");
    assert_eq!(call.await.unwrap().code(), "shutting_down");
    let bridge = Arc::get_mut(&mut bridge).unwrap();
    assert!(bridge.wait().success());
    assert!(house.executed().is_empty());
}
