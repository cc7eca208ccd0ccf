//! Exposed entities as resources: listed, read, watched.

use http::Method;
use http::header::ACCEPT;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::bridge::{Bridge, PATIENCE, modern_post, send};
use crate::support::core::{Core, Mood};
use crate::support::events::Events;

const LAMP: &str = "homeassistant://entity/light.lamp";
const SNAPSHOT: &str = "homeassistant://assist/context-snapshot";
const UPDATED: &str = "notifications/resources/updated";
const ALWAYS: [(&str, &str); 1] = [("MCP_BRIDGE__LEGACY_SESSIONS", "always")];

fn lamp() -> Value {
    json!({"s": "on", "lc": 1_700_000_000.5, "lu": 1_700_000_001.5, "c": "x",
        "a": {"friendly_name": "Lamp", "brightness": 128, "entity_picture": "/x?token=secret"}})
}

async fn core() -> Core {
    Core::exposing([
        ("light.lamp", lamp()),
        (
            "sensor.probe",
            json!({"s": "21.5", "a": {"unit_of_measurement": "°C"}}),
        ),
        (
            "script.dance",
            json!({"s": "off", "a": {"friendly_name": "Dance"}}),
        ),
    ])
    .await
}

async fn list(bridge: &Bridge, cursor: Option<&str>) -> Value {
    let params = cursor.map_or(json!({}), |cursor| json!({"cursor": cursor}));
    bridge.rpc("resources/list", params).await.result()
}

fn uris(list: &Value) -> Vec<&str> {
    let resources = list["resources"].as_array().unwrap().iter();
    resources
        .map(|resource| resource["uri"].as_str().unwrap())
        .collect()
}

async fn read(bridge: &Bridge, uri: &str) -> Value {
    let result = bridge
        .rpc("resources/read", json!({"uri": uri}))
        .await
        .result();
    assert_eq!(result["contents"][0]["uri"], uri);
    assert_eq!(result["contents"][0]["mimeType"], "application/json");
    serde_json::from_str(result["contents"][0]["text"].as_str().unwrap()).unwrap()
}

/// The next update, whatever else is told in between.
async fn updated(stream: &mut Events) -> Value {
    loop {
        let message = stream.message().await.unwrap();
        if message["method"] == UPDATED {
            return message;
        }
    }
}

/// Waits until the lamp is like that.
async fn until(bridge: &Bridge, condition: impl Fn(&Value) -> bool) {
    let wait = async { while !condition(&read(bridge, LAMP).await) {} };
    timeout(PATIENCE, wait).await.expect("it never was");
}

