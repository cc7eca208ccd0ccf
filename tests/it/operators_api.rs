//! The API for operators, held against its own description.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Value, json};

use crate::documentation::read;
use crate::support::bridge::{Bridge, house, send};

async fn get(bridge: &Bridge, path: &str) -> Value {
    let reply = send(bridge.admin_request(Method::GET, path)).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

/// The methods of each path, as the description has them.
fn described(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys();
            (path.clone(), methods.map(|m| m.to_uppercase()).collect())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_with_exactly_its_methods() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let described = described(&get(&bridge, "/api/openapi.json").await);
    let source = read("src/http/admin.rs");
    let routes = source.split('"').filter(|text| text.starts_with("/api/"));
    let routes: BTreeSet<_> = routes.map(str::to_owned).collect();
    let paths: BTreeSet<_> = described.keys().cloned().collect();
    assert_eq!(routes, paths);
    let strange = Method::from_bytes(b"PROPFIND").unwrap();
    for (path, methods) in described {
        let path = path.replace("{id}", "1").replace("{name}", "default");
        let path = path.replace("{operation}", "pause");
        let refused = send(bridge.admin_request(strange.clone(), &path)).await;
        assert_eq!(refused.status, 405, "{path}: {refused:?}");
        let allowed = refused.header("allow").unwrap().split(", ");
        let allowed = allowed
            .filter(|method| *method != "HEAD")
            .map(str::to_owned);
        assert_eq!(allowed.collect::<BTreeSet<_>>(), methods, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_described_shape() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    bridge
        .call("intent__HassTurnOn", json!({"name": "Reading Lamp"}))
        .await;
    bridge
        .call("intent__HassTurnOn", json!({"name": "Moon"}))
        .await;
    let wrong = reqwest::Client::builder().no_proxy().build().unwrap();
    send(wrong.post(bridge.url("/mcp/ping"))).await;
    let document = get(&bridge, "/api/openapi.json").await;
    for path in [
        "/api/snapshot",
        "/api/calls",
        "/api/approvals",
        "/api/audit",
        "/api/clients",
        "/api/clients/default",
        "/api/settings",
        "/api/tools",
        "/api/app",
    ] {
        let answer = get(&bridge, &path.replace("snapshot", "snapshot?lines=0")).await;
        let place = path.replace("/default", "/{name}");
        let content = &document["paths"][&place]["get"]["responses"]["200"]["content"];
        let mut schema = content["application/json"]["schema"].clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let faults: Vec<_> = validator
            .iter_errors(&answer)
            .map(|e| e.to_string())
            .collect();
        assert!(faults.is_empty(), "{path}: {faults:?}");
        // A schema that lets everything through would prove nothing.
        assert!(!validator.is_valid(&json!({"nothing": 1})), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_setting_says_where_it_comes_from_and_secrets_stay_hidden() {
    let house = house().await;
    let environment = [
        ("MCP_BRIDGE__QUEUE__MAX_WAITING", "7"),
        ("MCP_BRIDGE__UPSTREAM_TOKEN", "very-secret"),
    ];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &environment).await;
    let reply = send(bridge.admin_request(Method::GET, "/api/settings")).await;
    assert!(!reply.text.contains("very-secret"), "{reply:?}");
    let settings = reply.json()["settings"].as_array().unwrap().clone();
    let setting = |key: &str| {
        let found = settings.iter().find(|setting| setting["key"] == key);
        let found = found.unwrap_or_else(|| panic!("no {key}"));
        (found["value"].clone(), found["source"].clone())
    };
    assert_eq!(
        setting("queue.max_waiting"),
        (json!(7), json!("environment"))
    );
    assert_eq!(
        setting("upstream_token"),
        (json!("(hidden)"), json!("environment"))
    );
    assert_eq!(
        setting("upstream"),
        (json!(house.url()), json!("command line"))
    );
    assert_eq!(
        setting("queue.call_timeout"),
        (json!("50s"), json!("default"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_says_from_where_its_answer_came_and_what_took_its_time() {
    let house = house().await;
    let kept = [("MCP_BRIDGE__CACHE__STATE_TTL", "1h")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &kept).await;
    for _ in 0..2 {
        let call = bridge
            .call("homeassistant__GetLiveContext", json!({}))
            .await;
        assert_eq!(call.result()["isError"], false);
    }
    // An answer is sent a moment before its call is in the history.
    let calls = loop {
        let calls = get(&bridge, "/api/calls").await;
        if calls.as_array().unwrap().len() == 2 {
            break calls;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let sources = [&calls[0]["source"], &calls[1]["source"]];
    assert_eq!(sources, [&json!("upstream"), &json!("memory")]);
    let parts = calls[0]["waited_ms"].as_f64().unwrap() + calls[0]["upstream_ms"].as_f64().unwrap();
    // Each figure is rounded to a tenth.
    assert!(
        parts <= calls[0]["total_ms"].as_f64().unwrap() + 0.2,
        "{calls}"
    );
    assert_eq!(
        [&calls[1]["waited_ms"], &calls[1]["upstream_ms"]],
        [&json!(0.0), &Value::Null]
    );
    let spared = get(&bridge, "/api/snapshot").await["queue"]["spared"].clone();
    assert_eq!(spared, 1);
}
