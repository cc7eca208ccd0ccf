//! The way of a call, readable from top to bottom.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::announcements::{Announcements, News};
use super::approvals::{Question, Request as Approval};
use super::cancellation::Cancellations;
use super::classify::Nature;
use super::deduplication::Key;
use super::flights::{Boarding, Flights, GivenUp, Outcome, Seat};
use super::journey::{Journey, Road};
use super::keys;
use super::mirrors::Mirrors;
use super::queue::{Arrival, Effect};
use super::record::{Counters, Record};
use super::retry::Retries;
use super::scheduler::Scheduler;
use super::screening::Screening;
use super::writes::Writes;
use super::{Call, Figures, Settings, Wishes, local};
use crate::error::{Code, Failure, Kind};
use crate::protocol::capabilities::Reach;
use crate::protocol::era;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Notification, Payload, Request, Response};
use crate::protocol::mirrored::Mirrored;
use crate::protocol::priority::Priority;
use crate::protocol::revision::Revision;
use crate::resilience::limit::Class;
use crate::upstream::{Context, Presence, Upstream};

/// Pages of a list of tools that are asked for.
const MAX_PAGES: usize = 100;

/// Brings calls to their answers.
#[derive(Debug)]
pub struct Dispatcher {
    settings: Settings,
    screening: Screening,
    flights: Arc<Flights>,
    writes: Writes,
    mirrors: Mirrors,
    announcements: Announcements,
    cancellations: Arc<Cancellations>,
    road: Arc<Road>,
    counters: Counters,
}

impl Dispatcher {
    /// A dispatcher in front of one upstream.
    pub fn new(settings: Settings, upstream: Arc<Upstream>) -> Self {
        let insight = upstream.insight().cloned();
        let road = Road {
            scheduler: Scheduler::new(settings.scheduler),
            retries: Retries::new(),
            upstream,
        };
        Self {
            screening: Screening::new(&settings).knowing(insight),
            flights: Flights::new(settings.deduplication),
            writes: Writes::default(),
            mirrors: Mirrors::default(),
            announcements: Announcements::default(),
            cancellations: Arc::default(),
            road: Arc::new(road),
            counters: Counters::default(),
            settings,
        }
    }

    /// Gives the call its one answer, before its deadline.
    ///
    /// # Errors
    /// Why there is no answer of the upstream; see the catalogue.
    pub async fn handle(&self, call: Call) -> Result<Response, Failure> {
        let record = Record::of(&call, &self.counters);
        let cancellation = self
            .cancellations
            .watch(&call.client.name, &call.request.id);
        let outcome = tokio::select! {
            outcome = self.answer(&call) => outcome,
            () = cancellation.cancelled() => Err(Failure::new(Code::Cancelled)),
        };
        record.ended(&outcome);
        let response = outcome?.with_id(&call.request.id);
        Ok(self.in_revision(&call, response).await)
    }

    async fn answer(&self, call: &Call) -> Outcome {
        let upstream = &self.road.upstream;
        if let Some(result) = local::answer(call, upstream).await {
            return Ok(Response::new(
                Some(call.request.id.clone()),
                Payload::Result(result?),
            ));
        }
        let deadline = call.received + self.patience(call);
        if self.screening.needs_list(call) {
            self.list_tools(call, deadline).await?;
        }
        let (call, nature) = self.screening.pass(call, deadline).await?;
        self.execute(&call, &nature, deadline).await
    }

