//! What is counted and logged of a call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::course::Course;
use super::flights::Outcome;
use super::{Call, excerpt};
use crate::protocol::message::{Payload, Response};
use crate::telemetry::{self, Journal, Source};

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

/// Counts, logs and keeps a call when it is over, also one whose client did not wait for the answer.
pub(super) struct Record<'a> {
    counters: &'a Counters,
    journal: &'a Journal,
    call: &'a Call,
    course: Course,
    outcome: Option<Outcome>,
}

impl<'a> Record<'a> {
    /// Of a call that has just come.
    pub(super) fn of(call: &'a Call, counters: &'a Counters, journal: &'a Journal) -> Self {
        Self {
            counters,
            journal,
            call,
            course: Course::default(),
            outcome: None,
        }
    }

    /// The way on which it is.
    pub(super) const fn course(&self) -> &Course {
        &self.course
    }

    /// The call is over.
    pub(super) fn ended(mut self, outcome: &Outcome) {
        self.outcome = Some(outcome.clone());
    }

    /// Whether anybody wants to see it in the history. Handshakes and lists from memory would drive
    /// everything else out of it.
    fn is_telling(&self) -> bool {
        let asks = matches!(
            self.call.request.method.as_ref(),
            "tools/call" | "resources/read" | "prompts/get"
        );
        let is_answered = matches!(self.outcome, Some(Ok(_)));
        let source = self.course.report(self.call.received, is_answered).source;
        asks || source != Source::Memory || !is_answered
    }

    /// What is kept of the call.
    fn entry(&self, id: u64, at: u64, total: Duration) -> telemetry::Call {
        let Call {
            client, request, ..
        } = self.call;
        let is_answered = matches!(self.outcome, Some(Ok(_)));
        let course = self.course.report(self.call.received, is_answered);
        let params = request.param_members();
        let target = params.get_str("name").or_else(|| params.get_str("uri"));
        let (outcome, code, detail) = self
            .outcome
            .as_ref()
            .map_or((telemetry::Outcome::Left, None, None), excerpt::outcome);
        let result = match &self.outcome {
            Some(Ok(Response {
                payload: Payload::Result(result),
                ..
            })) => result.as_bytes(),
            _ => &[],
        };
        telemetry::Call {
            id,
            at,
            client: client.name.clone(),
            method: beginning(&request.method).to_owned(),
            target: target.map(|target| beginning(&target).to_owned()),
            arguments: params.get("arguments").map(excerpt::arguments),
            answer: (!result.is_empty()).then(|| excerpt::answer(result)),
            answer_bytes: result.len(),
            source: course.source,
            outcome,
            code: code.map(|code| code.entry().name),
            title: code.map(|code| code.entry().title),
            fix: code.map(|code| code.entry().fix),
            detail,
            waited_ms: millis(course.waited),
            upstream_ms: course.at_upstream.map(millis),
            total_ms: millis(total),
        }
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
        let total = self.call.received.elapsed();
        if self.is_telling() {
            self.journal
                .ended(total, |id, at| self.entry(id, at, total));
        }
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
            total_ms = millis(total),
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
