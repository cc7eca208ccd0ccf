//! The way of a call, readable from top to bottom.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep, timeout_at};

use super::cancellation::Cancellations;
use super::classify::{Classifier, Nature};
use super::deduplication::{Digest, Key};
use super::flights::{Boarding, Flight, Flights, GivenUp, Outcome, Seat};
use super::queue::{Arrival, Effect};
use super::retry::{self, Retries};
use super::scheduler::{Experience, Scheduler, Waiting};
use super::writes::Writes;
use super::{Call, Figures, Settings, local};
use crate::error::{Code, Failure, Kind};
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Payload, Request, Response};
use crate::protocol::priority::Priority;
use crate::protocol::{canonical, era};
use crate::resilience::limit::Class;
use crate::upstream::{Trouble, Upstream};

/// Params beyond this many bytes are not compared with others: it costs more than it saves.
const MAX_COMPARED: usize = 64 << 10;
/// How often a waiting call hears of its place in the queue.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Brings calls to their answers.
#[derive(Debug)]
pub struct Dispatcher {
    settings: Settings,
    classifier: Classifier,
    flights: Arc<Flights>,
    writes: Writes,
    cancellations: Arc<Cancellations>,
    road: Arc<Road>,
    counters: Counters,
}

/// The part of the way that an execution goes, whoever waits for it.
#[derive(Debug)]
struct Road {
    scheduler: Arc<Scheduler>,
    retries: Retries,
    upstream: Arc<Upstream>,
}

#[derive(Debug, Default)]
struct Counters {
    answered: AtomicU64,
    refused_by_upstream: AtomicU64,
    failed: AtomicU64,
    left: AtomicU64,
    joined: AtomicU64,
    replayed: AtomicU64,
}

