//! The documentation tells the truth: what it lists is what there is, what it shows is what
//! happens.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use http::Method;
use mcp_bridge::config::{AT_START, needs_restart};
use mcp_bridge::error::Code;
use mcp_bridge::telemetry::metrics::Metric;
use serde_json::Value;

use crate::support::bridge::{Bridge, program, root, send};

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Holds a document that is made from the program against what lies in the repository; with
/// `UPDATE_DOCS=1` in the environment it is written anew.
fn assert_up_to_date(path: &str, text: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join(path), text).unwrap();
    }
    assert!(
        read(path) == text,
        "{path} is out of date; run the tests with UPDATE_DOCS=1"
    );
}

#[test]
fn the_list_of_errors_is_the_catalogue() {
    let mut text = String::from(
        "# Errors\n\n\
         Every failure has a code. The same code appears in answers, in the log and here.\n\n\
         * **Over MCP**, trouble with a tool call is a result with `isError: true` and a sentence for the\n  \
         model; the code is in `_meta[\"mcp-bridge/error\"].code`. Everything else is a JSON-RPC error with\n  \
         the code in `data.code`.\n\
         * **Over plain HTTP** it is `application/problem+json` (RFC 9457) with the status below.\n\
         * *Outcome unknown* in the text (`\"outcome\": \"unknown\"` over plain HTTP) means that an action may\n  \
         have been carried out although its answer is missing: check the state before you try again.\n  \
         *Nothing was changed* means that it surely was not; it stands behind the text where that is so.\n\n\
         <!-- This file is written from src/error.rs by the test the_list_of_errors_is_the_catalogue. -->\n",
    );
    for code in Code::ALL {
        let entry = code.entry();
        write!(
            text,
            "\n## {}\n\n{}. HTTP {}, JSON-RPC {}.\n\n\
             * What a model reads: {}\n* Cause: {}\n* What to do: {}\n",
            entry.name, entry.title, entry.http, entry.rpc, entry.advice, entry.cause, entry.fix
        )
        .unwrap();
    }
    assert_up_to_date("docs/api/errors.md", &text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_the_api_for_operators_is_what_the_bridge_says() {
    let bridge = Bridge::start(&["--demo"]).await;
    let document = send(bridge.admin_request(Method::GET, "/api/openapi.json")).await;
    let text = format!(
        "# The API of the second listener. This file is written from the program by the test\n\
         # the_description_of_the_api_for_operators_is_what_the_bridge_says.\n{}",
        serde_yaml::to_string(&document.json()).unwrap()
    );
    assert_up_to_date("docs/api/openapi-admin.yaml", &text);
}

#[test]
fn the_list_of_metrics_is_the_catalogue() {
    let mut table = String::from("| name | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for metric in Metric::ALL {
        let definition = metric.definition();
        let labels: Vec<_> = definition.labels.iter().map(|l| format!("`{l}`")).collect();
        writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            definition.query_name(),
            definition.kind.name(),
            labels.join(", "),
            definition.help
        )
        .unwrap();
    }
    assert_section_up_to_date("docs/metrics.md", "metrics", &table);
}

#[test]
fn the_list_of_settings_is_the_configuration() {
    let schema = program(["config", "schema"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    let defaults = program(["config", "print", "--data", "/data"])
        .output()
        .unwrap();
    let defaults: Value = serde_yaml::from_slice(&defaults.stdout).unwrap();
    let mut table = String::from("| key | default | meaning |\n| --- | --- | --- |\n");
    for (key, property) in leaves(&schema) {
        let meaning = property["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ");
        let default = match &defaults.pointer(&format!("/{}", key.replace('.', "/"))) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(other) => format!("`{other}`"),
        };
        let when = if needs_restart(&key) {
            " *Counts after a restart.*"
        } else {
            ""
        };
        writeln!(table, "| `{key}` | {default} | {meaning}{when} |").unwrap();
    }
    for key in AT_START {
        assert!(
            table.contains(&format!("| `{key}` |")),
            "there is no such key: {key}"
        );
    }
    assert_section_up_to_date("docs/configuration.md", "settings", &table);
}

/// Holds what stands between `<!-- name -->` and `<!-- end of name -->` in a document against what
/// the program says.
pub(crate) fn assert_section_up_to_date(path: &str, name: &str, text: &str) {
    let document = read(path);
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->\n"),
    );
    let (head, rest) = document
        .split_once(&begin)
        .expect("the begin of the section");
    let (_, tail) = rest.split_once(&end).expect("the end of the section");
    assert_up_to_date(path, &format!("{head}{begin}\n{text}\n{end}{tail}"));
}

/// The keys of a JSON Schema that hold no others, with dots, each with what is said of it.
pub(crate) fn leaves(schema: &Value) -> Vec<(String, &Value)> {
    fn walk<'a>(
        schema: &'a Value,
        properties: &'a Value,
        prefix: &str,
        found: &mut Vec<(String, &'a Value)>,
    ) {
        for (name, property) in properties.as_object().unwrap() {
            let reference = property.get("$ref").and_then(Value::as_str);
            let target = reference.and_then(|path| schema.pointer(path.trim_start_matches('#')));
            match target.and_then(|target| target.get("properties")) {
                Some(inner) => walk(schema, inner, &format!("{prefix}{name}."), found),
                None => found.push((format!("{prefix}{name}"), property)),
            }
        }
    }
    let mut found = Vec::new();
    walk(schema, &schema["properties"], "", &mut found);
    found
}

/// Runs the commands of a document's `console` blocks in front of the built-in house, and holds
/// what they print against what the document shows. `...` in the document stands for any text.
#[tokio::test(flavor = "multi_thread")]
async fn transcripts_in_the_documentation_are_what_happens() {
    let bridge = Bridge::start(&["--demo"]).await;
    let bin = Path::new(env!("CARGO_BIN_EXE_mcp-bridge"))
        .parent()
        .unwrap()
        .to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut commands = 0;
    for document in ["README.md", "docs/api/http.md", "docs/api/mcp.md"] {
        for (command, expected) in transcripts(&read(document)) {
            let command = command.replace("http://localhost:8124", &bridge.url(""));
            let output = Command::new("bash")
                .args(["-c", &command])
                .env("PATH", &path)
                .env("MCP_BRIDGE__DATA", bridge.data())
                .env("TOKEN", &bridge.token)
                .output()
                .unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            assert!(
                fits(&expected, &printed),
                "{document}: {command}\nshown:\n{expected}\nprinted:\n{printed}"
            );
            commands += 1;
        }
    }
    assert!(commands >= 8, "only {commands} commands were found");
}

/// The commands of a document with what they are said to print.
fn transcripts(document: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    let mut continued = false;
    for line in document.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
            continued = false;
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            found.push((command.to_owned(), String::new()));
            continued = command.ends_with('\\');
        } else if let Some((command, expected)) = found.last_mut().filter(|_| inside) {
            if continued {
                command.push('\n');
                command.push_str(line);
                continued = line.ends_with('\\');
            } else {
                expected.push_str(line);
                expected.push('\n');
            }
        }
    }
    found
}

/// Whether `printed` is `expected` with any text in the place of each `...`.
fn fits(expected: &str, printed: &str) -> bool {
    let (expected, printed) = (expected.trim_end(), printed.trim_end());
    let Some((start, rest)) = expected.split_once("...") else {
        return expected == printed;
    };
    let (middle, end) = rest.rsplit_once("...").unwrap_or(("", rest));
    let inner = printed
        .strip_prefix(start)
        .and_then(|text| text.strip_suffix(end));
    let Some(mut inner) = inner else { return false };
    middle.split("...").all(|part| {
        inner
            .split_once(part)
            .map(|(_, rest)| inner = rest)
            .is_some()
    })
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    let mut checked = 0;
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "DOCS.md",
        "deploy/README.md",
        "docs/configuration.md",
        "docs/metrics.md",
        "docs/security.md",
        "docs/api/http.md",
    ] {
        let folder = root().join(document).parent().unwrap().to_owned();
        for link in read(document)
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(folder.join(target).exists(), "{document}: {link}");
            checked += 1;
        }
    }
    assert!(checked > 0);
}
