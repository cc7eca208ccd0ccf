//! The end of the process: in order, and with exit code 0.

use std::process::Child;
use std::sync::Arc;

use mcp_bridge::demo::Fault;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::support::Bridge;
use crate::support::bridge::{PATIENCE, house, program, send, signal, wait};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_runs_and_refuses_what_is_new() {
    for signal in ["TERM", "INT"] {
        let house = house().await;
        let mut bridge = Bridge::before(&house).await;
        bridge.rpc("tools/list", json!({})).await.result();
        let gate = Arc::new(Semaphore::new(0));
        house.set_fault(Some(Fault::Hold(gate.clone())));
        let params = json!({"name": "intent__HassTurnOn", "arguments": {"name": "Kitchen Light"}});
        let running = tokio::spawn(send(bridge.post("/mcp/tools/call", params)));
        bridge
            .until(|status| status["calls"]["queue"]["running"] == 1)
            .await;
        bridge.signal(signal);
        bridge.until(|status| status["state"] == "stopping").await;
        let ready = send(bridge.request(http::Method::GET, "/health/ready")).await;
        assert_eq!(ready.status, 503);
        assert_eq!(ready.json()["reasons"], json!(["stopping"]));
        let new = bridge.call("llm__GetDateTime", json!({})).await;
        assert_eq!(new.code(), "shutting_down");
        gate.add_permits(10);
        assert_eq!(running.await.unwrap().json()["isError"], false);
        assert_eq!(bridge.wait().code(), Some(0), "{signal}");
        assert_eq!(house.executed().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_do_not_end_do_not_hold_the_bridge_for_ever() {
    let house = house().await;
    let soon = [("MCP_BRIDGE__LIMITS__DRAIN_TIMEOUT", "300ms")];
    let mut bridge = Bridge::start_with(&["--upstream", &house.url()], &soon).await;
    bridge.rpc("tools/list", json!({})).await.result();
    house.set_fault(Some(Fault::Hang));
    let hanging = tokio::spawn(
        bridge
            .post("/mcp/tools/call", json!({"name": "llm__GetDateTime"}))
            .send(),
    );
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    bridge.signal("TERM");
    assert_eq!(bridge.wait().code(), Some(0));
    assert!(hanging.await.unwrap().is_err());
    let late = bridge.logged_to_the_end();
    let late = late
        .iter()
        .filter(|line| line.contains("after the time to drain"));
    assert_eq!(late.count(), 1, "calls and connections share the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_on_which_no_call_runs_do_not_hold_the_end() {
    let house = house().await;
    let patient = ["HEAD_TIMEOUT", "BODY_TIMEOUT", "DRAIN_TIMEOUT"]
        .map(|name| (format!("MCP_BRIDGE__LIMITS__{name}"), "1h"));
    let patient = patient
        .each_ref()
        .map(|(name, time)| (name.as_str(), *time));
    let mut bridge = Bridge::start_with(&["--upstream", &house.url()], &patient).await;
    let half_body = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\n\
         Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{",
        bridge.token
    );
    let mut open = Vec::new();
    for bytes in [
        "",
        "P",
        "POST /mcp HTTP/1.1\r\nHost: x\r\nX-A",
        &half_body,
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let mut socket = TcpStream::connect(bridge.lan).await.unwrap();
        socket.write_all(bytes.as_bytes()).await.unwrap();
        open.push(socket);
    }
    // The last one has its answer, so all of them have been taken.
    open.last_mut().unwrap().read_u8().await.unwrap();
    bridge.signal("TERM");
    assert_eq!(bridge.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let house = house().await;
    let mut bridge = Bridge::before(&house).await;
    bridge.rpc("tools/list", json!({})).await.result();
    house.set_fault(Some(Fault::Hang));
    let hanging = tokio::spawn(
        bridge
            .post("/mcp/tools/call", json!({"name": "llm__GetDateTime"}))
            .send(),
    );
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 1)
        .await;
    bridge.signal("TERM");
    bridge.until(|status| status["state"] == "stopping").await;
    bridge.signal("TERM");
    assert_eq!(bridge.wait().code(), Some(1));
    hanging.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_start_too() {
    // A Supervisor that takes the question where Core is, and does not answer.
    let supervisor = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", supervisor.local_addr().unwrap());
    let data = tempfile::tempdir().unwrap();
    for name in ["TERM", "INT"] {
        let mut serve = program(["serve", "--listen", "127.0.0.1:0"]);
        serve.args(["--admin-listen", "127.0.0.1:0", "--upstream-token", "ha"]);
        serve.arg("--data").arg(data.path());
        serve.env("SUPERVISOR_TOKEN", "s");
        serve.env("MCP_BRIDGE__SUPERVISOR", &address);
        serve.env("MCP_BRIDGE__LIMITS__RESPONSE_TIMEOUT", "1h");
        let mut child = Program(serve.spawn().unwrap());
        let asked = tokio::time::timeout(PATIENCE, supervisor.accept()).await;
        let _question = asked.unwrap().unwrap();
        signal(&child.0, name);
        assert_eq!(wait(&mut child.0).code(), Some(0), "{name}");
    }
}

/// A process that does not outlive its test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
