//! What is kept of the upstream's answers: saved requests, never an answer that is known to be old,
//! and an old one rather than none.

use futures_util::FutureExt as _;
use std::sync::Arc;
use std::time::Duration;

use mcp_bridge::app::find_upstream;
use mcp_bridge::cache::Change;
use mcp_bridge::config::{Environment, Flags, load};
use mcp_bridge::dispatch::{Call, Caller, Dispatcher, Origin, Wishes};
use mcp_bridge::protocol::json::RawJson;
use mcp_bridge::protocol::message::{Id, Payload, Request};
use mcp_bridge::protocol::priority::Priority;
use mcp_bridge::protocol::revision::Revision;
use mcp_bridge::upstream::Heard;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::Bridge;
use crate::support::bridge::{house, send};
use crate::support::upstream::Upstream;

const LIVE: &str = "demo__GetLiveContext";
/// Nothing that the bridge does not hear of ends the life of an answer.
const LONG: [(&str, &str); 2] = [
    ("MCP_BRIDGE__CACHE__STATE_TTL", "1h"),
    ("MCP_BRIDGE__CACHE__LIST_TTL_WITHOUT_EVENTS", "1h"),
];
/// Every answer is old at once.
const SHORT: [(&str, &str); 2] = [
    ("MCP_BRIDGE__CACHE__STATE_TTL", "0s"),
    ("MCP_BRIDGE__CACHE__LIST_TTL_WITHOUT_EVENTS", "1ms"),
];

async fn before(upstream: &Upstream, environment: &[(&str, &str)]) -> Bridge {
    Bridge::start_with(&["--upstream", upstream.url()], environment).await
}

async fn state(bridge: &Bridge) -> Value {
    bridge.call(LIVE, json!({})).await.result()["content"].clone()
}

