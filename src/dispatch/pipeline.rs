//! The way of a call, readable from top to bottom.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::{Instant, timeout, timeout_at};

use super::answers::{Answers, Question};
use super::cancellation::Cancellations;
use super::course::Course;
use super::deduplication::Key;
use super::flights::{Boarding, Flights, Outcome};
use super::journey::{Journey, Road};
use super::judged::Judged;
use super::keys;
use super::loop_guard::{LoopGuard, Watched};
use super::queue::Arrival;
use super::record::{Books, Counters, Record};
use super::resources::Resources;
use super::retry::Retries;
use super::scheduler::{Figures as QueueFigures, Scheduler};
use super::screening::Screening;
use super::writes::Writes;
use super::{Call, Figures, Settings, brevity, local, trace, waiting};
use crate::cache::{Change, State};
use crate::error::{Code, Failure, Kind};
use crate::protocol::era;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Payload, Request, Response};
use crate::protocol::mirrored::Mirrored;
use crate::protocol::priority::Priority;
use crate::resilience::limit::Class;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Meters;
use crate::telemetry::spans::Span;
use crate::telemetry::{Journal, Source};
use crate::upstream::{Announcements, Context, Upstream};

/// Who has an old list at hand waits no longer than this for the new one.
const LIST_PATIENCE: Duration = Duration::from_secs(5);

/// Brings calls to their answers.
#[derive(Debug)]
pub struct Dispatcher {
    pub(super) call_timeout: ArcSwap<Duration>,
    pub(super) screening: Screening,
    pub(super) flights: Arc<Flights>,
    pub(super) loops: LoopGuard,
    writes: Writes,
    pub(super) announcements: Announcements,
    pub(super) resources: Resources,
    pub(super) brevity: ArcSwap<brevity::Settings>,
    cancellations: Arc<Cancellations>,
    pub(super) road: Arc<Road>,
    counters: Counters,
    pub(super) audit: Arc<Audit>,
}

impl Dispatcher {
    /// A dispatcher in front of one upstream, whose calls are written down in `audit`.
    pub fn new(settings: Settings, upstream: Arc<Upstream>, audit: Arc<Audit>) -> Self {
        let announcements = Announcements::default();
        let road = Road {
            scheduler: Scheduler::new(settings.scheduler),
            retries: Retries::new(),
            upstream: ArcSwap::new(upstream.clone()),
            answers: Answers::new(&settings.answers, announcements.clone()),
            journal: Arc::default(),
        };
        let screening = Screening::new(&settings);
        screening.look_at(upstream.insight().cloned());
        Self {
            screening,
            flights: Flights::new(settings.deduplication),
            loops: LoopGuard::new(settings.loops),
            writes: Writes::default(),
            announcements,
            resources: Resources::default(),
            brevity: ArcSwap::from_pointee(settings.brevity),
            cancellations: Arc::default(),
            road: Arc::new(road),
            counters: Counters::default(),
            audit,
            call_timeout: ArcSwap::from_pointee(settings.call_timeout),
        }
    }

    /// Gives the call its one answer, before its deadline.
    ///
    /// # Errors
    /// Why there is no answer of the upstream; see the catalogue.
    pub async fn handle(&self, mut call: Call) -> Result<Response, Failure> {
        let span = trace::of_call(&mut call);
        let books = Books {
            counters: &self.counters,
            journal: &self.road.journal,
            audit: &self.audit,
        };
        let record = Record::of(&call, books, span);
        let upstream = self.upstream();
        let cancellation = self
            .cancellations
            .watch(&call.client.name, &call.request.id);
        let outcome = tokio::select! {
            outcome = self.answer(&call, record.course()) => outcome,
            () = cancellation.cancelled() => Err(Failure::new(Code::Cancelled)),
        };
        record.ended(&outcome);
        let response = outcome?.with_id(&call.request.id);
        Ok(self.in_revision(&call, &upstream, response).await)
    }

