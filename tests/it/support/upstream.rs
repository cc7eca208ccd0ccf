//! An MCP server whose tools and states a test can change behind the bridge's back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The server. Dropping it ends nothing; the test's runtime does.
#[derive(Clone)]
pub(crate) struct Upstream(Arc<Inner>);

struct Inner {
    url: String,
    tools: Mutex<Vec<Value>>,
    state: Mutex<String>,
    broken: AtomicBool,
    asked: watch::Sender<Vec<String>>,
}

impl Upstream {
    /// A server with one tool that tells one state.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self(Arc::new(Inner {
            url: format!("http://{}/mcp", listener.local_addr().unwrap()),
            tools: Mutex::new(vec![tool("demo__GetLiveContext")]),
            state: Mutex::new("off".to_owned()),
            broken: AtomicBool::new(false),
            asked: watch::Sender::new(Vec::new()),
        }));
        let router = Router::new()
            .route("/mcp", post(answer))
            .with_state(upstream.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        upstream
    }

    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    pub(crate) fn add_tool(&self, name: &str) {
        self.0.tools.lock().unwrap().push(tool(name));
    }

    /// A tool of which the server says that it only looks.
    pub(crate) fn add_looking_tool(&self, name: &str) {
        let mut tool = tool(name);
        tool["annotations"] = json!({"readOnlyHint": true});
        self.0.tools.lock().unwrap().push(tool);
    }

    pub(crate) fn set_state(&self, state: &str) {
        state.clone_into(&mut self.0.state.lock().unwrap());
    }

    /// From now on every list is an exception, as one broken script makes it in Home Assistant.
    pub(crate) fn break_lists(&self) {
        self.0.broken.store(true, Ordering::Relaxed);
    }

    /// How often a method was asked for.
    pub(crate) fn asked(&self, method: &str) -> usize {
        self.0
            .asked
            .borrow()
            .iter()
            .filter(|m| *m == method)
            .count()
    }

    /// Waits until a method was asked for so often.
    pub(crate) async fn until_asked(&self, method: &str, times: usize) {
        let enough = |asked: &Vec<String>| asked.iter().filter(|m| *m == method).count() >= times;
        self.0.asked.subscribe().wait_for(enough).await.unwrap();
    }
}

fn tool(name: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object"}})
}

async fn answer(State(upstream): State<Upstream>, Json(message): Json<Value>) -> Json<Value> {
    let inner = &upstream.0;
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    let tools = inner.tools.lock().unwrap().clone();
    let state = inner.state.lock().unwrap().clone();
    let result = match method.as_str() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "test", "version": "1"},
        }),
        "tools/list" if inner.broken.load(Ordering::Relaxed) => Value::Null,
        "tools/list" => json!({"tools": tools}),
        "tools/call" => json!({"content": [{"type": "text", "text": state}], "isError": false}),
        _ => json!({}),
    };
    inner.asked.send_modify(|asked| asked.push(method));
    let mut answer = json!({"jsonrpc": "2.0", "id": message["id"]});
    if result.is_null() {
        answer["error"] = json!({"code": 0, "message": "a script is broken"});
    } else {
        answer["result"] = result;
    }
    Json(answer)
}
