//! Tokens and sources: who gets in, and what the others are told.

use serde_json::json;

use crate::support::bridge::{Bridge, house, send};

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_with_a_token_has_its_own_answer() {
    let house = house().await;
    let patient = [("MCP_BRIDGE__LIMITS__WRONG_TOKENS", "1000")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &patient).await;
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

/// A client in the network at one of the addresses of this machine.
fn at(address: [u8; 4]) -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    let client = client.local_address(std::net::IpAddr::from(address));
    client.build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_sends_too_many_wrong_tokens_is_told_to_wait() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let stranger = Bridge::before(&house).await.token.clone();
    let post = |client: &reqwest::Client, path: &str, token: &str| {
        let request = client.post(bridge.url(path)).body("{}");
        send(request.header("x-api-key", token.to_owned()))
    };
    let (client, other) = (at([127, 0, 0, 2]), at([127, 0, 0, 3]));
    for _ in 0..20 {
        let reply = post(&client, "/mcp", &stranger).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (401, "token_unknown")
        );
    }
    for path in ["/mcp", "/mcp/tools/list", "/mcp/batch"] {
        let reply = post(&client, path, &stranger).await;
        let told = (reply.status, reply.code());
        assert_eq!(told, (429, "too_many_wrong_tokens".to_owned()), "{path}");
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=900).contains(&wait), "{wait}");
    }
    assert_eq!(post(&other, "/mcp", &stranger).await.status, 401);
    assert_eq!(
        post(&client, "/mcp/tools/list", &bridge.token).await.status,
        415
    );
    let log = bridge.whole_log();
    let warnings = log
        .iter()
        .filter(|line| line.contains("too many wrong tokens"));
    assert_eq!(warnings.count(), 1, "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_come_from_allowed_networks_only_and_trusted_proxies_say_from_where() {
    let house = house().await;
    let proxied = [
        ("MCP_BRIDGE__ACCESS__NETWORKS", "10.0.0.0/8,127.0.0.4"),
        ("MCP_BRIDGE__ACCESS__TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &proxied).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for (address, forwarded, status) in [
        ([127, 0, 0, 1], None, 403),
        ([127, 0, 0, 1], Some("10.1.2.3"), 200),
        ([127, 0, 0, 1], Some("10.1.2.3, 203.0.113.5"), 403),
        ([127, 0, 0, 1], Some("nonsense"), 403),
        ([127, 0, 0, 4], None, 200),
        ([127, 0, 0, 4], Some("203.0.113.5"), 200),
        ([127, 0, 0, 5], Some("10.1.2.3"), 403),
    ] {
        let client = at(address);
        let with = |request: reqwest::RequestBuilder| match forwarded {
            Some(hops) => request.header("x-forwarded-for", hops),
            None => request,
        };
        for path in ["/mcp", "/mcp/ping", "/mcp/tools/list"] {
            let request = client.post(bridge.url(path)).bearer_auth(&bridge.token);
            let request = request.header("content-type", "application/json");
            let body = if path == "/mcp" {
                ping.to_string()
            } else {
                "{}".to_owned()
            };
            let reply = send(with(request.body(body))).await;
            assert_eq!(reply.status, status, "{address:?} {forwarded:?}: {reply:?}");
            if status == 403 {
                assert_eq!(reply.code(), "network_refused");
            }
        }
        for path in ["/mcp", "/nowhere"] {
            let reply = send(with(client.get(bridge.url(path)))).await;
            assert_eq!(reply.status == 403, status == 403, "{path}: {reply:?}");
        }
        let health = client.get(bridge.url("/health/live"));
        assert_eq!(send(with(health)).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_be_bound_to_networks() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let made = [
        "token",
        "create",
        "n8n",
        "--network",
        "127.0.0.7",
        "--network",
        "10.0.0.0/8",
    ];
    let made = bridge.command(&made);
    let token = made.lines().last().unwrap();
    bridge.until(|status| status["clients"] == 2).await;
    for (address, status) in [([127, 0, 0, 7], 200), ([127, 0, 0, 8], 403)] {
        let request = at(address)
            .post(bridge.url("/mcp/tools/list"))
            .bearer_auth(token);
        let reply = send(request).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(status == 200 || reply.code() == "client_network_refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_stand_in_the_address_where_its_client_allows_it() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let made = bridge.command(&["token", "create", "old client", "--path-token"]);
    let token = made.lines().last().unwrap();
    bridge.until(|status| status["clients"] == 2).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = |token: &str, path: &str, body: &'static str| {
        let request = client.post(bridge.url(&format!("/c/{token}{path}")));
        send(
            request
                .header("content-type", "application/json")
                .body(body),
        )
    };
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(post(token, "/mcp", ping).await.result(), json!({}));
    assert_eq!(post(token, "/mcp/ping", "{}").await.json(), json!({}));
    for (token, path, told) in [
        (bridge.token.as_str(), "/mcp", (401, "token_in_address")),
        ("mcpb_x", "/mcp", (401, "token_malformed")),
        (token, "/nowhere", (404, "not_found")),
    ] {
        let reply = post(token, path, ping).await;
        assert_eq!((reply.status, reply.code().as_str()), told);
        assert!(!reply.text.contains(token), "{reply:?}");
    }
    let (own, token) = (bridge.token.clone(), token.to_owned());
    let log = bridge.whole_log().join("\n");
    assert!(!log.contains(&own) && !log.contains(&token), "{log}");
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

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_clients_says_when_each_was_last_there() {
    let house = house().await;
    let mut bridge = Bridge::before(&house).await;
    bridge.command(&["token", "create", "n8n"]);
    let line = |bridge: &Bridge, name: &str| {
        let list = bridge.command(&["token", "list"]);
        let line = list.lines().find(|line| line.starts_with(name));
        line.unwrap().to_owned()
    };
    assert!(line(&bridge, "default").contains("never seen"));
    bridge.rpc("ping", json!({})).await.result();
    bridge.signal("TERM");
    assert!(bridge.wait().success());
    assert!(line(&bridge, "default").contains("seen 20"));
    assert!(line(&bridge, "n8n").contains("never seen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_replaced_while_the_old_one_goes_on() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let last = |said: String| said.lines().last().unwrap().to_owned();
    let old = last(bridge.command(&["token", "create", "n8n"]));
    let new = last(bridge.command(&["token", "rotate", "n8n"]));
    bridge.until(|status| status["clients"] == 2).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let told = |token: &str| {
        let request = client.post(bridge.url("/mcp/tools/list"));
        let reply = send(request.header("x-api-key", token.to_owned()));
        async { reply.await.status }
    };
    assert_eq!((told(&old).await, told(&new).await), (200, 200));
    let newest = last(bridge.command(&["token", "rotate", "n8n", "--overlap", "0"]));
    while told(&newest).await != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_ne!(told(&old).await, 200);
    assert_ne!(told(&new).await, 200);
    bridge.command(&["token", "disable", "n8n"]);
    bridge.until(|status| status["clients"] == 1).await;
    assert_ne!(told(&newest).await, 200);
    bridge.command(&["token", "enable", "n8n"]);
    bridge.until(|status| status["clients"] == 2).await;
    assert_eq!(told(&newest).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_a_rate_are_told_when_to_come_again_and_lists_are_not_counted() {
    let house = house().await;
    let rates = [
        ("MCP_BRIDGE__LIMITS__CALLS", "5/h"),
        ("MCP_BRIDGE__LIMITS__CALLS_PER_CLIENT", "4/h"),
        (
            "MCP_BRIDGE__LIMITS__CALLS_PER_TOOL",
            "{\"*DateTime\"=\"1/h\"}",
        ),
    ];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &rates).await;
    let made = bridge.command(&["token", "create", "n8n", "--rate", "2/h"]);
    let n8n = made.lines().last().unwrap();
    bridge.until(|status| status["clients"] == 2).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = |token: &str, tool: &str| {
        let body = json!({"name": tool, "arguments": {"name": "Nothing"}});
        let request = client
            .post(bridge.url("/mcp/tools/call"))
            .bearer_auth(token);
        let request = request.header("content-type", "application/json");
        send(request.body(body.to_string()))
    };
    let limited = |reply: &crate::support::bridge::Reply, scope: &str| {
        assert_eq!((reply.status, reply.code().as_str()), (429, "rate_limited"));
        assert!(reply.text.contains(scope), "{reply:?}");
        let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=3600).contains(&after));
        assert!(reply.header("ratelimit").unwrap().contains(";r=0;"));
    };
    let reply = call(&bridge.token, "llm__GetDateTime").await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("ratelimit-policy"),
        Some("\"calls\";q=1;w=3600")
    );
    limited(&call(&bridge.token, "llm__GetDateTime").await, "such tools");
    for _ in 0..2 {
        assert_eq!(call(n8n, "intent__HassTurnOn").await.status, 200);
    }
    limited(
        &call(n8n, "intent__HassTurnOn").await,
        "2/h for this client",
    );
    for _ in 0..20 {
        assert_eq!(bridge.rpc("tools/list", json!({})).await.status, 200);
        assert_eq!(bridge.rpc("ping", json!({})).await.status, 200);
        let list = send(bridge.post("/mcp/tools/list", "{}")).await;
        assert_eq!((list.status, list.header("ratelimit")), (200, None));
    }
    for _ in 0..2 {
        let reply = bridge
            .call("intent__HassTurnOn", json!({"name": "Nothing"}))
            .await;
        assert!(!reply.text.contains("rate_limited"), "{reply:?}");
    }
    // The whole is used up, one call before the client's own rate is.
    let reply = bridge
        .call("intent__HassTurnOn", json!({"name": "Nothing"}))
        .await;
    assert_eq!((reply.status, reply.code().as_str()), (200, "rate_limited"));
    let result = reply.result();
    assert_eq!(result["isError"], true);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("all clients together") && text.contains("wait"),
        "{text}"
    );
    assert!(text.contains("Nothing was changed."), "{text}");
    let reply = bridge.rpc("prompts/get", json!({"name": "Assist"})).await;
    assert_eq!((reply.status, reply.code().as_str()), (200, "rate_limited"));
}
