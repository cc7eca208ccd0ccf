//! A real Home Assistant behind the bridge. The test command starts it and says where it is.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sdk_clients::CLIENTS;
use crate::support::HomeAssistant;
use crate::support::bridge::{Bridge, program, send};
use crate::support::program::sdk_client;
use crate::support::supervisor::Supervisor;

#[tokio::test(flavor = "multi_thread")]
async fn a_light_is_turned_on_and_off_through_the_bridge() {
    let ha = HomeAssistant::running();
    let bridge = ha.bridge().await;
    for (tool, state) in [
        ("intent__HassTurnOn", "on"),
        ("intent__HassTurnOff", "off"),
        ("intent__HassTurnOn", "on"),
    ] {
        let call = bridge.call(tool, json!({"name": "Reading Lamp"})).await;
        assert_eq!(call.result()["isError"], false, "{call:?}");
        ha.until_state("light.reading_lamp", state).await;
    }
    let plain = send(bridge.post(
        "/mcp/tools/call",
        json!({"name": "intent__HassTurnOff", "arguments": {"name": "Reading Lamp"}}),
    ))
    .await;
    assert_eq!(plain.json()["isError"], false);
    ha.until_state("light.reading_lamp", "off").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_held_against_every_schema_that_home_assistant_has() {
    let ha = HomeAssistant::running();
    let bridge = ha.bridge().await;
    let list = bridge.rpc("tools/list", json!({})).await.result();
    let mut refused = 0;
    for tool in list["tools"].as_array().unwrap() {
        let properties = tool["inputSchema"]["properties"].as_object().unwrap();
        let typed = |(_, schema): &(&String, &Value)| schema["type"] != "object";
        let Some((argument, _)) = properties.iter().find(typed) else {
            continue;
        };
        // No tool of Home Assistant takes such a value.
        let nonsense = json!({argument: {"no": [["sense"]]}});
        let reply = bridge.call(tool["name"].as_str().unwrap(), nonsense).await;
        assert_eq!(reply.code(), "wrong_arguments", "{tool}");
        refused += 1;
    }
    assert!(refused >= 15, "only {refused} tools");
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_home_assistant_would_not_take_are_repaired() {
    let ha = HomeAssistant::running();
    let bridge = ha.bridge().await;
    let careless = json!({"name": "Reading Lamp", "area": "", "floor": null, "domain": "light",
        "device_class": [""]});
    let call = |tool| bridge.call(tool, careless.clone());
    // Before any list the bridge knows no schema, and Home Assistant has its own word.
    assert_eq!(call("intent__HassTurnOff").await.result()["isError"], true);
    bridge.rpc("tools/list", json!({})).await.result();
    for (tool, state) in [("intent__HassTurnOn", "on"), ("intent__HassTurnOff", "off")] {
        let result = call(tool).await.result();
        assert_eq!(result["isError"], false, "{result}");
        ha.until_state("light.reading_lamp", state).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_domains_holds_in_home_assistant_itself() {
    let ha = HomeAssistant::running();
    let bridge = ha.bridge().await;
    let rights = r#"{"arguments":[{"argument":"domain","in":["light"]}],"deny":["*GetDateTime"]}"#;
    bridge.command(&["rights", "set", "default", "--rights", rights]);
    let list = || async { bridge.rpc("tools/list", json!({})).await.text };
    while list().await.contains("GetDateTime") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = ha.state("switch.coffee_maker").await;
    let call = |arguments| bridge.call("intent__HassTurnOn", arguments);
    assert_eq!(call(json!({"name": "Coffee Maker"})).await.code(), "denied");
    // What the rule demands, Home Assistant keeps to: no other thing of that name is touched.
    let other = call(json!({"name": "Coffee Maker", "domain": ["light"]})).await;
    assert_eq!(other.result()["isError"], true, "{other:?}");
    assert_eq!(ha.state("switch.coffee_maker").await, before);
    let lamp = call(json!({"name": "Reading Lamp", "domain": "light"})).await;
    assert_eq!(lamp.result()["isError"], false, "{lamp:?}");
    ha.until_state("light.reading_lamp", "on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_and_bridged_answers_are_the_same_bytes() {
    let ha = HomeAssistant::running();
    // The bridge adds resources of its own to the lists, unless it is told not to.
    let unadorned = [("MCP_BRIDGE__HOME_ASSISTANT__RESOURCES", "false")];
    let arguments = ["--upstream", &ha.url, "--upstream-token", &ha.token];
    let bridge = Bridge::start_with(&arguments, &unadorned).await;
    for (method, params) in [
        ("tools/list", json!({})),
        ("prompts/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        (
            "tools/call",
            json!({"name": "script__echo_word", "arguments": {"word": "héllo ✓"}}),
        ),
        (
            "tools/call",
            json!({"name": "no_such_tool", "arguments": {}}),
        ),
        ("prompts/get", json!({"name": "no such prompt"})),
        ("no/such/method", json!({})),
    ] {
        let message = json!({"jsonrpc": "2.0", "id": "same", "method": method, "params": params});
        let direct = ha
            .http
            .post(format!("{}/api/mcp", ha.url))
            .bearer_auth(&ha.token);
        let direct = direct
            .header("content-type", "application/json")
            .header("accept", "application/json");
        let direct = send(direct.body(message.to_string())).await;
        let bridged = send(bridge.post("/mcp", &message)).await;
        assert_eq!(
            (bridged.status, bridged.text),
            (direct.status, direct.text),
            "{method}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_works_on_home_assistant_in_its_own_era() {
    let ha = HomeAssistant::running();
    let bridge = ha.bridge().await;
    for (sdk, revision) in CLIENTS {
        let args = [
            "--call",
            "script__echo_word",
            "--arguments",
            r#"{"word":"hello"}"#,
        ];
        let seen = sdk_client(sdk, &bridge.url("/mcp"), &bridge.token, &args).await;
        assert_eq!(seen["revision"], revision, "{sdk}: {seen}");
        let text = seen["call"]["content"][0]["text"]
            .as_str()
            .unwrap_or_default();
        assert!(text.contains("hello"), "{sdk}: {seen}");
        assert!(
            seen["tools"]
                .as_array()
                .unwrap()
                .contains(&json!("intent__HassTurnOn")),
            "{sdk}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_does_not_cancel_what_it_started() {
    let ha = HomeAssistant::running();
    let bridge = ha.bridge().await;
    let before: u64 = ha.state("counter.slow_done").await.parse().unwrap();
    let call = bridge.post(
        "/mcp/tools/call",
        json!({"name": "script__slow_step", "arguments": {"seconds": 1}}),
    );
    let call = tokio::spawn(call.send());
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    ha.until_state("script.slow_step", "on").await;
    call.abort();
    ha.until_state("counter.slow_done", &(before + 1).to_string())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_home_assistant_refuses_is_told_with_its_cure() {
    let ha = HomeAssistant::running();
    for (url, token, code) in [
        (ha.url.clone(), "nonsense", "home_assistant_token_refused"),
        (ha.url.clone(), ha.guest.as_str(), "home_assistant_forbids"),
        (
            format!("{}/api/mcp/nonsense", ha.url),
            ha.token.as_str(),
            "mcp_server_not_set_up",
        ),
        (
            format!("{}/api/", ha.url),
            ha.token.as_str(),
            "home_assistant_status",
        ),
    ] {
        let bridge = Bridge::start(&["--upstream", &url, "--upstream-token", token]).await;
        let call = bridge.call("llm__GetDateTime", json!({})).await;
        assert_eq!(call.code(), code, "{call:?}");
    }
    let bridge = ha.bridge().await;
    let strange = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"llm__GetDateTime","arguments":{"s":"\ud800"}}}"#;
    let reply = send(bridge.post("/mcp", strange)).await;
    assert_eq!(reply.code(), "home_assistant_refused_request", "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_home_assistant_takes_for_notifications_get_their_answer() {
    let ha = HomeAssistant::running();
    let bridge = ha.bridge().await;
    let call = r#"{"jsonrpc":"2.0","id":123456789012345678901,"method":"tools/call","params":{"name":"llm__GetDateTime","arguments":{}}}"#;
    let reply = send(bridge.post("/mcp", call)).await;
    assert!(
        reply.text.contains(r#""id":123456789012345678901"#),
        "{reply:?}"
    );
    assert_eq!(reply.result()["isError"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_actions_run_once_each() {
    let ha = HomeAssistant::running();
    let args = ["--upstream", &ha.url, "--upstream-token", &ha.token];
    let roomy = [("MCP_BRIDGE__QUEUE__MAX_WAITING_PER_CLIENT", "50")];
    let bridge = Arc::new(Bridge::start_with(&args, &roomy).await);
    let before: u64 = ha.state("counter.hits").await.parse().unwrap();
    let calls: Vec<_> = (0..30)
        .map(|n| {
            let call = bridge.post("/mcp/tools/call", json!({"name": "script__count_up"}));
            let call = call.header("idempotency-key", format!("count-{n}"));
            tokio::spawn(async move { send(call).await.json() })
        })
        .collect();
    let mut counts = Vec::new();
    for call in calls {
        let result = call.await.unwrap();
        let text: Value =
            serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        counts.push(text["result"]["hits"].as_u64().unwrap());
    }
    counts.sort_unstable();
    assert_eq!(counts, (before + 1..=before + 30).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_its_list_on_home_assistant() {
    let ha = HomeAssistant::running();
    let data = tempfile::tempdir().unwrap();
    let check = |token: &str| {
        let args = [
            "check",
            "--upstream",
            &ha.url,
            "--upstream-token",
            token,
            "--data",
        ];
        program(args).arg(data.path()).output().unwrap()
    };
    let good = check(&ha.token);
    let said = String::from_utf8(good.stdout).unwrap();
    assert!(
        good.status.success() && said.contains("home-assistant") && said.contains("24 tools"),
        "{said}"
    );
    let bad = check("nonsense");
    let said = String::from_utf8(bad.stdout).unwrap();
    assert!(
        said.contains("FAIL  handshake") && said.contains("fix: Create a new long-lived token"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn home_assistant_is_reached_through_the_supervisors_proxy() {
    let ha = HomeAssistant::running();
    let supervisor = Supervisor::before(&ha.url, &ha.token).await;
    let bridge = Bridge::start_with(&[], &supervisor.environment()).await;
    assert!(
        bridge.rpc("tools/list", json!({})).await.result()["tools"]
            .as_array()
            .unwrap()
            .len()
            > 10
    );
    let seen = sdk_client(
        "typescript v2-auto",
        &bridge.url("/mcp"),
        &bridge.token,
        &["--call", "llm__GetDateTime"],
    )
    .await;
    assert_eq!(seen["call"]["isError"], false, "{seen}");
}
