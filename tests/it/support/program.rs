//! Other programs that the tests run: SDK clients, curl.

use std::path::PathBuf;

use serde_json::Value;
use tokio::process::Command;

use super::bridge::{PATIENCE, root};

/// The folder into which the test command installs what is not a crate.
pub(crate) fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    variable("MCP_BRIDGE_TEST_CACHE").unwrap_or_else(|| {
        let cache = variable("XDG_CACHE_HOME");
        let cache = cache.or_else(|| variable("HOME").map(|home| home.join(".cache")));
        cache.expect("HOME is not set").join("mcp-bridge-tests")
    })
}

/// Runs one of the SDK clients and gives the line of JSON that it prints.
pub(crate) async fn sdk_client(sdk: &str, url: &str, token: &str, args: &[&str]) -> Value {
    let clients = root().join("tests/clients");
    let mut command = match sdk.split_once(' ') {
        Some(("typescript", version)) => {
            let mut command = Command::new("node");
            command
                .arg(clients.join("typescript.mjs"))
                .args(["--sdk", version]);
            command
        }
        Some(("python-v2", mode)) => {
            let mut command = Command::new(cache().join("python-v2/bin/python"));
            command
                .arg(clients.join("python_v2.py"))
                .args(["--mode", mode]);
            command
        }
        _ => {
            let mut command = Command::new(cache().join("python-v1/bin/python"));
            command.arg(clients.join("python_v1.py"));
            command
        }
    };
    command
        .args(["--url", url, "--token", token])
        .args(args)
        .kill_on_drop(true);
    let output = tokio::time::timeout(2 * PATIENCE, command.output());
    let output = output
        .await
        .expect("the client hangs")
        .expect("tests/clients/install was not run");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{sdk}: {error}: {output:?}"))
}
