//! Lists that the bridge asks for by itself: for the rights of a caller, and to tell of changes.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::answers::List;
use super::course::Course;
use super::pipeline::may_ask_anew;
use super::queue::Effect;
use super::trial::PATIENCE;
use super::{Call, Dispatcher, Wishes, local};
use crate::error::Failure;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Payload, Request};
use crate::protocol::revision::Revision;
use crate::upstream::Upstream;

/// Pages of a list of tools that are asked for.
const MAX_PAGES: usize = 100;
/// How long an upstream that was never asked may take to say what it offers.
const GREETING: Duration = Duration::from_secs(10);

/// A tool, as people want to know it.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub description: Option<String>,
    /// Whether it cannot change the house.
    pub looks_only: bool,
    /// How much of a client's list it is.
    pub bytes: usize,
}

#[derive(Deserialize)]
struct Page {
    tools: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    description: Option<String>,
}

impl Dispatcher {
    /// Asks for the list of tools, in the name of a caller whose rights depend on it; gives its pages.
    pub(super) async fn list_tools(
        &self,
        call: &Call,
        deadline: Instant,
        course: &Course,
    ) -> Result<Vec<RawJson>, Failure> {
        let mut pages = Vec::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let params = cursor.map(|cursor: String| RawJson::of(&json!({"cursor": cursor})));
            let list = Call {
                request: Request::new(Id::number(0), "tools/list", params),
                revision: Revision::NEWEST_LEGACY,
                wishes: Wishes::default(),
                mirrored: http::HeaderMap::new(),
                downstream: None,
                ..call.clone()
            };
            let judged = self.own(&list);
            let outcome = self.recall(&judged, deadline, course).await;
            if may_ask_anew(&outcome, deadline) {
                pages.clear();
                cursor = None;
                continue;
            }
            let answer = outcome?;
            let Payload::Result(result) = &answer.payload else {
                break;
            };
            self.learn(&judged.upstream, &judged.call.request, result);
            pages.push(result.clone());
            cursor = result
                .members()
                .and_then(|m| Some(m.get_str("nextCursor")?.into_owned()));
            if cursor.is_none() {
                break;
            }
        }
        Ok(pages)
    }

    /// The tools as people want to know them, in the order of the list.
    ///
    /// # Errors
    /// Why there is no list; see the catalogue.
    pub async fn tools(&self) -> Result<Vec<Tool>, Failure> {
        let call = Call::of_the_bridge(Request::new(Id::number(0), "tools/list", None));
        let deadline = call.received + PATIENCE;
        let pages = self.list_tools(&call, deadline, &Course::default()).await?;
        let pages = pages.iter().filter_map(|page| page.read::<Page>().ok());
        let tools = pages.flat_map(|page| page.tools);
        Ok(tools.filter_map(|raw| self.tool(&raw)).collect())
    }

    fn tool(&self, raw: &RawValue) -> Option<Tool> {
        let Named { name, description } = serde_json::from_str(raw.get()).ok()?;
        let params = RawJson::of(&json!({"name": name}));
        let call = Call::of_the_bridge(Request::new(Id::number(0), "tools/call", Some(params)));
        Some(Tool {
            looks_only: self.screening.nature(&call).effect == Effect::Read,
            name,
            description,
            bytes: raw.get().len(),
        })
    }

    /// Learns from the answer to a request for the list of tools or a page of it, as long as the
    /// upstream that gave it is in force.
    pub(super) fn learn(&self, upstream: &Arc<Upstream>, request: &Request, result: &RawJson) {
        if Arc::ptr_eq(upstream, &self.upstream()) {
            self.screening.learn(request, result);
        }
    }

    /// Asks for lists again when they may have changed, as long as somebody listens, and when Home
    /// Assistant has started, so that they are at hand when it is gone. Tells of changes in the list
    /// that the bridge makes itself. Never ends.
    pub async fn follow_lists(&self) {
        loop {
            self.road.answers.lists_due().await;
            self.tell_of_own_list();
            if !self.road.answers.lists_are_wanted() || self.is_away() {
                continue;
            }
            let upstream =
                local::introduction(&self.upstream(), Revision::NEWEST_LEGACY, GREETING).await;
            for list in List::ALL {
                if upstream.offers(list.capability()) {
                    self.ask_for(list).await;
                }
            }
        }
    }

    /// Sees to it that a list is fresh.
    async fn ask_for(&self, list: List) {
        let request = Request::new(Id::number(0), list.method(), None);
        let call = Call::of_the_bridge(request);
        let judged = self.own(&call);
        let Some(question) = self.question(&judged) else {
            return;
        };
        if self.road.answers.lifetime(question).is_zero() {
            let outcome = {
                let deadline = call.received + **self.call_timeout.load();
                let course = Course::default();
                self.execute(&judged, Some(question), deadline, &course)
                    .await
            };
            match outcome.map(|response| response.payload) {
                Ok(Payload::Result(result)) if list == List::Tools => {
                    self.learn(&judged.upstream, &judged.call.request, &result);
                }
                Ok(_) => {}
                Err(failure) => {
                    tracing::debug!(%failure, list = list.method(), "the list stays as it was");
                }
            }
        }
    }
}
