//! What models are told without having asked, and how much of what they asked for.

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::bridge::{Bridge, PATIENCE, house, modern_post, send};
use crate::support::core::Core;

const LIVE: &str = "homeassistant__GetLiveContext";

/// The instructions that clients of each era get.
async fn instructions(bridge: &Bridge) -> [Value; 2] {
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "t", "version": "0"}});
    let mut legacy = bridge.rpc("initialize", hello).await.result();
    let discover = modern_post(bridge, "server/discover", json!({}));
    let mut modern = send(discover).await.result();
    [&mut legacy, &mut modern].map(|result| result["instructions"].take())
}

/// Waits until clients of both eras get instructions, which must be like that. A prompt that is not
/// at hand in time is left out.
async fn until_told(bridge: &Bridge, condition: impl Fn(&Value) -> bool) {
    let wait = async {
        loop {
            let told = instructions(bridge).await;
            if told.iter().all(Value::is_string) {
                return told;
            }
        }
    };
    for told in timeout(PATIENCE, wait).await.expect("there are none") {
        assert!(condition(&told), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_know_no_prompts_get_home_assistants_as_instructions() {
    let core = Core::start().await;
    let bridge = core.bridge(&[]).await;
    let prompt = json!({"name": "Device control"});
    let prompt = bridge.rpc("prompts/get", prompt).await.result();
    let prompt = &prompt["messages"][0]["content"]["text"];
    assert!(prompt.as_str().unwrap().len() < 4096);
    until_told(&bridge, |told| told == prompt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instructions_are_as_long_as_they_may_be_or_none() {
    let core = Core::start().await;
    let short = [("MCP_BRIDGE__HOME_ASSISTANT__INSTRUCTIONS", "512B")];
    let bridge = core.bridge(&short).await;
    until_told(&bridge, |told| {
        let told = told.as_str().unwrap();
        told.len() <= 512 && told.ends_with("tells what is exposed.]")
    })
    .await;
    let none = [("MCP_BRIDGE__HOME_ASSISTANT__INSTRUCTIONS", "0B")];
    let bridge = core.bridge(&none).await;
    assert_eq!(instructions(&bridge).await, [Value::Null, Value::Null]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_see_how_the_house_is_gets_no_instructions_about_it() {
    let core = Core::start().await;
    let bridge = core.bridge(&[]).await;
    let rights = json!({"allow": ["light__*"]}).to_string();
    let made = bridge.command(&["token", "create", "agent", "--rights", &rights]);
    bridge.until(|status| status["clients"] == 2).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(bridge.url("/mcp/initialize"));
    let request = request.bearer_auth(made.lines().last().unwrap());
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "t", "version": "0"}});
    let told = send(
        request
            .header("content-type", "application/json")
            .body(hello.to_string()),
    );
    let told = told.await.json();
    assert!(
        told["serverInfo"].is_object() && told["instructions"].is_null(),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_home_assistant_is_left_alone() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    assert_eq!(instructions(&bridge).await, [Value::Null, Value::Null]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_of_a_tool_is_cut_where_that_is_wished_and_says_how_to_get_the_rest() {
    let house = house().await;
    let whole = Bridge::before(&house)
        .await
        .call(LIVE, json!({}))
        .await
        .result();
    let whole = whole["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(whole.len() > 1024, "{whole}");
    let limit = [("MCP_BRIDGE__LIMITS__TOOL_ANSWER", "1KiB")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &limit).await;
    for _ in 0..2 {
        let result = bridge.call(LIVE, json!({})).await.result();
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.len() <= 1024, "{}", text.len());
        assert!(text.contains("Ask for less, with a filter"), "{text}");
        assert_eq!(result["_meta"]["mcp-bridge/cut"], true);
        assert_eq!(result["isError"], false);
    }
}
