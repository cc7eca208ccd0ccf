//! One execution's way to the upstream: its turn, the exchange, and again while that may help.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::{Instant, sleep, timeout_at};

use super::answers::{Answers, Question};
use super::flights::{Flight, Outcome};
use super::progress::Places;
use super::queue::Arrival;
use super::retry::{self, Retries};
use super::scheduler::{Experience, Scheduler, Waiting};
use super::{targets, trace};
use crate::cache::{Change, Ticket};
use crate::error::{Code, Failure};
use crate::protocol::message::{Payload, Request, Response};
use crate::resilience::limit::Class;
use crate::telemetry::Journal;
use crate::telemetry::spans::Span;
use crate::upstream::{Context, Trouble, Upstream};

/// How often a waiting call hears of its place in the queue.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// The part of the way that an execution goes, whoever waits for it.
#[derive(Debug)]
pub(super) struct Road {
    pub scheduler: Arc<Scheduler>,
    pub retries: Retries,
    pub upstream: ArcSwap<Upstream>,
    pub answers: Arc<Answers>,
    pub journal: Arc<Journal>,
}

/// One execution: what has to be brought to the upstream, whoever waits for it.
pub(super) struct Journey {
    pub road: Arc<Road>,
    /// As its client sent it.
    pub request: Request,
    pub class: Class,
    /// What it asks for, if the answer is kept.
    pub question: Option<Question>,
    pub writes: bool,
    /// The upstream that alone may get it, if there is one.
    pub bound_to: Option<Arc<Upstream>>,
    pub deadline: Instant,
    /// The client of the call that began it.
    pub context: Context,
}

impl Journey {
    /// Waits for the turn and brings the request to the upstream; again and again while that is
    /// surely harmless and may help.
    ///
    /// What has begun to write is always finished: Home Assistant cancels a running action when its
    /// connection closes, half-done. It keeps its turn until then, so that Home Assistant never
    /// runs more than the limit.
    ///
    /// The call stands in the queue when this returns, before anything is awaited: the order of
    /// arrival is the order in which calls board, not the one in which tasks happen to run.
    pub(super) fn go(self, arrival: Arrival, flight: Arc<Flight>) -> impl Future<Output = Outcome> {
        let entered = match self.kept() {
            Some(answer) => Err(Ok(answer)),
            None => self.road.scheduler.enter(arrival, self.class).map_err(Err),
        };
        async move {
            let waiting = match entered {
                Ok(waiting) => waiting,
                Err(outcome) => return outcome,
            };
            let outcome = self.travel(waiting, &flight).await;
            if self.writes {
                self.road.answers.apply(&Change::Written);
            }
            outcome
        }
    }

    async fn travel(&self, mut waiting: Waiting, flight: &Flight) -> Outcome {
        let mut places = Places::of(&self.request);
        let mut before = None;
        self.road.retries.call();
        for attempt in 0.. {
            let queue = Span::part(self.context.trace.as_ref(), "queue");
            let turn = self.turn(&mut waiting, places.as_mut()).await;
            queue.end();
            turn.map_err(|failure| expired(failure, before.take()))?;
            // Before it is decided which upstream is asked: an answer of one that is replaced meanwhile
            // is not kept.
            let ticket = self.question.map(|asked| self.road.answers.begin(asked));
            let upstream = self.destination()?;
            let turn = waiting.begin();
            if !flight.begin() {
                break;
            }
            let trouble = match self.exchange(&upstream).await {
                Ok(response) => {
                    self.road.journal.exchanged(true);
                    turn.end(Experience::Answered);
                    self.learn(ticket, &response);
                    return Ok(response);
                }
                Err(trouble) => trouble,
            };
            let waited = turn.waited();
            let experience = retry::experience(&trouble);
            let well = !matches!(experience, Experience::Trouble { .. });
            self.road.journal.exchanged(well);
            let pause = self.road.retries.pause(&trouble, self.writes, attempt);
            let Some(pause) = pause.filter(|pause| Instant::now() + *pause < self.deadline) else {
                turn.end(experience);
                return Err(self.failure(trouble, waited));
            };
            let rest = turn.rest(experience);
            flight.pause();
            if !flight.is_wanted() {
                break;
            }
            before = Some(trouble);
            sleep(pause).await;
            waiting = rest.again(self.deadline);
        }
        Err(Failure::with(
            Code::Cancelled,
            "everybody who waited for it has left",
        ))
    }

