//! What is counted and logged of a call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Call;
use super::flights::Outcome;
use crate::protocol::message::{Payload, Response};

/// How calls ended, and what was saved, ever.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub answered: Counter,
    pub refused_by_upstream: Counter,
    pub failed: Counter,
    pub left: Counter,
    pub joined: Counter,
    pub replayed: Counter,
}

/// Counts up only.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts and logs a call when it is over, also one whose client did not wait for the answer.
pub(super) struct Record<'a> {
    counters: &'a Counters,
    call: &'a Call,
    outcome: Option<Outcome>,
}

impl<'a> Record<'a> {
    /// Of a call that has just come.
    pub(super) const fn of(call: &'a Call, counters: &'a Counters) -> Self {
        Self {
            counters,
            call,
            outcome: None,
        }
    }

    /// The call is over.
    pub(super) fn ended(mut self, outcome: &Outcome) {
        self.outcome = Some(outcome.clone());
    }
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
        counter.add();
    }
}

/// As much of a client's text as a log line bears.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}

/// Milliseconds with one decimal.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
