//! A modern client in front of a legacy server that asks something while its call runs.

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
use tokio::sync::watch;

use crate::support::Bridge;
use crate::support::bridge::{Reply, send};

/// A legacy server with sessions, whose tool asks as many people as it is told to and gives their
/// answers back.
#[derive(Clone)]
struct Asker {
    url: String,
    /// What the sessions declared, what the tool was called with, and what was answered.
    seen: Arc<watch::Sender<Seen>>,
}

#[derive(Default)]
struct Seen {
    declared: Vec<Value>,
    calls: usize,
    answers: Vec<Value>,
}

impl Asker {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}/mcp", listener.local_addr().unwrap()),
            seen: Arc::default(),
        };
        let mcp = post(play).delete(async || ());
        let router = Router::new().route("/mcp", mcp).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn calls(&self) -> usize {
        self.seen.borrow().calls
    }
}

async fn play(State(server): State<Asker>, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    let json = |result: Value| {
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        reply("application/json", Body::from(answer.to_string()))
    };
    match message["method"].as_str() {
        Some("initialize") => {
            let declared = message["params"]["capabilities"].clone();
            server.seen.send_modify(|seen| seen.declared.push(declared));
            let mut reply = json(json!({"protocolVersion": "2025-11-25", "capabilities":
                {"tools": {}}, "serverInfo": {"name": "asker", "version": "1"}}));
            let session = http::HeaderValue::from_static("s");
            reply.headers_mut().insert("mcp-session-id", session);
            reply
        }
        Some("tools/call") => {
            server.seen.send_modify(|seen| seen.calls += 1);
            let people = message["params"]["arguments"]["people"].as_u64().unwrap();
            let stream = ask(server, message["id"].clone(), people);
            reply("text/event-stream", stream)
        }
        Some(_) if message["id"].is_null() => reply("text/plain", Body::empty()),
        Some("tools/list") => json(json!({"tools": []})),
        Some(other) => panic!("{other}"),
        None => {
            server
                .seen
                .send_modify(|seen| seen.answers.push(message.clone()));
            reply("text/plain", Body::empty())
        }
    }
}

/// One question after the other, then what was answered.
fn ask(server: Asker, id: Value, people: u64) -> Body {
    let messages = stream::unfold(Some(0), move |asked| {
        let (server, id) = (server.clone(), id.clone());
        async move {
            let asked = asked?;
            let answered = |seen: &Seen| seen.answers.len() as u64 >= asked;
            server.seen.subscribe().wait_for(answered).await.unwrap();
            let message = if asked < people {
                json!({"jsonrpc": "2.0", "id": format!("q{asked}"), "method": "elicitation/create",
                    "params": {"message": format!("question {asked}")}})
            } else {
                let answers: Vec<_> = server.seen.borrow().answers.clone();
                let answers = answers.iter().map(|answer| answer["result"].clone());
                let text = answers.collect::<Value>().to_string();
                json!({"jsonrpc": "2.0", "id": id,
                    "result": {"content": [{"type": "text", "text": text}]}})
            };
            let event = format!("data: {message}\n\n");
            Some((
                Ok::<_, Infallible>(event),
                (asked < people).then_some(asked + 1),
            ))
        }
    });
    Body::from_stream(messages)
}

fn reply(kind: &'static str, body: Body) -> Response {
    let reply = Response::builder().header("content-type", kind);
    reply.body(body).unwrap()
}

/// Calls the tool as a client that can be asked, with what it was asked for.
async fn call(bridge: &Bridge, people: u64, brought: Value, key: Option<&str>) -> Reply {
    call_as(bridge, &bridge.token, people, brought, key).await
}

async fn call_as(
    bridge: &Bridge,
    token: &str,
    people: u64,
    brought: Value,
    key: Option<&str>,
) -> Reply {
    let mut params = json!({"name": "ask", "arguments": {"people": people}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}});
    for (name, value) in brought.as_object().unwrap() {
        params[name] = value.clone();
    }
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(bridge.url("/mcp")).bearer_auth(token);
    let mut request = request.body(message.to_string());
    for (name, value) in [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "ask"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ] {
        request = request.header(name, value);
    }
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    send(request).await
}

fn question(result: &Value) -> (&str, &Value) {
    assert_eq!(result["resultType"], "input_required", "{result}");
    let asked = result["inputRequests"].as_object().unwrap();
    assert_eq!(asked.len(), 1);
    let (name, question) = asked.iter().next().unwrap();
    (name, question)
}

fn answer(result: &Value, content: &Value) -> Value {
    let (name, _) = question(result);
    json!({
        "requestState": result["requestState"],
        "inputResponses": {name: {"action": "accept", "content": content}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_the_server_are_answers_and_their_answers_go_on_with_the_same_call() {
    let server = Asker::start().await;
    let bridge = Bridge::start(&["--upstream", &server.url]).await;
    // All rounds are one call to its client, which says so with one key.
    let key = Some("one call");
    let first = call(&bridge, 2, json!({}), key).await.result();
    let (_, asked) = question(&first);
    let wanted = json!({"method": "elicitation/create", "params": {"message": "question 0"}});
    assert_eq!(*asked, wanted);
    let second = call(&bridge, 2, answer(&first, &json!({"n": 1})), key)
        .await
        .result();
    assert_eq!(question(&second).1["params"]["message"], "question 1");
    let last = call(&bridge, 2, answer(&second, &json!({"n": 2})), key)
        .await
        .result();
    assert_eq!(last["resultType"], "complete");
    let text: Value = serde_json::from_str(last["content"][0]["text"].as_str().unwrap()).unwrap();
    let accepted = |n| json!({"action": "accept", "content": {"n": n}});
    assert_eq!(text, json!([accepted(1), accepted(2)]));
    assert_eq!(server.calls(), 1);
    assert!(
        server
            .seen
            .borrow()
            .declared
            .contains(&json!({"elicitation": {}}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_belongs_to_no_call_of_the_client_starts_none() {
    let server = Asker::start().await;
    let bridge = Bridge::start(&["--upstream", &server.url]).await;
    let made = bridge.command(&["token", "create", "other"]);
    let other = made.lines().last().unwrap().to_owned();
    bridge.until(|status| status["clients"] == 2).await;
    let first = call(&bridge, 1, json!({}), None).await.result();
    let answers = answer(&first, &json!({}));
    let state = first["requestState"].as_str().unwrap();
    let other_letter = if state.starts_with('A') { 'B' } else { 'A' };
    let changed = format!("{other_letter}{}", &state[1..]);
    for state in [json!(changed), json!("x"), json!(5)] {
        let mut answers = answers.clone();
        answers["requestState"] = state;
        let refused = call(&bridge, 1, answers, None).await.json();
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
    let refused = call_as(&bridge, &other, 1, answers, None).await.json();
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert_eq!(server.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_missing_is_asked_for_again() {
    let server = Asker::start().await;
    let bridge = Bridge::start(&["--upstream", &server.url]).await;
    let first = call(&bridge, 1, json!({}), None).await.result();
    let nothing = json!({"requestState": first["requestState"], "inputResponses": {"other": {}}});
    let again = call(&bridge, 1, nothing, None).await.result();
    assert_eq!(question(&again), question(&first));
    let last = call(&bridge, 1, answer(&again, &json!({})), None)
        .await
        .result();
    assert_eq!(
        (&last["resultType"], server.calls()),
        (&json!("complete"), 1)
    );
}
