//! Another upstream takes the place of the one before while calls wait: what was decided by the tools
//! of the old one does not count for the new one.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::bridge::{Reply, send};
use crate::support::configured::Configured;
use crate::support::upstream::Upstream;

const TOOL: &str = "demo__Peek";

/// A bridge whose queue stands still, and two servers that both have a tool of that name.
struct Waiting {
    configured: Arc<Configured>,
    old: Upstream,
    new: Upstream,
    token: String,
}

impl Waiting {
    /// The bridge is in front of the old one, and has a client with those rights.
    async fn with(rights: Value) -> Self {
        let (old, new) = (Upstream::start().await, Upstream::start().await);
        let configured = Configured::start(&format!("upstream: {}", old.url())).await;
        let made = configured.bridge.command(&[
            "token",
            "create",
            "agent",
            "--rights",
            &rights.to_string(),
        ]);
        let token = made.lines().last().unwrap().to_owned();
        configured
            .bridge
            .until(|status| status["clients"] == 2)
            .await;
        Self {
            configured: Arc::new(configured),
            old,
            new,
            token,
        }
    }

    fn ask(&self, method: &str) -> JoinHandle<Reply> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = self.configured.bridge.url("/mcp");
        let request = client.post(url).bearer_auth(&self.token);
        let params = json!({"name": TOOL});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = request.header("content-type", "application/json");
        tokio::spawn(send(request.body(message.to_string())))
    }

    /// A call that waits when the new server takes the place of the old one.
    async fn overtaken(&self) -> Value {
        let queue = |what: &str| self.queue(what.to_owned());
        // The list is known, so that what waits is the call itself.
        self.ask("tools/list").await.unwrap().result();
        queue("pause").await;
        let call = self.ask("tools/call");
        let waits = |status: &Value| status["calls"]["queue"]["waiting"] == 1;
        self.configured.bridge.until(waits).await;
        let text = format!("upstream: {}", self.new.url());
        assert_eq!(self.configured.reload(&text).await.status, 200);
        queue("resume").await;
        call.await.unwrap().result()
    }

    async fn queue(&self, what: String) {
        let path = format!("/api/queue/{what}");
        let reply = self.configured.admin(Method::POST, &path).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// How often the tool was called at either server.
    fn calls(&self) -> (usize, usize) {
        (self.old.asked("tools/call"), self.new.asked("tools/call"))
    }
}

fn text(answer: &Value) -> &str {
    answer["content"][0]["text"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_would_be_an_action_there_is_refused_to_a_client_that_may_only_look() {
    let waiting = Waiting::with(json!({"read_only": true})).await;
    waiting.old.add_looking_tool(TOOL);
    waiting.new.add_tool(TOOL);
    let answer = waiting.overtaken().await;
    assert!(text(&answer).contains("read-only"), "{answer}");
    assert_eq!(waiting.calls(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_one_there_too_is_answered_by_the_new_one() {
    let waiting = Waiting::with(json!({"read_only": true})).await;
    waiting.old.add_looking_tool(TOOL);
    waiting.new.add_looking_tool(TOOL);
    waiting.new.set_state("there");
    let answer = waiting.overtaken().await;
    assert_eq!(text(&answer), "there");
    assert_eq!(waiting.calls(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_of_a_client_with_limits_is_not_brought_to_a_server_it_was_not_meant_for() {
    let waiting = Waiting::with(json!({"allow": ["demo__*"]})).await;
    waiting.old.add_tool(TOOL);
    waiting.new.add_tool(TOOL);
    let answer = waiting.overtaken().await;
    assert!(text(&answer).contains("was replaced"), "{answer}");
    assert!(text(&answer).ends_with("Nothing was changed."), "{answer}");
    assert_eq!(waiting.calls(), (0, 0));
    let again = waiting.ask("tools/call").await.unwrap().result();
    assert_eq!(again["isError"], false);
    assert_eq!(waiting.calls(), (0, 1));
}
