//! The first minutes of a person who installs the app: nothing to type, nothing to copy but one block.

use serde_json::Value;

use crate::documentation::read;
use crate::page_visits::visit;
use crate::support::HomeAssistant;
use crate::support::bridge::Bridge;
use crate::support::supervisor::Supervisor;
use crate::support::supervisor::ingress::{Ingress, User};

const ANNA: User = User {
    id: "0a1b2c",
    name: "anna",
    display_name: "Anna",
};

/// A fresh data folder with the options that Home Assistant's form has at first, the Supervisor and
/// a real Home Assistant behind it: the page says that it is connected, gives a token, and sees an
/// SDK client arrive that uses it on the port for clients.
#[tokio::test(flavor = "multi_thread")]
async fn from_the_installation_to_the_first_call_without_typing_a_token() {
    let ha = HomeAssistant::running();
    let supervisor = Supervisor::before(&ha.url, &ha.token).await;
    let data = tempfile::tempdir().unwrap();
    let app: Value = serde_yaml::from_str(&read("config.yaml")).unwrap();
    let options = data.path().join("options.json");
    std::fs::write(options, app["options"].to_string()).unwrap();
    let mut environment = supervisor.environment().to_vec();
    environment.push(("MCP_BRIDGE__INGRESS_PEER", "127.0.0.1"));
    let bridge = Bridge::start_in(data, &[], &environment).await;
    supervisor.map_port(bridge.lan.port(), Some(bridge.lan.port()));
    let ingress = Ingress::start(bridge.admin, ANNA).await;
    ha.until_state("light.reading_lamp", "off").await;
    visit(&bridge, "installed", &[("INGRESS", &ingress.url)]).await;
    ha.until_state("light.reading_lamp", "on").await;
    bridge
        .call(
            "intent__HassTurnOff",
            serde_json::json!({"name": "Reading Lamp"}),
        )
        .await;
    ha.until_state("light.reading_lamp", "off").await;
}
