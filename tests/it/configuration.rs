//! The layers of the configuration, and what is said of mistakes in them.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::bridge::program;

/// Prints the configuration that these sources make; the standard error stream if they are refused.
fn print(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Result<Value, String> {
    let mut command = program(["config", "print"]);
    command.args(args).envs(environment.iter().copied());
    if !args.contains(&"--data") {
        command.arg("--data").arg(folder);
    }
    let output = command.output().unwrap();
    if output.status.success() {
        Ok(serde_yaml::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn each_layer_wins_over_those_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let level = |args: &[&str], environment: &[(&str, &str)]| {
        print(folder, args, environment).unwrap()["log_level"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(level(&[], &[]), "info");
    assert_eq!(level(&["--profile", "dev"], &[]), "debug");
    assert_eq!(level(&[], &[("MCP_BRIDGE__PROFILE", "dev")]), "debug");
    let file = write(folder, "bridge.yaml", "log_level: warn\n");
    let file = ["--profile", "dev", "--config", file.as_str()];
    assert_eq!(level(&file, &[]), "warn");
    write(folder, "options.json", r#"{"log_level": "error"}"#);
    assert_eq!(level(&file, &[]), "error");
    let environment = [("MCP_BRIDGE__LOG_LEVEL", "trace")];
    assert_eq!(level(&file, &environment), "trace");
    let flags = [&file[..], &["--log-level", "info"]].concat();
    assert_eq!(level(&flags, &environment), "info");
}

#[test]
fn nested_keys_durations_sizes_and_lists_come_from_file_and_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        folder.path(),
        "bridge.yaml",
        "queue: {call_timeout: 2m, max_waiting: 7}\naccess:\n  allowed_hosts: [a.example]\n",
    );
    let environment = [
        ("MCP_BRIDGE__CONFIG", file.as_str()),
        ("MCP_BRIDGE__QUEUE__MAX_WAITING", "9"),
        ("MCP_BRIDGE__LIMITS__REQUEST_BODY", "64KiB"),
        (
            "MCP_BRIDGE__ACCESS__ALLOWED_ORIGINS",
            "[\"https://a.example\"]",
        ),
    ];
    let config = print(folder.path(), &[], &environment).unwrap();
    assert_eq!(
        (
            &config["queue"]["call_timeout"],
            &config["queue"]["max_waiting"]
        ),
        (&"2m".into(), &9.into())
    );
    assert_eq!(config["limits"]["request_body"], "64KiB");
    assert_eq!(config["access"]["allowed_hosts"][0], "a.example");
    assert_eq!(config["access"]["allowed_origins"][0], "https://a.example");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = write(folder, "bridge.yaml", "queue:\n  max_wating: 3\n");
    let said = print(folder, &["--config", &file], &[]).unwrap_err();
    assert!(
        said.contains(&format!(
            "{file}: queue.max_wating: there is no such key; did you mean `max_waiting`?"
        )),
        "{said}"
    );
    let file = write(folder, "bridge.yaml", "upsteam: http://x\n");
    let said = print(folder, &["--config", &file], &[]).unwrap_err();
    assert!(
        said.contains("upsteam: there is no such key; did you mean `upstream`?"),
        "{said}"
    );
    let said = print(folder, &[], &[("MCP_BRIDGE__QUEUE__MAX_WAITNG", "3")]).unwrap_err();
    assert!(
        said.contains("environment: MCP_BRIDGE__QUEUE__MAX_WAITNG") && said.contains("max_waiting"),
        "{said}"
    );
    write(folder, "options.json", r#"{"call_timeot": 3}"#);
    let said = print(folder, &[], &[]).unwrap_err();
    assert!(
        said.contains("options.json: call_timeot") && said.contains("`call_timeout`"),
        "{said}"
    );
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (yaml, words) in [
        (
            "queue: {max_waiting: many}",
            &["bridge.yaml", "queue.max_waiting"][..],
        ),
        ("queue: {call_timeout: 50}", &["queue.call_timeout", "50s"]),
        (
            "queue: {max_parallel_calls: 0}",
            &["bridge.yaml", "queue.max_parallel_calls", "1 to 64"],
        ),
        (
            "limits: {connections: 18446744073709551615}",
            &["limits.connections", "1 to 1000000"],
        ),
        (
            "limits: {connections_per_address: 0}",
            &["limits.connections_per_address", "1 to 1000000"],
        ),
        (
            "limits: {request_body: 4}",
            &["limits.request_body", "4MiB"],
        ),
        (
            "upstream: 'ftp://x'",
            &["bridge.yaml", "upstream", "homeassistant.local"],
        ),
        ("upstream: 'http://u:p@x'", &["upstream", "password"]),
        ("listen: 8124", &["listen"]),
        ("log_level: loud", &["log_level", "none of error", "trace"]),
        ("log_level: debugg", &["log_level", "did you mean `debug`?"]),
        (
            "queue: 5",
            &["queue", "a group of keys", "queue.max_waiting"],
        ),
        ("access: {allowed_hosts: 5}", &["allowed_hosts", "a list"]),
        ("upstream_token: 123", &["upstream_token", "quotes"]),
        ("upstream_token: ''", &["upstream_token", "empty"]),
        (
            "upstream_token_file: /nonexistent",
            &["upstream_token_file", "/nonexistent"],
        ),
        (
            "access: {allowed_origins: [chat]}",
            &["access.allowed_origins", "https://"],
        ),
        ("[1, 2]", &["bridge.yaml"]),
        (
            "log_level: info\nlog_level: debug",
            &["bridge.yaml", "duplicate", "log_level"],
        ),
        (
            "queue: {max_waiting: 1, max_waiting: 2}",
            &["bridge.yaml", "queue", "duplicate", "max_waiting"],
        ),
        ("queue: {a: *b}", &["bridge.yaml"]),
        ("\t", &["bridge.yaml"]),
    ] {
        let file = write(folder, "bridge.yaml", yaml);
        let said = print(folder, &["--config", &file], &[]).unwrap_err();
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{yaml}: {said}"
        );
        assert!(
            !said.contains("123") || yaml != "upstream_token: 123",
            "{said}"
        );
    }
}

#[test]
fn every_fault_is_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        folder.path(),
        "bridge.yaml",
        "upstream: nowhere\nqueue: {max_parallel_calls: 900}\nlimits: {json_depth: 1}\n",
    );
    let said = print(folder.path(), &["--config", &file], &[]).unwrap_err();
    assert_eq!(said.lines().count(), 3, "{said}");
}

#[test]
fn an_empty_file_is_an_empty_configuration_and_a_missing_one_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", "# nothing\n", "{}"] {
        let file = write(folder.path(), "bridge.yaml", text);
        assert!(
            print(folder.path(), &["--config", &file], &[]).is_ok(),
            "{text:?}"
        );
    }
    let said = print(folder.path(), &["--config", "/nonexistent.yaml"], &[]).unwrap_err();
    assert!(said.contains("/nonexistent.yaml"), "{said}");
}

