//! The clients as operators see and change them through the API.

use http::Method;
use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::bridge::{Reply, house, send, send_for_token};

fn ask(bridge: &Bridge, method: Method, path: &str, body: &Value) -> reqwest::RequestBuilder {
    let request = bridge.admin_request(method, path);
    let request = request.header("content-type", "application/json");
    request.body(body.to_string())
}

pub(crate) async fn told(bridge: &Bridge, method: Method, path: &str, body: Value) -> Reply {
    send(ask(bridge, method, path, &body)).await
}

pub(crate) async fn lists(bridge: &Bridge, token: &str) -> Reply {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    send(
        client
            .post(bridge.url("/mcp/tools/list"))
            .bearer_auth(token),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_made_changed_given_a_new_token_and_revoked_and_each_counts_at_once() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let terms = json!({"priority": "background", "rate": "60/min", "rights": {"read_only": true}});
    let body = json!({"name": "n8n flows", "terms": terms});
    let made = send_for_token(ask(&bridge, Method::POST, "/api/clients", &body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(made.json()["client"]["terms"]["rate"], "60/min");
    assert_eq!(lists(&bridge, &token).await.status, 200);

    let all = told(&bridge, Method::GET, "/api/clients", json!({}))
        .await
        .json();
    let names = all["clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| client["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["default", "n8n flows"]);
    let path = "/api/clients/n8n%20flows";
    let shown = told(&bridge, Method::GET, path, json!({})).await.json();
    assert!(shown["last_seen"].is_string(), "{shown}");
    assert_eq!(shown["tokens"].as_array().unwrap().len(), 1);

    let terms = json!({"terms": {"rate": null, "priority": "normal"}});
    let changed = told(&bridge, Method::PATCH, path, terms).await.json();
    assert_eq!(changed["terms"]["rate"], Value::Null);
    assert_eq!(changed["terms"]["priority"], "normal");
    assert_eq!(changed["terms"]["rights"]["read_only"], true);
    let off = told(&bridge, Method::PATCH, path, json!({"enabled": false})).await;
    assert_eq!(off.json()["enabled"], false);
    assert_eq!(lists(&bridge, &token).await.code(), "client_disabled");
    told(&bridge, Method::PATCH, path, json!({"enabled": true})).await;

    let rotate = format!("{path}/rotate");
    let rotated = ask(&bridge, Method::POST, &rotate, &json!({"overlap_s": 3600}));
    let new = send_for_token(rotated).await.json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(lists(&bridge, &token).await.status, 200);
    assert_eq!(lists(&bridge, &new).await.status, 200);
    let rotated = ask(&bridge, Method::POST, &rotate, &json!({"overlap_s": 0}));
    send_for_token(rotated).await;
    assert_eq!(lists(&bridge, &new).await.code(), "token_replaced");

    let revoked = told(&bridge, Method::DELETE, path, json!({})).await;
    assert_eq!(revoked.status, 200);
    assert_eq!(lists(&bridge, &token).await.code(), "token_revoked");
    for method in [Method::GET, Method::DELETE] {
        let gone = told(&bridge, method, path, json!({})).await;
        assert_eq!((gone.status, gone.code().as_str()), (404, "no_such_client"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_changes_nothing_and_is_said() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let path = "/api/clients/default";
    for (method, path, body, status) in [
        (
            Method::POST,
            "/api/clients",
            json!({"name": "default"}),
            409,
        ),
        (Method::POST, "/api/clients", json!({"name": " "}), 400),
        (Method::POST, "/api/clients", json!({}), 400),
        (
            Method::POST,
            "/api/clients",
            json!({"name": "x", "terms": {"rate": "often"}}),
            400,
        ),
        (
            Method::POST,
            "/api/clients",
            json!({"name": "x", "termes": {}}),
            400,
        ),
        (
            Method::PATCH,
            path,
            json!({"terms": {"networks": ["here"]}}),
            400,
        ),
        (
            Method::PATCH,
            path,
            json!({"terms": {"rights": {"only": []}}}),
            400,
        ),
        (Method::PATCH, path, json!({"terms": 7}), 400),
        (Method::PATCH, path, json!({"name": "other"}), 400),
        (Method::PATCH, path, json!([]), 400),
        (
            Method::PATCH,
            "/api/clients/nobody",
            json!({"enabled": false}),
            404,
        ),
        (Method::POST, "/api/clients/nobody/rotate", json!({}), 404),
        (Method::PUT, path, json!({}), 405),
    ] {
        let reply = told(&bridge, method.clone(), path, body.clone()).await;
        assert_eq!(reply.status, status, "{method} {path} {body}: {reply:?}");
    }
    let all = told(&bridge, Method::GET, "/api/clients", json!({}))
        .await
        .json();
    assert_eq!(all["clients"].as_array().unwrap().len(), 1);
    assert_eq!(lists(&bridge, &bridge.token).await.status, 200);
    // A client is no operator, however good its token.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/api/clients", bridge.admin);
    let reply = send(client.get(url).bearer_auth(&bridge.token)).await;
    assert_eq!(reply.status, 401);
}
