//! A bridge: the real binary in a process of its own, on ports that the system chooses.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use mcp_bridge::demo::{self, DemoHouse};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::secrets::{expect_no_token_in_files, token_in};

/// How long a test waits for something that must happen. Reached only when it does not.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A running bridge. Dropping it kills the process, and fails if a token is in its log or in a file.
pub(crate) struct Bridge {
    child: Child,
    started: Vec<String>,
    log: Mutex<Receiver<String>>,
    /// Reads the log; ends with the lines that hold a token.
    reader: Option<JoinHandle<Vec<String>>>,
    data: TempDir,
    http: reqwest::Client,
    pub(crate) lan: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Where `/metrics` is, if that is a place of its own.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) token: String,
    pub(crate) admin_token: String,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The `result` of the JSON-RPC answer.
    pub(crate) fn result(&self) -> Value {
        let json = self.json();
        json.get("result")
            .cloned()
            .unwrap_or_else(|| panic!("no result: {self:?}"))
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code of the catalogue that the answer carries, in whichever form.
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        [
            "/code",
            "/error/data/code",
            "/result/_meta/mcp-bridge~1error/code",
        ]
        .iter()
        .find_map(|place| json.pointer(place)?.as_str())
        .unwrap_or_else(|| panic!("no code: {self:?}"))
        .to_owned()
    }
}

/// A house for tests, at any port.
pub(crate) async fn house() -> DemoHouse {
    DemoHouse::start(demo::Settings::default()).await.unwrap()
}

/// A command of the real program, free of what the tests' own environment says.
pub(crate) fn program<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-bridge"));
    command.env_clear().args(args);
    command
}

impl Bridge {
    /// A bridge in front of `house`.
    pub(crate) async fn before(house: &DemoHouse) -> Self {
        Self::start(&["--upstream", &house.url()]).await
    }