#[test]
fn the_token_may_lie_in_a_file_but_a_layer_says_only_one_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "token", "from-a-file\n");
    let environment = [("MCP_BRIDGE__UPSTREAM_TOKEN_FILE", file.as_str())];
    assert!(print(folder.path(), &[], &environment).is_ok());
    let both = [environment[0], ("MCP_BRIDGE__UPSTREAM_TOKEN", "x")];
    let said = print(folder.path(), &[], &both).unwrap_err();
    assert!(
        said.contains("environment: upstream_token_file: `upstream_token` is set as well"),
        "{said}"
    );
}

#[test]
fn a_token_takes_the_place_of_one_that_an_earlier_layer_said_in_the_other_way() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = write(folder, "token", "from-a-file\n");
    let direct = write(folder, "direct.yaml", "upstream_token: x\n");
    let variable = [("MCP_BRIDGE__UPSTREAM_TOKEN_FILE", file.as_str())];
    let config = print(folder, &["--config", &direct], &variable).unwrap();
    assert_eq!(config["upstream_token"], Value::Null);
    assert_eq!(config["upstream_token_file"], file);
    for (name, text) in [
        ("named.yaml", format!("upstream_token_file: {file}\n")),
        // A key without a value says nothing, so it takes nothing back.
        (
            "printed.yaml",
            format!("upstream_token_file: {file}\nupstream_token:\n"),
        ),
    ] {
        let yaml = write(folder, name, &text);
        let config = print(folder, &["--config", &yaml], &[]).unwrap();
        assert_eq!(config["upstream_token_file"], file);
        let flags = ["--config", &yaml, "--upstream-token", "x"];
        let config = print(folder, &flags, &[]).unwrap();
        assert_eq!(config["upstream_token"], "(hidden)");
        assert_eq!(config["upstream_token_file"], Value::Null);
    }
    let config = print(folder, &["--upstream-token", "x"], &variable).unwrap();
    assert_eq!(config["upstream_token_file"], Value::Null);
}

#[test]
fn a_token_that_no_header_can_hold_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for token in [
        "s3cret\nline",
        "s3cret\u{7}bell",
        "s3cret-\u{e4}",
        "s3cret\tx",
    ] {
        let said = print(folder, &["--upstream-token", token], &[]).unwrap_err();
        assert!(
            said.contains("command line: upstream_token: ") && said.contains("no HTTP header"),
            "{said}"
        );
        let file = write(folder, "token", token);
        let environment = [("MCP_BRIDGE__UPSTREAM_TOKEN_FILE", file.as_str())];
        let in_file = print(folder, &[], &environment).unwrap_err();
        assert!(in_file.contains("upstream_token_file: it has"), "{in_file}");
        assert!(!(said + &in_file).contains("s3cret"));
    }
    assert!(print(folder, &["--upstream-token", "eyJ.a-b_c~d+e/f=="], &[]).is_ok());
}

