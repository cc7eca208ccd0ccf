//! Which way a call goes, for those who look at it afterwards.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::flights::{Flight, Seat};
use crate::telemetry::Source;

/// The way of one call, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Course(Mutex<State>);

#[derive(Debug)]
struct State {
    source: Source,
    flight: Option<Arc<Flight>>,
    looks: Option<bool>,
    decided_by: Option<Arc<str>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            source: Source::Upstream,
            flight: None,
            looks: None,
            decided_by: None,
        }
    }
}

/// What there is to say of it.
#[derive(Debug)]
pub(super) struct Report {
    /// From where the answer comes, if there is one.
    pub source: Source,
    /// How long the call waited for its turn, if it had to.
    pub waited: Option<Duration>,
    /// How long the upstream had it, if it got it at all.
    pub at_upstream: Option<Duration>,
    /// Whether it only looks, once that is known.
    pub looks: Option<bool>,
    /// The person who has agreed to it or refused it, where one was asked.
    pub decided_by: Option<Arc<str>>,
}

impl Course {
    /// The call waits for an execution.
    pub(super) fn boarded(&self, seat: &Seat) {
        let source = if seat.joined {
            Source::Joined
        } else {
            Source::Upstream
        };
        self.goes(source, Some(seat.flight().clone()));
    }

    /// The call needs no execution (any more).
    pub(super) fn answered_by(&self, source: Source) {
        self.goes(source, None);
    }

    /// It is known what the call does. What was asked until then was about the tool, not its use.
    pub(super) fn screened(&self, looks: bool) {
        *self.state() = State {
            looks: Some(looks),
            ..State::default()
        };
    }

    /// A person has agreed to it or refused it.
    pub(super) fn decided_by(&self, person: Arc<str>) {
        self.state().decided_by = Some(person);
    }

    /// What there is to say of a call that came at `received` and is over.
    pub(super) fn report(&self, received: Instant, is_answered: bool) -> Report {
        let state = self.state();
        let source = state.source;
        let at_upstream = state.flight.as_ref().map(|flight| flight.at_upstream());
        let (source, waited, at_upstream) = match at_upstream {
            Some(Some((since, took))) => {
                let waited = since.saturating_duration_since(received);
                (source, Some(waited), Some(took))
            }
            // Somebody else's answer came while it stood in the queue.
            Some(None) if is_answered => (Source::Memory, None, None),
            Some(None) => (source, Some(received.elapsed()), None),
            None => (source, None, None),
        };
        Report {
            source,
            waited,
            at_upstream,
            looks: state.looks,
            decided_by: state.decided_by.clone(),
        }
    }

    fn goes(&self, source: Source, flight: Option<Arc<Flight>>) {
        let mut state = self.state();
        (state.source, state.flight) = (source, flight);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
