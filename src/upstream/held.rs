//! Calls of modern clients that wait at a legacy server for an answer of their client.
//!
//! A legacy server asks while the call runs; a modern client is asked by the answer itself, and sends
//! the call again with what it was asked for (2026-07-28, multi round-trip requests). In between the
//! call is held here, and found again by the state that the client sends back.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::downstream::{Downstream, Reply};
use super::trouble::Trouble;
use crate::protocol::code;
use crate::protocol::input_required::{self, InputRequired};
use crate::protocol::json::RawJson;
use crate::protocol::message::{Notification, Payload, Request, Response};
use crate::protocol::seal::Seal;

/// Calls that wait for their clients, of all clients.
const MAX_HELD: usize = 256;
/// How long a client may take to answer.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long a server may take to end a call whose questions nobody answers.
const FAREWELL: Duration = Duration::from_secs(10);

/// The calls that are held.
#[derive(Debug)]
pub(super) struct HeldCalls {
    seal: Seal,
    calls: Mutex<HashMap<u128, Arc<Held>>>,
}

/// One of them: what the server sees of its client.
#[derive(Debug)]
pub(super) struct Held {
    number: u128,
    capabilities: RawJson,
    /// The client, while one of its requests waits for the call.
    downstream: Mutex<Option<Arc<dyn Downstream>>>,
    state: watch::Sender<State>,
    /// Nobody waits for it any more.
    over: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    asked: usize,
    questions: Vec<Question>,
    /// When the client was told of the questions.
    told: Option<Instant>,
    outcome: Option<Result<Response, Trouble>>,
}

#[derive(Debug)]
struct Question {
    name: String,
    request: Request,
    answer: oneshot::Sender<Response>,
}

impl HeldCalls {
    /// None yet. States are good as long as the program runs, as the calls are.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            seal: Seal::new(&rand::random(), "held call"),
            calls: Mutex::default(),
        })
    }

    /// Begins a call of `client` that the server may ask something; `call` sends it. Gives its
    /// answer, or the questions that stand in its place.
    pub(super) async fn begin<F, C>(
        self: &Arc<Self>,
        client: &str,
        capabilities: RawJson,
        downstream: Option<Arc<dyn Downstream>>,
        call: C,
    ) -> Result<Response, Trouble>
    where
        C: FnOnce(Arc<Held>) -> F,
        F: Future<Output = Result<Response, Trouble>> + Send + 'static,
    {
        let held = Arc::new(Held {
            number: rand::random(),
            capabilities,
            downstream: Mutex::new(None),
            state: watch::Sender::default(),
            over: CancellationToken::new(),
        });
        let call = call(held.clone());
        let (this, running) = (self.clone(), held.clone());
        tokio::spawn(async move {
            running.run(call).await;
            this.lock().remove(&running.number);
        });
        self.wait(client, &held, downstream).await
    }

    /// Goes on with a call of `client` that was held; nothing if the request is no such.
    pub(super) async fn go_on(
        &self,
        client: &str,
        request: &Request,
        downstream: Option<Arc<dyn Downstream>>,
    ) -> Option<Result<Response, Trouble>> {
        let params = request.param_members();
        params.get("requestState")?;
        let state = params.get_str("requestState");
        let number = state.and_then(|state| self.seal.open(&state, client));
        let number = number.and_then(|bytes| Some(u128::from_be_bytes(bytes.try_into().ok()?)));
        let held = number.and_then(|number| self.lock().get(&number).cloned());
        let Some(held) = held else {
            let why = "no call waits for this requestState, or not any more";
            let error = json!({"code": code::INVALID_PARAMS, "message": why});
            let error = Payload::Error(RawJson::of(&error));
            return Some(Ok(Response::new(Some(request.id.clone()), error)));
        };
        held.answer(&input_required::responses(request));
        Some(self.wait(client, &held, downstream).await)
    }

    /// Waits for the answer or for questions. Whoever leaves meanwhile ends the call.
    async fn wait(
        &self,
        client: &str,
        held: &Arc<Held>,
        downstream: Option<Arc<dyn Downstream>>,
    ) -> Result<Response, Trouble> {
        *lock(&held.downstream) = downstream;
        let leaving = held.over.clone().drop_guard();
        let mut state = held.state.subscribe();
        let came = |state: &State| state.outcome.is_some() || !state.questions.is_empty();
        let ended = state.wait_for(came).await.is_err();
        *lock(&held.downstream) = None;
        let mut outcome = None;
        held.state.send_modify(|state| {
            outcome = state.outcome.take();
            state.told = Some(Instant::now());
        });
        if let Some(outcome) = outcome {
            self.lock().remove(&held.number);
            return outcome;
        }
        if ended || !self.keep(held) {
            let why = format!("{MAX_HELD} calls wait for their clients already");
            return Err(Trouble::NotAnAnswer(why));
        }
        leaving.disarm();
        let state = self.seal.close(&held.number.to_be_bytes(), client);
        let questions = held.state.borrow();
        let questions = questions.questions.iter();
        let asked = InputRequired {
            questions: questions
                .map(|question| (question.name.clone(), question.request.clone()))
                .collect(),
            state: Some(RawJson::of(&state)),
        };
        Ok(Response::new(None, Payload::Result(asked.to_result())))
    }

    /// Keeps a call until its client comes back; false if there is no room.
    fn keep(&self, held: &Arc<Held>) -> bool {
        let mut calls = self.lock();
        if calls.len() >= MAX_HELD && !calls.contains_key(&held.number) {
            return false;
        }
        calls.insert(held.number, held.clone());
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Arc<Held>>> {
        lock(&self.calls)
    }
}