    /// Asks for the list of tools, in the name of a caller whose rights depend on it.
    async fn list_tools(&self, call: &Call, deadline: Instant) -> Result<(), Failure> {
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
            let nature = self.screening.nature(&list);
            let answer = self.execute(&list, &nature, deadline).await?;
            let Payload::Result(result) = &answer.payload else {
                break;
            };
            self.screening.learn(&list.request, result);
            self.mirrors.learn(result);
            cursor = result
                .members()
                .and_then(|m| Some(m.get_str("nextCursor")?.into_owned()));
            if cursor.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Joins an identical execution, or starts one, and waits for the outcome.
    async fn execute(&self, call: &Call, nature: &Nature, deadline: Instant) -> Outcome {
        loop {
            let key = keys::key(call, nature, &self.writes);
            match self.board(call, nature, key, deadline) {
                Boarding::Replayed(outcome) => {
                    self.counters.replayed.add();
                    return outcome;
                }
                Boarding::Mismatch => return Err(Failure::new(Code::KeyReused)),
                Boarding::Seated(seat) => {
                    let joined = seat.joined;
                    if joined {
                        self.counters.joined.add();
                    }
                    let outcome = wait(seat, nature, call.received, deadline).await;
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
        let most = call.client.timeout.unwrap_or(self.settings.call_timeout);
        call.wishes.timeout.map_or(most, |wish| wish.min(most))
    }

    /// How urgent it is: as it wishes, but no more than its client may be.
    fn priority(call: &Call) -> Priority {
        let most = call.client.priority;
        call.wishes.priority.map_or(most, |wish| wish.max(most))
    }

    /// Joins an identical execution, or starts one.
    fn board(&self, call: &Call, nature: &Nature, key: Option<Key>, deadline: Instant) -> Boarding {
        let arrival = Arrival {
            client: call.client.name.clone(),
            priority: Self::priority(call),
            deadline: deadline.into_std(),
            effect: nature.effect.clone(),
            cost: nature.cost,
        };
        let writes = nature.effect != Effect::Read;
        let journey = Journey {
            road: self.road.clone(),
            request: call.request.clone(),
            class: class_of(&call.request),
            writes,
            deadline,
            context: Context {
                revision: call.revision,
                downstream: call.downstream.clone(),
                mirrored: call.mirrored.clone(),
            },
        };
        self.flights
            .board(key, writes, |flight| journey.go(arrival, flight))
    }

    /// The answer as the client's revision wants it.
    async fn in_revision(&self, call: &Call, answer: Response) -> Response {
        let mut answer = answer;
        if let Payload::Result(result) = &answer.payload
            && call.request.method == "tools/list"
        {
            self.mirrors.learn(result);
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
        let server = local::introduction(&self.road.upstream, Duration::ZERO).await;
        let result = era::to_modern(&call.request.method, result, Some(&server.server_info));
        answer.with_result(result)
    }

    /// Which arguments of a tool have to be repeated in headers, as far as that is known.
    pub fn mirrored(&self, tool: &str) -> Option<Arc<Mirrored>> {
        self.mirrors.of(tool)
    }

    /// The capabilities that `server/discover` tells.
    pub async fn offered(&self) -> RawJson {
        let upstream = &self.road.upstream;
        local::introduction(upstream, local::PATIENCE)
            .await
            .offered(Reach::MODERN)
    }

    /// Tells all clients that listen what belongs to no call: a list that changed, a resource that
    /// was updated.
    pub fn announce(&self, notification: Notification) {
        self.announcements.announce(notification);
    }

    /// Everything that is announced from now on.
    pub fn news(&self) -> News {
        self.announcements.listen()
    }

    /// The client gives up a call of its own, by the id that it gave it. Of several calls under the
    /// same id none can be told to be meant, so none is cancelled.
    pub fn cancel(&self, client: &str, id: &Id) {
        self.cancellations.cancel(client, id);
    }

    /// Somebody knows whether the upstream is there: calls wait while it is away, and go on at once
    /// when it is back.
    pub fn set_presence(&self, presence: Presence) {
        self.road.scheduler.set_presence(presence);
    }

    /// Starts no calls until [`Dispatcher::open`]; they wait.
    pub fn pause(&self) {
        self.road.scheduler.pause();
    }

    /// Takes and starts calls again, after a pause or while draining.
    pub fn open(&self) {
        self.screening.set_open(true);
        self.road.scheduler.open();
    }

    /// Takes no new calls; those that were taken still run.
    pub fn close(&self) {
        self.screening.set_open(false);
        self.road.scheduler.close();
    }

    /// Takes no new calls, and waits until the last one is over.
    pub async fn drain(&self) {
        self.screening.set_open(false);
        self.road.scheduler.drain().await;
    }

    /// The calls that wait for a person's word.
    pub fn approvals(&self) -> Vec<Approval> {
        self.screening.approvals()
    }

    /// A person agrees to a call, or refuses it; says to which, or nothing if it does not wait.
    pub fn approve(&self, id: u64, agreed: bool) -> Option<Question> {
        self.screening.approve(id, agreed)
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
            kept_answers: deduplication.kept,
            queue: self.road.scheduler.figures(),
            retries: self.road.retries.figures(),
        }
    }

    /// The upstream behind it.
    pub fn upstream(&self) -> &Upstream {
        &self.road.upstream
    }
}

/// Waits for the outcome, for as long as this caller can. An execution that reads or has not begun
/// ends by itself at its deadline, so that the breaker learns of it and the caller of what it met;
/// one that writes goes on without its callers.
async fn wait(mut seat: Seat, nature: &Nature, received: Instant, deadline: Instant) -> Outcome {
    if let Ok(outcome) = timeout_at(deadline, seat.outcome()).await {
        return outcome;
    }
    if !seat.joined && (nature.effect == Effect::Read || !seat.is_running()) {
        let slack = Duration::from_secs(1);
        if let Ok(outcome) = timeout_at(deadline + slack, seat.outcome()).await {
            return outcome;
        }
    }
    let seconds = received.elapsed().as_secs_f64();
    let outcome_unknown = nature.effect != Effect::Read;
    Err(match seat.give_up() {
        GivenUp::Nothing => {
            Failure::with(Code::DeadlineWaiting, format_args!("waited {seconds:.1} s"))
        }
        GivenUp::Running(since) => {
            let running = since.elapsed().as_secs_f64();
            let why = format_args!("no answer for {running:.1} s, {seconds:.1} s in all");
            Failure {
                outcome_unknown,
                ..Failure::with(Code::Timeout, why)
            }
        }
        GivenUp::MayRun => {
            let why = format_args!("no answer for {seconds:.1} s in all");
            Failure {
                outcome_unknown,
                ..Failure::with(Code::Timeout, why)
            }
        }
    })
}

/// Calls whose durations can be compared.
fn class_of(request: &Request) -> Class {
    Class::of((&request.method, request.param_members().get_str("name")))
}
