//! Every method, and what is no request.

use super::*;

fn send_as(version: &str, body: &Value) -> Answer {
    let Some(Message::Request(request)) = parse(body.to_string().as_bytes()) else {
        panic!("{body} is no request");
    };
    let now: Zoned = "2026-11-22T09:31:48+01:00[Europe/Berlin]".parse().unwrap();
    let environment = Environment {
        now: &now,
        host: "127.0.0.1:8123",
        version,
    };
    answer(&request, &mut House::furnished(), &environment)
}

fn send(method: &str, params: &Value) -> Value {
    send_as(
        "",
        &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}),
    )
    .message
}

fn initialize_params(version: &str) -> Value {
    let info = json!({"name": "probe", "version": "0"});
    json!({"protocolVersion": version, "capabilities": {}, "clientInfo": info})
}

fn envelope(params: Value) -> Value {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "probe", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

fn send_modern(method: &str, params: &Value) -> Value {
    send_as(
        MODERN,
        &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}),
    )
    .message
}

const INVALID: &str = r#"{"code":-32602,"message":"Invalid request parameters","data":""}"#;

#[test]
fn what_is_no_json_rpc_message_is_not_parsed() {
    let bodies = [
        "",
        "{nonsense",
        "[]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        r#"{"hello":1}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}"#,
        r#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#,
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
    ];
    for body in bodies {
        assert!(parse(body.as_bytes()).is_none(), "{body}");
    }
    assert!(parse(b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"ping\"}").is_none());
    assert!(parse("[".repeat(5000).as_bytes()).is_none());
}

#[test]
fn notifications_responses_and_odd_ids_get_no_answer() {
    let bodies = [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":5,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":5,"error":{"code":-1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
    ];
    for body in bodies {
        assert!(
            matches!(parse(body.as_bytes()), Some(Message::Unanswered)),
            "{body}"
        );
    }
}

#[test]
fn ids_are_echoed() {
    for id in [
        json!("abc"),
        json!(""),
        json!(0),
        json!(-1),
        json!(9_007_199_254_740_993_i64),
    ] {
        let answer = send_as("", &json!({"jsonrpc": "2.0", "id": id, "method": "ping"}));
        assert_eq!(
            answer.message,
            json!({"jsonrpc": "2.0", "id": id, "result": {}})
        );
    }
}

#[test]
fn initialize_agrees_to_the_legacy_revisions_and_offers_the_newest_otherwise() {
    for version in LEGACY {
        let answer = send("initialize", &initialize_params(version));
        assert_eq!(answer["result"]["protocolVersion"], version);
    }
    for version in ["2024-10-07", MODERN, "2099-01-01", ""] {
        let answer = send("initialize", &initialize_params(version));
        assert_eq!(answer["result"]["protocolVersion"], NEWEST_LEGACY);
    }
}

#[test]
fn initialize_introduces_the_server() {
    let result = &send("initialize", &initialize_params("2025-06-18"))["result"];
    let icon = "http://127.0.0.1:8123/static/icons/favicon-192x192.png";
    assert_eq!(
        result["serverInfo"],
        json!({
            "icons": [{"mimeType": "image/png", "sizes": ["192x192"], "src": icon}],
            "name": "home-assistant",
            "version": "",
        })
    );
    assert_eq!(
        result["capabilities"]["tools"],
        json!({"listChanged": false})
    );
}

#[test]
fn parameters_that_are_missing_or_odd_are_refused() {
    let cases = [
        ("initialize", json!({})),
        (
            "initialize",
            json!({"protocolVersion": "2025-06-18", "capabilities": {}}),
        ),
        ("tools/list", json!({"cursor": 5})),
        ("tools/call", json!({})),
        ("tools/call", json!({"arguments": {}})),
        (
            "tools/call",
            json!({"name": "llm__GetDateTime", "arguments": [1]}),
        ),
        ("prompts/get", json!({})),
        ("resources/read", json!({})),
    ];
    for (method, params) in cases {
        assert_eq!(
            send(method, &params)["error"].to_string(),
            INVALID,
            "{method} {params}"
        );
    }
}

#[test]
fn unknown_methods_are_named_in_the_error() {
    for method in [
        "nonsense",
        "server/discover",
        "resources/subscribe",
        "logging/setLevel",
    ] {
        let expected = json!({"code": -32601, "message": "Method not found", "data": method});
        assert_eq!(send(method, &json!({}))["error"], expected);
    }
}

#[test]
fn tools_are_listed_whatever_the_cursor() {
    let answer = send("tools/list", &json!({"cursor": "abc"}));
    let tools = answer["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), TOOLS.len());
    assert!(answer["result"].get("nextCursor").is_none());
}

#[test]
fn a_call_answers_with_one_text_block_and_says_what_ran() {
    let params = json!({"name": "llm__GetDateTime", "arguments": null});
    let answer = send_as(
        "",
        &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}),
    );
    let text =
        r#"{"date": "2026-11-22", "time": "09:31:48", "timezone": "CET", "weekday": "Sunday"}"#;
    let expected = json!({"content": [{"text": text, "type": "text"}], "isError": false});
    assert_eq!(answer.message["result"], expected);
    let ran = answer.ran.unwrap();
    assert_eq!((ran.tool, ran.is_error), ("llm__GetDateTime", false));
}

