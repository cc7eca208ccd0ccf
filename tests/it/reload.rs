//! The configuration changes while the bridge runs.

use std::sync::Arc;

use mcp_bridge::demo::{DemoHouse, Fault};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::bridge::{PATIENCE, house, send};
use crate::support::configured::Configured;
use crate::support::upstream::Upstream;

fn max_waiting(status: &Value) -> &Value {
    &status["calls"]["queue"]["max_waiting"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_counts_at_once() {
    let configured = Configured::start("demo: true\nqueue: {max_waiting: 7}").await;
    assert_eq!(max_waiting(&configured.bridge.status().await), 7);
    configured.write("demo: true\nqueue: {max_waiting: 9}");
    configured
        .bridge
        .until(|status| max_waiting(status) == 9)
        .await;
    // It is told a moment after it counts.
    let told = async { while configured.configuration().await["changed"] == json!([]) {} };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    let configuration = configured.configuration().await;
    assert_eq!(configuration["changed"], json!(["queue.max_waiting"]));
    assert_eq!(configuration["restart_needed"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_lets_everything_be_read_anew() {
    let configured = Configured::start("demo: true").await;
    let options = configured.bridge.data().join("options.json");
    std::fs::write(options, r#"{"queue": {"max_waiting": 8}}"#).unwrap();
    configured.bridge.signal("HUP");
    configured
        .bridge
        .until(|status| max_waiting(status) == 8)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_refused_whole_and_the_old_one_stays() {
    let configured = Configured::start("demo: true\nqueue: {max_waiting: 7}").await;
    let wrong = "demo: true\nqueue: {max_waiting: 9, max_parallel_calls: 0}\nlog_level: loud";
    let reply = configured.reload(wrong).await;
    assert_eq!(
        (reply.status, reply.code()),
        (422, "configuration_refused".to_owned())
    );
    assert!(reply.text.contains("bridge.yaml: log_level"), "{reply:?}");
    assert_eq!(max_waiting(&configured.bridge.status().await), 7);
    let refused = &configured.configuration().await["refused"];
    assert!(
        refused["faults"][0].as_str().unwrap().contains("log_level"),
        "{refused}"
    );

    let right = configured
        .reload("demo: true\nqueue: {max_waiting: 9}")
        .await;
    assert_eq!((right.status, max_waiting(&right.json())), (200, &json!(9)));
    assert_eq!(configured.configuration().await["refused"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_after_a_restart_only_is_told_until_it_is_taken_back() {
    let configured = Configured::start("demo: true").await;
    let reply = configured
        .reload("demo: true\nlog_format: human\ndata: /elsewhere")
        .await;
    // The flags of this bridge say both, too, and flags win.
    assert_eq!(reply.json()["configuration"]["restart_needed"], json!([]));
    let other = "demo: true\ningress_peer: 10.0.0.1\nqueue: {max_waiting: 9}";
    let reply = configured.reload(other).await.json();
    assert_eq!(
        reply["configuration"]["restart_needed"],
        json!(["ingress_peer"])
    );
    assert_eq!(max_waiting(&reply), 9, "the rest counts");
    let reply = configured.reload("demo: true").await.json();
    assert_eq!(reply["configuration"]["restart_needed"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_still_wins_over_a_file_that_changed() {
    let environment = [("MCP_BRIDGE__QUEUE__MAX_WAITING", "5")];
    let configured = Configured::start_with("demo: true", &environment).await;
    let reply = configured
        .reload("demo: true\nqueue: {max_waiting: 9}")
        .await
        .json();
    assert_eq!(max_waiting(&reply), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_module_takes_its_settings_anew() {
    let house = house().await;
    let upstream = format!("upstream: {}\n", house.url());
    let configured = Configured::start(&upstream).await;
    let bridge = &configured.bridge;
    let page = || {
        bridge
            .post("/mcp/ping", "{}")
            .header("origin", "https://chat.example.org")
    };
    assert_eq!(send(page()).await.status, 403);
    let deep = format!(
        r#"{{"name":"x","arguments":{}1{}}}"#,
        "[".repeat(20),
        "]".repeat(20)
    );
    let deep = || send(bridge.post("/mcp/tools/call", &deep));
    assert!(!deep().await.text.contains("malformed_json"));
    let new = "log_level: error\n\
        access: {allowed_origins: ['https://chat.example.org']}\n\
        limits: {json_depth: 10}\n\
        queue: {call_timeout: 50ms}";
    assert_eq!(configured.reload(&(upstream + new)).await.status, 200);
    assert_eq!(send(page()).await.status, 200);
    assert_eq!(deep().await.code(), "malformed_json");
    house.set_fault(Some(Fault::Hang));
    let late = bridge.call("llm__GetDateTime", json!({})).await;
    assert_eq!(late.result()["isError"], true, "{late:?}");
    let logged = bridge.whole_log().join("\n");
    assert!(!logged.contains(r#""message":"stopped""#), "{logged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_front_door_can_be_closed_at_once() {
    let open = "demo: true\naccess: {leave_front_door_open: true}";
    let configured = Configured::start(open).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let anybody = || client.get(configured.bridge.url("/mcp/status"));
    assert_eq!(send(anybody()).await.status, 200);
    assert_eq!(configured.reload("demo: true").await.status, 200);
    assert_eq!(send(anybody()).await.status, 401);
    assert_eq!(configured.reload(open).await.status, 200);
    assert_eq!(send(anybody()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_token_can_be_changed_at_once() {
    let configured = Configured::start("demo: true").await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("admin");
    let other = "a token of the operator that nobody guesses";
    std::fs::write(&token, other).unwrap();
    let text = format!("demo: true\nadmin_token_file: {}", token.display());
    let reply = configured.reload(&text).await;
    assert_eq!(
        reply.json()["configuration"]["changed"],
        json!(["admin_token_file"])
    );
    assert_eq!(configured.reload(&text).await.status, 401);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let reload = client.post(format!("http://{}/api/reload", configured.bridge.admin));
    assert_eq!(send(reload.bearer_auth(other)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_run_stay_with_the_old_upstream_and_new_ones_go_to_the_new() {
    let (old, new) = (house().await, house().await);
    let configured = Configured::start(&format!("upstream: {}", old.url())).await;
    let bridge = &configured.bridge;
    bridge.rpc("tools/list", json!({})).await.result();
    let gate = Arc::new(Semaphore::new(0));
    old.set_fault(Some(Fault::Hold(gate.clone())));
    let lamp = json!({"name": "intent__HassTurnOn", "arguments": {"name": "Desk Lamp"}});
    let held = tokio::spawn(send(bridge.post("/mcp/tools/call", &lamp)));
    old.until(|house| house.in_flight() == 1).await;
    let reply = configured.reload(&format!("upstream: {}", new.url())).await;
    assert_eq!(reply.json()["upstream"]["url"], new.url());
    let other = json!({"name": "intent__HassTurnOn", "arguments": {"name": "Kitchen Light"}});
    // A client's actions keep their order, so the new one belongs to a question.
    let question = send(bridge.post("/mcp/tools/call", json!({"name": "llm__GetDateTime"}))).await;
    assert_eq!(question.json()["isError"], false);
    let calls = |house: &DemoHouse, tool: &str| {
        let executed = house.executed();
        executed.iter().filter(|call| call.tool == tool).count()
    };
    assert_eq!(calls(&new, "llm__GetDateTime"), 1);
    gate.add_permits(1);
    let held = held.await.unwrap().json();
    assert_eq!(held["isError"], false, "{held}");
    let second = send(bridge.post("/mcp/tools/call", other)).await;
    assert_eq!(second.json()["isError"], false);
    let actions = |house| calls(house, "intent__HassTurnOn");
    assert_eq!((actions(&old), actions(&new)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_was_written_anew_is_read_anew() {
    let house = house().await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "first").unwrap();
    let text = format!(
        "upstream: {}\nupstream_token_file: {}",
        house.url(),
        token.display()
    );
    let configured = Configured::start(&text).await;
    let shown = || {
        let seen = house.last_request().unwrap();
        seen.header("authorization").map(str::to_owned)
    };
    configured
        .bridge
        .rpc("tools/list", json!({}))
        .await
        .result();
    assert_eq!(shown().as_deref(), Some("Bearer first"));
    std::fs::write(&token, "second").unwrap();
    let reply = configured.admin(http::Method::POST, "/api/reload").await;
    assert_eq!(
        reply.json()["configuration"]["changed"],
        json!(["upstream_token_file"])
    );
    configured
        .bridge
        .rpc("prompts/list", json!({}))
        .await
        .result();
    assert_eq!(shown().as_deref(), Some("Bearer second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_cannot_be_found_is_no_upstream() {
    let house = house().await;
    let configured = Configured::start(&format!("upstream: {}", house.url())).await;
    let reply = configured
        .reload("upstream: auto\nqueue: {max_waiting: 9}")
        .await;
    assert_eq!(reply.code(), "configuration_refused");
    assert!(
        reply
            .text
            .contains("--upstream http://homeassistant.local:8123"),
        "{reply:?}"
    );
    assert_eq!(max_waiting(&configured.bridge.status().await), 50);
    assert_eq!(
        configured.bridge.status().await["upstream"]["url"],
        house.url()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_learn_nothing_of_the_machines_files() {
    let configured = Configured::start("demo: true").await;
    let status = configured.bridge.status().await;
    assert_eq!(status.get("configuration"), None);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let stranger = client.post(format!("http://{}/api/reload", configured.bridge.admin));
    assert_eq!(send(stranger).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_run_and_wait_survive_other_limits_another_token_and_another_upstream() {
    let (old, new) = (house().await, house().await);
    let gate = Arc::new(Semaphore::new(0));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "first").unwrap();
    let text = |house: &DemoHouse, rest: &str| {
        let (url, token) = (house.url(), token.display());
        format!("upstream: {url}\nupstream_token_file: {token}\n{rest}")
    };
    let one = "queue: {max_parallel_calls: 1}";
    let configured = Arc::new(Configured::start(&text(&old, one)).await);
    let bridge = &configured.bridge;
    bridge.rpc("tools/list", json!({})).await.result();
    old.set_fault(Some(Fault::Hold(gate.clone())));
    let lights = ["Desk Lamp", "Kitchen Light", "Bedroom Light"];
    let mut calls = Vec::new();
    for (n, name) in lights.into_iter().enumerate() {
        let configured = configured.clone();
        calls.push(tokio::spawn(async move {
            let arguments = json!({"name": name});
            configured
                .bridge
                .call("intent__HassTurnOn", arguments)
                .await
        }));
        bridge
            .until(|status| {
                let queue = &status["calls"]["queue"];
                queue["running"] == 1 && queue["waiting"] == n
            })
            .await;
    }
    old.until(|house| house.in_flight() == 1).await;
    let small = "queue: {max_parallel_calls: 2, max_waiting: 1, max_waiting_per_client: 1, \
                 call_timeout: 40s, aging_interval: 1s}\ncache: {enabled: false}";
    assert_eq!(configured.reload(&text(&old, small)).await.status, 200);
    std::fs::write(&token, "second").unwrap();
    assert_eq!(configured.reload(&text(&old, small)).await.status, 200);
    let status = configured.reload(&text(&new, one)).await.json();
    assert_eq!(status["calls"]["queue"]["waiting"], 2, "{status}");
    // A client's actions keep their order, so the others wait for the one that still runs.
    gate.add_permits(1);
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(answer.result()["isError"], false, "{answer:?}");
    }
    let names = |house: &DemoHouse| {
        let executed = house.executed().into_iter();
        let actions = executed.filter(|call| call.tool == "intent__HassTurnOn");
        let name = |call: &Value| call["name"].as_str().unwrap().to_owned();
        actions
            .map(|call| name(&call.arguments))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&old), lights[..1]);
    assert_eq!(names(&new), lights[1..]);
    assert_eq!(bridge.status().await["calls"]["failed"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_upstream_is_remembered_when_another_takes_its_place() {
    let (old, new) = (Upstream::start().await, Upstream::start().await);
    new.add_tool("demo__Other");
    new.set_state("on");
    let text = |upstream: &Upstream, cache: &str| {
        let long = "state_ttl: 1h, list_ttl_without_events: 1h";
        format!("upstream: {}\ncache: {{{long}{cache}}}", upstream.url())
    };
    let configured = Configured::start(&text(&old, "")).await;
    let bridge = &configured.bridge;
    let live = async || {
        let answer = bridge.call("demo__GetLiveContext", json!({})).await;
        answer.result()["content"][0]["text"].clone()
    };
    let tools = async || {
        let list = bridge.rpc("tools/list", json!({})).await.result();
        list["tools"].as_array().unwrap().len()
    };
    assert_eq!((live().await, tools().await), (json!("off"), 1));
    let reply = configured.reload(&text(&new, "")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!((live().await, tools().await), (json!("on"), 2));

    // What is told of the new one at first ends the life of its first answers.
    let kept = async {
        loop {
            new.set_state("on");
            live().await;
            new.set_state("dim");
            if live().await == "on" {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, kept).await.unwrap();
    let reply = configured.reload(&text(&new, ", enabled: false")).await;
    assert_eq!(reply.json()["calls"]["cache"], Value::Null);
    assert_eq!(live().await, "dim");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_file_never_takes_the_bridge_down() {
    let house = house().await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a token of the upstream").unwrap();
    let whole = format!(
        "upstream: {}\nupstream_token_file: {}\nqueue: {{max_waiting: 9}}\n\
         access: {{allowed_origins: ['https://chat.example.org']}}\n",
        house.url(),
        token.display()
    );
    let options = r#"{"max_parallel_calls": 2, "queue": {"max_waiting_per_client": 3}}"#;
    let configured = Configured::start(&whole).await;
    let bridge = &configured.bridge;
    let options_file = bridge.data().join("options.json");
    for end in (0..whole.len()).step_by(7) {
        let reply = configured.reload(&whole[..end]).await;
        assert!(matches!(reply.status, 200 | 422), "{end}: {reply:?}");
    }
    configured.write(&whole);
    for end in (1..options.len()).step_by(5) {
        std::fs::write(&options_file, &options[..end]).unwrap();
        let reply = configured.admin(http::Method::POST, "/api/reload").await;
        assert_eq!(reply.status, 422, "{end}: {reply:?}");
    }
    std::fs::write(&options_file, options).unwrap();
    std::fs::write(&token, "").unwrap();
    let reply = configured.admin(http::Method::POST, "/api/reload").await;
    assert!(
        reply.text.contains("upstream_token_file: it is empty"),
        "{reply:?}"
    );
    let answer = bridge.call("llm__GetDateTime", json!({})).await;
    assert_eq!(answer.result()["isError"], false, "{answer:?}");

    // Once it is whole it counts, without anybody asking for it.
    std::fs::write(&token, "another token of the upstream").unwrap();
    bridge
        .until(|status| status["calls"]["queue"]["adaptive_limit"]["max"] == 2)
        .await;
    assert_eq!(configured.configuration().await["refused"], Value::Null);
    assert_eq!(max_waiting(&bridge.status().await), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guards_networks_rates_and_brake_change_at_once() {
    let configured = Configured::start("demo: true").await;
    let bridge = &configured.bridge;
    let ask = || send(bridge.post("/mcp/tools/call", json!({"name": "llm__GetDateTime"})));
    for _ in 0..3 {
        assert_eq!(ask().await.status, 200);
    }
    let text = "demo: true\nlimits: {calls_per_client: 2/h, wrong_tokens: 1}";
    assert_eq!(configured.reload(text).await.status, 200);
    assert_eq!((ask().await.status, ask().await.status), (200, 200));
    assert_eq!(ask().await.code(), "rate_limited");
    let stranger = Configured::start("demo: true").await.bridge.token.clone();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let wrong = || {
        let request = client.post(bridge.url("/mcp/ping")).body("{}");
        send(request.bearer_auth(&stranger))
    };
    assert_eq!(wrong().await.code(), "token_unknown");
    assert_eq!(wrong().await.code(), "too_many_wrong_tokens");
    let text = "demo: true\naccess: {networks: [10.0.0.0/8]}";
    assert_eq!(configured.reload(text).await.status, 200);
    assert_eq!(ask().await.code(), "network_refused");
    // Nobody here may ask for it any more, but the file is still followed.
    configured.write("demo: true");
    bridge.until(|status| status["state"] == "running").await;
    assert_eq!(ask().await.status, 200);
}
