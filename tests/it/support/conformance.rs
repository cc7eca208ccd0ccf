//! The official conformance suite, and the reference server that it was written for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::bridge::PATIENCE;
use super::program::cache;

/// The revisions for which the suite has scenarios of its own, and how it is told to run them.
pub(crate) const REVISIONS: [(&str, &[&str]); 4] = [
    ("2025-03-26", &["--suite", "all", "--spec-version"]),
    ("2025-06-18", &["--suite", "all", "--spec-version"]),
    ("2025-11-25", &["--requirements"]),
    ("2026-07-28", &["--requirements"]),
];

/// The reference server; dropping it ends it.
pub(crate) struct Reference {
    pub(crate) url: String,
    _process: Child,
}

impl Reference {
    /// Starts one on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut command = Command::new(cache().join("python-v2/bin/python"));
        command
            .args(["-m", "mcp_everything_server", "--log-level", "ERROR"])
            .args(["--port", &address.port().to_string()])
            .current_dir(cache().join("conformance/everything-server"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut process = command
            .spawn()
            .expect("tests/conformance/install was not run");
        let started = async {
            while TcpStream::connect(address).await.is_err() {
                assert!(process.try_wait().unwrap().is_none(), "it ended at once");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, started)
            .await
            .expect("the reference server did not start");
        Self {
            url: format!("http://{address}/mcp"),
            _process: process,
        }
    }
}

/// What came of each check of a scenario: how often it succeeded, and out of how many times.
pub(crate) type Checks = BTreeMap<String, (usize, usize)>;

/// What came of the scenarios, by revision and name.
pub(crate) type Table = BTreeMap<(String, String), Checks>;

/// Runs every server scenario of every revision against a server.
pub(crate) async fn every_scenario(url: &str) -> Table {
    let mut table = Table::new();
    for (revision, selection) in REVISIONS {
        let results = tempfile::tempdir().unwrap();
        let suite = cache().join("conformance/node_modules");
        let mut command = Command::new(node(&suite));
        command
            .arg(suite.join("@modelcontextprotocol/conformance/dist/index.js"))
            .args(["server", "--url", url])
            .args(selection)
            .args([revision, "--output-dir"])
            .arg(results.path())
            .kill_on_drop(true);
        // Its exit code tells whether all scenarios passed, which is not the question.
        let output = command
            .output()
            .await
            .expect("tests/conformance/install was not run");
        let before = table.len();
        for folder in std::fs::read_dir(results.path()).unwrap() {
            let path = folder.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            // "server-", the scenario, "-", the time.
            let name = name.strip_prefix("server-").unwrap();
            let scenario = &name[..name.len() - "-2026-01-01T00-00-00-000Z".len()];
            let key = (revision.to_owned(), scenario.to_owned());
            table.insert(key, checks(&path.join("checks.json")));
        }
        assert!(table.len() > before, "{revision}: {output:?}");
    }
    table
}

/// The Node.js that was installed beside the suite.
fn node(modules: &Path) -> std::path::PathBuf {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => panic!("the suite's Node.js is not pinned for {other}"),
    };
    modules.join(format!("node-linux-{arch}/bin/node"))
}

fn checks(file: &Path) -> Checks {
    let text = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let all: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let mut checks = Checks::new();
    for check in all {
        let id = check["id"].as_str().unwrap().to_owned();
        let (succeeded, times) = checks.entry(id).or_default();
        *succeeded += usize::from(check["status"] == "SUCCESS");
        *times += 1;
    }
    checks
}

/// The scenarios in which a check succeeds less often in `through` than in `direct`.
pub(crate) fn worse(direct: &Table, through: &Table) -> BTreeSet<String> {
    let keys = direct.keys();
    let worse = keys.filter(|key| !worse_checks(key, direct, through).is_empty());
    worse
        .map(|(revision, scenario)| format!("{revision} {scenario}"))
        .collect()
}

fn worse_checks<'a>(key: &(String, String), direct: &'a Table, through: &Table) -> Vec<&'a str> {
    let succeeded = |id| through.get(key)?.get(id).map(|(succeeded, _)| *succeeded);
    let checks = direct[key].iter();
    let worse = checks.filter(|(id, (n, _))| succeeded(*id).unwrap_or(0) < *n);
    worse.map(|(id, _)| id.as_str()).collect()
}

/// Both runs side by side, for people.
pub(crate) fn side_by_side(direct: &Table, through: &Table) -> String {
    let sum = |checks: Option<&Checks>| {
        let checks = checks.into_iter().flatten();
        let (succeeded, times) = checks.fold((0, 0), |(s, t), (_, (n, of))| (s + n, t + of));
        format!("{succeeded}/{times}")
    };
    let mut text = format!("{:<56}{:>10}{:>10}\n", "scenario", "direct", "bridge");
    for (key, checks) in direct {
        let scenario = format!("{} {}", key.0, key.1);
        let (checks, bridge) = (sum(Some(checks)), sum(through.get(key)));
        let worse = worse_checks(key, direct, through).join(" ");
        let _ = writeln!(text, "{scenario:<56}{checks:>10}{bridge:>10}  {worse}");
    }
    text
}
