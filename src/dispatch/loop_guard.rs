//! The loop guard with clock and lock: which calls it watches, and what becomes of a loop.
//!
//! An action that is repeated without end is not carried out once more: its client gets the last
//! answer again. A question is asked all the same, since its answer may have changed; both are told
//! that they go round in circles.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::time::Instant;

use super::flights::Outcome;
use super::judged::Judged;
use super::keys;
use super::loops::{Answered, Key, Loops, Settings};
use crate::protocol::json::RawJson;
use crate::protocol::message::Payload;

/// The key under which an answer says how often the call was made.
const LOOP_META: &str = "mcp-bridge/loop";

/// Watches the tool calls of all clients.
#[derive(Debug)]
pub(super) struct LoopGuard {
    loops: Mutex<Loops<RawJson>>,
    found: AtomicU64,
}

/// What is known about a call before it is made.
#[derive(Debug)]
pub(super) struct Watched {
    key: Key,
    writes: bool,
    asked: Instant,
    /// The last result, and how often it was given, if one more of it is a loop.
    repeated: Option<(RawJson, usize)>,
}

impl Watched {
    /// What the client is told instead of carrying out the action once more.
    pub(super) fn stopped(&self) -> Option<RawJson> {
        let (last, times) = self.repeated.as_ref().filter(|_| self.writes)?;
        let hint = format!(
            "This is the last answer once more: the same call was made {times} times within a \
             short time, so it was not made again. Do not repeat it; do something else, or tell \
             the user."
        );
        Some(hinted(last, &hint, *times))
    }
}

impl LoopGuard {
    /// Nothing was called yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            loops: Mutex::new(Loops::new(settings)),
            found: AtomicU64::new(0),
        }
    }

    /// Other settings from now on.
    pub(super) fn configure(&self, settings: Settings) {
        self.lock().configure(settings);
    }

    /// A call is about to be made. Nothing for calls of which each is meant: steps, those with a key
    /// of their own, and those that bring what the server wanted to know.
    pub(super) fn watch(&self, judged: &Judged<'_>) -> Option<Watched> {
        let (call, writes) = (&*judged.call, judged.acts());
        let params = call.request.param_members();
        let is_meant = judged.nature.repeatable
            || call.wishes.idempotency_key.is_some()
            || params.get("requestState").is_some()
            || params.get("inputResponses").is_some();
        if call.request.method != "tools/call" || is_meant {
            if writes {
                self.lock().changed(&call.client.name);
            }
            return None;
        }
        let key = Key {
            client: call.client.name.clone(),
            call: keys::exactly(call),
        };
        let repeated = self.lock().repeated(Instant::now().into_std(), &key);
        if repeated.is_some() {
            self.found.fetch_add(1, Ordering::Relaxed);
        }
        Some(Watched {
            key,
            writes,
            asked: call.received,
            repeated,
        })
    }

    /// The call is over; gives the answer as its client is told.
    pub(super) fn answered(&self, call: Watched, outcome: Outcome) -> Outcome {
        let answer = outcome.inspect_err(|_| {
            // Nobody knows whether an action that failed has changed something.
            if call.writes {
                self.lock().changed(&call.key.client);
            }
        })?;
        let Payload::Result(result) = &answer.payload else {
            return Ok(answer);
        };
        let answered = Answered {
            key: call.key,
            asked: call.asked.into_std(),
            writes: call.writes,
            answer: result.clone(),
            size: result.as_bytes().len(),
        };
        self.lock().answered(Instant::now().into_std(), answered);
        match &call.repeated {
            Some((last, times)) if last == result => {
                let hint = format!(
                    "The answer has been the same {times} times within a short time. Do not ask \
                     again; use it, or do something else."
                );
                let result = hinted(result, &hint, *times);
                Ok(answer.with_result(result))
            }
            _ => Ok(answer),
        }
    }

    /// How many calls were found to be part of a loop, ever.
    pub(super) fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Loops<RawJson>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result, with one more text for the model.
fn hinted(result: &RawJson, hint: &str, times: usize) -> RawJson {
    let Some(mut members) = result.members() else {
        return result.clone();
    };
    members.push_to(
        "content",
        &RawJson::of(&json!({"type": "text", "text": hint})),
    );
    members.set_within("_meta", LOOP_META, &RawJson::of(&json!({"calls": times})));
    members.write()
}
