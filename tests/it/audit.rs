//! The audit: who had what done.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::bridge::{PATIENCE, house, send, send_for_token};
use crate::support::core::Core;

const ON: &str = "intent__HassTurnOn";
const LOOK: &str = "homeassistant__GetLiveContext";

async fn ask(bridge: &Bridge, query: &str) -> Vec<Value> {
    let path = format!("/api/audit{query}");
    let reply = send(bridge.admin_request(Method::GET, &path)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["entries"].as_array().unwrap().clone()
}

/// Whether an entry is about the call of a client.
fn is_call(entry: &Value) -> bool {
    entry["source"] != "operator"
}

/// Waits until so many calls of clients are written down.
async fn until_written(bridge: &Bridge, count: usize) -> Vec<Value> {
    let written = async {
        loop {
            let mut entries = ask(bridge, "").await;
            entries.retain(is_call);
            if entries.len() >= count {
                return entries;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let entries = tokio::time::timeout(PATIENCE, written).await;
    let entries = entries.expect("it was never written down");
    assert_eq!(entries.len(), count, "{entries:?}");
    entries
}

/// The lines of the file as they stand there.
fn lines(bridge: &Bridge) -> Vec<String> {
    let file = bridge.data().join("audit/audit.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}

async fn set_rights(bridge: &Bridge, rights: Value) {
    let request = bridge.admin_request(Method::PATCH, "/api/clients/default");
    let request = request.header("content-type", "application/json");
    let body = json!({"terms": {"rights": rights}}).to_string();
    assert_eq!(send(request.body(body)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_and_refusals_are_written_down_and_questions_are_not() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    bridge.call(LOOK, json!({})).await;
    bridge.call(ON, json!({"name": "Reading Lamp"})).await;
    bridge.call(ON, json!({"name": "Moon"})).await;
    set_rights(&bridge, json!({"deny": ["*TurnOn", "*LiveContext"]})).await;
    bridge.call(ON, json!({"name": "Front Door"})).await;
    bridge.call(LOOK, json!({})).await;
    let entries = until_written(&bridge, 4).await;
    let told = |n: usize, key: &str| entries[n][key].clone();
    for (n, expected) in [
        ("allowed", "answered"),
        ("allowed", "tool_failed"),
        ("denied", "denied"),
        ("denied", "denied"),
    ]
    .into_iter()
    .enumerate()
    {
        let found = (told(n, "decision"), told(n, "outcome"));
        assert_eq!(found, (json!(expected.0), json!(expected.1)), "{entries:?}");
    }
    assert_eq!(
        (told(0, "client"), told(0, "tool")),
        (json!("default"), json!(ON))
    );
    assert_eq!(told(0, "arguments"), json!({"name": "Reading Lamp"}));
    assert_eq!(told(0, "source"), "upstream");
    assert!(told(0, "answer_bytes").as_u64().unwrap() > 10);
    assert!(told(0, "upstream_ms").as_f64().is_some() && told(2, "upstream_ms").is_null());
    assert!(
        told(2, "why").as_str().unwrap().contains("*TurnOn"),
        "{entries:?}"
    );
    assert_eq!(told(3, "tool"), json!(LOOK));
    assert_eq!(ask(&bridge, "?outcome=denied&most=1").await, entries[3..]);
    assert_eq!(
        ask(&bridge, "?tool=*turnon&outcome=DENIED&since=1h").await,
        entries[2..3]
    );
    assert!(ask(&bridge, "?client=n8n").await.is_empty());
    for wrong in ["?since=soon", "?clint=n8n", "?most=-1"] {
        let path = format!("/api/audit{wrong}");
        let refused = send(bridge.admin_request(Method::GET, &path)).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "invalid_params")
        );
    }
    let shown = bridge.command(&["audit", "--outcome", "denied", "--tool", "*TurnOn"]);
    let told: Vec<_> = shown.lines().collect();
    assert_eq!(told.len(), 1, "{shown}");
    assert!(
        told[0].contains(r#"default          intent__HassTurnOn {"name":"Front Door"}"#),
        "{shown}"
    );
    let shown = bridge.command(&["audit", "--json"]);
    let shown = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let shown: Vec<Value> = shown.filter(is_call).collect();
    assert_eq!(shown, entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_client_sends_forges_a_line_or_brings_a_secret_into_it() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let forged =
        "x\n{\"client\":\"n8n\",\"decision\":\"allowed\"}\r\u{2028}\u{1b}[2J\u{9b}2J\u{202e}";
    let name = format!("Door {forged} {}", bridge.token);
    let arguments = json!({"name": name, "code": "hush-1234"});
    let params = json!({"name": ON, "arguments": arguments});
    // The house repeats the name.
    send_for_token(bridge.post("/mcp/tools/call", params)).await;
    bridge.call(forged, json!({})).await;
    bridge.rpc(forged, json!({})).await;
    let long = "y".repeat(10_000);
    bridge
        .call(ON, json!({"name": long, "pin": "hush-1234"}))
        .await;
    until_written(&bridge, 4).await;
    let lines = lines(&bridge);
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in &lines {
        let entry: Value = serde_json::from_str(line).unwrap();
        assert_eq!(entry["client"], "default", "{line}");
        assert!(
            !line.contains(|c: char| c.is_control() || "\u{2028}\u{202e}".contains(c)),
            "{line:?}"
        );
        assert!(!line.contains("hush-1234") && line.len() < 6000, "{line}");
    }
    let shown = bridge.command(&["audit"]);
    assert_eq!(shown.lines().count(), 4, "{shown:?}");
    assert!(
        !shown.contains(['\u{1b}', '\u{9b}', '\u{202e}']),
        "{shown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_agreed_or_refused_is_written_down() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    set_rights(&bridge, json!({"sensitive": {"lock": "confirm"}})).await;
    for agreed in [true, false] {
        let call = bridge.call(ON, json!({"name": "Front Door", "domain": ["lock"]}));
        let answer = async {
            let id = loop {
                let asked = send(bridge.admin_request(Method::GET, "/api/approvals")).await;
                if let Some(id) = asked.json()["approvals"][0]["id"].as_u64() {
                    break id;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            let request = bridge.admin_request(Method::POST, &format!("/api/approvals/{id}"));
            let request = request.header("content-type", "application/json");
            send(request.body(json!({"approve": agreed}).to_string())).await
        };
        tokio::join!(call, answer);
    }
    let entries = until_written(&bridge, 2).await;
    let told = |n: usize| {
        let entry = &entries[n];
        [&entry["decision"], &entry["by"], &entry["outcome"]]
    };
    assert_eq!(
        told(0),
        [&json!("agreed"), &json!("admin"), &json!("answered")]
    );
    assert_eq!(
        told(1),
        [
            &json!("refused"),
            &json!("admin"),
            &json!("approval_refused")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_down_changes_while_the_bridge_runs() {
    let house = house().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bridge.yaml");
    let upstream = house.url();
    let set = |audit: &str| std::fs::write(&file, format!("upstream: {upstream}\naudit: {audit}"));
    set("{reads: true, arguments: false}").unwrap();
    let bridge = Bridge::start(&["--config", file.to_str().unwrap()]).await;
    bridge.call(LOOK, json!({"area": "Office"})).await;
    let entries = until_written(&bridge, 1).await;
    assert_eq!(
        (&entries[0]["tool"], &entries[0]["arguments"]),
        (&json!(LOOK), &Value::Null)
    );
    set("{enabled: false}").unwrap();
    send(bridge.admin_request(Method::POST, "/api/reload")).await;
    bridge.call(ON, json!({"name": "Reading Lamp"})).await;
    set("{redact: [na*], reads: true}").unwrap();
    send(bridge.admin_request(Method::POST, "/api/reload")).await;
    bridge.call(ON, json!({"name": "Desk Lamp"})).await;
    let entries = until_written(&bridge, 2).await;
    assert_eq!(entries[1]["arguments"], json!({"name": "•••"}));
    let uri = json!({"uri": "home://nothing"});
    bridge.rpc("resources/read", uri.clone()).await;
    let entries = until_written(&bridge, 3).await;
    assert_eq!(entries[2]["tool"], "resources/read");
    assert_eq!(entries[2]["arguments"], uri);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_stops_has_written_everything_down() {
    let house = house().await;
    let mut bridge = Bridge::before(&house).await;
    for n in 0..20 {
        bridge.call(ON, json!({"name": format!("Lamp {n}")})).await;
    }
    bridge.signal("TERM");
    assert!(bridge.wait().success());
    assert_eq!(lines(&bridge).len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_change_is_written_down_and_what_they_look_at_is_not() {
    let bridge = Bridge::start(&["--demo"]).await;
    let act = async |method: Method, path: &str, body: Value| {
        let request = bridge.admin_request(method, path);
        let request = request.header("content-type", "application/json");
        send_for_token(request.body(body.to_string())).await
    };
    let made = act(Method::POST, "/api/clients", json!({"name": "n8n/flows"})).await;
    assert_eq!(made.header("location"), Some("clients/n8n%2Fflows"));
    act(Method::GET, "/api/clients", json!({})).await;
    let path = "/api/clients/n8n%2Fflows";
    act(Method::PATCH, path, json!({"enabled": false})).await;
    act(Method::POST, "/api/first-token", json!({})).await;
    act(Method::DELETE, "/api/clients/nobody", json!({})).await;
    let written = async {
        loop {
            let entries = ask(&bridge, "").await;
            if entries.len() >= 4 {
                return entries;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let entries = tokio::time::timeout(PATIENCE, written).await.unwrap();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            assert_eq!(entry["source"], "operator");
            ["client", "tool", "outcome"].map(|key| entry[key].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            [
                "admin",
                "POST /api/clients (clients/n8n%2Fflows)",
                "answered"
            ],
            ["admin", "PATCH /api/clients/n8n%2Fflows", "answered"],
            ["admin", "POST /api/first-token", "answered"],
            ["admin", "DELETE /api/clients/nobody", "no_such_client"],
        ]
    );
    let shown = bridge.command(&["audit", "--outcome", "no_such_client"]);
    assert!(shown.contains("operator admin"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn home_assistants_logbook_shows_calls_where_that_is_wished() {
    let core = Core::start().await;
    let bridge = core.bridge(&[("MCP_BRIDGE__AUDIT__LOGBOOK", "true")]).await;
    bridge.call(LOOK, json!({})).await;
    let arguments = json!({"name": "Reading Lamp", "pin": "1234"});
    bridge.call(ON, arguments).await;
    let shown = async {
        loop {
            let shown = core.called("logbook", "log");
            if !shown.is_empty() {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let shown = tokio::time::timeout(PATIENCE, shown).await.unwrap();
    assert_eq!(shown.len(), 1, "questions are not shown");
    assert_eq!(shown[0]["name"], "default");
    let message = shown[0]["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "called intent__HassTurnOn {\"name\":\"Reading Lamp\",\"pin\":\"•••\"}: allowed, "
        ),
        "{message}"
    );
}