#[test]
fn no_message_repeats_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let refused = |args: &[&str], environment: &[(&str, &str)], word: &str| {
        let said = print(folder, args, environment).unwrap_err();
        assert!(!said.contains("s3cret"), "{said}");
        assert!(said.contains(word), "{said}");
    };
    for url in [
        "http://me:s3cret@host:999999",
        "ftp://me:s3cret@host",
        "http://me:s3cret@ho st:80",
        "http://me:s3cret@host",
        "me:s3cret@host",
    ] {
        refused(&["--upstream", url], &[], "command line: upstream: ");
        let variable = [("MCP_BRIDGE__SUPERVISOR", url)];
        refused(&[], &variable, "environment: supervisor: ");
        let variable = [("MCP_BRIDGE__ACCESS__ALLOWED_ORIGINS", url)];
        refused(&[], &variable, "access.allowed_origins: entry 1 ");
    }
    let file = write(folder, "token", "s3cret\n");
    refused(&["--config", &file], &[], "keys with their values");
    write(
        folder,
        "options.json",
        r#"{"home_assistant_token": 987654321}"#,
    );
    let said = print(folder, &[], &[]).unwrap_err();
    assert!(
        said.contains("home_assistant_token: a text is expected") && !said.contains("987654321"),
        "{said}"
    );
}

#[test]
fn an_address_is_printed_without_its_query() {
    let folder = tempfile::tempdir().unwrap();
    let url = "http://ha:8123/api/mcp?key=s3cret#s3cret";
    let environment = [("MCP_BRIDGE__SUPERVISOR", "http://supervisor?s3cret")];
    let config = print(folder.path(), &["--upstream", url], &environment).unwrap();
    assert_eq!(config["upstream"], "http://ha:8123/api/mcp");
    assert_eq!(config["supervisor"], "http://supervisor");
}

#[test]
fn a_list_in_the_environment_needs_no_brackets() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = |text: &str| {
        let environment = [("MCP_BRIDGE__ACCESS__ALLOWED_HOSTS", text)];
        let config = print(folder.path(), &[], &environment)?;
        Ok::<_, String>(config["access"]["allowed_hosts"].clone())
    };
    assert_eq!(hosts("a.example").unwrap(), json!(["a.example"]));
    let two = json!(["a.example", "b.example"]);
    for text in [
        "a.example,b.example",
        " a.example , b.example,",
        "[a.example, b.example]",
    ] {
        assert_eq!(hosts(text).unwrap(), two, "{text}");
    }
    assert_eq!(hosts("").unwrap(), json!([]));
    assert!(hosts("[a.example").unwrap_err().contains("no proper end"));
}

#[test]
fn a_value_in_the_place_of_a_group_is_refused_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    for (group, example) in [
        (
            "QUEUE",
            "`queue.max_waiting`, in the environment MCP_BRIDGE__QUEUE__MAX_WAITING",
        ),
        ("LIMITS", "`limits.connections`"),
        ("ACCESS", "`access.allowed_hosts`"),
    ] {
        let name = format!("MCP_BRIDGE__{group}");
        let said = print(folder.path(), &[], &[(&name, "5")]).unwrap_err();
        assert!(
            said.contains(&format!("environment: {name}: ")) && said.contains(example),
            "{said}"
        );
    }
}

#[test]
fn the_log_levels_of_home_assistant_are_understood_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, level) in [("warning", "warn"), ("notice", "info"), ("fatal", "error")] {
        let flag = print(folder, &["--log-level", name], &[]).unwrap();
        let variable = print(folder, &[], &[("MCP_BRIDGE__LOG_LEVEL", name)]).unwrap();
        assert_eq!([&flag["log_level"], &variable["log_level"]], [level, level]);
    }
}

#[test]
fn under_the_supervisor_data_and_page_are_where_it_expects_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let config = print(
        folder.path(),
        &["--data", data],
        &[("SUPERVISOR_TOKEN", "s")],
    )
    .unwrap();
    assert_eq!(config["admin_listen"], "0.0.0.0:8099");
    assert_eq!(config["listen"], "0.0.0.0:8124");
    assert_eq!(config["ingress_peer"], "172.30.32.2");
    let config = print(folder.path(), &["--data", data], &[]).unwrap();
    assert_eq!(config["admin_listen"], "127.0.0.1:8099");
    assert_eq!(config["ingress_peer"], Value::Null);
}

#[test]
fn the_end_is_over_before_docker_and_the_supervisor_kill() {
    let folder = tempfile::tempdir().unwrap();
    let config = print(folder.path(), &[], &[]).unwrap();
    assert_eq!(config["limits"]["drain_timeout"], "8s");
}
