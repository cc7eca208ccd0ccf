//! What is counted and logged of a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::course::{Course, Report};
use super::flights::Outcome;
use super::{Call, Dispatcher, audited, excerpt, trace};
use crate::error::{Code, Entry};
use crate::protocol::message::{Payload, Response};
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::{CallMeasures, Meters};
use crate::telemetry::spans::Span;
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
    pub meters: Arc<Meters>,
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

/// Where it stands afterwards what became of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Books<'a> {
    pub counters: &'a Counters,
    pub journal: &'a Journal,
    pub audit: &'a Audit,
}

/// Counts, logs and keeps a call when it is over, also one whose client did not wait for the answer.
pub(super) struct Record<'a> {
    books: Books<'a>,
    call: &'a Call,
    course: Course,
    outcome: Option<Outcome>,
    /// Ends with the call.
    span: Span,
}

impl<'a> Record<'a> {
    /// Of a call that has just come.
    pub(super) fn of(call: &'a Call, books: Books<'a>, span: Span) -> Self {
        Self {
            span,
            books,
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

    /// What there is to say about the call now.
    fn account(&self) -> Account {
        let (outcome, code, detail) = self
            .outcome
            .as_ref()
            .map_or((telemetry::Outcome::Left, None, None), |outcome| {
                excerpt::outcome(&self.call.request, outcome)
            });
        let is_answered = matches!(self.outcome, Some(Ok(_)));
        Account {
            course: self.course.report(self.call.received, is_answered),
            outcome,
            code,
            detail,
            total: self.call.received.elapsed(),
        }
    }

    /// Whether anybody wants to see it in the history. Handshakes and lists from memory would drive
    /// everything else out of it.
    fn is_telling(&self, account: &Account) -> bool {
        let asks = matches!(
            self.call.request.method.as_ref(),
            "tools/call" | "resources/read" | "prompts/get"
        );
        let is_answered = matches!(self.outcome, Some(Ok(_)));
        asks || account.course.source != Source::Memory || !is_answered
    }

    /// What is kept of the call.
    fn entry(&self, id: u64, at: u64, account: &Account) -> telemetry::Call {
        let failure = account.failure();
        let Call {
            client, request, ..
        } = self.call;
        let params = request.param_members();
        let target = params.get_str("name").or_else(|| params.get_str("uri"));
        let result = self.result();
        telemetry::Call {
            id,
            at,
            client: client.name.clone(),
            method: beginning(&request.method).to_owned(),
            target: target.map(|target| beginning(&target).to_owned()),
            arguments: params.get("arguments").map(excerpt::arguments),
            answer: (!result.is_empty()).then(|| excerpt::answer(result)),
            answer_bytes: result.len(),
            source: account.course.source,
            outcome: account.outcome,
            code: failure.map(|entry| entry.name),
            title: failure.map(|entry| entry.title),
            fix: failure.map(|entry| entry.fix),
            detail: account.detail.clone(),
            waited_ms: millis(account.course.waited.unwrap_or_default()),
            upstream_ms: account.course.at_upstream.map(millis),
            total_ms: millis(account.total),
        }
    }

    /// The bytes of the result, if there is one.
    fn result(&self) -> &[u8] {
        match &self.outcome {
            Some(Ok(Response {
                payload: Payload::Result(result),
                ..
            })) => result.as_bytes(),
            _ => &[],
        }
    }

    /// Counts the call for those who gather figures.
    fn measure(&self, account: &Account, tool: Option<&str>) {
        let Report {
            source,
            waited,
            at_upstream,
            ..
        } = account.course;
        let request = &self.call.request;
        self.books.counters.meters.call(&CallMeasures {
            client: &self.call.client.name,
            method: &request.method,
            tool: tool.filter(|_| request.method == "tools/call"),
            priority: Dispatcher::priority(self.call).name(),
            source,
            outcome: account.outcome,
            failure: account
                .failure()
                .map(|entry| (entry.kind.name(), entry.name)),
            waited,
            // Who joined another call did not have the upstream work for it.
            at_upstream: at_upstream.filter(|_| source == Source::Upstream),
            total: account.total,
        });
    }
}

/// What there is to say about a call that is over.
pub(super) struct Account {
    pub course: Report,
    pub outcome: telemetry::Outcome,
    /// The code of a failure.
    pub code: Option<Code>,
    pub detail: Option<String>,
    pub total: Duration,
}

impl Account {
    /// What the catalogue says of a failure.
    pub(super) fn failure(&self) -> Option<&'static Entry> {
        self.code.map(Code::entry)
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let account = self.account();
        let (source, failure) = (account.course.source.name(), account.failure());
        let failure = failure.map(|entry| entry.name);
        trace::end(&mut self.span, account.outcome, failure, source);
        if self.is_telling(&account) {
            self.books
                .journal
                .ended(account.total, |id, at| self.entry(id, at, &account));
        }
        let Call {
            client,
            request,
            revision,
            ..
        } = self.call;
        let params = request.param_members();
        let tool = params.get_str("name");
        let outcome = account.outcome;
        tracing::info!(
            target: "mcp_bridge::calls",
            client = &*client.name,
            method = beginning(&request.method),
            tool = tool.as_deref().map(beginning),
            revision = revision.as_str(),
            outcome = account.failure().map_or(outcome.name(), |entry| entry.name),
            source = account.course.source.name(),
            waited_ms = account.course.waited.map(millis),
            upstream_ms = account.course.at_upstream.map(millis),
            total_ms = millis(account.total),
            request_id = &*self.call.origin.request_id,
            trace = self.call.origin.trace.as_ref().map(|trace| format!("{:032x}", trace.trace)),
            "call"
        );
        self.measure(&account, tool.as_deref());
        let Books {
            counters, audit, ..
        } = self.books;
        audited::write_down(audit, self.call, &account, self.result().len());
        let counter = match outcome {
            telemetry::Outcome::Answered | telemetry::Outcome::ToolFailed => &counters.answered,
            telemetry::Outcome::Refused => &counters.refused_by_upstream,
            telemetry::Outcome::Failed => &counters.failed,
            telemetry::Outcome::Left => &counters.left,
        };
        counter.add();
    }
}

/// As much of a client's text as a log line bears.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}

/// Milliseconds with one decimal.
pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
