//! Clients that the configuration declares.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use mcp_bridge::access::Token;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clients_api::{lists, told};
use crate::support::Bridge;
use crate::support::bridge::{PATIENCE, program, send};

/// A configuration file and files of tokens.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A token in a file of that name.
    fn token(&self, name: &str) -> Token {
        let token = Token::generate().unwrap();
        std::fs::write(self.path(name), format!("{}\n", token.reveal())).unwrap();
        token
    }

    fn declare(&self, clients: &Value) -> PathBuf {
        let file = self.path("bridge.yaml");
        let text = json!({"demo": true, "clients": clients}).to_string();
        std::fs::write(&file, text).unwrap();
        file
    }

    async fn start(&self, clients: &Value) -> Bridge {
        let file = self.declare(clients);
        Bridge::start(&["--config", file.to_str().unwrap()]).await
    }

    async fn reload(&self, bridge: &Bridge, clients: &Value) {
        self.declare(clients);
        let reply = send(bridge.admin_request(Method::POST, "/api/reload")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

fn hash(token: &Token) -> Value {
    serde_json::to_value(token.hash()).unwrap()
}

async fn code(bridge: &Bridge, token: &Token) -> String {
    lists(bridge, token.reveal()).await.code()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_client_comes_in_by_its_hash_or_file_and_is_changed_nowhere_else() {
    let place = Place::new();
    let (one, other) = (Token::generate().unwrap(), place.token("n8n"));
    let bridge = place
        .start(&json!({
            "LM Studio": {"token_sha256": hash(&one), "terms": {"rights": {"read_only": true}}},
            "n8n": {"token_file": place.path("n8n")},
        }))
        .await;
    assert!(
        !bridge.data().join("first-token").exists(),
        "nobody needs one"
    );
    let looking = lists(&bridge, one.reveal()).await;
    assert_eq!(looking.status, 200);
    assert!(!looking.text.contains("HassTurnOn"));
    assert!(
        lists(&bridge, other.reveal())
            .await
            .text
            .contains("HassTurnOn")
    );

    let all = told(&bridge, Method::GET, "/api/clients", json!({}))
        .await
        .json();
    let rows = all["clients"].as_array().unwrap();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (&row["name"], &row["declared"]))
        .collect();
    let yes = json!(true);
    assert_eq!(rows, [(&json!("LM Studio"), &yes), (&json!("n8n"), &yes)]);
    for (method, path, body) in [
        (Method::PATCH, "/api/clients/n8n", json!({"enabled": false})),
        (Method::DELETE, "/api/clients/n8n", json!({})),
        (Method::POST, "/api/clients/n8n/rotate", json!({})),
        (Method::POST, "/api/clients", json!({"name": "n8n"})),
    ] {
        let refused = told(&bridge, method.clone(), path, body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "client_conflict"),
            "{method}"
        );
        assert!(refused.text.contains("configuration"), "{refused:?}");
    }
    let file = place.path("bridge.yaml");
    let command = |args: &[&str]| {
        let mut command = program(args);
        command
            .arg("--config")
            .arg(&file)
            .arg("--data")
            .arg(bridge.data());
        command.output().unwrap()
    };
    for args in [
        &["token", "create", "n8n"][..],
        &["token", "rotate", "n8n"],
        &["token", "disable", "n8n"],
        &["token", "revoke", "n8n"],
        &["rights", "set", "n8n", "--read-only"],
    ] {
        let output = command(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("configuration"),
            "{args:?}: {said}"
        );
    }
    let list = String::from_utf8(command(&["token", "list"]).stdout).unwrap();
    let lines: Vec<_> = list.lines().collect();
    assert!(
        lines[1].starts_with("n8n") && lines[1].contains("declared"),
        "{list}"
    );
    let shown = String::from_utf8(command(&["rights", "show", "LM Studio"]).stdout).unwrap();
    assert!(shown.contains("\"read_only\": true"), "{shown}");
    assert_eq!(lists(&bridge, other.reveal()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_changes_while_the_bridge_runs() {
    let place = Place::new();
    let old = place.token("n8n");
    let n8n = json!({"token_file": place.path("n8n")});
    let bridge = place.start(&json!({"n8n": n8n})).await;
    assert_eq!(lists(&bridge, old.reveal()).await.status, 200);
    // As Kubernetes does with a Secret that changes: nobody tells the bridge.
    let new = place.token("n8n");
    // One wrong token at the end, since many are braked.
    let followed = async {
        while lists(&bridge, old.reveal()).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, followed).await.unwrap();
    assert_eq!(code(&bridge, &old).await, "token_unknown");
    assert_eq!(lists(&bridge, new.reveal()).await.status, 200);
    let both = json!([hash(&old), hash(&new)]);
    place
        .reload(&bridge, &json!({"n8n": {"token_sha256": both}}))
        .await;
    for token in [&old, &new] {
        assert_eq!(lists(&bridge, token.reveal()).await.status, 200);
    }
    place
        .reload(
            &bridge,
            &json!({"n8n": {"token_sha256": both, "disabled": true}}),
        )
        .await;
    assert_eq!(code(&bridge, &new).await, "client_disabled");
    place.reload(&bridge, &json!({})).await;
    assert_eq!(code(&bridge, &new).await, "token_unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_register_gives_way_to_one_that_is_declared() {
    let place = Place::new();
    let bridge = place.start(&json!({})).await;
    let registered = bridge.token.clone();
    assert_eq!(lists(&bridge, &registered).await.status, 200);
    let token = Token::generate().unwrap();
    let declared = json!({"default": {"token_sha256": hash(&token)}});
    place.reload(&bridge, &declared).await;
    assert_eq!(lists(&bridge, &registered).await.code(), "token_unknown");
    assert_eq!(lists(&bridge, token.reveal()).await.status, 200);
    place.reload(&bridge, &json!({})).await;
    assert_eq!(lists(&bridge, &registered).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_be_declared_in_the_environment() {
    let (one, token) = (Place::new(), Token::generate().unwrap());
    let other = one.token("token");
    let file = one.path("token");
    let hash = hash(&token).as_str().unwrap().to_owned();
    let environment = [
        ("MCP_BRIDGE__CLIENTS__N8N__TOKEN_SHA256", hash.as_str()),
        ("MCP_BRIDGE__CLIENTS__N8N__TERMS__RATE", "60/min"),
        (
            "MCP_BRIDGE__CLIENTS__LM__TOKEN_FILE",
            file.to_str().unwrap(),
        ),
    ];
    let bridge = Bridge::start_with(&["--demo"], &environment).await;
    for token in [&token, &other] {
        assert_eq!(lists(&bridge, token.reveal()).await.status, 200);
    }
    let shown = told(&bridge, Method::GET, "/api/clients/n8n", json!({}))
        .await
        .json();
    assert_eq!(
        (&shown["terms"]["rate"], &shown["declared"]),
        (&json!("60/min"), &json!(true))
    );
}

fn refused(folder: &Path, clients: &Value) -> String {
    let file = folder.join("wrong.yaml");
    std::fs::write(&file, json!({"clients": clients}).to_string()).unwrap();
    let mut command = program(["config", "print", "--data", "/data", "--config"]);
    let output = command.arg(&file).output().unwrap();
    assert!(!output.status.success(), "{clients}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_cannot_be_declared_is_refused_and_no_token_is_repeated() {
    let place = Place::new();
    let token = place.token("token");
    let hash = hash(&token);
    std::fs::write(place.path("other"), "eyJhbGciOiJIUzI1NiJ9").unwrap();
    for (clients, fault) in [
        (json!({"n8n": {}}), "clients.n8n: it has no token"),
        (
            json!({"n8n": {"token_sha256": token.reveal()}}),
            "clients.n8n.token_sha256: it is no",
        ),
        (
            json!({"n8n": {"token_file": "/nowhere"}}),
            "clients.n8n.token_file: /nowhere",
        ),
        (
            json!({"n8n": {"token_file": place.path("other")}}),
            "holds no token of the bridge",
        ),
        (
            json!({" x": {"token_sha256": hash}}),
            "this is no name for a client",
        ),
        (
            json!({"a": {"token_sha256": hash}, "b": {"token_sha256": hash}}),
            "same token",
        ),
        (
            json!({"n8n": {"token_sha256": hash, "terms": {"rats": "1/s"}}}),
            "rats",
        ),
        (json!({"n8n": {"token_sha": hash}}), "token_sha"),
    ] {
        let said = refused(place.folder.path(), &clients);
        assert!(said.contains(fault), "{clients}: {said}");
        assert!(
            !said.contains(token.reveal()) && !said.contains("eyJ"),
            "{said}"
        );
    }
}

#[test]
fn a_token_can_be_made_that_is_kept_nowhere() {
    let data = tempfile::tempdir().unwrap();
    let mut command = program(["token", "generate"]);
    let output = command.env("XDG_STATE_HOME", data.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = said.lines().collect();
    let token = Token::parse(lines[lines.len() - 1]).unwrap();
    let hash = hash(&token).as_str().unwrap().to_owned();
    assert!(lines.iter().any(|line| line.ends_with(&hash)), "{said}");
    assert!(std::fs::read_dir(data.path()).unwrap().next().is_none());
}
