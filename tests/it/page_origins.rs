//! Web pages of other origins that use the bridge, in a real Chromium (CORS).

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::page_visits::browse;
use crate::support::bridge::{Bridge, house, send_for_token};

/// Serves a page that does nothing by itself; gives its origin.
async fn page() -> String {
    let page = Html("<!doctype html><link rel=icon href=data:,><title>A page</title>");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async move || page));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_listed_origin_uses_the_bridge_and_no_other_does() {
    let house = house().await;
    let (listed, foreign) = (page().await, page().await);
    let allowed = [("MCP_BRIDGE__ACCESS__ALLOWED_ORIGINS", listed.as_str())];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &allowed).await;
    // Even a client whose token may stand in an address is safe from foreign pages.
    let made = bridge.admin_request(http::Method::POST, "/api/clients");
    let made = made.header("content-type", "application/json");
    let made = send_for_token(made.body(r#"{"name": "page", "terms": {"path_token": true}}"#));
    let token = made.await.json()["token"].as_str().unwrap().to_owned();
    let environment = [
        ("TOKEN", token.as_str()),
        ("LISTED", &listed),
        ("FOREIGN", &foreign),
    ];
    browse(&bridge, "origins.mjs", &[], &environment).await;
    let executed = house.executed();
    assert_eq!(executed.len(), 1, "{executed:?}");
}
