//! Compressed answers: for those who ask, where it is worth it, and never for streams.

use http::Method;
use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::bridge::house;

/// An answer as it came over the wire.
async fn raw(request: reqwest::RequestBuilder) -> (Option<String>, Vec<u8>) {
    let reply = request.send().await.unwrap();
    let encoding = reply.headers().get("content-encoding");
    let encoding = encoding.map(|value| value.to_str().unwrap().to_owned());
    (encoding, reply.bytes().await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_compressed_in_the_best_way_that_the_client_reads() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let list = || bridge.post("/mcp/tools/list", "{}");
    let (encoding, plain) = raw(list()).await;
    assert_eq!(encoding, None);
    assert!(plain.len() > 4096, "{}", plain.len());
    for (accepted, chosen) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip;q=0.5, zstd;q=1", "zstd"),
    ] {
        let (encoding, body) = raw(list().header("accept-encoding", accepted)).await;
        assert_eq!(encoding.as_deref(), Some(chosen));
        assert!(body.len() * 2 < plain.len(), "{chosen}: {}", body.len());
    }
    let (_, gzip) = raw(list().header("accept-encoding", "gzip")).await;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*gzip), &mut text).unwrap();
    let tools = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(tools(text.as_bytes()), tools(&plain));
    let (encoding, _) = raw(bridge
        .request(Method::GET, "/metrics")
        .header("accept-encoding", "gzip"))
    .await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn small_answers_and_streams_stay_as_they_are() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let (encoding, _) = raw(bridge
        .post("/mcp", ping)
        .header("accept-encoding", "gzip, br"))
    .await;
    assert_eq!(encoding, None, "too small");
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let stream = bridge
        .post("/mcp", list)
        .header("accept", "text/event-stream");
    let (encoding, body) = raw(stream.header("accept-encoding", "gzip, br, zstd")).await;
    assert_eq!(encoding, None, "a stream");
    assert!(
        body.starts_with(b"event:") || body.starts_with(b"data:"),
        "{body:?}"
    );
}
