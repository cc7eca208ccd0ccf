//! What operators and those who know the upstream do to the way of a call.

use std::sync::Arc;

use super::approvals::{Question, Request as Approval};
use super::{Dispatcher, Settings};
use crate::telemetry::audit::Audit;
use crate::upstream::{Presence, Upstream};

impl Dispatcher {
    /// Other settings from now on; calls that have come already keep their deadlines.
    pub fn configure(&self, settings: &Settings) {
        self.call_timeout.store(Arc::new(settings.call_timeout));
        self.brevity.store(Arc::new(settings.brevity));
        self.screening.configure(settings);
        self.flights.configure(settings.deduplication);
        self.loops.configure(settings.loops);
        self.road.scheduler.configure(settings.scheduler);
        self.road.answers.configure(&settings.answers);
    }

    /// Another upstream takes the place of the one before. Calls that are at the old one end there;
    /// what was learned about it does not count.
    pub fn replace_upstream(&self, upstream: Arc<Upstream>) {
        let insight = upstream.insight().cloned();
        // First, so that what is learned after everything was forgotten comes from the new one.
        self.road.upstream.store(upstream);
        self.screening.look_at(insight);
        self.road.answers.forget();
        self.flights.outdate_reads();
        self.road.scheduler.reset_breaker();
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

    /// Lets calls through again at once, although the upstream was not well a moment ago.
    pub fn reset_breaker(&self) {
        self.road.scheduler.reset_breaker();
    }

    /// Forgets all kept answers; gives their number.
    pub fn flush_cache(&self) -> usize {
        self.road.answers.flush()
    }

    /// Where it is written down who had what done.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The calls that wait for a person's word.
    pub fn approvals(&self) -> Vec<Approval> {
        self.screening.approvals()
    }

    /// A person of this name agrees to a call, or refuses it; says to which, or nothing if it does not
    /// wait.
    pub fn approve(&self, id: u64, agreed: bool, by: &str) -> Option<Question> {
        self.screening.approve(id, agreed, by)
    }
}