    async fn answer(&self, call: &Call, course: &Course) -> Outcome {
        let upstream = self.upstream();
        if let Some(result) = local::answer(call, &upstream, self.reach(call, &upstream)).await {
            course.answered_by(Source::Memory);
            let result = self.with_instructions(call, result?).await;
            return Ok(answered(call, result));
        }
        if let Some(outcome) = self.own_resource(call) {
            course.answered_by(Source::Memory);
            return outcome;
        }
        let deadline = call.received + self.patience(call);
        loop {
            let judged = self.judge(call, deadline, course).await?;
            let watched = self.loops.watch(&judged);
            if let Some(last) = watched.as_ref().and_then(Watched::stopped) {
                course.answered_by(Source::Repeated);
                return Ok(answered(call, last));
            }
            let outcome = self.recall(&judged, deadline, course).await;
            let outcome = match watched {
                Some(watched) => self.loops.answered(watched, outcome),
                None => outcome,
            };
            // An action has lost its place among those of its client: it is told.
            if judged.acts() || !may_ask_anew(&outcome, deadline) {
                return self.as_told(&judged.call, outcome);
            }
        }
    }

    /// The upstream's answer with what the bridge adds to it, and without what is too long.
    fn as_told(&self, call: &Call, outcome: Outcome) -> Outcome {
        let response = self.with_own_resources(call, outcome)?;
        let most = self.brevity.load().answer;
        let shorter = match &response.payload {
            Payload::Result(result) if call.request.method == "tools/call" => {
                brevity::shortened_result(result, most)
            }
            _ => None,
        };
        Ok(match shorter {
            Some(shorter) => response.with_result(shorter),
            None => response,
        })
    }

