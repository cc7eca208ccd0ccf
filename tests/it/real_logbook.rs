//! The calls of clients in the logbook of a real Home Assistant.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::HomeAssistant;
use crate::support::bridge::{Bridge, PATIENCE, send};

#[tokio::test(flavor = "multi_thread")]
async fn its_logbook_shows_what_a_client_has_done() {
    let ha = HomeAssistant::running();
    let args = ["--upstream", &ha.url, "--upstream-token", &ha.token];
    let bridge = Bridge::start_with(&args, &[("MCP_BRIDGE__AUDIT__LOGBOOK", "true")]).await;
    bridge
        .until(|status| status["home_assistant"]["events_told"] == true)
        .await;
    let lamp = json!({"name": "Reading Lamp", "domain": ["light"]});
    bridge.call("intent__HassTurnOn", lamp).await.result();
    let since = Timestamp::now() - SignedDuration::from_hours(1);
    let url = format!("{}/api/logbook/{since}", ha.url);
    let is_ours = |entry: &Value| {
        let message = entry["message"].as_str().unwrap_or_default();
        entry["name"] == "default" && message.starts_with("called intent__HassTurnOn")
    };
    // Home Assistant writes its database down every few seconds.
    let shown = async {
        loop {
            let entries = send(ha.http.get(&url).bearer_auth(&ha.token)).await.json();
            let entries = entries.as_array().unwrap();
            if let Some(entry) = entries.iter().find(|entry| is_ours(entry)) {
                return entry["message"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let message = tokio::time::timeout(PATIENCE, shown).await;
    let message = message.expect("it never came");
    assert!(message.ends_with(": allowed, answered"), "{message}");
}
