//! A real Home Assistant that lacks its MCP server.

use serde_json::{Value, json};

use crate::support::HomeAssistant;
use crate::support::bridge::{Bridge, PATIENCE, send};
use crate::support::websocket::Commands;

fn home(status: &Value) -> &Value {
    &status["home_assistant"]
}

/// Removes the integration, as a person would.
async fn remove_mcp_server(ha: &HomeAssistant, commands: &mut Commands) {
    let domain = json!({"domain": "mcp_server"});
    let entries = commands.run("config_entries/get", domain).await;
    let entry = entries[0]["entry_id"].as_str().unwrap();
    let url = format!("{}/api/config/config_entries/entry/{entry}", ha.url);
    let removed = send(ha.http.delete(url).bearer_auth(&ha.token)).await;
    assert_eq!(removed.status, 200, "{removed:?}");
}

/// The text of the bridge's notice.
async fn notice(commands: &mut Commands) -> Option<String> {
    let notices = commands.run("persistent_notification/get", json!({})).await;
    let notices = notices.as_array().unwrap();
    let own = notices
        .iter()
        .find(|n| n["notification_id"] == "mcp_bridge")?;
    Some(own["message"].as_str().unwrap().to_owned())
}

async fn until_noticed(commands: &mut Commands, there: bool) -> Option<String> {
    let wait = async {
        loop {
            let notice = notice(commands).await;
            if notice.is_some() == there {
                return notice;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let noticed = tokio::time::timeout(PATIENCE, wait).await;
    noticed.expect("the notice never changed")
}

#[tokio::test(flavor = "multi_thread")]
async fn real_home_assistant_without_mcp_server_says_so_and_gets_one_at_a_click() {
    let ha = HomeAssistant::running();
    let mut commands = ha.commands().await;
    let bridge = ha.bridge().await;
    let tools = bridge.rpc("tools/list", json!({})).await.result();
    remove_mcp_server(&ha, &mut commands).await;
    bridge
        .until(|status| home(status)["mcp_server_missing"] == true)
        .await;
    let told = until_noticed(&mut commands, true).await.unwrap();
    assert!(told.contains("Model Context Protocol Server"), "{told}");
    for _ in 0..2 {
        let set_up = send(bridge.admin_request(http::Method::POST, "/api/setup")).await;
        assert_eq!(set_up.status, 200, "{set_up:?}");
    }
    bridge
        .until(|status| home(status)["mcp_server"]["state"] == "loaded")
        .await;
    until_noticed(&mut commands, false).await;
    let call = bridge
        .call("homeassistant__GetLiveContext", json!({}))
        .await;
    assert_eq!(call.result()["isError"], false);
    assert_eq!(bridge.rpc("tools/list", json!({})).await.result(), tools);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_home_assistant_gets_an_mcp_server_by_itself_where_that_is_wished() {
    let ha = HomeAssistant::running();
    let mut commands = ha.commands().await;
    remove_mcp_server(&ha, &mut commands).await;
    let arguments = ["--upstream", &ha.url, "--upstream-token", &ha.token];
    let by_itself = [("MCP_BRIDGE__HOME_ASSISTANT__AUTO_SETUP", "true")];
    let bridge = Bridge::start_with(&arguments, &by_itself).await;
    bridge
        .until(|status| home(status)["mcp_server"]["state"] == "loaded")
        .await;
    let call = bridge
        .call("homeassistant__GetLiveContext", json!({}))
        .await;
    assert_eq!(call.result()["isError"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_home_assistant_adds_nothing_for_a_token_that_may_not() {
    let ha = HomeAssistant::running();
    let bridge = Bridge::start(&["--upstream", &ha.url, "--upstream-token", &ha.guest]).await;
    let refused = send(bridge.admin_request(http::Method::POST, "/api/setup")).await;
    assert_ne!(refused.status, 200);
    assert!(refused.json()["code"].is_string(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_home_assistant_can_be_asked_for_one_set_of_tools_alone() {
    let ha = HomeAssistant::running();
    let arguments = ["--upstream", &ha.url, "--upstream-token", &ha.token];
    let assist = [("MCP_BRIDGE__HOME_ASSISTANT__API", "assist")];
    let alone = Bridge::start_with(&arguments, &assist).await;
    let count = |list: &Value| list["tools"].as_array().unwrap().len();
    let few = count(&alone.rpc("tools/list", json!({})).await.result());
    let all = count(
        &ha.bridge()
            .await
            .rpc("tools/list", json!({}))
            .await
            .result(),
    );
    assert!(0 < few && few < all, "{few} of {all}");
}

/// Sets the MCP server's option `read_only`, as a person does.
async fn set_read_only(ha: &HomeAssistant, commands: &mut Commands, read_only: bool) {
    let entries = commands
        .run("config_entries/get", json!({"domain": "mcp_server"}))
        .await;
    let flow = |place: &str, body: Value| {
        let url = format!("{}/api/config/config_entries/options/flow{place}", ha.url);
        let request = ha.http.post(url).bearer_auth(&ha.token);
        request
            .header("content-type", "application/json")
            .body(body.to_string())
    };
    let begun = send(flow("", json!({"handler": entries[0]["entry_id"]}))).await;
    let place = format!("/{}", begun.json()["flow_id"].as_str().unwrap());
    let options = json!({"all_llm_apis": true, "require_admin": true, "read_only": read_only});
    let ended = send(flow(&place, options)).await.json();
    assert_eq!(ended["type"], "create_entry", "{ended}");
}

fn hints(status: &Value) -> Vec<&str> {
    let hints = home(status)["hints"].as_array().unwrap().iter();
    hints.map(|hint| hint["code"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_meant_otherwise_in_home_assistant_is_said() {
    let ha = HomeAssistant::running();
    let mut commands = ha.commands().await;
    let bridge = ha.bridge().await;
    bridge
        .until(|status| hints(status) == ["tools_for_administrators"])
        .await;
    set_read_only(&ha, &mut commands, true).await;
    bridge.until(|status| hints(status) == ["read_only"]).await;
    let checked = bridge.command(&[
        "check",
        "--upstream",
        &ha.url,
        "--upstream-token",
        &ha.token,
    ]);
    set_read_only(&ha, &mut commands, false).await;
    assert!(
        checked.contains("hint  ") && checked.contains("is read-only"),
        "{checked}"
    );
    bridge
        .until(|status| hints(status) == ["tools_for_administrators"])
        .await;
    let guest = Bridge::start(&["--upstream", &ha.url, "--upstream-token", &ha.guest]).await;
    guest
        .until(|status| hints(status) == ["not_administrator"])
        .await;
}
