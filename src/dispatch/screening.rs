//! What a call has to pass before it counts: it is repaired, allowed, well-formed, and agreed to.

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::approvals::{Question, Request as Approval};
use super::classify::{Classifier, Nature};
use super::course::Course;
use super::guard::Guard;
use super::held::Held;
use super::queue::Effect;
use super::tool_call::{self, Read};
use super::tools::{Tool, Tools};
use super::{ArgumentSettings, Call, Caller, Settings, Wishes, guard};
use crate::error::Failure;
use crate::protocol::json::{Members, RawJson};
use crate::protocol::message::Request;
use crate::protocol::mirrored::Mirrored;
use crate::protocol::priority::Priority;
use crate::protocol::revision::Revision;
use crate::upstream::Insight;

/// A call about which everything is decided but a person's word.
struct Screened<'a> {
    call: Cow<'a, Call>,
    nature: Nature,
    is_listed: bool,
    /// The question that a person has to answer first, if there is one; or why it is refused.
    verdict: Result<Option<Question>, Failure>,
}

/// What would become of a call.
#[derive(Debug)]
pub struct Rehearsal {
    /// Whether the tool only looks.
    pub looks: bool,
    /// Whether the upstream lists the tool.
    pub is_listed: bool,
    /// The arguments as they would be sent.
    pub arguments: RawJson,
    /// The question that a person would have to answer first, if there is one; or why it would be
    /// refused.
    pub outcome: Result<Option<Question>, Failure>,
}

/// Says what would become of a call by a caller with that guard, in front of an upstream that lists
/// these tools.
pub fn rehearse(
    settings: &Settings,
    list: Option<&RawJson>,
    request: Request,
    guard: Arc<dyn Guard>,
) -> Rehearsal {
    let screening = Screening::new(settings);
    if let Some(list) = list {
        screening.tools.learn(list, true);
    }
    let call = Call {
        client: Caller {
            name: "".into(),
            priority: Priority::default(),
            timeout: None,
            guard,
        },
        request,
        revision: Revision::NEWEST_LEGACY,
        received: Instant::now(),
        wishes: Wishes::default(),
        in_session: false,
        mirrored: http::HeaderMap::new(),
        origin: super::Origin::default(),
        downstream: None,
    };
    let arguments = |call: &Call| {
        let params = call.request.param_members();
        let text = params.get("arguments").unwrap_or("{}").to_owned();
        RawJson::parse(text.into()).unwrap_or_else(|_| Members::empty().write())
    };
    match screening.screen(&call) {
        Ok(screened) => Rehearsal {
            looks: screened.nature.effect == Effect::Read,
            is_listed: screened.is_listed,
            arguments: arguments(&screened.call),
            outcome: screened.verdict,
        },
        Err(failure) => Rehearsal {
            looks: false,
            is_listed: false,
            arguments: arguments(&call),
            outcome: Err(failure),
        },
    }
}

/// Knows the tools, what callers may do with them, and what waits for a person's word.
#[derive(Debug)]
pub(super) struct Screening {
    tools: Arc<Tools>,
    classifier: Classifier,
    arguments: ArcSwap<ArgumentSettings>,
    held: Held,
}

impl Screening {
    /// Nothing is known of the upstream's tools yet.
    pub(super) fn new(settings: &Settings) -> Self {
        let tools = Arc::<Tools>::default();
        Self {
            classifier: Classifier::new(&settings.tools, tools.clone()),
            tools,
            arguments: ArcSwap::from_pointee(settings.arguments),
            held: Held::new(settings.approval_timeout),
        }
    }

    /// Other settings from now on.
    pub(super) fn configure(&self, settings: &Settings) {
        self.classifier.configure(&settings.tools);
        self.arguments.store(Arc::new(settings.arguments));
        self.held.set_patience(settings.approval_timeout);
    }

    /// There is another upstream: its tools are not known yet, and what the arguments of actions stand
    /// for may be known to somebody else.
    pub(super) fn look_at(&self, insight: Option<Arc<dyn Insight>>) {
        self.classifier.set_insight(insight);
        self.tools.forget();
    }

    /// Whether the list of tools must be asked for first: what a caller may do with a tool depends on
    /// what the tool takes.
    pub(super) fn needs_list(&self, call: &Call) -> bool {
        let is_unknown = || self.tool(&call.request).is_none();
        call.request.method == "tools/call" && !call.client.guard.is_open() && is_unknown()
    }

    /// The call as it may be made, and what it does.
    ///
    /// # Errors
    /// Why it may not be made; see the catalogue.
    pub(super) async fn pass<'a>(
        &self,
        call: &'a Call,
        deadline: Instant,
        course: &Course,
    ) -> Result<(Cow<'a, Call>, Nature), Failure> {
        let screened = self.screen(call)?;
        course.screened(screened.nature.effect == Effect::Read);
        if let Some(question) = screened.verdict? {
            self.held.agreement(&question, deadline, course).await?;
        }
        Ok((screened.call, screened.nature))
    }

    /// Decides about a call without waiting for anybody.
    ///
    /// # Errors
    /// A call that can be read in two ways.
    fn screen<'a>(&self, call: &'a Call) -> Result<Screened<'a>, Failure> {
        let tool = self.tool(&call.request);
        let Read { call, fault } = tool_call::read(call, tool.as_deref(), **self.arguments.load())?;
        let nature = self.nature(&call);
        // What is judged is what would be sent; what is wrong is told only to those who may send it.
        let verdict = guard::judge(&call, &nature, tool.as_deref());
        let verdict = verdict.and_then(|question| fault.map_or(Ok(question), Err));
        Ok(Screened {
            call,
            nature,
            is_listed: tool.is_some(),
            verdict,
        })
    }

    /// What a call does.
    pub(super) fn nature(&self, call: &Call) -> Nature {
        self.classifier.nature(&call.request)
    }

    /// What of a `tools/list` result the caller is told; nothing if that is all of it.
    pub(super) fn listed(&self, call: &Call, result: &RawJson) -> Option<RawJson> {
        guard::filtered(result, &call.client.guard, &self.tools, &self.classifier)
    }

    /// The names of the listed tools that fit a pattern.
    pub(super) fn tools_like(&self, pattern: &str) -> Vec<String> {
        self.tools.like(pattern)
    }

    /// Learns from the answer to `request`, which asked for the list of tools or a page of it.
    pub(super) fn learn(&self, request: &Request, result: &RawJson) {
        let is_first_page = request.param_members().get("cursor").is_none();
        self.tools.learn(result, is_first_page);
    }

    /// Which arguments of a tool have to be repeated in headers, as far as that is known.
    pub(super) fn mirrored(&self, tool: &str) -> Option<Arc<Mirrored>> {
        self.tools.get(tool)?.mirrored.clone()
    }

    /// The questions that wait for a person.
    pub(super) fn approvals(&self) -> Vec<Approval> {
        self.held.waiting()
    }

    /// A person answers a question; says which, or nothing if it does not wait.
    pub(super) fn approve(&self, id: u64, agreed: bool, by: &str) -> Option<Question> {
        self.held.decide(id, agreed, by)
    }

    /// Holds calls for persons, or lets those go that are held.
    pub(super) fn set_open(&self, open: bool) {
        self.held.set_open(open);
    }

    fn tool(&self, request: &Request) -> Option<Arc<Tool>> {
        self.tools.get(&request.param_members().get_str("name")?)
    }
}
