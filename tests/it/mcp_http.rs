//! Streamable HTTP as clients use it, in every revision.

use http::Method;
use mcp_bridge::demo::Fault;
use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::bridge::{house, modern, modern_post, send};

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_agrees_on_the_revision_that_was_asked_for_or_an_older_one() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
    ] {
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
        let reply = bridge.rpc("initialize", params).await;
        assert_eq!(reply.result()["protocolVersion"], agreed, "{asked}");
        assert_eq!(reply.header("mcp-session-id"), None);
        // Their addresses would tell where the upstream is.
        assert!(!reply.text.contains("icons"), "{reply:?}");
    }
    let params = json!({"protocolVersion": 5});
    assert_eq!(
        bridge.rpc("initialize", params).await.json()["error"]["code"],
        -32602
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_of_the_endpoint_takes_calls_and_any_session_id() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for (n, path) in (1..).zip(["/mcp", "/mcp/", "/api/mcp"]) {
        let arguments = json!({"name": "Kitchen Light", "brightness": n});
        let call = json!({"jsonrpc": "2.0", "id": "x", "method": "tools/call",
            "params": {"name": "light__HassLightSet", "arguments": arguments}});
        let reply = send(
            bridge
                .post(path, &call)
                .header("mcp-session-id", "from-before"),
        )
        .await;
        assert_eq!((reply.status, &reply.json()["id"]), (200, &json!("x")));
        assert_eq!(reply.result()["isError"], false);
        assert_eq!(house.executed().len(), n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_the_bytes_of_the_upstream() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let direct = reqwest::Client::builder().no_proxy().build().unwrap();
    let list = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"});
    let request = direct.post(house.url()).body(list.to_string());
    let request = request
        .header("content-type", "application/json")
        .header("accept", "application/json");
    assert_eq!(
        send(bridge.post("/mcp", &list)).await.text,
        send(request).await.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_reach_the_upstream_byte_for_byte() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let body = r#"{ "params":{"name":"llm__GetDateTime","arguments":{"n":1.50e400,"s":"\u00e9"},"_meta":{"io.home-assistant/device_id":"d"}},"id":-5 , "method":"tools\/call","jsonrpc":"2.0","x":[ ] }"#;
    send(bridge.post("/mcp", body)).await;
    let seen = house.last_request().unwrap();
    assert_eq!(seen.body, body.as_bytes());
    assert_eq!(
        seen.header("accept"),
        Some("application/json, text/event-stream")
    );
    assert_eq!(seen.header("mcp-protocol-version"), Some("2025-11-25"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_come_back_as_they_were_sent_also_those_that_home_assistant_cannot_read() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for id in [
        r#""a""#,
        r#""""#,
        "0",
        "-1",
        "9223372036854775808",
        "123456789012345678901234567890",
        r#""\u0061""#,
        r#""a\/b""#,
        r#""\u00fc""#,
        "\"ü😀\"",
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#);
        let reply = send(bridge.post("/mcp", body)).await;
        let start: String = reply
            .text
            .chars()
            .filter(|c| !c.is_whitespace())
            .take(60)
            .collect();
        assert!(start.contains(&format!(r#""id":{id},"#)), "{id}: {start}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_and_responses_are_accepted_and_stay_in_the_bridge() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for body in [
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
    ] {
        let reply = send(bridge.post("/mcp", body)).await;
        assert_eq!((reply.status, reply.text.as_str()), (202, ""));
    }
    assert_eq!(house.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_and_handshake_cost_the_upstream_one_greeting_in_all() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for _ in 0..5 {
        assert_eq!(bridge.rpc("ping", json!({})).await.result(), json!({}));
        bridge
            .rpc("initialize", json!({"protocolVersion": "2025-06-18"}))
            .await
            .result();
    }
    assert_eq!(house.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_resources_and_unknown_methods_are_passed_on() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let prompts = bridge.rpc("prompts/list", json!({})).await.result();
    let name = prompts["prompts"][0]["name"].clone();
    assert!(
        bridge
            .rpc("prompts/get", json!({"name": name}))
            .await
            .result()["messages"]
            .is_array()
    );
    let resources = bridge.rpc("resources/list", json!({})).await.result();
    let uri = resources["resources"][0]["uri"].clone();
    assert!(
        bridge
            .rpc("resources/read", json!({"uri": uri}))
            .await
            .result()["contents"]
            .is_array()
    );
    let reply = bridge.rpc("completion/complete", json!({})).await;
    assert_eq!(
        (reply.status, reply.json()["error"]["code"].as_i64()),
        (200, Some(-32601))
    );
    assert_eq!(reply.json()["error"]["data"], "completion/complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_the_endpoint_does_not_know_hears_which_it_knows() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for method in [Method::PUT, Method::PATCH] {
        let reply = send(bridge.request(method, "/mcp")).await;
        let allowed = Some("GET, POST, DELETE");
        assert_eq!((reply.status, reply.header("allow")), (405, allowed));
        assert_eq!(reply.code(), "method_not_allowed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_is_accepted() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let reply = send(
        bridge
            .request(Method::DELETE, "/mcp")
            .header("mcp-session-id", "any"),
    )
    .await;
    assert_eq!((reply.status, reply.text.as_str()), (200, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accept_header_may_be_careless_but_not_contrary() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for accept in [
        "*/*",
        "application/json",
        "text/html, */*",
        "APPLICATION/JSON",
    ] {
        let reply = send(bridge.post("/mcp", &ping).header("accept", accept)).await;
        assert_eq!(
            reply.header("content-type"),
            Some("application/json"),
            "{accept}"
        );
    }
    let reply = send(
        bridge
            .post("/mcp", &ping)
            .header("accept", "text/event-stream"),
    )
    .await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(
        reply.text,
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"
    );
    let reply = send(bridge.post("/mcp", &ping).header("accept", "text/html")).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (406, "not_acceptable")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_nobody_knows_is_refused_whatever_the_message() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let response = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    for (path, body) in [
        ("/mcp", &list),
        ("/mcp", &note),
        ("/mcp", &response),
        ("/mcp", &json!([list])),
        ("/mcp/batch", &json!([note])),
        ("/mcp/notifications/initialized", &note),
    ] {
        let request = bridge.post(path, body);
        let reply = send(request.header("mcp-protocol-version", "2031-01-01")).await;
        assert_eq!(reply.status, 400, "{path} {body}: {reply:?}");
        assert!(reply.text.contains("2031-01-01"), "{reply:?}");
        if path == "/mcp" {
            let error = &reply.json()["error"];
            assert_eq!(error["code"], -32022);
            assert_eq!(error["data"]["requested"], "2031-01-01");
            assert_eq!(error["data"]["supported"].as_array().unwrap().len(), 5);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_request_in_a_version_of_the_other_era_hears_what_discovery_says() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let found = send(modern_post(&bridge, "server/discover", json!({}))).await;
    let mut request = modern("tools/list", json!({}));
    request["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2025-11-25".into();
    let post = |header| {
        bridge
            .post("/mcp", &request)
            .header("mcp-protocol-version", header)
    };
    let reply = send(post("2025-11-25")).await;
    let error = &reply.json()["error"];
    assert_eq!((reply.status, &error["code"]), (400, &json!(-32022)));
    let supported = &found.result()["supportedVersions"];
    assert_eq!(&error["data"]["supported"], supported);
    let reply = send(post("2026-07-28")).await;
    let code = &reply.json()["error"]["code"];
    assert_eq!((reply.status, code), (400, &json!(-32020)));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_answered_in_the_revisions_that_have_them() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let on = |name: &str, id: i32| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": "intent__HassTurnOn", "arguments": {"name": name}}})
    };
    let batch = json!([on("Kitchen Light", 1), {"jsonrpc": "2.0", "method": "notifications/x"}, 5, on("Desk Lamp", 2),
        {"jsonrpc": "2.0", "id": 3, "method": "initialize"}]);
    for version in [None, Some("2025-03-26")] {
        let mut request = bridge.post("/mcp", &batch);
        if let Some(version) = version {
            request = request.header("mcp-protocol-version", version);
        }
        let reply = send(request).await;
        let answers = reply.json();
        let ids: Vec<_> = answers
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a["id"].clone())
            .collect();
        assert_eq!(ids, [json!(1), json!(null), json!(2), json!(3)]);
        assert_eq!(answers[1]["error"]["code"], -32600);
        assert_eq!(answers[3]["error"]["code"], -32600);
    }
    assert_eq!(house.executed().len(), 4);
    let reply = send(
        bridge
            .post("/mcp", &batch)
            .header("mcp-protocol-version", "2025-06-18"),
    )
    .await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "invalid_message")
    );
    let quiet = json!([{"jsonrpc": "2.0", "method": "notifications/x"}]);
    assert_eq!(send(bridge.post("/mcp", &quiet)).await.status, 202);
    let long: Vec<_> = (0..101).map(|_| quiet[0].clone()).collect();
    assert_eq!(
        send(bridge.post("/mcp", Value::from(long))).await.status,
        400
    );
    assert_eq!(house.executed().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_not_read_where_it_is_not_welcome() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let many = format!("[{} no JSON", "1,".repeat(1_000_000));
    for version in ["2025-03-26", "2025-06-18"] {
        let request = bridge.post("/mcp", &many);
        let reply = send(request.header("mcp-protocol-version", version)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "invalid_message"),
            "{version}"
        );
    }
    assert_eq!(
        send(bridge.post("/mcp/batch", many)).await.code(),
        "invalid_message"
    );
    let short = json!([{"jsonrpc": "2.0", "method": "notifications/x"}]);
    for (version, status) in [("2024-11-05", 400), ("2025-03-26", 202)] {
        let request = bridge.post("/mcp", &short);
        let reply = send(request.header("mcp-protocol-version", version)).await;
        assert_eq!(reply.status, status, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_of_a_batch_are_bounded_together() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    house.fail_next_calls(Fault::Huge(12 << 20), 6);
    let call = |id: u32| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": "intent__HassTurnOn", "arguments": {"name": format!("Lamp {id}")}}})
    };
    let batch: Vec<_> = (1..=6).map(call).collect();
    let reply = send(bridge.post("/mcp", Value::from(batch))).await;
    assert!(reply.text.len() < 65 << 20, "{}", reply.text.len());
    let answers = reply.json();
    let failed: Vec<_> = (answers.as_array().unwrap().iter())
        .map(|answer| &answer["result"])
        .filter(|result| result["isError"] == true)
        .collect();
    let [failed] = failed[..] else {
        panic!("{} failed", failed.len());
    };
    assert_eq!(
        failed["_meta"]["mcp-bridge/error"]["code"],
        "home_assistant_answer_too_large"
    );
    let text = failed["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("Outcome unknown"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_client_discovers_lists_and_calls() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let found = send(modern_post(&bridge, "server/discover", json!({})))
        .await
        .result();
    assert_eq!(found["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(found["resultType"], "complete");
    assert_eq!(
        found["_meta"]["io.modelcontextprotocol/serverInfo"],
        json!({"name": "home-assistant", "version": ""})
    );
    let list = send(modern_post(&bridge, "tools/list", json!({})))
        .await
        .result();
    assert!(list["ttlMs"].is_u64() && list["cacheScope"] == "private");
    let params = json!({"name": "intent__HassTurnOn", "arguments": {"name": "Kitchen Light"}});
    let request =
        modern_post(&bridge, "tools/call", params).header("mcp-name", "intent__HassTurnOn");
    let called = send(request).await.result();
    assert_eq!(
        (&called["resultType"], &called["isError"]),
        (&json!("complete"), &json!(false))
    );
    let seen = house.last_request().unwrap();
    assert!(!String::from_utf8_lossy(&seen.body).contains("io.modelcontextprotocol"));
    assert_eq!(seen.header("mcp-protocol-version"), Some("2025-11-25"));
    assert_eq!(seen.header("mcp-method"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_request_that_contradicts_itself_is_refused() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let params = || json!({"name": "llm__GetDateTime", "arguments": {}});
    let cases = [
        (
            modern_post(&bridge, "tools/call", params()).header("mcp-name", "other"),
            400,
            -32020,
        ),
        (modern_post(&bridge, "tools/call", params()), 400, -32020),
        (
            bridge.post("/mcp", modern("tools/list", json!({}))),
            400,
            -32020,
        ),
        (modern_post(&bridge, "ping", json!({})), 404, -32601),
        (modern_post(&bridge, "initialize", json!({})), 404, -32601),
        (modern_post(&bridge, "no/such", json!({})), 404, -32601),
    ];
    for (request, status, code) in cases {
        let reply = send(request).await;
        assert_eq!(
            (reply.status, reply.json()["error"]["code"].as_i64()),
            (status, Some(code)),
            "{reply:?}"
        );
    }
    let bare = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let reply = send(
        bridge
            .post("/mcp", bare)
            .header("mcp-protocol-version", "2026-07-28"),
    )
    .await;
    assert_eq!(
        (reply.status, reply.json()["error"]["code"].as_i64()),
        (400, Some(-32602))
    );
    assert!(house.executed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_of_home_assistant_get_codes_that_modern_clients_know() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    for (method, key, name, modern_code) in [
        ("prompts/get", "name", "nope", -32603),
        ("resources/read", "uri", "homeassistant://nope", -32602),
    ] {
        let legacy = bridge.rpc(method, json!({key: name})).await.json();
        assert_eq!(legacy["error"]["code"], 0);
        let request = modern_post(&bridge, method, json!({key: name}));
        let modern = send(request.header("mcp-name", name)).await.json();
        assert_eq!(modern["error"]["code"], modern_code);
        assert_eq!(modern["error"]["message"], legacy["error"]["message"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_without_tls_is_spoken_too() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let request = client.post(bridge.url("/mcp")).bearer_auth(&bridge.token);
    let request = request.header("content-type", "application/json");
    let reply = send(request.body(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)).await;
    assert_eq!(reply.result(), json!({}));
}