    /// Decides by the tools of the upstream in force whether the call may be made.
    async fn judge<'a>(
        &self,
        call: &'a Call,
        deadline: Instant,
        course: &Course,
    ) -> Result<Judged<'a>, Failure> {
        if self.screening.needs_list(call) {
            self.list_tools(call, deadline, course).await?;
        }
        let upstream = self.upstream();
        let screening = Span::part(call.origin.trace.as_ref(), "screening");
        let (call, nature) = self.screening.pass(call, deadline, course).await?;
        screening.end();
        Ok(Judged {
            call,
            nature,
            upstream,
        })
    }

    /// A call of the bridge itself, which nobody has to allow.
    pub(super) fn own<'a>(&self, call: &'a Call) -> Judged<'a> {
        Judged {
            upstream: self.upstream(),
            nature: self.screening.nature(call),
            call: Cow::Borrowed(call),
        }
    }

    /// The kept answer if it is good enough, that of the upstream otherwise.
    pub(super) async fn recall(
        &self,
        judged: &Judged<'_>,
        deadline: Instant,
        course: &Course,
    ) -> Outcome {
        let call = &*judged.call;
        let question = self.question(judged);
        let kept = question.and_then(|asked| self.road.answers.find(asked));
        let (Some(question), Some(kept)) = (question, kept) else {
            return self.execute(judged, question, deadline, course).await;
        };
        let stale = || {
            course.answered_by(Source::Stale);
            Ok(answered(call, self.road.answers.stale(question, &kept)))
        };
        let lists = !question.kind.tells_states();
        match kept.state {
            State::Fresh { .. } => {
                course.answered_by(Source::Memory);
                Ok(answered(call, kept.result))
            }
            State::Expired => {
                course.answered_by(Source::Memory);
                self.refresh(judged, question, Priority::Background);
                Ok(answered(call, kept.result))
            }
            State::Outdated if self.is_away() => stale(),
            State::Outdated if lists => {
                // It goes on when this call has lost its patience.
                self.refresh(judged, question, Self::priority(call));
                let asked = self.execute(judged, Some(question), deadline, course);
                match timeout(LIST_PATIENCE, asked).await {
                    Ok(outcome) if !in_trouble(&outcome, question) => outcome,
                    _ => stale(),
                }
            }
            State::Outdated => {
                let outcome = self.execute(judged, Some(question), deadline, course).await;
                if in_trouble(&outcome, question) {
                    stale()
                } else {
                    outcome
                }
            }
        }
    }

    /// What the call asks for, if the answer is kept. Who sends a key wants this very call to run.
    pub(super) fn question(&self, judged: &Judged<'_>) -> Option<Question> {
        let keeps = !judged.acts() && judged.call.wishes.idempotency_key.is_none();
        keeps.then(|| self.asked(&judged.call))?
    }

    /// What the call asks for, for whom its answer is good.
    fn asked(&self, call: &Call) -> Option<Question> {
        let distinctions = self.upstream().distinctions();
        self.road.answers.question(call, distinctions)
    }

    /// What another call is recognised by as the same as this one.
    fn key(&self, judged: &Judged<'_>) -> Option<Key> {
        let distinctions = judged.upstream.distinctions();
        keys::key(&judged.call, &judged.nature, &self.writes, distinctions)
    }

    /// Asks again for what is kept, unless somebody does already; nobody waits for it.
    fn refresh(&self, judged: &Judged<'_>, question: Question, priority: Priority) {
        let Some(permission) = self.road.answers.may_refresh(question) else {
            return;
        };
        let again = Judged {
            call: Cow::Owned(judged.call.again(priority)),
            nature: judged.nature.clone(),
            upstream: judged.upstream.clone(),
        };
        let deadline = again.call.received + **self.call_timeout.load();
        if let Boarding::Seated(mut seat) = self.board(&again, Some(question), deadline) {
            tokio::spawn(async move {
                // The answer is kept on its way; a trouble is told to those who ask next.
                let _ = timeout_at(deadline, seat.outcome()).await;
                drop(permission);
            });
        }
    }

    /// Joins an identical execution, or starts one, and waits for the outcome.
    pub(super) async fn execute(
        &self,
        judged: &Judged<'_>,
        question: Option<Question>,
        deadline: Instant,
        course: &Course,
    ) -> Outcome {
        loop {
            match self.board(judged, question, deadline) {
                Boarding::Replayed(outcome) => {
                    self.counters.replayed.add();
                    course.answered_by(Source::Repeated);
                    return outcome;
                }
                Boarding::Mismatch => return Err(Failure::new(Code::KeyReused)),
                Boarding::Seated(seat) => {
                    let joined = seat.joined;
                    course.boarded(&seat);
                    if joined {
                        self.counters.joined.add();
                    }
                    let outcome = waiting::wait(seat, judged, deadline).await;
                    // Who joined somebody with less patience goes on alone.
                    let gave_up =
                        |f: &Failure| f.code.entry().kind == Kind::Busy && !f.outcome_unknown;
                    let again = joined && outcome.as_ref().is_err_and(gave_up);
                    if !again || Instant::now() >= deadline {
                        return outcome;
                    }
                }
            }
        }
    }

    /// How long the call may take: as it wishes, but no longer than its client may.
    fn patience(&self, call: &Call) -> Duration {
        let most = call
            .client
            .timeout
            .unwrap_or_else(|| **self.call_timeout.load());
        call.wishes.timeout.map_or(most, |wish| wish.min(most))
    }

    /// How urgent it is: as it wishes, but no more than its client may be.
    pub(super) fn priority(call: &Call) -> Priority {
        let most = call.client.priority;
        call.wishes.priority.map_or(most, |wish| wish.max(most))
    }

    /// Joins an identical execution, or starts one.
    fn board(
        &self,
        judged: &Judged<'_>,
        question: Option<Question>,
        deadline: Instant,
    ) -> Boarding {
        let Judged { call, nature, .. } = judged;
        let arrival = Arrival {
            client: call.client.name.clone(),
            priority: Self::priority(call),
            deadline: deadline.into_std(),
            effect: nature.effect.clone(),
            cost: nature.cost,
        };
        let writes = judged.acts();
        let journey = Journey {
            road: self.road.clone(),
            request: call.request.clone(),
            class: class_of(&call.request),
            question,
            writes,
            bound_to: judged.bound_to(),
            deadline,
            context: Context {
                client: call.client.name.clone(),
                revision: call.revision,
                downstream: call.downstream.clone(),
                mirrored: call.mirrored.clone(),
                trace: call.origin.trace.clone(),
            },
        };
        let kind = question.map(|asked| asked.kind);
        let key = self.key(judged);
        self.flights
            .board(key, kind, writes, |flight| journey.go(arrival, flight))
    }

    /// The answer as the client's revision wants it. `upstream` is the one that was in force when the
    /// call came.
    async fn in_revision(
        &self,
        call: &Call,
        upstream: &Arc<Upstream>,
        answer: Response,
    ) -> Response {
        let mut answer = answer;
        if let Payload::Result(result) = &answer.payload
            && call.request.method == "tools/list"
        {
            self.learn(upstream, &call.request, result);
            if let Some(shown) = self.screening.listed(call, result) {
                answer = answer.with_result(shown);
            }
        }
        let Payload::Result(result) = &answer.payload else {
            return answer;
        };
        if !call.revision.is_modern() {
            return answer;
        }
        let server = local::introduction(upstream, call.revision, Duration::ZERO).await;
        let lifetime = self
            .asked(call)
            .map(|asked| self.road.answers.lifetime(asked));
        let (method, info) = (&call.request.method, Some(&server.server_info));
        let result = era::to_modern(method, result, lifetime, info);
        answer.with_result(result)
    }

    /// Which arguments of a tool have to be repeated in headers, as far as that is known.
    pub fn mirrored(&self, tool: &str) -> Option<Arc<Mirrored>> {
        self.screening.mirrored(tool)
    }

    /// Something happened in Home Assistant: what it touches is asked for anew from now on.
    pub fn changed(&self, change: &Change) {
        self.road.answers.apply(change);
        self.flights.outdate(change.touches());
    }

    /// Whether it makes no sense to ask the upstream now, as far as anybody knows.
    pub(super) fn is_away(&self) -> bool {
        self.road.scheduler.is_away() || !self.road.answers.is_settled()
    }

    /// The client gives up a call of its own, by the id that it gave it. Of several calls under the
    /// same id none can be told to be meant, so none is cancelled.
    pub fn cancel(&self, client: &str, id: &Id) {
        self.cancellations.cancel(client, id);
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        let counters = &self.counters;
        let deduplication = self.flights.figures();
        Figures {
            in_progress: self.cancellations.len(),
            answered: counters.answered.total(),
            refused_by_upstream: counters.refused_by_upstream.total(),
            failed: counters.failed.total(),
            left: counters.left.total(),
            joined: counters.joined.total(),
            replayed: counters.replayed.total(),
            loops: self.loops.found(),
            kept_answers: deduplication.kept,
            cache: self.road.answers.figures(),
            queue: self.road.scheduler.figures(),
            retries: self.road.retries.figures(),
        }
    }

    /// The figures of the queue alone.
    pub fn queue_figures(&self) -> QueueFigures {
        self.road.scheduler.figures()
    }

    /// What happened lately.
    pub fn journal(&self) -> &Journal {
        &self.road.journal
    }

    /// Everything that is counted for `/metrics`.
    pub const fn meters(&self) -> &Arc<Meters> {
        &self.counters.meters
    }

    /// The upstream behind it.
    pub fn upstream(&self) -> Arc<Upstream> {
        self.road.upstream.load_full()
    }
}

fn answered(call: &Call, result: RawJson) -> Response {
    Response::new(Some(call.request.id.clone()), Payload::Result(result))
}

/// Whether a question that another upstream has to be asked still has the time for that.
pub(super) fn may_ask_anew(outcome: &Outcome, deadline: Instant) -> bool {
    let replaced = |failure: &Failure| failure.code == Code::UpstreamReplaced;
    outcome.as_ref().is_err_and(replaced) && Instant::now() < deadline
}

/// Whether an older answer is better than this one. What the upstream says of a list is its trouble,
/// never a fault of the question.
fn in_trouble(outcome: &Outcome, question: Question) -> bool {
    match outcome {
        Ok(response) => {
            matches!(response.payload, Payload::Error(_)) && question.kind.items().is_some()
        }
        // What is kept is that of the one before.
        Err(failure) if failure.code == Code::UpstreamReplaced => false,
        Err(failure) => matches!(failure.code.entry().kind, Kind::Busy | Kind::Upstream),
    }
}

/// Calls whose durations can be compared.
fn class_of(request: &Request) -> Class {
    Class::of((&request.method, request.param_members().get_str("name")))
}