async fn flush(bridge: &Bridge) -> Value {
    let reply = send(bridge.admin_request(http::Method::POST, "/api/cache/flush")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_asked_for_once_and_given_to_everybody_byte_for_byte() {
    let upstream = Upstream::start().await;
    let bridge = before(&upstream, &LONG).await;
    let first = bridge.rpc("tools/list", json!({})).await;
    for params in [json!({}), json!({"_meta": {"progressToken": 7}})] {
        assert_eq!(bridge.rpc("tools/list", params).await.text, first.text);
    }
    let plain = send(bridge.post("/mcp/tools/list", json!({}))).await;
    assert_eq!(plain.json(), first.result());
    assert_eq!(upstream.asked("tools/list"), 1);
    let cache = bridge.status().await["calls"]["cache"].clone();
    assert_eq!(cache["hits"], 3, "{cache}");
    assert_eq!(cache["entries"][0]["what"], "tools/list");
    assert!(cache["entries"][0]["fresh_for_ms"].as_u64().unwrap() > 0);
    let cursor = json!({"cursor": "another page"});
    bridge.rpc("tools/list", cursor).await.result();
    assert_eq!(upstream.asked("tools/list"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_action_through_the_bridge_states_are_asked_for_anew() {
    let upstream = Upstream::start().await;
    let bridge = before(&upstream, &LONG).await;
    assert_eq!(state(&bridge).await[0]["text"], "off");
    upstream.set_state("on");
    assert_eq!(state(&bridge).await[0]["text"], "off", "it was not kept");
    bridge.call("demo__TurnOn", json!({})).await.result();
    assert_eq!(state(&bridge).await[0]["text"], "on");
    // Without news from Home Assistant nobody knows how long the action takes to take effect.
    upstream.set_state("really on");
    assert_eq!(state(&bridge).await[0]["text"], "really on");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tools_are_asked_each_time_unless_they_are_named() {
    let upstream = Upstream::start().await;
    let named = [LONG[0], ("MCP_BRIDGE__CACHE__TOOLS", "demo__get_*")];
    let bridge = before(&upstream, &named).await;
    for (tool, asked) in [("demo__list_x", 2), ("demo__get_x", 3), ("demo__TurnOn", 4)] {
        for _ in 0..2 {
            bridge.call(tool, json!({"n": asked})).await.result();
        }
        assert_eq!(upstream.asked("tools/call"), asked, "{tool}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_and_a_cache_that_is_turned_off_ask_again() {
    let upstream = Upstream::start().await;
    let bridge = before(&upstream, &LONG).await;
    for asked in 1..=2 {
        bridge.rpc("tools/list", json!({})).await.result();
        bridge.rpc("tools/list", json!({})).await.result();
        assert_eq!(upstream.asked("tools/list"), asked);
        let status = flush(&bridge).await;
        assert_eq!(status["calls"]["cache"]["entries"], json!([]));
    }
    let stranger = reqwest::Client::new().post(format!("http://{}/api/cache/flush", bridge.admin));
    assert_eq!(send(stranger).await.status, 401);
    let off = before(&upstream, &[("MCP_BRIDGE__CACHE__ENABLED", "false")]).await;
    for asked in 3..=4 {
        off.rpc("tools/list", json!({})).await.result();
        assert_eq!(upstream.asked("tools/list"), asked);
    }
    assert_eq!(off.status().await["calls"]["cache"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_home_assistant_is_away_old_answers_are_given_and_say_so() {
    let house = house().await;
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &SHORT).await;
    let tool = "homeassistant__GetLiveContext";
    let list = bridge.rpc("tools/list", json!({})).await.result();
    let context = bridge.call(tool, json!({})).await.result();
    assert_eq!(
        (&list["_meta"], &context["_meta"]),
        (&Value::Null, &Value::Null)
    );
    house.stop().await;
    let mut old = bridge.rpc("tools/list", json!({})).await.result();
    let meta = old.as_object_mut().unwrap().remove("_meta").unwrap();
    assert_eq!(meta["mcp-bridge/stale"], true);
    assert!(meta["mcp-bridge/ageMs"].as_u64().is_some());
    assert_eq!(old, list, "only the age was added");
    let old = bridge.call(tool, json!({})).await.result();
    assert_eq!(old["content"][0], context["content"][0]);
    let words = old["content"][1]["text"].as_str().unwrap();
    assert!(
        words.starts_with("Home Assistant does not answer now."),
        "{words}"
    );
    let never_asked = bridge
        .post("/mcp/prompts/list", json!({}))
        .header("x-request-timeout", "1s");
    assert_eq!(send(never_asked).await.status, 503);
    assert_eq!(bridge.status().await["calls"]["cache"]["stale"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn states_that_are_too_old_are_not_told() {
    let house = house().await;
    let environment = [SHORT[0], SHORT[1], ("MCP_BRIDGE__CACHE__MAX_STALE", "0s")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &environment).await;
    let tool = "homeassistant__GetLiveContext";
    bridge.call(tool, json!({})).await.result();
    house.stop().await;
    let failed = bridge.call_within("1s", tool, json!({})).await;
    assert_eq!(failed.result()["isError"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broken_script_takes_no_tools_away() {
    let upstream = Upstream::start().await;
    let bridge = before(&upstream, &SHORT).await;
    let list = bridge.rpc("tools/list", json!({})).await.result();
    upstream.break_lists();
    let mut old = bridge.rpc("tools/list", json!({})).await.result();
    old.as_object_mut().unwrap().remove("_meta").unwrap();
    assert_eq!(old, list);
    assert!(upstream.asked("tools/list") >= 2, "it was asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_client_hears_how_long_an_answer_keeps() {
    let upstream = Upstream::start().await;
    let bridge = before(&upstream, &[]).await;
    let tools = || crate::support::bridge::modern_post(&bridge, "tools/list", json!({}));
    // The first question finds out in which eras the server speaks.
    send(tools()).await.result();
    let before = upstream.asked("tools/list");
    for _ in 0..2 {
        let list = send(tools()).await.result();
        let millis = list["ttlMs"].as_u64().unwrap();
        assert!((1..=10_000).contains(&millis), "{millis}");
        assert_eq!(list["cacheScope"], "private");
    }
    assert_eq!(upstream.asked("tools/list"), before + 1);
}

/// A dispatcher with the default settings, where only a change ends the life of an answer.
async fn dispatcher(upstream: &Upstream) -> Arc<Dispatcher> {
    let flags = Flags {
        upstream: Some(upstream.url().to_owned()),
        // Nothing is written there by what is started here.
        data: Some("/nowhere".into()),
        ..Flags::default()
    };
    let mut settings = load(&flags, &Environment::default()).unwrap().settings;
    settings.dispatch.answers.bounds.state_ttl = Duration::from_hours(1);
    let (reached, _) = find_upstream(false, &settings.upstream).await.unwrap();
    Arc::new(Dispatcher::new(
        settings.dispatch,
        reached.upstream,
        Arc::default(),
    ))
}

async fn ask(dispatcher: &Dispatcher, method: &str, params: Value) -> String {
    let client = Caller {
        name: "test".into(),
        priority: Priority::Interactive,
        timeout: None,
        guard: Arc::new(mcp_bridge::dispatch::guard::Open),
    };
    let call = Call {
        client,
        request: Request::new(Id::number(1), method, Some(RawJson::of(&params))),
        revision: Revision::NEWEST_LEGACY,
        mirrored: http::HeaderMap::new(),
        origin: Origin::default(),
        received: Instant::now(),
        wishes: Wishes::default(),
        downstream: None,
        in_session: false,
    };
    match dispatcher.handle(call).await.unwrap().payload {
        Payload::Result(result) => String::from_utf8(result.as_bytes().to_vec()).unwrap(),
        Payload::Error(error) => panic!("{error:?}"),
    }
}

async fn context(dispatcher: &Dispatcher) -> String {
    ask(dispatcher, "tools/call", json!({"name": LIVE})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_home_assistant_tells_ends_the_life_of_what_it_touches_and_of_nothing_else() {
    let upstream = Upstream::start().await;
    let dispatcher = dispatcher(&upstream).await;
    dispatcher.changed(&Change::Connected);
    dispatcher.changed(&Change::Started);
    ask(&dispatcher, "tools/list", json!({})).await;
    assert!(context(&dispatcher).await.contains("off"));
    upstream.set_state("on");
    let entity_id: Arc<str> = "light.kitchen".into();
    dispatcher.changed(&Change::State { entity_id });
    assert!(context(&dispatcher).await.contains("on"));
    ask(&dispatcher, "tools/list", json!({})).await;
    assert_eq!(upstream.asked("tools/list"), 1);
    upstream.add_tool("script__night");
    dispatcher.changed(&Change::EntityRegistry);
    let list = ask(&dispatcher, "tools/list", json!({})).await;
    assert!(list.contains("script__night"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_hears_of_a_list_once_it_really_differs() {
    let upstream = Upstream::start().await;
    let dispatcher = dispatcher(&upstream).await;
    let follower = dispatcher.clone();
    let following = tokio::spawn(async move { follower.follow_lists().await });
    let mut news = dispatcher.news();
    dispatcher.changed(&Change::Connected);
    dispatcher.changed(&Change::Started);
    upstream.until_asked("tools/list", 1).await;
    dispatcher.changed(&Change::EntityRegistry);
    upstream.until_asked("tools/list", 2).await;
    upstream.add_tool("script__night");
    dispatcher.changed(&Change::Scripts);
    let Heard::One(heard) = news.next().await else {
        panic!("it fell behind");
    };
    assert_eq!(heard.method, "notifications/tools/list_changed");
    assert!(news.next().now_or_never().is_none());
    assert_eq!(upstream.asked("tools/list"), 3);
    assert_eq!(upstream.asked("prompts/list"), 0, "it has none");
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_starts_the_last_good_list_is_given() {
    let upstream = Upstream::start().await;
    let dispatcher = dispatcher(&upstream).await;
    dispatcher.changed(&Change::Connected);
    dispatcher.changed(&Change::Started);
    upstream.add_tool("script__night");
    ask(&dispatcher, "tools/list", json!({})).await;
    upstream.break_lists();
    for change in [Change::Stopping, Change::Disconnected, Change::Starting] {
        dispatcher.changed(&change);
        let list = ask(&dispatcher, "tools/list", json!({})).await;
        assert!(list.contains("script__night"), "{change:?}");
    }
    assert_eq!(upstream.asked("tools/list"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_ask_at_once_are_one_question() {
    let upstream = Upstream::start().await;
    let dispatcher = dispatcher(&upstream).await;
    let asked = (0..50).map(|_| {
        let dispatcher = dispatcher.clone();
        tokio::spawn(async move { ask(&dispatcher, "tools/list", json!({})).await })
    });
    for asked in asked.collect::<Vec<_>>() {
        assert!(asked.await.unwrap().contains(LIVE));
    }
    assert_eq!(upstream.asked("tools/list"), 1);
}