impl Held {
    /// Brings the call to its end, and keeps the outcome until its client comes for it.
    async fn run(&self, call: impl Future<Output = Result<Response, Trouble>>) {
        let mut call = pin!(call);
        let outcome = tokio::select! {
            outcome = &mut call => outcome,
            () = self.given_up() => {
                // The server is told that nobody answers, and ends the call in its own way.
                self.state.send_modify(|state| state.questions.clear());
                let ended = timeout(FAREWELL, call).await;
                ended.unwrap_or(Err(Trouble::Timeout))
            }
        };
        self.state.send_modify(|state| {
            state.questions.clear();
            state.outcome = Some(outcome);
        });
        let mut state = self.state.subscribe();
        let collected = state.wait_for(|state| state.outcome.is_none());
        tokio::select! {
            _ = collected => {}
            () = self.given_up() => {}
        }
    }

    /// Brings the client's answers to the questions that they belong to.
    fn answer(&self, responses: &HashMap<String, RawJson>) {
        self.state.send_modify(|state| {
            let questions = std::mem::take(&mut state.questions);
            for question in questions {
                match responses.get(&question.name) {
                    Some(result) => {
                        let id = Some(question.request.id.clone());
                        let answer = Response::new(id, Payload::Result(result.clone()));
                        // Whoever asked may have lost interest.
                        let _ = question.answer.send(answer);
                    }
                    None => state.questions.push(question),
                }
            }
            state.told = None;
        });
    }

    /// Waits until nobody will answer any more.
    async fn given_up(&self) {
        let mut state = self.state.subscribe();
        loop {
            let told = state.borrow_and_update().told;
            let too_late = async {
                match told {
                    Some(told) => sleep_until(told + PATIENCE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.over.cancelled() => return,
                () = too_late => return,
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl Downstream for Held {
    fn capabilities(&self) -> Option<&RawJson> {
        Some(&self.capabilities)
    }

    fn session(&self) -> Option<&str> {
        None
    }

    fn notify(&self, notification: Notification) {
        if let Some(downstream) = &*lock(&self.downstream) {
            downstream.notify(notification);
        }
    }

    fn ask(&self, request: Request) -> Reply<'_> {
        Box::pin(async move {
            let (sender, answer) = oneshot::channel();
            self.state.send_modify(|state| {
                state.asked += 1;
                state.questions.push(Question {
                    name: format!("question-{}", state.asked),
                    request,
                    answer: sender,
                });
            });
            answer.await.ok()
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
