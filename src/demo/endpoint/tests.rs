//! Statuses, texts, tokens, latency and sessions, over a real socket.

use serde_json::json;

use super::super::client::{USUAL, house, house_with, http, open, post, rpc, send, turn_on, until};
use super::super::fault::Fault;
use super::*;

#[tokio::test]
async fn a_call_is_answered_as_home_assistant_answers_it() {
    let house = house().await;
    let answer = send(&house, &post(&turn_on(1))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        "application/json; charset=utf-8"
    );
    assert_eq!(
        answer.text(),
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": {\"content\": [{\"text\": \"{\\\"speech\\\": {}, \
         \\\"response_type\\\": \\\"action_done\\\", \\\"data\\\": {\\\"success\\\": [{\\\"name\\\": \\\"Printer\\\", \
         \\\"type\\\": \\\"entity\\\", \\\"id\\\": \\\"switch.printer\\\"}], \\\"failed\\\": []}}\", \
         \"type\": \"text\"}], \"isError\": false}}"
    );
    let executed = house.executed();
    assert_eq!(executed.len(), 1);
    assert_eq!(executed[0].tool, "intent__HassTurnOn");
    assert_eq!(executed[0].arguments, json!({"name": "Printer"}));
    assert!(!executed[0].is_error && executed[0].started <= executed[0].finished);
}

#[tokio::test]
async fn the_newest_request_can_be_looked_at() {
    let house = house().await;
    assert!(house.last_request().is_none());
    let headers = format!("{USUAL}X-Trace: abc\r\n");
    send(
        &house,
        &http("POST", PATH, &headers, "{\"jsonrpc\": \"2.0\"}"),
    )
    .await;
    let seen = house.last_request().unwrap();
    assert_eq!(seen.header("x-trace"), Some("abc"));
    assert_eq!(seen.body, "{\"jsonrpc\": \"2.0\"}");
    assert_eq!(
        (house.requests(), house.in_flight(), house.peak_in_flight()),
        (1, 0, 1)
    );
}

#[tokio::test]
async fn what_home_assistant_refuses_is_refused_in_its_words() {
    let house = house().await;
    let ping = rpc(1, "ping", &json!({})).to_string();
    let json_only = "Content-Type: application/json\r\n";
    let cases = [
        (
            http("POST", "/api/mcp/", USUAL, &ping),
            404,
            "404: Not Found",
        ),
        (http("GET", "/", "", ""), 404, "404: Not Found"),
        (http("GET", PATH, "", ""), 405, "405: Method Not Allowed"),
        (http("DELETE", PATH, "", ""), 405, "405: Method Not Allowed"),
        (
            http("PUT", PATH, USUAL, &ping),
            405,
            "405: Method Not Allowed",
        ),
        (http("HEAD", PATH, "", ""), 405, ""),
        (
            http("OPTIONS", PATH, "Origin: http://x\r\n", ""),
            403,
            "CORS preflight request failed: origin 'http://x' is not allowed",
        ),
        (
            http("POST", PATH, json_only, &ping),
            400,
            "Client must accept application/json",
        ),
        (
            http("POST", PATH, &format!("{json_only}Accept: */*\r\n"), &ping),
            400,
            "Client must accept application/json",
        ),
        (
            http(
                "POST",
                PATH,
                "Accept: application/json\r\nContent-Type: text/plain\r\n",
                &ping,
            ),
            400,
            "Content-Type must be application/json",
        ),
        (
            http("POST", PATH, USUAL, &format!("[{ping}]")),
            400,
            "Request must be a JSON-RPC message",
        ),
        (
            http("POST", PATH, USUAL, "{nonsense"),
            400,
            "Request must be a JSON-RPC message",
        ),
        (
            http(
                "POST",
                PATH,
                USUAL,
                r#"{"jsonrpc":"2.0","method":"notifications/x"}"#,
            ),
            202,
            "",
        ),
    ];
    for (request, status, body) in cases {
        let answer = send(&house, &request).await;
        assert_eq!((answer.status, answer.text()), (status, body), "{request}");
        let allow = if status == 405 { "OPTIONS,POST" } else { "" };
        assert_eq!(answer.header("allow"), allow, "{request}");
    }
}