    /// The answer to a question that somebody else asked to the end while this one came.
    fn kept(&self) -> Option<Response> {
        let result = self.road.answers.fresh(self.question?)?;
        let id = self.request.id.clone();
        Some(Response::new(Some(id), Payload::Result(result)))
    }

    /// Keeps what may be kept of the answer.
    fn learn(&self, ticket: Option<Ticket>, response: &Response) {
        if let Some(ticket) = ticket {
            self.road.answers.keep(ticket, &self.request, response);
        }
    }

    /// Waits for the turn, and says now and then how far away it is.
    async fn turn(
        &self,
        waiting: &mut Waiting,
        places: Option<&mut Places>,
    ) -> Result<(), Failure> {
        let (Some(downstream), Some(places)) = (&self.context.downstream, places) else {
            return waiting.turn().await;
        };
        loop {
            let pause = Instant::now() + PROGRESS_INTERVAL;
            if let Ok(turn) = timeout_at(pause, waiting.turn()).await {
                return turn;
            }
            if let Some(position) = waiting.position() {
                downstream.notify(places.tell(position));
            }
        }
    }

    /// The upstream in force, if it may get the call.
    fn destination(&self) -> Result<Arc<Upstream>, Failure> {
        let upstream = self.road.upstream.load_full();
        match &self.bound_to {
            Some(only) if !Arc::ptr_eq(only, &upstream) => {
                Err(Failure::new(Code::UpstreamReplaced))
            }
            _ => Ok(upstream),
        }
    }

    async fn exchange(&self, upstream: &Upstream) -> Result<Response, Trouble> {
        let (mut span, request, context) =
            trace::of_exchange(&self.request, &self.context, upstream);
        let exchange = upstream.exchange(&request, &context, self.deadline);
        let answer = if self.writes {
            exchange.await
        } else {
            timeout_at(self.deadline, exchange)
                .await
                .unwrap_or(Err(Trouble::Timeout))
        };
        trace::end_exchange(&mut span, &answer);
        span.end();
        match answer {
            Ok(_) if !self.is_true(upstream).await => Err(Trouble::WentDown),
            Ok(response) => Ok(response),
            Err(trouble) => Err(explained(upstream, trouble)),
        }
    }

    /// Whether the answer can be believed. A Home Assistant that goes down stops its scripts, and
    /// says of each that it is done.
    async fn is_true(&self, upstream: &Upstream) -> bool {
        let Some(insight) = upstream.insight() else {
            return true;
        };
        let tool = self.request.param_members();
        let tool = tool.get_str("name").unwrap_or_default();
        match (targets::runs_script(&tool), self.writes) {
            (false, false) => true,
            (false, true) => !insight.presence().is_away(),
            (true, _) => insight.is_heard_again().await,
        }
    }

    fn failure(&self, trouble: Trouble, waited: Duration) -> Failure {
        let failure = Failure::from(trouble);
        let detail = failure.detail.as_deref().unwrap_or_default();
        let detail = format!(
            "{detail}; waited {:.1} s in the queue",
            waited.as_secs_f64()
        );
        Failure {
            detail: Some(detail),
            // What only looks has no outcome that one would have to know.
            outcome_unknown: failure.outcome_unknown && self.writes,
            ..failure
        }
    }
}

/// A Home Assistant that is not ready says the same as one that lacks its MCP server.
fn explained(upstream: &Upstream, trouble: Trouble) -> Trouble {
    let lacks = matches!(trouble.root(), Trouble::Status { status: 404, .. });
    let insight = upstream.insight();
    if lacks && insight.is_some_and(|insight| insight.presence().is_away()) {
        return Trouble::NotReady;
    }
    trouble
}

/// What a call is told that got no turn: a trouble that it met before says more than that its time
/// is over.
fn expired(failure: Failure, before: Option<Trouble>) -> Failure {
    match before {
        Some(trouble) if failure.code == Code::DeadlineWaiting => trouble.into(),
        _ => failure,
    }
}
