//! Servers of either era behind the bridge: which wire they get, and what they say meanwhile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response as HttpResponse;
use axum::{Json, Router};
use futures_util::future::ready;
use http::{HeaderMap, StatusCode};
use mcp_bridge::protocol::json::RawJson;
use mcp_bridge::protocol::message::{Id, Notification, Payload, Request, Response};
use mcp_bridge::protocol::revision::Revision;
use mcp_bridge::upstream::{
    self, Context, Downstream, Reply, Trouble, Upstream, http_client, pool,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::bridge::PATIENCE;

/// Longer than any test.
const NEVER: Duration = Duration::from_hours(1);

/// What a server got: headers and message.
type Got = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

/// A server of revision 2026-07-28 and of nothing else.
struct ModernServer {
    upstream: Upstream,
    got: Got,
}

impl ModernServer {
    async fn start() -> Self {
        let got = Got::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve).with_state(got.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let upstream = Upstream::new(upstream::Settings {
            url: url.parse().unwrap(),
            further_urls: Vec::new(),
            token: None,
            max_answer: 1 << 20,
            http: http_client::Settings {
                connect_timeout: PATIENCE,
                response_timeout: PATIENCE,
                verify_tls: true,
            },
            pool: pool::Settings::default(),
            insight: None,
        });
        Self {
            upstream: upstream.unwrap(),
            got,
        }
    }

    async fn call(&self, request: &Request, context: &Context) -> Result<Response, Trouble> {
        self.upstream
            .exchange(request, context, Instant::now() + NEVER)
            .await
    }

    /// The tool calls that it got.
    fn calls(&self) -> Vec<(HeaderMap, Value)> {
        let got = self.got.lock().unwrap();
        let calls = got
            .iter()
            .filter(|(_, body)| body["method"] == "tools/call");
        calls.cloned().collect()
    }
}

async fn serve(
    State(got): State<Got>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> HttpResponse {
    got.lock().unwrap().push((headers, body.clone()));
    let params = &body["params"];
    let version = &params["_meta"]["io.modelcontextprotocol/protocolVersion"];
    let error = |code: i32| json!({"error": {"code": code, "message": "no"}});
    let (status, answer) = match body["method"].as_str().unwrap() {
        "initialize" => (404, error(-32601)),
        _ if version != "2026-07-28" => (400, error(-32022)),
        "server/discover" => (
            200,
            json!({"result": {"resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "public",
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "modern", "version": "1"}}}}),
        ),
        _ if params["name"] == "ask" && params.get("inputResponses").is_none() => (
            200,
            json!({"result": {"resultType": "input_required", "requestState": "s",
                "inputRequests": {"who": {"method": "elicitation/create", "params": {"message": "?"}}}}}),
        ),
        _ => (
            200,
            json!({"result": {"resultType": "complete",
                "content": [{"type": "text", "text": params["inputResponses"].to_string()}]}}),
        ),
    };
    let mut message = json!({"jsonrpc": "2.0", "id": body["id"]});
    for (key, value) in answer.as_object().unwrap() {
        message[key] = value.clone();
    }
    let (kind, text) = if params["name"] == "progress" {
        let told = json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": "t", "progress": 0.5}});
        (
            "text/event-stream",
            format!("data: {told}\n\ndata: {message}\n\n"),
        )
    } else {
        ("application/json", message.to_string())
    };
    HttpResponse::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", kind)
        .body(Body::from(text))
        .unwrap()
}

/// A client that answers every question in the same way, and remembers what it heard.
#[derive(Debug)]
struct Client {
    capabilities: RawJson,
    asked: Mutex<Vec<String>>,
    heard: Mutex<Vec<String>>,
}

impl Client {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            capabilities: RawJson::of(&json!({"elicitation": {}})),
            asked: Mutex::default(),
            heard: Mutex::default(),
        })
    }
}

impl Downstream for Client {
    fn capabilities(&self) -> Option<&RawJson> {
        Some(&self.capabilities)
    }

    fn session(&self) -> Option<&str> {
        None
    }

    fn notify(&self, notification: Notification) {
        self.heard.lock().unwrap().push(notification.method);
    }

    fn ask(&self, request: Request) -> Reply<'_> {
        self.asked.lock().unwrap().push(request.method);
        let result = RawJson::of(&json!({"action": "accept", "content": {}}));
        Box::pin(ready(Some(Response::new(
            Some(request.id),
            Payload::Result(result),
        ))))
    }
}

