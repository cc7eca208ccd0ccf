//! The way of a call from the door to the upstream and back.

mod answers;
pub mod approvals;
pub mod arguments;
mod audited;
mod brevity;
mod cancellation;
pub mod classify;
mod control;
mod course;
pub mod deduplication;
mod excerpt;
mod flights;
pub mod guard;
mod held;
mod instructions;
mod journey;
mod judged;
mod keys;
mod lists;
mod local;
mod loop_guard;
pub mod loops;
mod news;
mod pipeline;
mod progress;
pub mod queue;
mod reach;
mod record;
mod refusals;
mod resources;
mod retry;
mod runtime;
mod scheduler;
pub mod schema;
mod screening;
mod targets;
mod tool_call;
pub mod tools;
mod trace;
mod trial;
mod waiting;
mod watching;
mod wishes;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::protocol::message::Request;
use crate::protocol::priority::Priority;
use crate::protocol::revision::Revision;
use crate::protocol::trace_context::TraceContext;
pub use crate::resilience::breaker::State as BreakerState;
use crate::resilience::budget;
use crate::upstream::Downstream;
pub use answers::{Figures as AnswerFigures, List, Settings as AnswerSettings};
pub use approvals::{Question, Request as Approval};
pub use arguments::Settings as ArgumentSettings;
pub use brevity::Settings as BrevitySettings;
pub use classify::Settings as ToolSettings;
pub use deduplication::Settings as DeduplicationSettings;
use guard::Guard;
pub use lists::Tool;
pub use pipeline::Dispatcher;
pub use scheduler::{Figures as QueueFigures, Settings as SchedulerSettings};
pub use screening::{Rehearsal, rehearse};
pub use watching::{Updates, Watching};
pub use wishes::{WishHeaders, Wishes};

/// The client in whose name the bridge asks for itself.
const OWN_NAME: &str = "mcp-bridge";

/// Bounds of the dispatcher.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a call may take, from its arrival to its answer.
    pub call_timeout: Duration,
    /// The queue, and the breaker behind it.
    pub scheduler: SchedulerSettings,
    /// What counts as the same call.
    pub deduplication: DeduplicationSettings,
    /// What the user says about tools.
    pub tools: ToolSettings,
    /// How arguments are held against the schemas of tools.
    pub arguments: ArgumentSettings,
    /// How long a call is held until a person agrees to it.
    pub approval_timeout: Duration,
    /// What is kept of the upstream's answers.
    pub answers: AnswerSettings,
    /// What is a loop.
    pub loops: loops::Settings,
    /// How much models are told at once.
    pub brevity: BrevitySettings,
}

/// Who calls, as far as the way of a call depends on it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its name.
    pub name: Arc<str>,
    /// How urgent its calls are at most.
    pub priority: Priority,
    /// How long its calls may take at most; nothing for the default.
    pub timeout: Option<Duration>,
    /// What it may do.
    pub guard: Arc<dyn Guard>,
}

/// What a request is known by elsewhere, in logs and traces.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The name of the HTTP request that brought it; the messages of a batch or a connection share
    /// one.
    pub request_id: Arc<str>,
    /// The trace to which it belongs, if its client records one.
    pub trace: Option<TraceContext>,
}

/// One request on its way through the bridge.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who sent it.
    pub client: Caller,
    /// What was sent.
    pub request: Request,
    /// In which revision the client speaks.
    pub revision: Revision,
    /// When it arrived.
    pub received: Instant,
    /// What it wishes for itself.
    pub wishes: Wishes,
    /// Whether its client has a session with the bridge, or begins one with this request.
    pub in_session: bool,
    /// How its client can be reached before the answer, if it can.
    pub downstream: Option<Arc<dyn Downstream>>,
    /// The headers `Mcp-Param-*` that came with it.
    pub mirrored: HeaderMap,
    /// What it is known by elsewhere.
    pub origin: Origin,
}

impl Call {
    /// The same question again, for which no client waits.
    fn again(&self, priority: Priority) -> Self {
        Self {
            received: Instant::now(),
            wishes: Wishes {
                priority: Some(priority),
                ..Wishes::default()
            },
            downstream: None,
            ..self.clone()
        }
    }

    /// A call of the bridge itself.
    fn of_the_bridge(request: Request) -> Self {
        let client = Caller {
            name: OWN_NAME.into(),
            priority: Priority::Background,
            timeout: None,
            guard: Arc::new(guard::Open),
        };
        Self {
            client,
            request,
            revision: Revision::NEWEST_LEGACY,
            mirrored: HeaderMap::new(),
            origin: Origin::default(),
            received: Instant::now(),
            wishes: Wishes::default(),
            downstream: None,
            in_session: false,
        }
    }
}

/// Figures of the dispatcher, for the status.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Figures {
    /// Calls that have not been answered yet.
    pub in_progress: usize,
    /// Calls that were answered with a result, ever.
    pub answered: u64,
    /// Calls that were answered with an error of the upstream, ever.
    pub refused_by_upstream: u64,
    /// Calls that failed on the way, ever.
    pub failed: u64,
    /// Calls whose clients left before the answer, ever.
    pub left: u64,
    /// Calls that got the answer of an identical one in flight, ever.
    pub joined: u64,
    /// Calls that got the answer of an identical one that was over, ever.
    pub replayed: u64,
    /// Calls that were part of a loop, ever.
    pub loops: u64,
    /// Answers kept for repetitions now.
    pub kept_answers: usize,
    /// The cache; nothing if it is turned off.
    pub cache: Option<AnswerFigures>,
    /// Queue, limit and breaker.
    pub queue: QueueFigures,
    /// The budget for retries.
    pub retries: budget::Figures,
}
