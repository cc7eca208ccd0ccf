//! The second listener behind Home Assistant's ingress: one peer, which says who comes.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use crate::support::Bridge;
use crate::support::bridge::send;
use crate::support::supervisor;
use crate::support::supervisor::ingress::{Ingress, User};

const ANNA: User = User {
    id: "0a1b2c",
    name: "anna",
    display_name: "Änna",
};

/// A bridge under a Supervisor, with these arguments, whose ingress has this address.
async fn bridge(args: &[&str], ingress_peer: Option<&str>) -> Bridge {
    let mut environment = vec![("SUPERVISOR_TOKEN", supervisor::TOKEN)];
    environment.extend(ingress_peer.map(|peer| ("MCP_BRIDGE__INGRESS_PEER", peer)));
    Bridge::start_with(&[&["--demo"], args].concat(), &environment).await
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_through_the_ingress_needs_no_token_and_is_named_in_the_log() {
    let bridge = bridge(&[], Some("127.0.0.1")).await;
    let ingress = Ingress::start(bridge.admin, ANNA).await;
    let at = |path: &str| format!("{}{path}", ingress.url);
    // As a browser does that has Home Assistant open under a public name.
    let as_browser = |request: reqwest::RequestBuilder| {
        request
            .header("host", "home.example.org")
            .header("origin", "https://home.example.org")
            .header("x-remote-user-display-name", "somebody else")
    };
    let status = send(as_browser(client().get(at("api/status")))).await;
    assert_eq!(status.json()["state"], "running");
    let pause = || as_browser(client().post(at("api/queue/pause")));
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
    let ingress = Ingress::start(bridge.admin, ANNA).await;
    let pause = client().post(format!("{}api/queue/pause", ingress.url));
    let foreign = pause
        .header("x-mcp-bridge-page", "1")
        .header("host", "home.example.org")
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
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, bridge.admin.port()));
    let ingress = Ingress::start(admin, ANNA).await;
    let status = send(client().get(format!("{}api/status", ingress.url))).await;
    assert_eq!(status.json()["state"], "running");
    let mut stranger = TcpStream::connect(("::1", admin.port())).unwrap();
    let mut answer = Vec::new();
    tokio::task::block_in_place(|| stranger.read_to_end(&mut answer)).unwrap();
    assert_eq!(answer, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headers_of_the_ingress_mean_nothing_elsewhere() {
    let bridge = Bridge::start(&["--demo"]).await;
    for (address, path, code) in [
        (bridge.admin, "/api/status", "admin_token_missing"),
        (bridge.lan, "/mcp/status", "token_missing"),
    ] {
        let request = client().get(format!("http://{address}{path}"));
        let forged = send(request.header("x-remote-user-id", "0a1b2c")).await;
        assert_eq!((forged.status, forged.code().as_str()), (401, code));
    }
}
