//! Home Assistant behind TLS, with a certificate that nobody vouches for.

use std::sync::Arc;

use mcp_bridge::demo::DemoHouse;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::Bridge;
use crate::support::bridge::house;

/// Puts TLS in front of a house; gives its address.
async fn behind_tls(house: &DemoHouse) -> String {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.into()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = house.url().replace(
        &format!("http://{}", house.address()),
        &format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        ),
    );
    let house = house.address();
    tokio::spawn(async move {
        while let Ok((outside, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut outside = acceptor.accept(outside).await?;
                let mut inside = TcpStream::connect(house).await?;
                copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_told_at_once_with_its_cure() {
    let house = house().await;
    let url = behind_tls(&house).await;
    let bridge = Bridge::start(&["--upstream", &url]).await;
    let call = bridge.call("llm__GetDateTime", json!({})).await;
    assert_eq!(call.code(), "home_assistant_not_trusted", "{call:?}");
    assert!(call.text.contains("certificate"), "{call:?}");
    assert!(call.text.contains("Nothing was changed."), "{call:?}");
    let status = bridge.status().await;
    let trouble = &status["upstream"]["trouble"];
    assert!(
        trouble["fix"]
            .as_str()
            .unwrap()
            .contains("upstream_verify_tls"),
        "{trouble}"
    );
    assert_eq!(status["calls"]["queue"]["breaker"]["state"], "closed");
    assert_eq!(house.requests(), 0);

    let trusting = [("MCP_BRIDGE__UPSTREAM_VERIFY_TLS", "false")];
    let bridge = Bridge::start_with(&["--upstream", &url], &trusting).await;
    let call = bridge.call("llm__GetDateTime", json!({})).await;
    assert_eq!(call.result()["isError"], false, "{call:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn https_where_only_http_is_spoken_is_told_as_such() {
    let house = house().await;
    let url = house.url().replace("http://", "https://");
    let bridge = Bridge::start(&["--upstream", &url]).await;
    let call = bridge.call("llm__GetDateTime", json!({})).await;
    assert_eq!(call.code(), "home_assistant_not_trusted", "{call:?}");
}
