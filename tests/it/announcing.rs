//! What a server says that belongs to no call reaches whoever listens, from either era to either.

use http::Method;
use http::header::ACCEPT;
use serde_json::{Value, json};

use crate::support::Bridge;
use crate::support::announcer::{Announcer, Era};
use crate::support::bridge::{modern_post, send};
use crate::support::events::Events;

const EVENTS: &str = "text/event-stream";
const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";
const ALWAYS: [(&str, &str); 1] = [("MCP_BRIDGE__LEGACY_SESSIONS", "always")];

async fn by_get(bridge: &Bridge) -> Events {
    let request = bridge.request(Method::GET, "/mcp").header(ACCEPT, EVENTS);
    let mut stream = Events::of(request.header("mcp-protocol-version", "2025-06-18")).await;
    stream.next().await.unwrap();
    stream
}

async fn by_listen(bridge: &Bridge, filter: Value) -> (Events, Value) {
    let request = modern_post(
        bridge,
        "subscriptions/listen",
        json!({"notifications": filter}),
    );
    let mut stream = Events::of(request.header(ACCEPT, EVENTS)).await;
    let acknowledged = stream.message().await.unwrap();
    (stream, acknowledged["params"]["notifications"].clone())
}

async fn before(server: &Announcer) -> Bridge {
    Bridge::start_with(&["--upstream", &server.url], &ALWAYS).await
}

/// Opens a session; gives its id and its stream.
async fn session(bridge: &Bridge) -> (String, Events) {
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "t", "version": "0"}}});
    let greeted = send(bridge.post("/mcp", hello)).await;
    let id = greeted.header("mcp-session-id").unwrap().to_owned();
    let request = bridge.request(Method::GET, "/mcp").header(ACCEPT, EVENTS);
    let mut stream = Events::of(request.header("mcp-session-id", &id)).await;
    stream.next().await.unwrap();
    (id, stream)
}

async fn ask(bridge: &Bridge, session: &str, method: &str, params: Value) -> Value {
    let message = json!({"jsonrpc": "2.0", "id": 2, "method": method, "params": params});
    let request = bridge.post("/mcp", message);
    send(request.header("mcp-session-id", session)).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_list_is_heard_by_clients_of_either_era_from_servers_of_either() {
    for era in [Era::Legacy, Era::Modern] {
        let server = Announcer::start(era).await;
        let bridge = before(&server).await;
        let mut legacy = by_get(&bridge).await;
        let (mut modern, _) = by_listen(&bridge, json!({"toolsListChanged": true})).await;
        server.until_heard_by(1).await;
        server.say(TOOLS, json!({"kept": 1.0}));
        let heard = legacy.message().await.unwrap();
        assert_eq!(heard["method"], TOOLS, "{era:?}");
        assert_eq!(heard["params"], json!({"kept": 1.0}), "{era:?}");
        let heard = modern.message().await.unwrap();
        assert_eq!(heard["method"], TOOLS, "{era:?}");
        let tag = &heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert_eq!((tag, &heard["params"]["kept"]), (&json!(1), &json!(1.0)));
        drop((legacy, modern));
        // Who is heard by nobody is not listened to.
        server.until_heard_by(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_watched_at_the_server_as_long_as_a_client_watches_it() {
    for era in [Era::Legacy, Era::Modern] {
        let server = Announcer::start(era).await;
        let bridge = before(&server).await;
        let (id, mut stream) = session(&bridge).await;
        let uri = json!({"uri": "a://1"});
        let granted = ask(&bridge, &id, "resources/subscribe", uri.clone()).await;
        assert_eq!(granted["result"], json!({}), "{era:?}: {granted}");
        let listened = |params: &Value| {
            let uris = &params["notifications"]["resourceSubscriptions"];
            *uris == json!(["a://1"])
        };
        match era {
            Era::Legacy => {
                let is_it = |params: &Value| *params == json!({"uri": "a://1"});
                server.until_asked("resources/subscribe", is_it).await;
            }
            Era::Modern => server.until_asked("subscriptions/listen", listened).await,
        }
        server.until_heard_by(1).await;
        server.say(UPDATED, json!({"uri": "a://2"}));
        server.say(UPDATED, uri.clone());
        let heard = stream.message().await.unwrap();
        assert_eq!(
            (&heard["method"], &heard["params"]),
            (&json!(UPDATED), &uri)
        );

        let (mut modern, acknowledged) =
            by_listen(&bridge, json!({"resourceSubscriptions": ["a://3"]})).await;
        assert_eq!(acknowledged, json!({"resourceSubscriptions": ["a://3"]}));
        server.until_heard_by(1).await;
        server.say(UPDATED, json!({"uri": "a://3"}));
        assert_eq!(modern.message().await.unwrap()["params"]["uri"], "a://3");

        let over = ask(&bridge, &id, "resources/unsubscribe", uri.clone()).await;
        assert_eq!(over["result"], json!({}), "{era:?}: {over}");
        match era {
            Era::Legacy => {
                let is_it = |params: &Value| *params == json!({"uri": "a://1"});
                server.until_asked("resources/unsubscribe", is_it).await;
            }
            Era::Modern => {
                let left = |params: &Value| {
                    params["notifications"]["resourceSubscriptions"] == json!(["a://3"])
                };
                server.until_asked("subscriptions/listen", left).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listened_while_the_server_was_not_heard_may_have_missed_anything() {
    for era in [Era::Legacy, Era::Modern] {
        let server = Announcer::start(era).await;
        let bridge = before(&server).await;
        let wanted = json!({"toolsListChanged": true, "resourcesListChanged": true});
        let (mut stream, acknowledged) = by_listen(&bridge, wanted.clone()).await;
        assert_eq!(acknowledged, wanted, "{era:?}");
        server.until_heard_by(1).await;
        server.hang_up();
        let mut heard = Vec::new();
        for _ in 0..2 {
            heard.push(stream.message().await.unwrap()["method"].clone());
        }
        heard.sort_by_key(Value::to_string);
        assert_eq!(heard, ["notifications/resources/list_changed", TOOLS]);
        server.until_heard_by(1).await;
        server.say(TOOLS, json!({}));
        assert_eq!(stream.message().await.unwrap()["method"], TOOLS);
    }
}
