//! A harmless call of the bridge itself, to see whether the whole way is open.

use std::time::Duration;

use serde_json::json;

use super::{Call, Dispatcher};
use crate::error::{Code, Failure};
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Payload, Request};
use crate::protocol::tool_result::is_error;

/// Tools that need no arguments and say little, by the ends of their names.
const HARMLESS: [&str; 2] = ["GetDateTime", "GetLiveContext"];

/// How long each step of the trial may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an error that are told.
const MAX_WORDS: usize = 300;

impl Dispatcher {
    /// Calls a tool that only looks, as a client would; gives its name, or nothing if there is none
    /// that is known to do without arguments.
    ///
    /// # Errors
    /// Why there was no answer; see the catalogue.
    pub async fn try_out(&self) -> Result<Option<String>, Failure> {
        let tools = self.tools().await?;
        let found = HARMLESS
            .iter()
            .find_map(|end| tools.iter().find(|tool| tool.name.ends_with(end)));
        let Some(name) = found.map(|tool| tool.name.clone()) else {
            return Ok(None);
        };
        let params = RawJson::of(&json!({"name": name, "arguments": {}}));
        let request = Request::new(Id::number(0), "tools/call", Some(params));
        let mut call = Call::of_the_bridge(request);
        call.wishes.timeout = Some(PATIENCE);
        let answer = self.handle(call).await?;
        let text = match &answer.payload {
            Payload::Result(result) if !is_error(result) => return Ok(Some(name)),
            Payload::Result(text) | Payload::Error(text) => text.as_bytes(),
        };
        let some = String::from_utf8_lossy(&text[..text.len().min(MAX_WORDS)]);
        Err(Failure::with(Code::AnsweredByHomeAssistant, some))
    }
}
