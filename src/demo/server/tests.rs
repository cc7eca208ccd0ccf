//! Connections, restart and end, over real sockets.

use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::super::client::{
    USUAL, house, house_with, http, open, post, read, rpc, send, turn_on, until,
};
use super::*;

#[tokio::test]
async fn several_requests_share_a_connection() {
    let house = house().await;
    let body = rpc(7, "ping", &json!({})).to_string();
    let request = http("POST", PATH, USUAL, &body).replace("Connection: close\r\n", "");
    let mut stream = open(&house, &request).await;
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
        .write_all(post(&rpc(8, "ping", &json!({}))).as_bytes())
        .await
        .unwrap();
    let rest = String::from_utf8(read(stream).await.unwrap()).unwrap();
    assert!(
        rest.ends_with("{\"jsonrpc\": \"2.0\", \"id\": 8, \"result\": {}}"),
        "{rest}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_or_half_leaves_cancels_its_call() {
    let service_time = Duration::from_hours(1);
    let house = house_with(Settings {
        service_time,
        ..Settings::default()
    })
    .await;
    let gone = open(&house, &post(&turn_on(1))).await;
    let mut half = open(&house, &post(&turn_on(2))).await;
    until(&house, |house| house.in_flight() == 2).await;
    drop(gone);
    until(&house, |house| house.in_flight() == 1).await;
    half.shutdown().await.unwrap();
    until(&house, |house| house.in_flight() == 0).await;
    assert!(house.executed().is_empty());
}

#[tokio::test]
async fn a_restart_cuts_connections_refuses_new_ones_and_keeps_port_and_state() {
    let house = Arc::new(house().await);
    send(&house, &post(&turn_on(1))).await;
    let url = house.url();
    house.fail_next(Fault::Hang, 1);
    let waiting = open(&house, &post(&turn_on(2))).await;
    until(&house, |house| house.in_flight() == 1).await;

    // It stays down until the second restart, which waits for the first to be dropped.
    let down = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.restart(Duration::from_hours(1)).await }
    });
    assert_eq!(read(waiting).await.unwrap_or_default(), b"");
    let refused = loop {
        match TcpStream::connect(house.address()).await {
            // The connections may go a moment before the socket does.
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(refused, io::ErrorKind::ConnectionRefused);
    down.abort();

    house.restart(Duration::ZERO).await.unwrap();
    assert_eq!(house.url(), url);
    let params = json!({"name": "homeassistant__GetLiveContext", "arguments": {"name": "Printer"}});
    let answer = send(&house, &post(&rpc(3, "tools/call", &params))).await;
    assert!(answer.text().contains("state: 'on'"), "{}", answer.text());
    assert_eq!(house.executed().len(), 2);
}

#[tokio::test]
async fn a_dropped_house_closes_its_connections() {
    let house = house().await;
    house.set_fault(Some(Fault::Hang));
    let stream = open(&house, &post(&turn_on(1))).await;
    until(&house, |house| house.in_flight() == 1).await;
    drop(house);
    assert_eq!(read(stream).await.unwrap_or_default(), b"");
}
