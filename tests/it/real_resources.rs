//! The entities of a real Home Assistant as resources, and its prompt as instructions, for the
//! official SDKs.

use serde_json::{Value, json};

use crate::sdk_clients::CLIENTS;
use crate::support::HomeAssistant;
use crate::support::bridge::Bridge;
use crate::support::program::sdk_client;

const LAMP: &str = "homeassistant://entity/light.reading_lamp";

/// A bridge that knows everything.
async fn knowing(ha: &HomeAssistant) -> Bridge {
    let always = [("MCP_BRIDGE__LEGACY_SESSIONS", "always")];
    let arguments = ["--upstream", &ha.url, "--upstream-token", &ha.token];
    let bridge = Bridge::start_with(&arguments, &always).await;
    bridge
        .until(|status| status["home_assistant"]["events_told"] == true)
        .await;
    bridge
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_reads_and_watches_real_entities_and_is_told_the_prompt() {
    let ha = HomeAssistant::running();
    let bridge = knowing(&ha).await;
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "t", "version": "0"}});
    // From then on the prompt is at hand.
    let greeted = async || bridge.rpc("initialize", hello.clone()).await.result();
    while !greeted().await["instructions"].is_string() {}
    for (n, (sdk, _)) in (1..).zip(CLIENTS) {
        let percent = 10 + n;
        let arguments = json!({"name": "Reading Lamp", "brightness": percent}).to_string();
        let mut args = vec!["--call", "light__HassLightSet", "--arguments", &arguments];
        args.extend(["--resource", LAMP]);
        // The Python SDKs listen in ways of their own, which differ from release to release.
        let watches = sdk.starts_with("typescript");
        if watches {
            args.extend(["--watch", LAMP]);
        }
        let seen = sdk_client(sdk, &bridge.url("/mcp"), &bridge.token, &args).await;
        let listed = seen["resources"].as_array();
        let listed = listed.unwrap_or_else(|| panic!("{sdk}: {seen}"));
        assert!(listed.contains(&json!(LAMP)), "{sdk}: {seen}");
        let text = seen["resource"]["contents"][0]["text"].as_str().unwrap();
        let lamp: Value = serde_json::from_str(text).unwrap();
        assert_eq!(lamp["entity_id"], "light.reading_lamp", "{sdk}");
        assert_eq!(lamp["area"], "Living Room", "{sdk}: {lamp}");
        // One that is told to speak the newest revision asks for no introduction.
        let is_introduced = seen["server"].is_object();
        let instructions = seen["instructions"].as_str().unwrap_or_default();
        let names_the_lamp = instructions.contains("Reading Lamp");
        assert_eq!(names_the_lamp, is_introduced, "{sdk}: {seen}");
        if watches {
            assert_eq!(seen["updated"], LAMP, "{sdk}: {seen}");
        }
        until_read(&bridge, |lamp| {
            lamp["state"] == "on" && lamp["attributes"]["brightness_pct"] == percent
        })
        .await;
    }
}

async fn until_read(bridge: &Bridge, condition: impl Fn(&Value) -> bool) {
    let wait = async {
        loop {
            let read = bridge.rpc("resources/read", json!({"uri": LAMP})).await;
            let text = read.result()["contents"][0]["text"].take();
            let lamp: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
            if condition(&lamp) {
                return;
            }
        }
    };
    tokio::time::timeout(crate::support::bridge::PATIENCE, wait)
        .await
        .expect("it never was");
}
