//! Home Assistant's prompt for clients that know tools only: as instructions, in the answer to their
//! handshake. Home Assistant gives none itself.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::course::Course;
use super::{Call, Dispatcher, brevity};
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Payload, Request};

/// How long a handshake waits for a prompt that is not at hand.
const PATIENCE: Duration = Duration::from_secs(1);

/// `prompts/list`.
#[derive(Deserialize)]
struct List {
    prompts: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// `prompts/get`.
#[derive(Deserialize)]
struct Prompt {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    text: Option<String>,
}

impl Dispatcher {
    /// The answer to a handshake, with instructions for a client that may know how the house is.
    pub(super) async fn with_instructions(&self, call: &Call, result: RawJson) -> RawJson {
        let most = self.brevity.load().instructions;
        let is_handshake = matches!(
            call.request.method.as_str(),
            "initialize" | "server/discover"
        );
        if !is_handshake || most == 0 || !self.may_see_everything(call) {
            return result;
        }
        let Some(mut members) = result.members() else {
            return result;
        };
        if members.get("instructions").is_some() || self.upstream().insight().is_none() {
            return result;
        }
        let Some(prompt) = self.prompt().await else {
            return result;
        };
        let remark = "[Cut here. GetLiveContext tells what is exposed.]";
        let prompt = brevity::shortened(&prompt, most, remark).unwrap_or(prompt);
        members.set("instructions", &RawJson::of(&prompt));
        members.write()
    }

    /// The text of Home Assistant's prompt, if it has one, and only one.
    async fn prompt(&self) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        let list: List = self.ask("prompts/list", None, deadline).await?;
        let [Named { name }] = &*list.prompts else {
            return None;
        };
        let params = RawJson::of(&json!({"name": name}));
        let prompt: Prompt = self.ask("prompts/get", Some(params), deadline).await?;
        let texts = prompt
            .messages
            .into_iter()
            .filter_map(|message| message.content.text);
        let text = texts.collect::<Vec<_>>().join("\n\n");
        (!text.is_empty()).then_some(text)
    }

    /// The result of a question of the bridge itself, from memory where it is there.
    async fn ask<T: for<'a> Deserialize<'a>>(
        &self,
        method: &str,
        params: Option<RawJson>,
        deadline: Instant,
    ) -> Option<T> {
        let call = Call::of_the_bridge(Request::new(Id::number(0), method, params));
        let course = Course::default();
        let outcome = self.recall(&self.own(&call), deadline, &course).await;
        match outcome.ok()?.payload {
            Payload::Result(result) => result.read().ok(),
            Payload::Error(_) => None,
        }
    }
}
