//! Everything that can go wrong at Home Assistant, and what its clients are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mcp_bridge::demo::{DemoHouse, Fault, Settings};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::Bridge;
use crate::support::bridge::{Reply, house, send};

fn status(status: u16, body: &str) -> Fault {
    Fault::Status {
        status,
        body: body.to_owned(),
        content_type: "text/plain".to_owned(),
    }
}

/// An action that is not the same as any before.
async fn act(bridge: &Bridge) -> Reply {
    static BRIGHTNESS: AtomicUsize = AtomicUsize::new(0);
    let brightness = BRIGHTNESS.fetch_add(1, Ordering::Relaxed) % 100;
    let arguments = json!({"name": "Kitchen Light", "brightness": brightness});
    bridge.call("light__HassLightSet", arguments).await
}

/// Lets the bridge find a healthy house, then spoils the next request.
async fn spoil(bridge: &Bridge, house: &DemoHouse, fault: &Fault) {
    house.set_fault(None);
    bridge.call("llm__GetDateTime", json!({})).await.result();
    house.set_fault(Some(fault.clone()));
}

/// What one fault looks like: over MCP as a tool result, as a JSON-RPC error, and over plain HTTP.
async fn assert_told(
    bridge: &Bridge,
    house: &DemoHouse,
    fault: Fault,
    code: &str,
    http: u16,
    unknown: bool,
) {
    spoil(bridge, house, &fault).await;
    let call = act(bridge).await;
    assert_eq!((call.status, call.code().as_str()), (200, code), "{call:?}");
    assert_eq!(call.result()["isError"], true);
    let text = call.result()["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(text.contains("Outcome unknown"), unknown, "{text}");
    spoil(bridge, house, &fault).await;
    // One that was never asked for in good times, so that there is no old one to give.
    let list = bridge.rpc("prompts/list", json!({})).await;
    assert_eq!((list.status, list.code().as_str()), (200, code), "{list:?}");
    assert!((-32019..=-32000).contains(&list.json()["error"]["code"].as_i64().unwrap()));
    spoil(bridge, house, &fault).await;
    let plain = send(bridge.post("/mcp/tools/call", json!({"name": "x"}))).await;
    assert_eq!(
        (plain.status, plain.code().as_str()),
        (http, code),
        "{plain:?}"
    );
    assert_eq!(plain.json().get("outcome").is_some(), unknown, "{plain:?}");
    let status = bridge.status().await;
    assert_eq!(status["upstream"]["trouble"]["code"], code);
    house.set_fault(None);
    let again = act(bridge).await;
    assert_eq!(
        again.result()["isError"],
        false,
        "it did not recover from {code}"
    );
    assert_eq!(bridge.status().await["upstream"]["reachable"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_of_home_assistant_is_told_in_its_own_words() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for (fault, code, http, unknown) in [
        (
            status(404, "404: Not Found"),
            "mcp_server_not_set_up",
            502,
            false,
        ),
        (
            status(401, "401: Unauthorized"),
            "home_assistant_token_refused",
            502,
            false,
        ),
        (
            status(403, "403: Forbidden"),
            "home_assistant_forbids",
            502,
            false,
        ),
        (
            status(400, "Request must be a JSON-RPC message"),
            "home_assistant_refused_request",
            502,
            false,
        ),
        (
            status(502, "502: Bad Gateway"),
            "home_assistant_starting",
            503,
            true,
        ),
        (status(503, ""), "home_assistant_stopping", 503, false),
        (status(504, ""), "home_assistant_timeout", 504, true),
        (
            status(500, "Internal Server Error"),
            "home_assistant_status",
            502,
            true,
        ),
        (
            status(429, "slow down"),
            "home_assistant_status",
            502,
            false,
        ),
    ] {
        assert_told(&bridge, &house, fault, code, http, unknown).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_answers_are_told_apart() {
    let house = house().await;
    let limit = [("MCP_BRIDGE__LIMITS__RESPONSE_BODY", "100KiB")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &limit).await;
    for (fault, code, http) in [
        (Fault::Garbage, "home_assistant_bad_answer", 502),
        (Fault::NotRpc, "home_assistant_bad_answer", 502),
        (Fault::WrongId, "home_assistant_bad_answer", 502),
        (Fault::Truncated, "home_assistant_answer_truncated", 502),
        (
            Fault::Huge(200 << 10),
            "home_assistant_answer_too_large",
            502,
        ),
        (Fault::Reset, "home_assistant_connection_lost", 502),
        (Fault::ResetBefore, "home_assistant_connection_lost", 502),
    ] {
        assert_told(&bridge, &house, fault, code, http, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let (house, elsewhere) = (house().await, house().await);
    let bridge = Bridge::before(&house).await;
    let fault = Fault::Redirect(elsewhere.url());
    assert_told(
        &bridge,
        &house,
        fault,
        "home_assistant_redirects",
        502,
        false,
    )
    .await;
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_is_answered_at_its_deadline_and_keeps_its_turn_until_it_is_over() {
    let house = house().await;
    let one = [("MCP_BRIDGE__QUEUE__MAX_PARALLEL_CALLS", "1")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &one).await;
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    let lamp = json!({"name": "Kitchen Light"});
    let call = bridge
        .call_within("300ms", "intent__HassTurnOff", lamp)
        .await;
    assert_eq!(call.code(), "home_assistant_timeout");
    assert!(call.text.contains("Outcome unknown"));
    assert_eq!(bridge.status().await["calls"]["queue"]["running"], 1);
    let next = bridge
        .call_within("100ms", "llm__GetDateTime", json!({}))
        .await;
    assert_eq!(next.code(), "deadline_waiting");
    assert!(!next.text.contains("Outcome unknown"));
    gate.add_permits(10);
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 0)
        .await;
    assert_eq!(house.executed().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_hangs_is_given_up_at_its_deadline() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    bridge.rpc("tools/list", json!({})).await.result();
    house.set_fault(Some(Fault::Hang));
    let call = bridge
        .call_within("300ms", "llm__GetDateTime", json!({}))
        .await;
    assert_eq!(call.code(), "home_assistant_timeout");
    assert!(!call.text.contains("Outcome unknown"));
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 0)
        .await;
    house.until(|house| house.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_an_upstream_that_is_not_there_and_find_it_when_it_comes() {
    let house = house().await;
    let (address, url) = (house.address(), house.url());
    house.stop().await;
    let bridge = Arc::new(Bridge::start(&["--upstream", &url]).await);
    let call = bridge
        .call_within("500ms", "intent__HassTurnOn", json!({"name": "x"}))
        .await;
    let away = ["home_assistant_unreachable", "home_assistant_away"];
    assert!(away.contains(&call.code().as_str()), "{call:?}");
    assert!(!call.text.contains("Outcome unknown"));
    let hello = bridge
        .rpc("initialize", json!({"protocolVersion": "2025-06-18"}))
        .await;
    assert!(hello.result()["capabilities"]["tools"].is_object());
    let waiting = ["intent__HassTurnOn", "homeassistant__GetLiveContext"].map(|tool| {
        let bridge = bridge.clone();
        tokio::spawn(async move { bridge.call(tool, json!({"name": "Kitchen Light"})).await })
    });
    let breaker = |status: &Value| status["calls"]["queue"]["breaker"]["state"] != "closed";
    bridge.until(breaker).await;
    let listen = Settings {
        listen: address,
        ..Settings::default()
    };
    let house = DemoHouse::start(listen).await.unwrap();
    for call in waiting {
        assert_eq!(call.await.unwrap().result()["isError"], false);
    }
    assert_eq!(house.executed().len(), 2);
    bridge
        .until(|status| status["calls"]["queue"]["breaker"]["state"] == "closed")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_tried_again_and_writes_only_if_nothing_of_them_arrived() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    bridge.rpc("tools/list", json!({})).await.result();
    house.fail_next_calls(Fault::Reset, 1);
    let read = bridge.call("llm__GetDateTime", json!({})).await;
    assert_eq!(read.result()["isError"], false);
    house.fail_next_calls(status(503, ""), 1);
    assert_eq!(act(&bridge).await.result()["isError"], false);
    let before = house.executed().len();
    house.fail_next_calls(Fault::Reset, 1);
    let write = act(&bridge).await;
    assert_eq!(write.code(), "home_assistant_connection_lost");
    assert!(write.text.contains("Outcome unknown"));
    assert_eq!(house.executed().len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_two_calls_is_not_noticed() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for _ in 0..3 {
        assert_eq!(
            bridge.call("llm__GetDateTime", json!({})).await.result()["isError"],
            false
        );
        house.restart(Duration::from_millis(20)).await.unwrap();
    }
    assert_eq!(house.executed().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_are_answered_from_memory_while_the_upstream_is_away() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let params = json!({"protocolVersion": "2025-11-25"});
    let before = bridge.rpc("initialize", params.clone()).await;
    house.stop().await;
    let call = bridge
        .call_within("200ms", "llm__GetDateTime", json!({}))
        .await;
    assert_eq!(call.result()["isError"], true);
    assert_eq!(bridge.rpc("initialize", params).await.text, before.text);
    assert_eq!(bridge.rpc("ping", json!({})).await.result(), json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_address_is_used_but_neither_shown_nor_logged() {
    let house = house().await;
    let url = format!("{}?api_key=very-secret", house.url());
    let bridge = Bridge::start(&["--upstream", &url]).await;
    let call = bridge.call("llm__GetDateTime", json!({})).await;
    assert_eq!(call.result()["isError"], false);
    let status = bridge.status().await;
    assert_eq!(status["upstream"]["url"], house.url());
    assert!(!status.to_string().contains("secret"), "{status}");
    let log = bridge.whole_log().join("\n");
    assert!(
        log.contains(&house.url()) && !log.contains("secret"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_told_with_its_cure_and_is_in_no_log() {
    let settings = Settings {
        token: Some("right".to_owned()),
        ..Settings::default()
    };
    let house = DemoHouse::start(settings).await.unwrap();
    let wrong = [
        "--upstream",
        &house.url(),
        "--upstream-token",
        "wrong-secret",
    ];
    let bridge = Bridge::start(&wrong).await;
    let call = bridge.call("llm__GetDateTime", json!({})).await;
    assert_eq!(call.code(), "home_assistant_token_refused");
    assert!(!call.text.contains("wrong-secret"));
    let logged = bridge.whole_log().join("\n");
    assert!(!logged.contains("wrong-secret") && !logged.contains(&bridge.token));
    let right = ["--upstream", &house.url(), "--upstream-token", "right"];
    let bridge = Bridge::start(&right).await;
    assert_eq!(
        bridge.call("llm__GetDateTime", json!({})).await.result()["isError"],
        false
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_as_an_event_stream_is_the_same_answer() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let plain = bridge.rpc("tools/list", json!({})).await.result();
    house.set_fault(Some(Fault::EventStream));
    assert_eq!(bridge.rpc("tools/list", json!({})).await.result(), plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_with_sessions_is_greeted_again_when_it_has_forgotten_them() {
    let house = DemoHouse::start(Settings {
        sessions: true,
        ..Settings::default()
    })
    .await
    .unwrap();
    let bridge = Bridge::before(&house).await;
    assert_eq!(
        bridge.call("llm__GetDateTime", json!({})).await.result()["isError"],
        false
    );
    house.forget_sessions();
    assert_eq!(
        bridge.call("llm__GetDateTime", json!({})).await.result()["isError"],
        false
    );
    assert_eq!((house.executed().len(), house.open_sessions()), (2, 1));
}