#[tokio::test(flavor = "multi_thread")]
async fn exposed_entities_are_listed_behind_the_upstreams_own_resources_and_read_from_memory() {
    let core = core().await;
    let bridge = core.bridge(&[]).await;
    let listed = list(&bridge, None).await;
    assert_eq!(
        uris(&listed),
        [SNAPSHOT, LAMP, "homeassistant://entity/sensor.probe"]
    );
    let entry =
        json!({"uri": LAMP, "name": "light.lamp", "title": "Lamp", "mimeType": "application/json"});
    assert_eq!(listed["resources"][1], entry);
    let templates = bridge
        .rpc("resources/templates/list", json!({}))
        .await
        .result();
    assert_eq!(
        templates["resourceTemplates"][0]["uriTemplate"],
        "homeassistant://entity/{entity_id}"
    );
    let expected = json!({"entity_id": "light.lamp", "name": "Lamp", "area": "Kitchen", "state": "on",
        "attributes": {"brightness": 128, "brightness_pct": 50},
        "last_changed": "2023-11-14T22:13:20.5Z"});
    assert_eq!(read(&bridge, LAMP).await, expected);
    core.happen(
        json!({"c": {"light.lamp": {"+": {"s": "off", "lc": 1_700_000_002.0},
        "-": {"a": ["brightness"]}}}}),
    );
    let expected = json!({"entity_id": "light.lamp", "name": "Lamp", "area": "Kitchen", "state": "off",
        "last_changed": "2023-11-14T22:13:22Z"});
    until(&bridge, |lamp| *lamp == expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_exposed_or_is_no_thing_is_no_resource() {
    let core = core().await;
    let bridge = core.bridge(&[]).await;
    for id in [
        "light.hidden",
        "script.dance",
        "",
        "light.lamp/x",
        "LIGHT.LAMP",
    ] {
        let uri = format!("homeassistant://entity/{id}");
        let params = json!({"uri": uri});
        let error = bridge.rpc("resources/read", params.clone()).await.json()["error"].take();
        assert_eq!(
            (&error["code"], &error["data"]["uri"]),
            (&json!(-32002), &json!(uri))
        );
        let request = modern_post(&bridge, "resources/read", params).header("mcp-name", &uri);
        assert_eq!(send(request).await.json()["error"]["code"], -32602, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_turns_them_off() {
    let core = core().await;
    let off = [("MCP_BRIDGE__HOME_ASSISTANT__RESOURCES", "false")];
    let bridge = core.bridge(&off).await;
    assert_eq!(uris(&list(&bridge, None).await), [SNAPSHOT]);
    let answer = bridge
        .rpc("resources/read", json!({"uri": LAMP}))
        .await
        .json();
    assert!(answer["error"].is_object(), "{answer}");
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
    let greeted = bridge.rpc("initialize", hello).await.result();
    assert_eq!(
        greeted["capabilities"]["resources"]["subscribe"], false,
        "{greeted}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_pages() {
    let core = Core::exposing((0..250).map(|n| (format!("light.l{n:03}"), lamp()))).await;
    let bridge = core.bridge(&[]).await;
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    let mut pages = 0;
    loop {
        let page = list(&bridge, cursor.as_deref()).await;
        seen.extend(uris(&page).into_iter().map(str::to_owned));
        pages += 1;
        let next = page["nextCursor"].as_str().map(str::to_owned);
        if next.is_none() {
            break;
        }
        cursor = next;
    }
    let expected = (0..250).map(|n| format!("homeassistant://entity/light.l{n:03}"));
    let expected: Vec<String> = std::iter::once(SNAPSHOT.to_owned())
        .chain(expected)
        .collect();
    assert_eq!((seen, pages), (expected, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_client_hears_of_the_resources_that_it_watches_and_reads_what_is_new() {
    let core = core().await;
    let bridge = core.bridge(&[]).await;
    let hidden = "homeassistant://entity/light.hidden";
    let filter =
        json!({"resourceSubscriptions": [LAMP, hidden, "a://1"], "resourcesListChanged": true});
    let request = modern_post(
        &bridge,
        "subscriptions/listen",
        json!({"notifications": filter}),
    );
    let mut stream = Events::of(request.header(ACCEPT, "text/event-stream")).await;
    let acknowledged = stream.message().await.unwrap();
    let expected = json!({"resourceSubscriptions": [LAMP], "resourcesListChanged": true});
    assert_eq!(acknowledged["params"]["notifications"], expected);
    // Nothing that clients are told is different; then something is.
    core.happen(
        json!({"c": {"light.lamp": {"+": {"lu": 1_700_000_003.0, "a": {"supported": 4}}}}}),
    );
    core.happen(json!({"c": {"sensor.probe": {"+": {"s": "22"}}}}));
    for brightness in [129, 130, 131] {
        core.happen(json!({"c": {"light.lamp": {"+": {"a": {"brightness": brightness}}}}}));
    }
    let heard = updated(&mut stream).await;
    assert_eq!(
        (&heard["method"], &heard["params"]["uri"]),
        (&json!(UPDATED), &json!(LAMP))
    );
    assert_eq!(
        heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        1
    );
    until(&bridge, |lamp| lamp["attributes"]["brightness"] == 131).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_session_hears_of_a_resource_until_it_watches_it_no_longer() {
    let core = core().await;
    let bridge = core.bridge(&ALWAYS).await;
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params":
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}});
    let greeted = send(bridge.post("/mcp", hello)).await;
    assert_eq!(
        greeted.result()["capabilities"]["resources"]["subscribe"],
        true
    );
    let id = greeted.header("mcp-session-id").unwrap().to_owned();
    let request = bridge
        .request(Method::GET, "/mcp")
        .header(ACCEPT, "text/event-stream");
    let mut stream = Events::of(request.header("mcp-session-id", &id)).await;
    stream.next().await.unwrap();
    let ask = async |method: &str, uri: &str| {
        let message = json!({"jsonrpc": "2.0", "id": 2, "method": method, "params": {"uri": uri}});
        let request = bridge.post("/mcp", message).header("mcp-session-id", &id);
        send(request).await.json()
    };
    let probe = "homeassistant://entity/sensor.probe";
    assert_eq!(ask("resources/subscribe", LAMP).await["result"], json!({}));
    assert_eq!(ask("resources/subscribe", probe).await["result"], json!({}));
    let hidden = ask("resources/subscribe", "homeassistant://entity/light.hidden").await;
    assert_eq!(hidden["error"]["code"], -32002, "{hidden}");
    core.happen(json!({"c": {"light.lamp": {"+": {"s": "off"}}}}));
    let heard = updated(&mut stream).await;
    assert_eq!(
        (&heard["method"], &heard["params"]),
        (&json!(UPDATED), &json!({"uri": LAMP}))
    );
    assert_eq!(
        ask("resources/unsubscribe", LAMP).await["result"],
        json!({})
    );
    core.happen(json!({"c": {"light.lamp": {"+": {"s": "on"}}}}));
    core.happen(json!({"c": {"sensor.probe": {"+": {"s": "1"}}}}));
    assert_eq!(updated(&mut stream).await["params"]["uri"], probe);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_a_batch_watches_like_any_other_request() {
    let core = core().await;
    let bridge = core.bridge(&ALWAYS).await;
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params":
        {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}});
    let greeted = send(bridge.post("/mcp", hello)).await;
    let id = greeted.header("mcp-session-id").unwrap().to_owned();
    let batch = json!([{"jsonrpc": "2.0", "id": 2, "method": "resources/subscribe", "params": {"uri": LAMP}}]);
    let granted = send(bridge.post("/mcp", batch).header("mcp-session-id", &id)).await;
    assert_eq!(granted.json()[0]["result"], json!({}), "{granted:?}");
    let request = bridge
        .request(Method::GET, "/mcp")
        .header(ACCEPT, "text/event-stream");
    let mut stream = Events::of(request.header("mcp-session-id", &id)).await;
    core.happen(json!({"c": {"light.lamp": {"+": {"s": "off"}}}}));
    assert_eq!(updated(&mut stream).await["params"]["uri"], LAMP);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_nobody_is_promised_to_be_told_later() {
    let core = core().await;
    let bridge = core.bridge(&[]).await;
    let answer = bridge
        .rpc("resources/subscribe", json!({"uri": LAMP}))
        .await
        .json();
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    let bridge = core.bridge(&ALWAYS).await;
    let answer = bridge
        .rpc("resources/subscribe", json!({"uri": LAMP}))
        .await
        .json();
    assert_eq!(
        answer["error"]["code"], -32601,
        "no session was begun: {answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_ask_for_the_live_context_of_a_thing_does_not_see_it_as_a_resource() {
    let core = core().await;
    let bridge = core.bridge(&[]).await;
    let probe = "homeassistant://entity/sensor.probe";
    for (number, (rights, seen, snapshot)) in (2..).zip([
        (
            json!({"read_only": true}),
            vec![SNAPSHOT, LAMP, probe],
            true,
        ),
        (json!({"allow": ["light__*"]}), vec![SNAPSHOT], false),
        (json!({"deny": ["homeassistant__*"]}), vec![SNAPSHOT], false),
        (
            json!({"arguments": [{"argument": "domain", "in": ["light"], "reads": true}]}),
            vec![SNAPSHOT, LAMP],
            false,
        ),
        (
            json!({"arguments": [{"argument": "area", "in": ["Attic"], "reads": true}]}),
            vec![SNAPSHOT],
            false,
        ),
    ]) {
        let name = format!("client-{number}");
        let made = bridge.command(&["token", "create", &name, "--rights", &rights.to_string()]);
        let token = made.lines().last().unwrap().to_owned();
        bridge.until(|status| status["clients"] == number).await;
        let ask = async |method: &str, params: Value| {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = client.post(bridge.url("/mcp")).bearer_auth(&token);
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            let request = request.header("content-type", "application/json");
            send(request.body(message.to_string())).await
        };
        let listed = ask("resources/list", json!({})).await.result();
        assert_eq!(uris(&listed), seen, "{rights}");
        for (uri, is_seen) in [
            (LAMP, seen.contains(&LAMP)),
            (probe, seen.contains(&probe)),
            (SNAPSHOT, snapshot),
        ] {
            let answer = ask("resources/read", json!({"uri": uri})).await;
            assert_eq!(
                answer.json()["result"].is_object(),
                is_seen,
                "{rights}: {answer:?}"
            );
            if !is_seen {
                assert_eq!(answer.code(), "denied", "{rights}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_home_assistant_is_away_a_resource_says_how_old_it_is() {
    let core = core().await;
    let bridge = core.bridge(&[]).await;
    core.be(Mood::Down, &bridge).await;
    let result = bridge
        .rpc("resources/read", json!({"uri": LAMP}))
        .await
        .result();
    assert_eq!(result["_meta"]["mcp-bridge/stale"], true, "{result}");
    let lamp = read(&bridge, LAMP).await;
    assert_eq!(
        (&lamp["state"], lamp["not_heard_of_for_s"].is_u64()),
        (&json!("on"), true)
    );
    core.be(Mood::Running, &bridge).await;
    bridge
        .until(|status| status["home_assistant"]["events_told"] == true)
        .await;
    assert!(
        read(&bridge, LAMP)
            .await
            .get("not_heard_of_for_s")
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listens_hears_when_an_entity_comes_goes_or_is_called_differently() {
    let core = core().await;
    let bridge = core.bridge(&[]).await;
    let wanted = json!({"notifications": {"resourcesListChanged": true}});
    let request = modern_post(&bridge, "subscriptions/listen", wanted);
    let mut stream = Events::of(request.header(ACCEPT, "text/event-stream")).await;
    stream.message().await.unwrap();
    let changed = "notifications/resources/list_changed";
    // What was listed first is new, too.
    for (event, names) in [
        (json!({"r": ["sensor.probe"]}), vec!["Lamp"]),
        (
            json!({"c": {"light.lamp": {"+": {"a": {"friendly_name": "Desk"}}}}}),
            vec!["Desk"],
        ),
    ] {
        core.happen(event);
        loop {
            assert_eq!(stream.message().await.unwrap()["method"], changed);
            let listed = list(&bridge, None).await;
            let listed = listed["resources"].as_array().unwrap()[1..].iter();
            let titles: Vec<_> = listed
                .map(|resource| resource["title"].as_str().unwrap_or(""))
                .collect();
            if titles == names {
                break;
            }
        }
    }
}
