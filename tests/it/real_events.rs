//! What the bridge knows of a real Home Assistant from its websocket.

use serde_json::{Value, json};

use crate::support::HomeAssistant;
use crate::support::bridge::{Bridge, send};
use crate::support::supervisor::Supervisor;

fn home(status: &Value) -> &Value {
    &status["home_assistant"]
}

/// Waits until everything is known.
async fn knowing(bridge: &Bridge) -> Value {
    bridge
        .until(|status| home(status)["events_told"] == true)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_how_home_assistant_is_and_what_is_known_of_it() {
    let ha = HomeAssistant::running();
    let bridge = ha.bridge().await;
    let status = knowing(&bridge).await;
    let home = home(&status);
    assert_eq!(home["state"], "running", "{home}");
    assert_eq!(home["version"], "2026.11.0");
    assert_eq!(home["trouble"], Value::Null);
    assert_eq!(home["mcp_server"]["state"], "loaded");
    assert_eq!(home["mcp_server_missing"], false);
    assert_eq!(home["house"]["areas"], 3);
    assert!(home["house"]["exposed"].as_u64().unwrap() >= 12, "{home}");
    assert_eq!(home["llm_apis"][0]["id"], "assist");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exposed_or_hidden_is_known_without_asking_again() {
    let ha = HomeAssistant::running();
    let bridge = ha.bridge().await;
    let exposed = |status: &Value| home(status)["house"]["exposed"].as_u64().unwrap();
    let before = exposed(&knowing(&bridge).await);
    let mut commands = ha.commands().await;
    for (should_expose, expected) in [(true, before + 1), (false, before)] {
        let arguments = json!({"assistants": ["conversation"], "should_expose": should_expose,
            "entity_ids": ["input_boolean.coffee_maker_relay"]});
        commands.run("homeassistant/expose_entity", arguments).await;
        bridge.until(|status| exposed(status) == expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_through_the_supervisor() {
    let ha = HomeAssistant::running();
    let supervisor = Supervisor::before(&ha.url, &ha.token).await;
    let bridge = Bridge::start_with(&[], &supervisor.environment()).await;
    let status = knowing(&bridge).await;
    assert_eq!(home(&status)["state"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_no_administrators_hears_of_changes_all_the_same() {
    let ha = HomeAssistant::running();
    let bridge = Bridge::start(&["--upstream", &ha.url, "--upstream-token", &ha.guest]).await;
    let status = knowing(&bridge).await;
    assert_eq!(home(&status)["may_see_exposed"], false);
    assert_eq!(home(&status)["state"], "running");
    let events = home(&status)["events"].as_u64().unwrap();
    let switch = ha
        .http
        .post(format!("{}/api/services/input_boolean/toggle", ha.url))
        .bearer_auth(&ha.token)
        .body(r#"{"entity_id": "input_boolean.bedroom_heater_relay"}"#);
    assert_eq!(send(switch).await.status, 200);
    bridge
        .until(|status| home(status)["events"].as_u64().unwrap() > events)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_shown_once_and_told() {
    let ha = HomeAssistant::running();
    let bridge = Bridge::start(&["--upstream", &ha.url, "--upstream-token", "nonsense"]).await;
    let status = bridge
        .until(|status| home(status)["trouble"].is_string())
        .await;
    let trouble = home(&status)["trouble"].as_str().unwrap();
    assert!(trouble.contains("the token is refused"), "{trouble}");
    assert_eq!(home(&status)["state"], "unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_to_listen() {
    let ha = HomeAssistant::running();
    let off = [("MCP_BRIDGE__HOME_ASSISTANT__EVENTS", "false")];
    let arguments = ["--upstream", &ha.url, "--upstream-token", &ha.token];
    let bridge = Bridge::start_with(&arguments, &off).await;
    assert_eq!(bridge.status().await["home_assistant"], Value::Null);
}
