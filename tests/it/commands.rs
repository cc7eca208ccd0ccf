//! The command line, as somebody at a terminal meets it.

use std::process::Output;

use mcp_bridge::demo::Fault;
use serde_json::Value;

use crate::support::bridge::{Bridge, house, program, root};

fn run(args: &[&str]) -> Output {
    program(args).env("HOME", "/nonexistent").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_names_every_command_and_setting() {
    let help = text(&run(&["--help"]).stdout);
    for word in [
        "serve",
        "check",
        "healthcheck",
        "config",
        "token",
        "--config",
        "--profile",
        "--listen",
        "--admin-listen",
        "--data",
        "--upstream",
        "--upstream-token",
        "--demo",
        "--log-level",
        "--log-format",
        "MCP_BRIDGE__",
        "token show",
    ] {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
    assert!(text(&run(&["token", "--help"]).stdout).contains("create"));
}

#[test]
fn wrong_arguments_and_wrong_configuration_have_their_own_exit_codes() {
    let cases: [(&[&str], i32); 5] = [
        (&["--no-such-flag"], 64),
        (&["no-such-command"], 64),
        (&["serve", "--listen", "nowhere", "--data", "/tmp"], 78),
        (&["check", "--listen", "nowhere", "--data", "/tmp"], 78),
        (&["config", "print", "--config", "/nonexistent.yaml"], 78),
    ];
    for (args, code) in cases {
        let output = run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(
            said.contains(args.last().unwrap()) || said.contains("listen"),
            "{args:?}: {said}"
        );
    }
}

#[test]
fn without_an_upstream_it_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let output = run(&[
        "serve",
        "--data",
        data,
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("--upstream") && said.contains("--demo"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named_with_its_setting() {
    let house = house().await;
    let bridge = Bridge::before(&house).await;
    let listen = bridge.lan.to_string();
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let output = run(&[
        "serve",
        "--demo",
        "--data",
        data,
        "--listen",
        &listen,
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    let said = text(&output.stderr);
    assert!(
        said.contains(&listen) && said.contains("`listen`"),
        "{said}"
    );
    assert_eq!(said.matches("os error").count(), 1, "{said}");
}

#[test]
fn a_cause_is_told_once() {
    let said = text(&run(&["token", "create", "n8n", "--data", "/proc/nowhere"]).stderr);
    assert!(said.contains("/proc/nowhere: "), "{said}");
    assert_eq!(said.matches("os error").count(), 1, "{said}");
    // Where the error does not name its cause, the cause follows.
    let said = text(&run(&["healthcheck", "--listen", "127.0.0.1:9"]).stderr);
    assert!(said.contains("/health/live: no connection"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_lists_what_is_right() {
    let house = house().await;
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let output = run(&["check", "--data", data, "--upstream", &house.url()]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}");
    for step in [
        "configuration",
        "data folder",
        "upstream",
        "handshake",
        "tools",
        "home-assistant",
        "16 tools",
    ] {
        assert!(said.contains(step), "{step} is missing in:\n{said}");
    }
    assert!(!said.contains("FAIL"));
    let url = format!("{}?key=s3cret", house.url());
    let said = text(&run(&["check", "--data", data, "--upstream", &url]).stdout);
    assert!(said.contains("(configured)"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    assert!(run(&["check", "--data", data, "--demo"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_how_to_mend_what_is_wrong() {
    let house = house().await;
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    for (status, word) in [
        (404, "Add integration"),
        (401, "long-lived token"),
        (403, "administrator"),
    ] {
        let body = String::new();
        house.set_fault(Some(Fault::Status {
            status,
            body,
            content_type: String::new(),
        }));
        let output = run(&["check", "--data", data, "--upstream", &house.url()]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said.contains("FAIL  handshake") && said.contains("fix: ") && said.contains(word),
            "{said}"
        );
    }
    house.set_fault(Some(Fault::Status {
        status: 200,
        body: "<html>".to_owned(),
        content_type: "text/html".to_owned(),
    }));
    let garbled = run(&["check", "--data", data, "--upstream", &house.url()]);
    let nowhere = run(&["check", "--data", data]);
    let output = run(&[
        "check",
        "--data",
        "/proc/nowhere",
        "--upstream",
        "http://127.0.0.1:9",
    ]);
    let said = text(&output.stdout);
    assert!(
        said.contains("FAIL  data folder") && said.contains("FAIL  handshake"),
        "{said}"
    );
    for output in [output, garbled, nowhere] {
        let said = text(&output.stdout);
        assert!(said.contains("fix: "), "{said}");
        assert!(!said.contains("mcp-bridge check"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_asks_the_running_bridge() {
    let mut bridge = Bridge::start(&["--demo"]).await;
    let listen = bridge.lan.to_string();
    let data = bridge.data().to_str().unwrap().to_owned();
    let ask = || run(&["healthcheck", "--listen", &listen, "--data", &data]);
    assert_eq!(text(&ask().stdout), "live\n");
    // What the bridge reads when it starts may be gone since.
    let gone = [
        ("MCP_BRIDGE__UPSTREAM_TOKEN_FILE", "/gone"),
        ("MCP_BRIDGE__QUEUE__NO_SUCH_KEY", "1"),
        ("MCP_BRIDGE__LISTEN", &listen),
    ];
    std::fs::write(bridge.data().join("options.json"), "{").unwrap();
    let mut elsewhere = program(["healthcheck", "--data", &data]);
    assert_eq!(
        text(&elsewhere.envs(gone).output().unwrap().stdout),
        "live\n"
    );
    assert_eq!(
        run(&["healthcheck", "--listen", "nowhere"]).status.code(),
        Some(78)
    );
    bridge.signal("KILL");
    bridge.wait();
    assert_eq!(ask().status.code(), Some(1));
}

#[test]
fn the_configuration_in_force_is_printed_without_secrets_and_can_be_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let token = [
        "--upstream-token",
        "very-secret",
        "--upstream",
        "http://ha:8123",
    ];
    let output = run(&[&["config", "print", "--data", data], &token[..]].concat());
    let printed = text(&output.stdout);
    assert!(
        printed.contains("call_timeout: 50s") && printed.contains("request_body: 4MiB"),
        "{printed}"
    );
    assert!(
        printed.contains("(hidden)") && !printed.contains("very-secret"),
        "{printed}"
    );
    let file = folder.path().join("again.yaml");
    std::fs::write(&file, &printed).unwrap();
    let again = run(&["config", "print", "--config", file.to_str().unwrap()]);
    assert_eq!(text(&again.stdout), printed);
}

#[test]
fn the_schema_describes_every_key() {
    let schema: Value = serde_json::from_slice(&run(&["config", "schema"]).stdout).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let queue = &schema["$defs"]["Queue"]["properties"]["call_timeout"];
    assert!(
        queue["description"]
            .as_str()
            .unwrap()
            .contains("How long a call may take")
    );
    assert!(schema["properties"]["upstream"]["description"].is_string());
}

#[test]
fn the_schema_takes_the_example_of_the_documentation() {
    let schema: Value = serde_json::from_slice(&run(&["config", "schema"]).stdout).unwrap();
    let document = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let example = document.split("```yaml\n").nth(1).unwrap();
    let example: Value = serde_yaml::from_str(example.split("```").next().unwrap()).unwrap();
    assert!(example["queue"]["max_parallel_calls"].is_number());
    assert_eq!(misfit(&example, &schema, &schema), None);
    let unknown = serde_json::json!({"queue": {"no_such_key": 1}});
    assert!(misfit(&unknown, &schema, &schema).is_some());
    assert_eq!(count_of_groups(&schema), 17);
}

/// What of `value` the schema refuses, as far as the schema of the configuration goes: types of
/// values, keys that must be there, and keys that must not.
fn misfit(value: &Value, schema: &Value, root: &Value) -> Option<String> {
    if let Some(path) = schema["$ref"].as_str() {
        let target = root.pointer(path.trim_start_matches('#'));
        return misfit(value, target.unwrap(), root);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let wanted = &schema["type"];
    let listed = |kinds: &Vec<Value>| kinds.iter().any(|wanted| wanted == kind);
    if !(wanted.is_null() || wanted == kind || wanted.as_array().is_some_and(listed)) {
        return Some(format!("{value} is no {wanted}"));
    }
    let object = value.as_object()?;
    let mut required = schema["required"].as_array().into_iter().flatten();
    if let Some(key) = required.find(|key| !object.contains_key(key.as_str().unwrap())) {
        return Some(format!("{key} is missing"));
    }
    object.iter().find_map(|(key, inner)| {
        let property = &schema["properties"][key];
        if property.is_null() && schema["additionalProperties"] == false {
            return Some(format!("{key} is unknown"));
        }
        misfit(inner, property, root)
    })
}

/// The groups of keys in the schema: each refuses unknown keys and asks for none.
fn count_of_groups(schema: &Value) -> usize {
    let members = match schema {
        Value::Object(members) => members.values().collect::<Vec<_>>(),
        Value::Array(members) => members.iter().collect(),
        _ => return 0,
    };
    let group = schema.get("properties").is_some();
    if group {
        assert_eq!(schema["additionalProperties"], false, "{schema}");
        assert_eq!(schema.get("required"), None, "{schema}");
    }
    usize::from(group) + members.into_iter().map(count_of_groups).sum::<usize>()
}

#[test]
fn tokens_are_made_listed_and_revoked_without_a_bridge() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    assert!(
        text(&run(&["token", "show", "--data", data]).stderr).contains("there is no first token")
    );
    let made = text(&run(&["token", "create", "n8n", "--data", data]).stdout);
    assert!(made.lines().last().unwrap().starts_with("mcpb_"), "{made}");
    assert_eq!(
        run(&["token", "create", "n8n", "--data", data])
            .status
            .code(),
        Some(1)
    );
    assert!(text(&run(&["token", "list", "--data", data]).stdout).starts_with("n8n"));
    assert!(
        run(&["token", "revoke", "n8n", "--data", data])
            .status
            .success()
    );
    let twice = run(&["token", "revoke", "n8n", "--data", data]);
    assert!(text(&twice.stderr).contains("there is no client \"n8n\""));
}

#[test]
fn a_client_is_locked_out_whatever_else_is_wrong() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("options.json"), "{").unwrap();
    let file = data.path().join("bridge.yaml");
    std::fs::write(&file, "queue: {max_waiting: many}\nno_such_key: 1\n").unwrap();
    let token = |args: &[&str]| {
        let mut command = program(["token"]);
        command.args(args).env("MCP_BRIDGE__DATA", data.path());
        command.env("MCP_BRIDGE__CONFIG", &file);
        command.env("MCP_BRIDGE__UPSTREAM_TOKEN_FILE", "/gone");
        command.output().unwrap()
    };
    for args in [&["create", "n8n"][..], &["list"], &["revoke", "n8n"]] {
        let output = token(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
    }
    assert!(text(&token(&["list"]).stdout).contains("revoked"));
}

#[test]
fn without_a_data_folder_no_token_is_made() {
    let here = tempfile::tempdir().unwrap();
    let mut command = program(["token", "create", "n8n"]);
    let output = command.current_dir(here.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("data: there is no home folder"));
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0);
}