#[test]
fn an_unknown_tool_is_a_result_with_an_error_and_nothing_ran() {
    let params = json!({"name": "HassTurnOn", "arguments": {"name": "Printer"}});
    let answer = send_as(
        "",
        &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}),
    );
    let text = "Error calling tool: Tool \"HassTurnOn\" not found";
    let expected = json!({"content": [{"text": text, "type": "text"}], "isError": true});
    assert_eq!(answer.message["result"], expected);
    assert!(answer.ran.is_none());
}

#[test]
fn a_call_that_fails_ran_nevertheless() {
    let params = json!({"name": "intent__HassTurnOn", "arguments": {"name": "Nothing"}});
    let answer = send_as(
        "",
        &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}),
    );
    assert_eq!(answer.message["result"]["isError"], true);
    assert!(answer.ran.unwrap().is_error);
}

#[test]
fn the_prompt_describes_the_house_without_its_state() {
    let listed = send("prompts/list", &json!({}));
    let name = &listed["result"]["prompts"][0]["name"];
    let answer = send("prompts/get", &json!({ "name": name }));
    let message = &answer["result"]["messages"][0];
    assert_eq!(message["role"], "assistant");
    assert!(
        message["content"]["text"]
            .as_str()
            .unwrap()
            .contains("- names: Front Door\n")
    );
    let unknown = send("prompts/get", &json!({"name": "nope"}));
    assert_eq!(
        unknown["error"],
        json!({"code": 0, "message": "Unknown prompt: nope"})
    );
}

#[test]
fn the_resource_is_the_live_context() {
    let listed = send("resources/list", &json!({}));
    let uri = &listed["result"]["resources"][0]["uri"];
    let answer = send("resources/read", &json!({ "uri": uri }));
    let text = answer["result"]["contents"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("Live Context:") && text.contains("  state: locked\n"));
    let unknown = send("resources/read", &json!({"uri": "homeassistant://nope"}));
    let expected = json!({"code": 0, "message": "Unknown resource: homeassistant://nope"});
    assert_eq!(unknown["error"], expected);
}

#[test]
fn an_unknown_version_in_the_header_is_an_exception() {
    let answer = send_as(
        "nonsense",
        &json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    );
    let message = "version must be a known protocol version, got 'nonsense'";
    assert_eq!(
        answer.message["error"],
        json!({"code": 0, "message": message})
    );
}

#[test]
fn modern_requests_need_their_envelope_and_have_no_handshake() {
    assert_eq!(
        send_modern("tools/list", &json!({}))["error"].to_string(),
        INVALID
    );
    for method in ["ping", "initialize", "subscriptions/listen"] {
        let answer = send_modern(method, &envelope(json!({})));
        assert_eq!(answer["error"]["code"], -32601, "{method}");
    }
}

#[test]
fn modern_answers_are_complete_private_and_not_to_be_kept() {
    let discovered = &send_modern("server/discover", &envelope(json!({})))["result"];
    assert_eq!(discovered["supportedVersions"], json!([MODERN]));
    let listed = &send_modern("tools/list", &envelope(json!({})))["result"];
    for result in [discovered, listed] {
        assert_eq!(result["resultType"], "complete");
        assert_eq!(result["cacheScope"], "private");
        assert_eq!(result["ttlMs"], 0);
        let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert_eq!(info["name"], "home-assistant");
    }
    let params = envelope(json!({"name": "llm__GetDateTime"}));
    let called = &send_modern("tools/call", &params)["result"];
    assert_eq!(called["isError"], false);
    assert!(called.get("ttlMs").is_none());
}