fn context(revision: Revision, client: Option<Arc<Client>>) -> Context {
    Context {
        client: "n8n".into(),
        revision,
        downstream: client.map(|client| client as Arc<dyn Downstream>),
        mirrored: HeaderMap::new(),
        trace: None,
    }
}

fn tool(name: &str, meta: Value) -> Request {
    let params = json!({"name": name, "arguments": {}, "_meta": meta});
    Request::new(Id::number(4), "tools/call", Some(RawJson::of(&params)))
}

fn modern_tool(name: &str) -> Request {
    tool(
        name,
        json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}),
    )
}

fn result(answer: Result<Response, Trouble>) -> Value {
    match answer.unwrap().payload {
        Payload::Result(result) => result.read().unwrap(),
        Payload::Error(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_modern_request_reaches_a_modern_server_as_it_is_with_its_headers() {
    let server = ModernServer::start().await;
    let mut context = context(Revision::V2026_07_28, None);
    let mirrored = "mcp-param-region".parse::<http::HeaderName>().unwrap();
    context.mirrored.insert(mirrored, "eu".parse().unwrap());
    let request = modern_tool("lümen");
    let answer = server.call(&request, &context).await;
    assert_eq!(result(answer)["resultType"], "complete");

    let (headers, body) = server.calls().remove(0);
    assert_eq!(
        body,
        serde_json::from_slice::<Value>(&request.to_bytes()).unwrap()
    );
    let header = |name| headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(header("mcp-protocol-version"), "2026-07-28");
    assert_eq!(header("mcp-method"), "tools/call");
    assert_eq!(header("mcp-name"), "=?base64?bMO8bWVu?=");
    assert_eq!(header("mcp-param-region"), "eu");
}

#[tokio::test]
async fn a_server_that_knows_no_handshake_serves_legacy_clients_in_the_modern_way() {
    let server = ModernServer::start().await;
    let context = context(Revision::V2025_06_18, None);
    for _ in 0..2 {
        let answer = result(server.call(&tool("plain", json!({"x": 1})), &context).await);
        assert!(answer.get("resultType").is_none(), "{answer}");
        assert!(answer["content"].is_array());
    }
    let got = server.got.lock().unwrap().clone();
    let greetings = got
        .iter()
        .filter(|(_, body)| body["method"] == "initialize");
    assert_eq!(greetings.count(), 1, "it is remembered");
    let (_, body) = &got[got.len() - 1];
    let meta = &body["params"]["_meta"];
    assert_eq!(meta["x"], 1);
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    let introduction = server.upstream.introduction(PATIENCE).await.unwrap();
    assert_eq!(
        introduction.server_info.read::<Value>().unwrap()["name"],
        "modern"
    );
}

#[tokio::test]
async fn a_legacy_client_is_asked_what_a_modern_server_wants_to_know() {
    let server = ModernServer::start().await;
    let client = Client::new();
    let context = context(Revision::V2025_11_25, Some(client.clone()));
    let answer = result(server.call(&tool("ask", json!({})), &context).await);
    let text = answer["content"][0]["text"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(text).unwrap(),
        json!({"who": {"action": "accept", "content": {}}})
    );
    assert_eq!(*client.asked.lock().unwrap(), ["elicitation/create"]);
    let (_, again) = server.calls().remove(1);
    assert_eq!(again["params"]["requestState"], "s");
}

#[tokio::test]
async fn a_modern_client_answers_a_modern_server_itself() {
    let server = ModernServer::start().await;
    let client = Client::new();
    let context = context(Revision::V2026_07_28, Some(client.clone()));
    let answer = result(server.call(&modern_tool("ask"), &context).await);
    assert_eq!(answer["resultType"], "input_required");
    assert!(client.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_question_to_a_client_that_cannot_be_asked_is_an_error_and_not_a_wait() {
    let server = ModernServer::start().await;
    let context = context(Revision::V2025_11_25, None);
    let answer = server
        .call(&tool("ask", json!({})), &context)
        .await
        .unwrap();
    assert!(matches!(answer.payload, Payload::Error(_)));
}

#[tokio::test]
async fn what_a_server_says_while_a_call_runs_reaches_its_client() {
    let server = ModernServer::start().await;
    let client = Client::new();
    let context = context(Revision::V2026_07_28, Some(client.clone()));
    result(server.call(&modern_tool("progress"), &context).await);
    assert_eq!(*client.heard.lock().unwrap(), ["notifications/progress"]);
}
