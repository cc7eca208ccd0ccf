//! The way of a call, readable from top to bottom.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::scheduler::Scheduler;
use super::{Call, Figures, Settings, local};
use crate::error::{Code, Failure};
use crate::protocol::era;
use crate::protocol::message::{Payload, Response};
use crate::upstream::Upstream;

/// Brings calls to their answers.
#[derive(Debug)]
pub struct Dispatcher {
    settings: Settings,
    scheduler: Arc<Scheduler>,
    upstream: Arc<Upstream>,
    answered: AtomicU64,
    refused_by_upstream: AtomicU64,
    failed: AtomicU64,
}

/// Where the time of a call went.
#[derive(Debug, Default)]
struct Timing {
    waited: Duration,
    at_upstream: Duration,
}

impl Dispatcher {
    /// A dispatcher in front of one upstream.
    pub fn new(settings: Settings, upstream: Arc<Upstream>) -> Self {
        Self {
            settings,
            scheduler: Scheduler::new(settings.queue),
            upstream,
            answered: AtomicU64::new(0),
            refused_by_upstream: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Gives the call its one answer, before its deadline.
    ///
    /// # Errors
    /// Why there is no answer of the upstream; see the catalogue.
    pub async fn handle(&self, call: Call) -> Result<Response, Failure> {
        let mut timing = Timing::default();
        let outcome = self.answer(&call, &mut timing).await;
        self.record(&call, &outcome, &timing);
        outcome
    }

    async fn answer(&self, call: &Call, timing: &mut Timing) -> Result<Response, Failure> {
        if let Some(result) = local::answer(&call.request, call.revision, &self.upstream).await {
            let id = Some(call.request.id.clone());
            return Ok(self
                .in_revision(call, Response::new(id, Payload::Result(result?)))
                .await);
        }
        let answer = self.forward(call, timing).await?;
        Ok(self.in_revision(call, answer).await)
    }

    /// Waits for the call's turn and brings it to the upstream.
    ///
    /// What has been started is always finished, whether or not somebody still waits for it: Home
    /// Assistant cancels a running action when its connection closes, half-done. The call keeps its
    /// turn until then, so that Home Assistant never runs more than the limit.
    async fn forward(&self, call: &Call, timing: &mut Timing) -> Result<Response, Failure> {
        let deadline = call.received + self.settings.call_timeout;
        let turn = self.scheduler.turn(deadline).await?;
        timing.waited = turn.waited();
        let started = Instant::now();
        let upstream = self.upstream.clone();
        let request = if call.revision.is_modern() {
            era::to_legacy(&call.request)
        } else {
            call.request.clone()
        };
        let exchange = tokio::spawn(async move {
            let answer = upstream.exchange(&request).await;
            drop(turn);
            answer
        });
        let answer = timeout_at(deadline, exchange).await;
        timing.at_upstream = started.elapsed();
        let failure = match answer {
            Ok(Ok(Ok(response))) => return Ok(response),
            Ok(Ok(Err(trouble))) => trouble.into(),
            Ok(Err(defect)) => Failure {
                outcome_unknown: true,
                ..Failure::with(Code::Internal, defect)
            },
            Err(_) => Failure {
                outcome_unknown: true,
                ..Failure::with(
                    Code::Timeout,
                    format_args!(
                        "waited {:.1} s in the queue, {:.1} s at Home Assistant",
                        timing.waited.as_secs_f64(),
                        timing.at_upstream.as_secs_f64()
                    ),
                )
            },
        };
        // Only a tool can have done something; a list that got lost is merely asked for again.
        let acts = call.request.method == "tools/call";
        Err(Failure {
            outcome_unknown: failure.outcome_unknown && acts,
            ..failure
        })
    }

    /// The answer as the client's revision wants it.
    async fn in_revision(&self, call: &Call, answer: Response) -> Response {
        if !call.revision.is_modern() {
            return answer;
        }
        let Payload::Result(result) = &answer.payload else {
            return answer;
        };
        let server = local::introduction(&self.upstream).await;
        let result = era::to_modern(&call.request.method, result, Some(&server.server_info));
        answer.with_result(result)
    }

    fn record(&self, call: &Call, outcome: &Result<Response, Failure>, timing: &Timing) {
        let (counter, outcome) = match outcome {
            Ok(Response {
                payload: Payload::Result(_),
                ..
            }) => (&self.answered, "answered"),
            Ok(Response {
                payload: Payload::Error(_),
                ..
            }) => (&self.refused_by_upstream, "refused by the upstream"),
            Err(failure) => (&self.failed, failure.code.entry().name),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            client = &*call.client,
            method = call.request.method,
            tool = call.request.param_members().get_str("name").as_deref(),
            revision = call.revision.as_str(),
            outcome,
            waited_ms = millis(timing.waited),
            upstream_ms = millis(timing.at_upstream),
            total_ms = millis(call.received.elapsed()),
            "call"
        );
    }

    /// Takes no new calls, and waits until the last one is over.
    pub async fn drain(&self) {
        self.scheduler.drain().await;
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        Figures {
            answered: self.answered.load(Ordering::Relaxed),
            refused_by_upstream: self.refused_by_upstream.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            queue: self.scheduler.figures(),
        }
    }

    /// The upstream behind it.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }
}

/// Milliseconds with one decimal.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
