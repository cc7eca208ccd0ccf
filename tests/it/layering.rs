//! The picture in the crate's documentation is true: dependencies point downwards only.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::bridge::root;

/// Each module with what it may use.
const MAY_USE: [(&str, &[&str]); 16] = [
    (
        "cli",
        &[
            "app",
            "config",
            "access",
            "dispatch",
            "upstream",
            "homeassistant",
            "protocol",
            "resilience",
            "telemetry",
            "error",
        ],
    ),
    (
        "app",
        &[
            "config",
            "server",
            "http",
            "access",
            "dispatch",
            "cache",
            "upstream",
            "homeassistant",
            "telemetry",
            "demo",
            "telemetry",
        ],
    ),
    (
        "config",
        &[
            "server",
            "http",
            "access",
            "dispatch",
            "cache",
            "upstream",
            "homeassistant",
            "telemetry",
            "resilience",
        ],
    ),
    ("server", &["http", "access"]),
    (
        "http",
        &[
            "dispatch",
            "access",
            "homeassistant",
            "upstream",
            "protocol",
            "resilience",
            "telemetry",
            "error",
        ],
    ),
    ("access", &["dispatch", "protocol", "resilience", "error"]),
    (
        "dispatch",
        &[
            "cache",
            "upstream",
            "resilience",
            "protocol",
            "telemetry",
            "error",
        ],
    ),
    ("homeassistant", &["upstream", "cache", "resilience"]),
    ("upstream", &["resilience", "protocol", "error"]),
    ("cache", &["protocol"]),
    ("demo", &["protocol"]),
    ("telemetry", &["protocol", "error"]),
    ("error", &[]),
    ("resilience", &[]),
    ("protocol", &[]),
    ("lib", &[]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let name = |path: &PathBuf| {
        path.strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    files
        .iter()
        .map(|path| (name(path), std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// The modules that a text names with `crate::`, one by one or in braces.
fn used(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let mut modules = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap(),
            None => rest,
        };
        let ends = |c: char| !(c.is_alphanumeric() || c == '_');
        if rest.starts_with('{') {
            modules.extend(
                names
                    .split(',')
                    .map(|n| n.trim().split(ends).next().unwrap().to_owned()),
            );
        } else {
            modules.insert(names.split(ends).next().unwrap().to_owned());
        }
    }
    modules.remove("");
    modules
}

#[test]
fn dependencies_point_downwards_only() {
    for (file, text) in all_sources() {
        let module = file.split(['/', '.']).next().unwrap();
        if module == "main" {
            continue;
        }
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{file}: {module} has no place in the picture"));
        for other in used(&text) {
            let fine = other == module || allowed.contains(&other.as_str());
            assert!(fine, "{file} uses {other}, which is not below {module}");
        }
    }
}

#[test]
fn the_picture_has_no_circle() {
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    while placed.len() < MAY_USE.len() {
        let free = MAY_USE.iter().filter(|(name, uses)| {
            !placed.contains(name) && uses.iter().all(|other| placed.contains(other))
        });
        let free: Vec<_> = free.map(|(name, _)| *name).collect();
        assert!(!free.is_empty(), "a circle outside of {placed:?}");
        placed.extend(free);
    }
}

#[test]
fn the_cores_have_no_runtime_no_clock_and_no_io() {
    for (file, text) in all_sources() {
        let is_core = file.starts_with("protocol")
            || file.starts_with("resilience")
            || file.starts_with("cache")
            || file.starts_with("homeassistant/knowledge")
            || file == "homeassistant/websocket/link.rs"
            || file == "homeassistant/websocket/message.rs"
            || file.starts_with("dispatch/queue")
            || file.starts_with("upstream/pool")
            || file.starts_with("access/rights")
            || matches!(
                file.as_str(),
                "dispatch/approvals.rs"
                    | "dispatch/arguments.rs"
                    | "dispatch/deduplication.rs"
                    | "dispatch/loops.rs"
                    | "dispatch/schema.rs"
                    | "telemetry/history.rs"
                    | "telemetry/series.rs"
                    | "telemetry/refusals.rs"
                    | "telemetry/redaction.rs"
            );
        if !is_core || file.contains("tests") {
            continue;
        }
        let program = text.split("#[cfg(test)]").next().unwrap();
        for word in [
            "tokio",
            "Instant::now",
            "SystemTime",
            "std::fs",
            "std::net",
            "std::env",
            "async ",
        ] {
            let mut code = program
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            assert!(!code.any(|line| line.contains(word)), "{file} names {word}");
        }
    }
}

#[test]
fn only_one_file_knows_the_http_library() {
    for (file, text) in all_sources() {
        let program = text.split("#[cfg(test)]").next().unwrap();
        assert!(
            !program.contains("reqwest") || file == "upstream/http_client.rs",
            "{file} names it"
        );
    }
}

#[test]
fn every_file_says_its_purpose_first_and_stays_readable() {
    for (file, text) in all_sources() {
        assert!(text.starts_with("//! "), "{file}");
        let lines = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap()
            .lines()
            .count();
        let most = if file.ends_with("tests.rs") { 900 } else { 500 };
        assert!(lines <= most, "{file} has {lines} lines: is it two?");
    }
}
