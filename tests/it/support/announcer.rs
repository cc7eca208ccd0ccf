//! An MCP server that says what a test tells it although nobody asked, of either era.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;

use super::bridge::PATIENCE;

/// What the server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// Sessions, and what belongs to no call on a GET.
    Legacy,
    /// `subscriptions/listen`.
    Modern,
}

/// A running server; dropping it ends it.
pub(crate) struct Announcer {
    pub(crate) url: String,
    stage: Arc<Stage>,
    task: AbortHandle,
}

struct Stage {
    era: Era,
    /// Nothing ends all streams.
    said: broadcast::Sender<Option<Value>>,
    /// The requests, each with the params.
    asked: watch::Sender<Vec<(String, Value)>>,
}

impl Announcer {
    /// A server of that era, which announces changes of everything.
    pub(crate) async fn start(era: Era) -> Self {
        let stage = Arc::new(Stage {
            era,
            said: broadcast::Sender::new(100),
            asked: watch::Sender::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let mcp = post(answer).get(listen).delete(async || ());
        let router = Router::new().route("/mcp", mcp).with_state(stage.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            stage,
            task: task.abort_handle(),
        }
    }

    /// Says it on all streams.
    pub(crate) fn say(&self, method: &str, params: Value) {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        let heard = self.stage.said.send(Some(message));
        heard.expect("nobody listens");
    }

    /// Ends all streams.
    pub(crate) fn hang_up(&self) {
        self.stage.said.send(None).expect("nobody listens");
    }

    /// Waits until a request of that method has come whose params fit.
    pub(crate) async fn until_asked(&self, method: &str, fits: impl Fn(&Value) -> bool) {
        let mut asked = self.stage.asked.subscribe();
        let fits = |(name, params): &(String, Value)| name == method && fits(params);
        let came = asked.wait_for(|asked| asked.iter().any(fits));
        let came = tokio::time::timeout(PATIENCE, came).await;
        came.unwrap_or_else(|_| panic!("{method}: {:?}", self.stage.asked.borrow()))
            .unwrap();
    }

    /// Waits until so many streams are open.
    pub(crate) async fn until_heard_by(&self, streams: usize) {
        let heard = async {
            while self.stage.said.receiver_count() != streams {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let heard = tokio::time::timeout(PATIENCE, heard).await;
        heard.unwrap_or_else(|_| panic!("{} streams", self.stage.said.receiver_count()));
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(State(stage): State<Arc<Stage>>) -> Response {
    if stage.era == Era::Modern {
        return reply(405, "text/plain", Body::empty());
    }
    reply(200, "text/event-stream", stage.stream(None))
}

async fn answer(State(stage): State<Arc<Stage>>, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    let (method, params) = (message["method"].as_str().unwrap(), &message["params"]);
    if message["id"].is_null() {
        return reply(202, "text/plain", Body::empty());
    }
    let stream = method == "subscriptions/listen" && stage.era == Era::Modern;
    let stream = stream.then(|| stage.stream(Some(&message)));
    let asked = (method.to_owned(), params.clone());
    stage.asked.send_modify(|all| all.push(asked));
    if let Some(stream) = stream {
        return reply(200, "text/event-stream", stream);
    }
    let offer = json!({
        "tools": {"listChanged": true},
        "resources": {"listChanged": true, "subscribe": true},
    });
    let server = json!({"name": "announcer", "version": "1"});
    let refuse = |code: i32| Err(json!({"code": code, "message": "no"}));
    let version = &params["_meta"]["io.modelcontextprotocol/protocolVersion"];
    let answer = match (stage.era, method) {
        (Era::Legacy, "initialize") => Ok(json!({
            "protocolVersion": "2025-11-25", "capabilities": offer, "serverInfo": server,
        })),
        (Era::Legacy, "server/discover") | (Era::Modern, "initialize") => refuse(-32601),
        (Era::Modern, _) if version != "2026-07-28" => refuse(-32022),
        (Era::Modern, "server/discover") => Ok(json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": offer,
            "_meta": {"io.modelcontextprotocol/serverInfo": server},
        })),
        (_, "tools/list") => Ok(json!({"tools": []})),
        _ => Ok(json!({})),
    };
    let status = if answer.is_ok() || stage.era == Era::Legacy {
        200
    } else {
        400
    };
    let message = match answer {
        Ok(result) => json!({"jsonrpc": "2.0", "id": message["id"], "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": message["id"], "error": error}),
    };
    let mut reply = reply(status, "application/json", Body::from(message.to_string()));
    if method == "initialize" && stage.era == Era::Legacy {
        let session = http::HeaderValue::from_static("s");
        reply.headers_mut().insert("mcp-session-id", session);
    }
    reply
}

impl Stage {
    /// Everything that is said from now on; in the modern way for that request.
    fn stream(&self, request: Option<&Value>) -> Body {
        let heard = self.said.subscribe();
        let id = request.map(|request| request["id"].clone());
        let first = request.map(|request| {
            json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": {"notifications": request["params"]["notifications"]}})
        });
        let messages = stream::unfold((first, heard), move |(first, mut heard)| {
            let id = id.clone();
            async move {
                let mut message = match first {
                    Some(first) => first,
                    None => heard.recv().await.unwrap()?,
                };
                if let Some(id) = id {
                    message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] = id;
                }
                let event = format!("data: {message}\n\n");
                Some((Ok::<_, Infallible>(event), (None, heard)))
            }
        });
        Body::from_stream(messages)
    }
}

fn reply(status: u16, kind: &'static str, body: Body) -> Response {
    let reply = Response::builder().status(status);
    reply.header("content-type", kind).body(body).unwrap()
}