impl Dispatcher {
    /// A dispatcher in front of one upstream.
    pub fn new(settings: Settings, upstream: Arc<Upstream>) -> Self {
        let road = Road {
            scheduler: Scheduler::new(settings.scheduler),
            retries: Retries::new(),
            upstream,
        };
        Self {
            classifier: Classifier::new(&settings.tools),
            flights: Flights::new(settings.deduplication),
            writes: Writes::default(),
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
        let mut record = Record {
            counters: &self.counters,
            call: &call,
            outcome: None,
        };
        let cancellation = self
            .cancellations
            .watch(&call.client.name, &call.request.id);
        let outcome = tokio::select! {
            outcome = self.answer(&call) => outcome,
            () = cancellation.cancelled() => Err(Failure::new(Code::Cancelled)),
        };
        let response = record
            .outcome
            .insert(outcome)
            .clone()?
            .with_id(&call.request.id);
        Ok(self.in_revision(&call, response).await)
    }

    async fn answer(&self, call: &Call) -> Outcome {
        let upstream = &self.road.upstream;
        if let Some(result) = local::answer(&call.request, call.revision, upstream).await {
            return Ok(Response::new(
                Some(call.request.id.clone()),
                Payload::Result(result?),
            ));
        }
        let nature = self.classifier.nature(&call.request);
        let deadline = call.received + self.patience(call);
        loop {
            let key = self.key(call, &nature);
            match self.board(call, &nature, key, deadline) {
                Boarding::Replayed(outcome) => {
                    self.counters.replayed.fetch_add(1, Ordering::Relaxed);
                    return outcome;
                }
                Boarding::Mismatch => return Err(Failure::new(Code::KeyReused)),
                Boarding::Seated(seat) => {
                    let joined = seat.joined;
                    self.counters
                        .joined
                        .fetch_add(u64::from(joined), Ordering::Relaxed);
                    let outcome = wait(seat, &nature, call.received, deadline).await;
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
            request: if call.revision.is_modern() {
                era::to_legacy(&call.request)
            } else {
                call.request.clone()
            },
            class: class_of(&call.request),
            writes,
            deadline,
            progress: call.progress.clone(),
        };
        self.flights
            .board(key, writes, |flight| journey.go(arrival, flight))
    }

    /// What makes another call the same as this one. Nothing for calls that are meant to be
    /// repeated, and for those with metadata that the upstream may look at.
    fn key(&self, call: &Call, nature: &Nature) -> Option<Key> {
        let request = &call.request;
        let own = call.client.name.as_bytes();
        if let Some(key) = &call.wishes.idempotency_key {
            let key = digest(&[own, key.as_bytes()]);
            // Whoever sends a key says that it is the same call; one that cannot be put into one form
            // is compared by its bytes.
            let params = request.params.as_ref().map_or(&[][..], RawJson::as_bytes);
            let as_sent = || digest(&[request.method.as_bytes(), params]);
            let fingerprint = fingerprint(request).unwrap_or_else(as_sent);
            return Some(Key::Idempotency { key, fingerprint });
        }
        let same = fingerprint(request).filter(|_| !nature.repeatable);
        if nature.effect == Effect::Read {
            return same.map(Key::Read);
        }
        let place = self.writes.place(&call.client.name, same);
        same.map(|same| Key::Write(digest(&[own, &same.0, &place.to_be_bytes()])))
    }

    /// The answer as the client's revision wants it.
    async fn in_revision(&self, call: &Call, answer: Response) -> Response {
        let Payload::Result(result) = &answer.payload else {
            return answer;
        };
        if call.request.method == "tools/list" {
            self.classifier.learn(result);
        }
        if !call.revision.is_modern() {
            return answer;
        }
        let server = local::introduction(&self.road.upstream, Duration::ZERO).await;
        let result = era::to_modern(&call.request.method, result, Some(&server.server_info));
        answer.with_result(result)
    }

    /// The client gives up a call of its own, by the id that it gave it. Of several calls under the
    /// same id none can be told to be meant, so none is cancelled.
    pub fn cancel(&self, client: &str, id: &Id) {
        self.cancellations.cancel(client, id);
    }

    /// Starts no calls until [`Dispatcher::open`]; they wait.
    pub fn pause(&self) {
        self.road.scheduler.pause();
    }

    /// Takes and starts calls again, after a pause or while draining.
    pub fn open(&self) {
        self.road.scheduler.open();
    }

    /// Takes no new calls; those that were taken still run.
    pub fn close(&self) {
        self.road.scheduler.close();
    }

    /// Takes no new calls, and waits until the last one is over.
    pub async fn drain(&self) {
        self.road.scheduler.drain().await;
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let deduplication = self.flights.figures();
        Figures {
            in_progress: self.cancellations.len(),
            answered: count(&self.counters.answered),
            refused_by_upstream: count(&self.counters.refused_by_upstream),
            failed: count(&self.counters.failed),
            left: count(&self.counters.left),
            joined: count(&self.counters.joined),
            replayed: count(&self.counters.replayed),
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

/// Counts and logs a call when it is over, also one whose client did not wait for the answer.
struct Record<'a> {
    counters: &'a Counters,
    call: &'a Call,
    outcome: Option<Outcome>,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let counters = self.counters;
        let (counter, outcome) = match &self.outcome {
            Some(Ok(Response {
                payload: Payload::Result(_),
                ..
            })) => (&counters.answered, "answered"),
            Some(Ok(Response {
                payload: Payload::Error(_),
                ..
            })) => (&counters.refused_by_upstream, "refused by the upstream"),
            Some(Err(failure)) => (&counters.failed, failure.code.entry().name),
            None => (&counters.left, "client left"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let request = &self.call.request;
        tracing::info!(
            client = &*self.call.client.name,
            method = beginning(&request.method),
            tool = request
                .param_members()
                .get_str("name")
                .as_deref()
                .map(beginning),
            revision = self.call.revision.as_str(),
            outcome,
            total_ms = millis(self.call.received.elapsed()),
            "call"
        );
    }
}

/// As much of a client's text as a log line bears.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}

/// Waits for the outcome, for as long as this caller can. An execution that reads ends by itself at
/// its deadline, so that the breaker learns of it; one that writes goes on without its callers.
async fn wait(mut seat: Seat, nature: &Nature, received: Instant, deadline: Instant) -> Outcome {
    let ends_itself = !seat.joined && nature.effect == Effect::Read;
    let slack = Duration::from_secs(u64::from(ends_itself));
    if let Ok(outcome) = timeout_at(deadline + slack, seat.outcome()).await {
        return outcome;
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

/// One execution: what has to be brought to the upstream, whoever waits for it.
struct Journey {
    road: Arc<Road>,
    request: Request,
    class: Class,
    writes: bool,
    deadline: Instant,
    progress: Option<super::Progress>,
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
    fn go(self, arrival: Arrival, flight: Arc<Flight>) -> impl Future<Output = Outcome> {
        let entered = self.road.scheduler.enter(arrival, self.class);
        async move { self.travel(entered?, &flight).await }
    }

    async fn travel(self, mut waiting: Waiting, flight: &Flight) -> Outcome {
        self.road.retries.call();
        for attempt in 0.. {
            self.turn(&mut waiting).await?;
            let turn = waiting.begin();
            if !flight.begin() {
                break;
            }
            let trouble = match self.exchange().await {
                Ok(response) => {
                    turn.end(Experience::Answered);
                    return Ok(response);
                }
                Err(trouble) => trouble,
            };
            let waited = turn.waited();
            let experience = retry::experience(&trouble);
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
            sleep(pause).await;
            waiting = rest.again(self.deadline);
        }
        Err(Failure::with(
            Code::Cancelled,
            "everybody who waited for it has left",
        ))
    }

    /// Waits for the turn, and says now and then how far away it is.
    async fn turn(&self, waiting: &mut Waiting) -> Result<(), Failure> {
        let Some(progress) = &self.progress else {
            return waiting.turn().await;
        };
        loop {
            let pause = Instant::now() + PROGRESS_INTERVAL;
            if let Ok(turn) = timeout_at(pause, waiting.turn()).await {
                return turn;
            }
            if let Some(position) = waiting.position() {
                progress.waiting(position);
            }
        }
    }

    async fn exchange(&self) -> Result<Response, Trouble> {
        let exchange = self.road.upstream.exchange(&self.request, self.deadline);
        if self.writes {
            return exchange.await;
        }
        timeout_at(self.deadline, exchange)
            .await
            .unwrap_or(Err(Trouble::Timeout))
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

/// Calls whose durations can be compared.
fn class_of(request: &Request) -> Class {
    Class::of((&request.method, request.param_members().get_str("name")))
}

/// What a request asks for, whoever asks and under whichever id; nothing if it cannot be compared.
fn fingerprint(request: &Request) -> Option<Digest> {
    let mut params = request.param_members();
    let meta = params.get("_meta").map(str::to_owned);
    if request.to_bytes().len() > MAX_COMPARED || !meta.is_none_or(|meta| era::is_own_meta(&meta)) {
        return None;
    }
    params.remove_where(|key| key == "_meta");
    let mut text = Vec::new();
    canonical::write(
        std::str::from_utf8(params.write().as_bytes()).ok()?,
        &mut text,
    )
    .ok()?;
    Some(digest(&[request.method.as_bytes(), &text]))
}

/// Over the parts and their lengths, so that no two lists of parts look the same.
fn digest(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Digest(hash.finalize().into())
}

/// Milliseconds with one decimal.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
