//! Life as an app of Home Assistant: the way through the Supervisor, on which no token of Home
//! Assistant is needed, and the options that it tells.

use http::Method;
use serde_json::{Value, json};

use crate::support::bridge::{Bridge, house, send};
use crate::support::supervisor::ingress::{Ingress, User};
use crate::support::supervisor::{Core, Supervisor};

#[tokio::test(flavor = "multi_thread")]
async fn calls_pass_the_supervisors_proxy_without_a_token_of_home_assistant() {
    let house = house().await;
    let supervisor = Supervisor::before(&house.url(), "core").await;
    let bridge = Bridge::start_with(&[], &supervisor.environment()).await;
    let call = bridge
        .call("intent__HassTurnOn", json!({"name": "Kitchen Light"}))
        .await;
    assert_eq!(call.result()["isError"], false);
    let status = bridge.status().await;
    assert_eq!(status["upstream"]["way"], "supervisor");
    assert_eq!(
        status["upstream"]["url"],
        format!("{}/core/api/mcp", supervisor.url)
    );
    let seen = house.last_request().unwrap();
    assert_eq!(seen.header("authorization"), Some("Bearer core"));
    // The proxy compares names letter by letter, and loses this one.
    assert_eq!(seen.header("mcp-protocol-version"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_is_starting_is_told_as_such_and_used_once_it_runs() {
    let house = house().await;
    let supervisor = Supervisor::start(None).await;
    let bridge = Bridge::start_with(&[], &supervisor.environment()).await;
    let lamp = json!({"name": "Kitchen Light"});
    let call = bridge.call("intent__HassTurnOn", lamp.clone()).await;
    assert_eq!(call.code(), "home_assistant_starting");
    assert!(!call.text.contains("Outcome unknown"));
    assert!(bridge.rpc("initialize", json!({})).await.result()["capabilities"].is_object());
    supervisor.set_core(Some(Core::at(&house.url(), "core")));
    let call = bridge.call("intent__HassTurnOn", lamp).await;
    assert_eq!(call.result()["isError"], false, "{call:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisors_own_welcome_does_not_prove_that_core_is_there() {
    let supervisor = Supervisor::start(None).await;
    let bridge = Bridge::start_with(&[], &supervisor.environment()).await;
    let status = bridge
        .until(|status| status["home_assistant"]["trouble"].is_string())
        .await;
    let home = &status["home_assistant"];
    assert_eq!(home["state"], "unknown", "{home}");
    assert_eq!(home["events_told"], false);
}

const ANNA: User = User {
    id: "0a1b2c",
    name: "anna",
    display_name: "Anna",
};

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A bridge under the Supervisor whose second listener is open to the tests.
async fn app(supervisor: &Supervisor) -> (Bridge, Ingress) {
    let mut environment = supervisor.environment().to_vec();
    environment.push(("MCP_BRIDGE__INGRESS_PEER", "127.0.0.1"));
    let bridge = Bridge::start_with(&[], &environment).await;
    let ingress = Ingress::start(bridge.admin, ANNA).await;
    (bridge, ingress)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_knows_where_the_machine_is_reached() {
    let house = house().await;
    let supervisor = Supervisor::before(&house.url(), "core").await;
    let (bridge, ingress) = app(&supervisor).await;
    let place = async || {
        let request = client().get(format!("{}api/app", ingress.url));
        send(request).await.json()["place"].clone()
    };
    supervisor.map_port(bridge.lan.port(), Some(9000));
    assert_eq!(
        place().await,
        json!({"port": 9000, "hosts": ["192.168.1.10"], "hostname": "0a1b2c3d-mcp-bridge"})
    );
    supervisor.map_port(bridge.lan.port(), None);
    assert_eq!(place().await["port"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_restarts_the_app_from_the_page() {
    let house = house().await;
    let supervisor = Supervisor::before(&house.url(), "core").await;
    let (bridge, ingress) = app(&supervisor).await;
    let restart = || client().post(format!("{}api/restart", ingress.url));
    assert_eq!(send(restart()).await.code(), "change_refused");
    assert_eq!(supervisor.restarts(), 0);
    let asked = send(restart().header("x-mcp-bridge-page", "1")).await;
    assert_eq!(asked.status, 202, "{asked:?}");
    assert_eq!(supervisor.restarts(), 1);
    let log = bridge.whole_log().join("\n");
    assert!(log.contains(r#""message":"restart","by":"Anna""#), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_supervisor_nothing_can_be_restarted() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let app = send(bridge.admin_request(Method::GET, "/api/app")).await;
    assert_eq!(app.json(), json!({"supervised": false, "place": null}));
    let restart = send(bridge.admin_request(Method::POST, "/api/restart")).await;
    assert_eq!(
        (restart.status, restart.code().as_str()),
        (404, "not_found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn saved_options_count_without_a_restart() {
    let house = house().await;
    let supervisor = Supervisor::before(&house.url(), "core").await;
    // What the Supervisor tells is newer than the file, which it writes at the start only.
    supervisor.set_options(json!({"max_parallel_calls": 7, "queue": {"max_waiting": 11}}));
    let bridge = Bridge::start_with(&[], &supervisor.environment()).await;
    let limit = |status: &Value| status["calls"]["queue"]["adaptive_limit"]["max"].clone();
    let status = bridge.until(|status| limit(status) == 7).await;
    assert_eq!(status["calls"]["queue"]["max_waiting"], 11);
    // It is asked again and again, since it tells nobody of a change.
    supervisor.set_options(json!({"max_parallel_calls": 3}));
    let status = bridge.until(|status| limit(status) == 3).await;
    assert_eq!(status["calls"]["queue"]["max_waiting"], 50);
}
