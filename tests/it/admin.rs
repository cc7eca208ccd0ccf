//! The listener for operators: who may see and change the bridge.

use crate::support::bridge::{Bridge, house, send};

/// A client without any token.
fn stranger() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_the_admin_token_not_even_a_client_on_the_same_machine() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let url = format!("http://{}/api/status", bridge.admin);
    for (token, code) in [
        (None, "admin_token_missing"),
        (Some(bridge.token.as_str()), "admin_token_wrong"),
        (Some(""), "admin_token_wrong"),
    ] {
        let request = token.map_or_else(
            || stranger().get(&url),
            |token| stranger().get(&url).bearer_auth(token),
        );
        let reply = send(request).await;
        assert_eq!((reply.status, reply.code().as_str()), (401, code));
        assert_eq!(
            reply.header("www-authenticate"),
            None,
            "no pop-up of the browser"
        );
    }
    let mut request = stranger()
        .get(&url)
        .header("x-api-key", &bridge.admin_token);
    assert_eq!(send(request).await.status, 200);
    request = stranger().post(format!("http://{}/api/queue/pause", bridge.admin));
    assert_eq!(send(request).await.status, 401);
    let printed = bridge.command(&["token", "admin"]);
    assert_eq!(printed.lines().last(), Some(bridge.admin_token.as_str()));
    assert!(!bridge.whole_log().join("\n").contains(&bridge.admin_token));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_token_can_lie_in_a_file_and_must_not_be_short() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "correct horse battery staple\n").unwrap();
    let path = file.to_str().unwrap();
    let house = house().await;
    let own = [("MCP_BRIDGE__ADMIN_TOKEN_FILE", path)];
    // The harness reads the kept one, which has no use then.
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("admin-token"), "unused").unwrap();
    let bridge = Bridge::start_in(data, &["--upstream", &house.url()], &own).await;
    let ask = |token: &str| {
        let url = format!("http://{}/api/status", bridge.admin);
        send(stranger().get(url).bearer_auth(token))
    };
    assert_eq!(ask("correct horse battery staple").await.status, 200);
    assert_eq!(ask("unused").await.status, 401);
    std::fs::write(&file, "short").unwrap();
    let check = crate::support::bridge::program(["check", "--demo", "--data", "/nowhere"])
        .env("MCP_BRIDGE__ADMIN_TOKEN_FILE", path)
        .output()
        .unwrap();
    let words = String::from_utf8([check.stdout, check.stderr].concat()).unwrap();
    assert!(words.contains("at least 16 characters"), "{words}");
    assert!(!words.contains("short"), "{words}");
}
