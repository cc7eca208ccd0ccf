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
}

impl Default for State {
    fn default() -> Self {
        Self {
            source: Source::Upstream,
            flight: None,
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
}

impl Course {
    /// The call waits for an execution.
    pub(super) fn boarded(&self, seat: &Seat) {
        let source = if seat.joined {
            Source::Joined
        } else {
            Source::Upstream
        };
        let flight = Some(seat.flight().clone());
        *self.state() = State { source, flight };
    }

    /// The call needs no execution (any more).
    pub(super) fn answered_by(&self, source: Source) {
        let flight = None;
        *self.state() = State { source, flight };
    }

    /// What there is to say of a call that came at `received` and is over.
    pub(super) fn report(&self, received: Instant, is_answered: bool) -> Report {
        let State { source, flight } = &*self.state();
        let at_upstream = flight.as_ref().and_then(|flight| flight.at_upstream());
        match (flight, at_upstream) {
            (Some(_), Some((since, took))) => Report {
                source: *source,
                waited: Some(since.saturating_duration_since(received)),
                at_upstream: Some(took),
            },
            // Somebody else's answer came while it stood in the queue.
            (Some(_), None) if is_answered => Report::of(Source::Memory, None),
            (Some(_), None) => Report::of(*source, Some(received.elapsed())),
            (None, _) => Report::of(*source, None),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    const fn of(source: Source, waited: Option<Duration>) -> Self {
        Self {
            source,
            waited,
            at_upstream: None,
        }
    }
}
