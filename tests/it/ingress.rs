//! The second listener behind Home Assistant's ingress: one peer, which says who comes.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use reqwest::RequestBuilder;

use crate::support::Bridge;
use crate::support::bridge::send;
use crate::support::supervisor;

/// A bridge under a Supervisor, with these arguments, whose ingress has this address.
async fn bridge(args: &[&str], ingress_peer: Option<&str>) -> Bridge {
    let mut environment = vec![("SUPERVISOR_TOKEN", supervisor::TOKEN)];
    environment.extend(ingress_peer.map(|peer| ("MCP_BRIDGE__INGRESS_PEER", peer)));
    Bridge::start_with(&[&["--demo"], args].concat(), &environment).await
}

fn as_anna(request: RequestBuilder) -> RequestBuilder {
    request
        .header("x-remote-user-id", "0a1b2c")
        .header("x-remote-user-name", "anna")
        .header("x-remote-user-display-name", "Änna".as_bytes())
        .header("x-ingress-path", "/api/hassio_ingress/session")
        // The browser's own, as the ingress passes them on.
        .header("host", "home.example.org")
        .header("x-forwarded-host", "home.example.org")
        .header("origin", "https://home.example.org")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_through_the_ingress_needs_no_token_and_is_named_in_the_log() {
    let bridge = bridge(&[], Some("127.0.0.1")).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| format!("http://{}{path}", bridge.admin);
    let status = send(as_anna(client.get(url("/api/status")))).await;
    assert_eq!(status.json()["state"], "running");
    let pause = || as_anna(client.post(url("/api/queue/pause")));
    let not_of_the_page = send(pause()).await;
    assert_eq!(
        (not_of_the_page.status, not_of_the_page.code()),
        (403, "change_refused".to_owned())
    );
    let of_the_page = send(pause().header("x-mcp-bridge-page", "1")).await;
    assert_eq!(of_the_page.status, 200);
    let logged = bridge.whole_log().join("\n");
    assert!(logged.contains(r#""by":"Änna""#), "{logged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_gets_nothing_done_through_the_ingress() {
    let bridge = bridge(&[], Some("127.0.0.1")).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let pause = client.post(format!("http://{}/api/queue/pause", bridge.admin));
    let foreign = pause
        .header("x-mcp-bridge-page", "1")
        .header("x-forwarded-host", "home.example.org")
        .header("origin", "https://elsewhere.example.org");
    let refused = send(foreign).await;
    assert_eq!(
        (refused.status, refused.code()),
        (403, "origin_refused".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_ingress_gets_a_byte_of_the_page() {
    let bridge = bridge(&[], None).await;
    let mut stranger = TcpStream::connect(bridge.admin).unwrap();
    let mut answer = Vec::new();
    // Closed at once, without a question: nothing was sent.
    tokio::task::block_in_place(|| stranger.read_to_end(&mut answer)).unwrap();
    assert_eq!(answer, b"");
    assert_eq!(bridge.status().await["state"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ingress_is_known_on_a_socket_for_both_families() {
    let bridge = bridge(&["--admin-listen", "[::]:0"], Some("127.0.0.1")).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, bridge.admin.port()));
    let status = send(as_anna(client.get(format!("http://{admin}/api/status")))).await;
    assert_eq!(status.json()["state"], "running");
    let mut stranger = TcpStream::connect(("::1", admin.port())).unwrap();
    let mut answer = Vec::new();
    tokio::task::block_in_place(|| stranger.read_to_end(&mut answer)).unwrap();
    assert_eq!(answer, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headers_of_the_ingress_mean_nothing_elsewhere() {
    let bridge = Bridge::start(&["--demo"]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (address, path, code) in [
        (bridge.admin, "/api/status", "admin_token_missing"),
        (bridge.lan, "/mcp/status", "token_missing"),
    ] {
        let request = client.get(format!("http://{address}{path}"));
        let forged = send(request.header("x-remote-user-id", "0a1b2c")).await;
        assert_eq!((forged.status, forged.code().as_str()), (401, code));
    }
}
