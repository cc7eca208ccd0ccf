//! Models that make the same call again and again.

use http::Method;
use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::bridge::{house, send};

const READ: &str = "homeassistant__GetLiveContext";
const ON: &str = "intent__HassTurnOn";
const OFF: &str = "intent__HassTurnOff";

/// What the answer says about a loop.
fn told(result: &Value) -> &Value {
    &result["_meta"]["mcp-bridge/loop"]["calls"]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_in_a_loop_gets_the_last_answer_until_its_client_does_something_else() {
    let house = house().await;
    // Without the duplicate guard, each of the calls below is carried out.
    let few = [
        ("MCP_BRIDGE__LOOPS__CALLS", "3"),
        ("MCP_BRIDGE__QUEUE__DUPLICATE_WINDOW", "0s"),
    ];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &few).await;
    let lamp = json!({"name": "Desk Lamp"});
    let mut last = Value::Null;
    for _ in 0..3 {
        last = bridge.call(ON, lamp.clone()).await.result();
        assert_eq!(told(&last), &Value::Null);
    }
    assert_eq!(house.executed().len(), 3);
    let stopped = bridge.call(ON, lamp.clone()).await.result();
    assert_eq!(house.executed().len(), 3, "it is not carried out again");
    assert_eq!(told(&stopped), 3);
    let content = stopped["content"].as_array().unwrap();
    assert_eq!((content.len(), &content[0]), (2, &last["content"][0]));
    let hint = content[1]["text"].as_str().unwrap();
    assert!(hint.contains("was made 3 times"), "{hint}");
    assert_eq!(bridge.status().await["calls"]["loops"], 1);
    let other = bridge.call(ON, json!({"name": "Reading Lamp"})).await;
    assert_eq!(told(&other.result()), &Value::Null);
    let again = bridge.call(ON, lamp).await.result();
    assert_eq!((told(&again), house.executed().len()), (&Value::Null, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_in_a_loop_is_asked_all_the_same_and_gets_a_hint() {
    let house = house().await;
    let few = [("MCP_BRIDGE__LOOPS__CALLS", "2")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &few).await;
    let area = json!({"area": "Office"});
    for _ in 0..2 {
        let answer = bridge.call(READ, area.clone()).await.result();
        assert_eq!(told(&answer), &Value::Null);
    }
    let looped = bridge.call(READ, area.clone()).await.result();
    assert_eq!(told(&looped), 2);
    let hint = looped["content"][1]["text"].as_str().unwrap();
    assert!(hint.contains("has been the same 2 times"), "{hint}");
    // Somebody else changes what is asked for.
    let made = json!({"name": "other"}).to_string();
    let request = bridge.admin_request(Method::POST, "/api/clients");
    let request = request.header("content-type", "application/json");
    let made = crate::support::bridge::send_for_token(request.body(made)).await;
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let other = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({"name": OFF, "arguments": {"name": "Desk Lamp"}}).to_string();
    let request = other.post(bridge.url("/mcp/tools/call")).bearer_auth(token);
    let request = request.header("content-type", "application/json");
    assert_eq!(send(request.body(body)).await.status, 200);
    let news = bridge.call(READ, area).await.result();
    assert_ne!(news["content"][0], looped["content"][0]);
    assert_eq!(told(&news), &Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_and_off_in_turns_is_no_loop_and_neither_are_steps() {
    let house = house().await;
    let few = [("MCP_BRIDGE__LOOPS__CALLS", "2")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &few).await;
    for _ in 0..4 {
        for tool in [ON, OFF] {
            let lamp = json!({"name": "Desk Lamp"});
            let answer = bridge.call(tool, lamp).await.result();
            assert_eq!(told(&answer), &Value::Null);
        }
    }
    for _ in 0..4 {
        let step = json!({"volume_step": "up", "name": "TV"});
        let tool = "media_player__HassSetVolumeRelative";
        assert_eq!(told(&bridge.call(tool, step).await.result()), &Value::Null);
    }
    assert_eq!(house.executed().len(), 12);
    assert_eq!(bridge.status().await["calls"]["loops"], 0);
}
