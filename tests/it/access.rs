//! Tokens and sources: who gets in, and what the others are told.

use serde_json::json;

use crate::support::bridge::{Bridge, house, send};

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_with_a_token_has_its_own_answer() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let stranger = Bridge::before(&house).await.token.clone();
    let bearer = |token: &str| Some(("authorization", format!("Bearer {token}")));
    let cut = &bridge.token[..bridge.token.len() - 1];
    for (header, code) in [
        (None, "token_missing"),
        (
            Some(("authorization", bridge.token.clone())),
            "token_without_bearer",
        ),
        (
            Some(("authorization", "Basic dTpw".to_owned())),
            "token_without_bearer",
        ),
        (
            bearer("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x"),
            "token_of_home_assistant",
        ),
        (bearer(cut), "token_malformed"),
        (bearer(&stranger), "token_unknown"),
        (Some(("x-api-key", stranger.clone())), "token_unknown"),
    ] {
        for path in ["/mcp", "/mcp/tools/list", "/api/mcp"] {
            let mut request = client.post(bridge.url(path)).body("{}");
            if let Some((name, value)) = &header {
                request = request.header(*name, value);
            }
            let reply = send(request).await;
            assert_eq!((reply.status, reply.code().as_str()), (401, code), "{path}");
            assert_eq!(reply.header("www-authenticate"), None);
            assert!(!reply.text.contains(&stranger));
        }
        let mut status = client.get(bridge.url("/mcp/status"));
        if let Some((name, value)) = &header {
            status = status.header(*name, value);
        }
        assert_eq!(send(status).await.code(), code);
    }
    assert_eq!(house.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_there_twice_with_different_values_is_refused() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = bridge.token.as_str();
    let bearer = format!("Bearer {token}");
    let old = ["2025-06-18", "2025-11-25"];
    for (name, values, status) in [
        ("authorization", [bearer.as_str(), "Bearer mcpb_x"], 401),
        ("authorization", [&bearer, &bearer], 200),
        ("x-api-key", [token, "mcpb_x"], 401),
        ("x-api-key", [token, token], 200),
        ("mcp-protocol-version", old, 400),
        ("mcp-protocol-version", [old[1], old[1]], 200),
        ("idempotency-key", ["a", "b"], 400),
    ] {
        for (path, body) in [
            ("/mcp", r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
            ("/mcp/ping", "{}"),
        ] {
            let mut request = client.post(bridge.url(path)).body(body);
            request = request.header("content-type", "application/json");
            for value in values {
                request = request.header(name, value);
            }
            if !matches!(name, "authorization" | "x-api-key") {
                request = request.bearer_auth(token);
            }
            let reply = send(request).await;
            assert_eq!(reply.status, status, "{path} {name}: {reply:?}");
            if status != 200 {
                assert!(reply.text.contains(name), "{reply:?}");
                assert!(!reply.text.contains(token));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_made_or_revoked_on_the_command_line_counts_in_the_running_bridge() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let made = bridge.command(&["token", "create", "LM Studio"]);
    let token = made.lines().last().unwrap().to_owned();
    bridge.until(|status| status["clients"] == 2).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let list = || {
        send(
            client
                .post(bridge.url("/mcp/tools/list"))
                .header("x-api-key", &token),
        )
    };
    assert_eq!(list().await.status, 200);
    assert!(bridge.command(&["token", "list"]).contains("LM Studio"));
    bridge.command(&["token", "revoke", "LM Studio"]);
    bridge.until(|status| status["clients"] == 1).await;
    let reply = list().await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (401, "token_revoked")
    );
    assert!(bridge.command(&["token", "list"]).contains("revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_token_outlives_a_restart_and_is_shown_by_one_command_only() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    assert_eq!(
        bridge.command(&["token", "show"]).lines().last(),
        Some(bridge.token.as_str())
    );
    assert!(!bridge.command(&["token", "list"]).contains(&bridge.token));
    assert!(!bridge.whole_log().join("\n").contains(&bridge.token));
    let data = tempfile::tempdir().unwrap();
    for file in ["clients.json", "first-token"] {
        std::fs::copy(bridge.data().join(file), data.path().join(file)).unwrap();
    }
    let again = Bridge::start_in(data, &["--upstream", &house.url()], &[]).await;
    assert_eq!(again.token, bridge.token);
    assert_eq!(again.rpc("ping", json!({})).await.result(), json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_strangers_are_refused_by_host_and_by_origin() {
    let house = house().await;
    let allowed = [
        ("MCP_BRIDGE__ACCESS__ALLOWED_HOSTS", "[bridge.example.org]"),
        (
            "MCP_BRIDGE__ACCESS__ALLOWED_ORIGINS",
            "[\"https://chat.example.org\"]",
        ),
    ];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &allowed).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let own = format!("http://{}", bridge.lan);
    for (name, value, status) in [
        ("host", "evil.example", 403),
        ("host", "evil.example:8124", 403),
        ("host", "bridge.example.org", 200),
        ("host", "homeassistant.local:8124", 200),
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("origin", "https://chat.example.org", 200),
        ("origin", &own, 200),
    ] {
        let reply = send(bridge.post("/mcp", &ping).header(name, value)).await;
        assert_eq!(reply.status, status, "{name}: {value}: {reply:?}");
    }
    let request = bridge
        .request(http::Method::GET, "/mcp/status")
        .header("origin", "null");
    assert_eq!(send(request).await.code(), "origin_refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_listed_origins_may_read_the_answers_and_nobody_else() {
    let house = house().await;
    let page = "https://chat.example.org";
    let allowed = [(
        "MCP_BRIDGE__ACCESS__ALLOWED_ORIGINS",
        "[\"https://chat.example.org/\"]",
    )];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &allowed).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let own = format!("http://{}", bridge.lan);
    let allow_origin = "access-control-allow-origin";
    // The browser asks first, without a token.
    for path in ["/mcp", "/mcp/tools/call", "/mcp/status", "/mcp/batch"] {
        let ask = |origin: &str| {
            let request = client.request(http::Method::OPTIONS, bridge.url(path));
            request
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization")
        };
        let reply = send(ask(page)).await;
        assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{path}");
        assert_eq!(reply.header(allow_origin), Some(page));
        assert_eq!(reply.header("vary"), Some("Origin"));
        assert!(reply.header("access-control-max-age").is_some());
        assert_eq!(reply.header("access-control-allow-credentials"), None);
        let methods = reply.header("access-control-allow-methods").unwrap();
        assert!(methods.contains("POST") && methods.contains("DELETE"));
        let headers = reply.header("access-control-allow-headers").unwrap();
        for name in ["Authorization", "X-API-Key", "MCP-Protocol-Version"] {
            assert!(headers.split(", ").any(|h| h == name), "{headers}");
        }
        for (origin, status) in [("https://evil.example", 403), ("null", 403), (&own, 405)] {
            let reply = send(ask(origin)).await;
            assert_eq!(reply.status, status, "{path} {origin}: {reply:?}");
            assert_eq!(reply.header(allow_origin), None);
        }
        let rebound = send(ask(page).header("host", "evil.example")).await;
        assert_eq!((rebound.status, rebound.header(allow_origin)), (403, None));
    }
    // Then it sends, and shows the page the answer, also a refusal.
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for (request, status) in [
        (bridge.post("/mcp", &ping), 200),
        (bridge.post("/mcp", "{"), 400),
        (client.post(bridge.url("/mcp")), 401),
        (bridge.request(http::Method::GET, "/mcp"), 405),
        (bridge.post("/mcp/ping", "{}"), 200),
    ] {
        let reply = send(request.header("origin", page)).await;
        assert_eq!(
            (reply.status, reply.header(allow_origin)),
            (status, Some(page))
        );
        let exposed = reply.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("Retry-After") && exposed.contains("Mcp-Session-Id"));
    }
    let reply = send(bridge.post("/mcp", &ping).header("origin", "null")).await;
    assert_eq!((reply.status, reply.header(allow_origin)), (403, None));
    let reply = send(bridge.post("/mcp", &ping)).await;
    assert_eq!((reply.status, reply.header(allow_origin)), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_front_door_lets_everybody_in_and_says_so() {
    let house = house().await;
    let open = [("MCP_BRIDGE__ACCESS__LEAVE_FRONT_DOOR_OPEN", "true")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &open).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let reply = send(client.get(bridge.url("/mcp/status"))).await;
    assert_eq!(
        (reply.status, &reply.json()["front_door_open"]),
        (200, &json!(true))
    );
    let reply = send(client.post(bridge.url("/mcp/ping"))).await;
    assert_eq!(reply.status, 200);
    let reply = send(client.post(bridge.url("/mcp/ping")).bearer_auth("wrong")).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (401, "token_malformed")
    );
    let closed = Bridge::before(&house).await;
    assert_eq!(closed.status().await["front_door_open"], false);
    let warned = |line: &String| line.contains("WARN") && line.contains("front door is open");
    assert!(bridge.whole_log().iter().any(warned));
}