    /// A bridge with these arguments.
    pub(crate) async fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[]).await
    }

    /// A bridge with these arguments and variables of the environment.
    pub(crate) async fn start_with(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        Self::start_in(data, args, environment).await
    }

    /// A bridge with this data folder.
    #[expect(clippy::unused_async, reason = "like the other ways to start one")]
    pub(crate) async fn start_in(
        data: TempDir,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = program(["serve", "--listen", "127.0.0.1:0"]);
        if !args.contains(&"--admin-listen") {
            command.args(["--admin-listen", "127.0.0.1:0"]);
        }
        command
            .args(["--log-format", "json", "--data"])
            .arg(data.path())
            .args(args);
        command
            .envs(environment.iter().copied())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        let reader = std::thread::spawn(move || {
            let mut leaks = Vec::new();
            for line in stderr.lines().map_while(Result::ok) {
                if token_in(&line).is_some() {
                    leaks.push(line.clone());
                }
                // Whoever wanted to read it may be gone already.
                let _ = sender.send(line);
            }
            leaks
        });
        let (lan, admin, metrics, started) = tokio::task::block_in_place(|| addresses(&log));
        let token = |file: &str| {
            // Who declares clients has no first token.
            let text = std::fs::read_to_string(data.path().join(file));
            text.unwrap_or_default().trim().to_owned()
        };
        let (token, admin_token) = (token("first-token"), token("admin-token"));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            child,
            started,
            log: Mutex::new(log),
            reader: Some(reader),
            data,
            http,
            lan,
            admin,
            metrics,
            token,
            admin_token,
        }
    }

    /// The address of a path on the listener for clients.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.lan)
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// A request to the listener for clients, with the token.
    pub(crate) fn request(&self, method: http::Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, self.url(path))
            .bearer_auth(&self.token)
    }

    /// A request to the listener for operators, with the admin token.
    pub(crate) fn admin_request(
        &self,
        method: http::Method,
        path: &str,
    ) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.admin);
        self.http
            .request(method, url)
            .bearer_auth(&self.admin_token)
    }

    /// A POST of JSON with the token.
    pub(crate) fn post(&self, path: &str, body: impl std::fmt::Display) -> reqwest::RequestBuilder {
        let request = self
            .request(http::Method::POST, path)
            .body(body.to_string());
        request.header("content-type", "application/json")
    }

    /// One JSON-RPC request to `/mcp`.
    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Reply {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        send(self.post("/mcp", message)).await
    }

    /// One tool call over `/mcp`.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.rpc("tools/call", json!({"name": tool, "arguments": arguments}))
            .await
    }

    /// One tool call over `/mcp` that gives up after so long.
    pub(crate) async fn call_within(&self, patience: &str, tool: &str, arguments: Value) -> Reply {
        let params = json!({"name": tool, "arguments": arguments});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        send(
            self.post("/mcp", message)
                .header("x-request-timeout", patience),
        )
        .await
    }

    /// The status.
    pub(crate) async fn status(&self) -> Value {
        send(self.request(http::Method::GET, "/mcp/status"))
            .await
            .json()
    }

    /// Waits until the status satisfies `condition`.
    pub(crate) async fn until(&self, condition: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                let status = self.status().await;
                if condition(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("it never happened")
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// Everything that was logged so far.
    fn logged(&self) -> Vec<String> {
        self.log.lock().unwrap().try_iter().collect()
    }

    /// Waits for a line of the log that holds the text.
    pub(crate) fn logged_line(&self, text: &str) {
        let log = self.log.lock().unwrap();
        let mut lines = std::iter::from_fn(|| log.recv_timeout(PATIENCE).ok());
        let found = tokio::task::block_in_place(|| lines.any(|line| line.contains(text)));
        assert!(found, "{text:?} was not logged");
    }

    /// Everything that is logged until the process has ended.
    pub(crate) fn logged_to_the_end(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        tokio::task::block_in_place(|| log.iter().collect())
    }

    /// Ends the process, and gives everything that it logged since its start.
    pub(crate) fn whole_log(&self) -> Vec<String> {
        self.signal("TERM");
        let mut log = self.started.clone();
        log.extend(self.logged_to_the_end());
        log
    }

    /// Runs another command of the program on the same data folder; gives its standard output.
    pub(crate) fn command(&self, args: &[&str]) -> String {
        let mut command = program(args);
        let output = command.arg("--data").arg(self.data()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let leaks = self.reader.take().map(JoinHandle::join);
        if std::thread::panicking() {
            let log = self.logged().join("\n");
            let _ = writeln!(std::io::stderr(), "log of the bridge:\n{log}");
            return;
        }
        let leaks = leaks.unwrap().unwrap();
        assert!(leaks.is_empty(), "lines of the log hold tokens: {leaks:?}");
        expect_no_token_in_files(self.data.path());
    }
}

/// Waits for the end of a process.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let ended = async {
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = async { tokio::time::timeout(PATIENCE, ended).await };
    let ended = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(ended));
    ended.expect("the process did not end")
}

/// Sends a signal to a process.
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

/// Sends a request and reads the whole answer, which must hold no token.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Reply {
    let reply = send_for_token(request).await;
    let whole = format!("{reply:?}");
    assert_eq!(token_in(&whole), None, "an answer holds a token: {whole}");
    reply
}

/// Sends a request of which the answer may hold a token, because it was asked for one.
pub(crate) async fn send_for_token(request: reqwest::RequestBuilder) -> Reply {
    let response = tokio::time::timeout(PATIENCE, request.send())
        .await
        .unwrap()
        .unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply {
        status,
        headers,
        text: response.text().await.unwrap(),
    }
}

/// The addresses that the bridge says it listens on, and all that it said until then.
fn addresses(log: &Receiver<String>) -> (SocketAddr, SocketAddr, Option<SocketAddr>, Vec<String>) {
    let mut seen = Vec::new();
    while let Ok(line) = log.recv_timeout(PATIENCE) {
        let json: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = |key: &str| json.get(key)?.as_str()?.parse().ok();
        let metrics = address("metrics");
        seen.push(line.clone());
        if let (Some(lan), Some(admin)) = (address("lan"), address("admin")) {
            return (lan, admin, metrics, seen);
        }
    }
    panic!("the bridge did not start:\n{}", seen.join("\n"));
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

const MODERN_META: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"t","version":"0"}}"#;

/// A request of revision 2026-07-28.
pub(crate) fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = serde_json::from_str(MODERN_META).unwrap();
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// The same as a POST with the headers of that revision.
pub(crate) fn modern_post(bridge: &Bridge, method: &str, params: Value) -> reqwest::RequestBuilder {
    let request = bridge.post("/mcp", modern(method, params));
    request
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method)
}
