//! The official SDKs as clients, old and new, in each era that they speak, on the built-in house.

use serde_json::json;

use crate::support::bridge::{Bridge, house};
use crate::support::program::sdk_client;

/// Client and the revision on which it must agree with the bridge.
pub(crate) const CLIENTS: [(&str, &str); 10] = [
    ("typescript v1", "2025-11-25"),
    ("typescript v1-18", "2025-06-18"),
    ("typescript v1-26", "2025-11-25"),
    ("typescript v2", "2025-11-25"),
    ("typescript v2-auto", "2026-07-28"),
    ("typescript v2-modern", "2026-07-28"),
    ("python-v1", "2025-11-25"),
    ("python-v2 legacy", "2025-11-25"),
    ("python-v2 auto", "2026-07-28"),
    ("python-v2 2026-07-28", "2026-07-28"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_lists_calls_and_reads() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for (n, (sdk, revision)) in (1..).zip(CLIENTS) {
        let arguments = json!({"name": "Kitchen Light", "brightness": n}).to_string();
        let mut args = vec!["--call", "light__HassLightSet", "--arguments", &arguments];
        args.extend([
            "--prompt",
            "Device control",
            "--resource",
            "homeassistant://assist/context-snapshot",
        ]);
        args.extend(["--method", "ping"]);
        let seen = sdk_client(sdk, &bridge.url("/mcp"), &bridge.token, &args).await;
        assert_eq!(seen["revision"], revision, "{sdk}: {seen}");
        assert_eq!(seen["tools"].as_array().unwrap().len(), 16, "{sdk}: {seen}");
        assert_eq!(seen["call"]["isError"], false, "{sdk}: {seen}");
        assert!(seen["prompt"]["messages"].is_array(), "{sdk}: {seen}");
        assert!(seen["resource"]["contents"].is_array(), "{sdk}: {seen}");
        assert_eq!(seen["ping"], revision != "2026-07-28", "{sdk}: {seen}");
        assert_eq!(house.executed().len(), n, "{sdk}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_hears_that_its_token_is_wrong() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for (sdk, _) in CLIENTS {
        let seen = sdk_client(sdk, &bridge.url("/mcp"), "wrong", &[]).await;
        let words = seen["error"]["message"].as_str().unwrap_or_default();
        let told = seen["error"]["code"] == 401 || words.contains("401") || words.contains("token");
        assert!(told, "{sdk}: {seen}");
    }
    assert_eq!(house.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_hears_of_trouble_at_home_assistant_in_words() {
    let soon = [("MCP_BRIDGE__QUEUE__CALL_TIMEOUT", "500ms")];
    let bridge = Bridge::start_with(&["--upstream", "http://127.0.0.1:9/mcp"], &soon).await;
    for (sdk, _) in CLIENTS {
        let seen = sdk_client(sdk, &bridge.url("/mcp"), &bridge.token, &[]).await;
        let words = seen["error"]["message"].as_str().unwrap_or_default();
        assert!(words.contains("Home Assistant"), "{sdk}: {seen}");
    }
    let result = bridge.call("llm__GetDateTime", json!({})).await.result();
    assert_eq!(result["isError"], true);
}