#[tokio::test]
async fn a_body_beyond_16_mib_is_refused() {
    let house = house().await;
    let body = " ".repeat(MOST_BYTES + 1);
    let answer = send(&house, &http("POST", PATH, USUAL, &body)).await;
    let text = "Maximum request body size 16777216 exceeded.";
    assert_eq!((answer.status, answer.text()), (413, text));
    assert_eq!(house.requests(), 0);
}

#[tokio::test]
async fn the_token_is_asked_for_when_one_is_set() {
    let token = Some("secret".to_owned());
    let house = house_with(Settings {
        token,
        ..Settings::default()
    })
    .await;
    let ping = rpc(1, "ping", &json!({})).to_string();
    for wrong in [
        "",
        "Authorization: Bearer nonsense\r\n",
        "Authorization: bearer secret\r\n",
    ] {
        let answer = send(
            &house,
            &http("POST", PATH, &format!("{USUAL}{wrong}"), &ping),
        )
        .await;
        assert_eq!(
            (answer.status, answer.text()),
            (401, "401: Unauthorized"),
            "{wrong}"
        );
        let metadata =
            "Bearer resource_metadata=\"http://house/.well-known/oauth-protected-resource\"";
        assert_eq!(answer.header("www-authenticate"), metadata);
    }
    let right = format!("{USUAL}Authorization: Bearer secret\r\n");
    assert_eq!(
        send(&house, &http("POST", PATH, &right, &ping))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn latency_grows_with_the_load_but_a_ping_is_free() {
    let house = house_with(Settings {
        latency_per_concurrent: Duration::from_hours(1),
        ..Settings::default()
    })
    .await;
    house.fail_next(Fault::Hang, 1);
    let _alone = open(&house, &post(&turn_on(1))).await;
    until(&house, |house| house.in_flight() == 1).await;
    let _second = open(&house, &post(&turn_on(2))).await;
    until(&house, |house| house.in_flight() == 2).await;
    assert_eq!(
        send(&house, &post(&rpc(3, "ping", &json!({}))))
            .await
            .status,
        200
    );
    assert!(house.executed().is_empty());
}

#[tokio::test]
async fn one_worker_does_one_thing_after_the_other() {
    let service_time = Duration::from_millis(20);
    let house = house_with(Settings {
        service_time,
        workers: 1,
        ..Settings::default()
    })
    .await;
    let posts = [1, 2].map(|id| post(&turn_on(id)));
    let (first, second) = tokio::join!(send(&house, &posts[0]), send(&house, &posts[1]));
    assert_eq!((first.status, second.status), (200, 200));
    let executed = house.executed();
    assert!(executed[1].finished - executed[0].finished >= service_time);
}

#[tokio::test]
async fn a_stateful_house_issues_sessions_and_insists_on_them() {
    let house = house_with(Settings {
        sessions: true,
        ..Settings::default()
    })
    .await;
    let info = json!({"name": "probe", "version": "0"});
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info});
    let opened = send(&house, &post(&rpc(1, "initialize", &params))).await;
    let id = opened.header("mcp-session-id").to_owned();
    assert_eq!(house.open_sessions(), 1);
    let headers = format!("{USUAL}Mcp-Session-Id: {id}\r\n");
    let ping = rpc(2, "ping", &json!({})).to_string();
    let inside = http("POST", PATH, &headers, &ping);
    assert_eq!(send(&house, &inside).await.status, 200);
    assert_eq!(
        send(&house, &http("POST", PATH, USUAL, &ping)).await.status,
        400
    );
    house.forget_sessions();
    assert_eq!(send(&house, &inside).await.status, 404);
}

#[tokio::test]
async fn a_session_ends_when_it_is_deleted() {
    let house = house_with(Settings {
        sessions: true,
        ..Settings::default()
    })
    .await;
    let info = json!({"name": "probe", "version": "0"});
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info});
    let opened = send(&house, &post(&rpc(1, "initialize", &params))).await;
    let header = format!("Mcp-Session-Id: {}\r\n", opened.header("mcp-session-id"));
    assert_eq!(
        send(&house, &http("DELETE", PATH, &header, ""))
            .await
            .status,
        200
    );
    assert_eq!(
        send(&house, &http("DELETE", PATH, &header, ""))
            .await
            .status,
        404
    );
    assert_eq!(house.open_sessions(), 0);
}
