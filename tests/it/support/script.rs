//! An MCP server that does what a test tells it: each request is answered by a function.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

type Answer = Box<dyn Fn(&str, &Value) -> Value + Send + Sync>;

/// A running server; dropping it ends it.
pub(crate) struct Script {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Value>>>,
    task: AbortHandle,
}

struct Role {
    seen: Arc<Mutex<Vec<Value>>>,
    answer: Answer,
}

impl Script {
    /// A legacy server without sessions, that offers these capabilities. `answer` gives the result
    /// of a method with these params.
    pub(crate) async fn start(
        capabilities: Value,
        answer: impl Fn(&str, &Value) -> Value + Send + Sync + 'static,
    ) -> Self {
        let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
        let hello = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "serverInfo": {"name": "script", "version": "1"},
        });
        let answer: Answer = Box::new(move |method, params| match method {
            "initialize" => hello.clone(),
            method => answer(method, params),
        });
        let role = Arc::new(Role {
            seen: seen.clone(),
            answer,
        });
        let router = Router::new().route("/mcp", post(play)).with_state(role);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            seen,
            task: task.abort_handle(),
        }
    }

    /// All messages that it was sent.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(State(role): State<Arc<Role>>, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    role.seen.lock().unwrap().push(message.clone());
    let Some(method) = message["method"]
        .as_str()
        .filter(|_| !message["id"].is_null())
    else {
        let mut accepted = Response::new(Body::empty());
        *accepted.status_mut() = http::StatusCode::ACCEPTED;
        return accepted;
    };
    let result = (role.answer)(method, &message["params"]);
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    let mut reply = Response::new(Body::from(answer.to_string()));
    let kind = http::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}
