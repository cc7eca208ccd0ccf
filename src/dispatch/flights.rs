//! Executions in flight: each runs once, for everybody who waits for it.
//!
//! A caller that leaves does not disturb the others. When the last one has left, an execution that
//! has not begun, or only reads, is dropped; one that has begun to write goes on to its end.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;

use super::deduplication::{
    Arrival, Deduplication, ExecutionId, Figures, Key, Remaining, Settings,
};
use super::runtime::{AbortHandle, Instant, Mutex, lock, spawn};
use crate::cache::Kind;
use crate::error::{Code, Failure};
use crate::protocol::message::Response;

/// What an execution ends with; cheap to clone.
pub(super) type Outcome = Result<Response, Failure>;

/// All executions that are not over, and the answers that are kept for repetitions.
#[derive(Debug)]
pub(super) struct Flights {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    deduplication: Deduplication<Outcome>,
    /// Those that can be joined, to be found by their id.
    flights: HashMap<ExecutionId, Arc<Flight>>,
}

/// One execution.
#[derive(Debug)]
pub(super) struct Flight {
    id: Option<ExecutionId>,
    /// What it asks for, where that may be outdated by a change.
    kind: Option<Kind>,
    writes: bool,
    began: Mutex<Began>,
    /// When it was over.
    landed: OnceLock<Instant>,
    outcome: watch::Sender<Option<Outcome>>,
    task: Mutex<Option<AbortHandle>>,
}

/// Whether the upstream has seen anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Began {
    No,
    At(Instant),
    Dropped,
}

impl Flight {
    /// The execution is about to send something; false if it was dropped meanwhile.
    pub(super) fn begin(&self) -> bool {
        let mut began = lock(&self.began);
        if *began != Began::Dropped {
            *began = Began::At(Instant::now());
        }
        *began != Began::Dropped
    }

    /// What was sent surely had no effect; the execution may be dropped again until it begins anew.
    pub(super) fn pause(&self) {
        *lock(&self.began) = Began::No;
    }

    /// Whether somebody still waits for it.
    pub(super) fn is_wanted(&self) -> bool {
        self.outcome.receiver_count() > 0
    }

    /// When the upstream got it last, and how long it had it.
    pub(super) fn at_upstream(&self) -> Option<(Instant, Duration)> {
        let since = self.running_since()?;
        let until = self.landed.get().copied().unwrap_or_else(Instant::now);
        let took = until.into_std().saturating_duration_since(since.into_std());
        Some((since, took))
    }

    /// Since when it runs at the upstream.
    fn running_since(&self) -> Option<Instant> {
        match *lock(&self.began) {
            Began::At(since) => Some(since),
            Began::No | Began::Dropped => None,
        }
    }

    fn is_dropped(&self) -> bool {
        *lock(&self.began) == Began::Dropped
    }

    /// Stops it if that does no harm; says whether it did.
    fn drop_if_harmless(&self) -> bool {
        let mut began = lock(&self.began);
        if self.writes && matches!(*began, Began::At(_)) {
            return false;
        }
        *began = Began::Dropped;
        if let Some(task) = lock(&self.task).as_ref() {
            task.abort();
        }
        true
    }
}

/// A caller's place in an execution.
#[derive(Debug)]
pub(super) struct Seat {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    outcome: watch::Receiver<Option<Outcome>>,
    /// Whether somebody else started it.
    pub joined: bool,
}

/// What becomes of a call.
pub(super) enum Boarding {
    /// It waits for an execution, its own or another's.
    Seated(Seat),
    /// It was executed already, with this outcome.
    Replayed(Outcome),
    /// Its idempotency key belongs to another call.
    Mismatch,
}

impl Seat {
    /// The outcome. An execution that ended without one met a defect of the bridge.
    pub(super) async fn outcome(&mut self) -> Outcome {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome
                .clone()
                .unwrap_or_else(|| Err(Failure::new(Code::Internal))),
            Err(_) => Err(Failure {
                outcome_unknown: true,
                ..Failure::new(Code::Internal)
            }),
        }
    }

    /// Whether the upstream has seen anything of it.
    pub(super) fn is_running(&self) -> bool {
        self.flight.running_since().is_some()
    }

    /// The execution itself.
    pub(super) const fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// The caller's time is over. Decides, once and for all, whether anything can still come of the
    /// call: what has not begun does not begin any more, unless others wait for it.
    pub(super) fn give_up(self) -> GivenUp {
        let since = self.flight.running_since();
        let flight = self.flight.clone();
        drop(self);
        match (flight.is_dropped(), since) {
            (true, None) => GivenUp::Nothing,
            (_, Some(since)) => GivenUp::Running(since),
            (false, None) => GivenUp::MayRun,
        }
    }
}

/// What may come of a call that its caller has given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// Nothing: it never ran.
    Nothing,
    /// It runs, or ran, at the upstream since then.
    Running(Instant),
    /// It has begun just now, or goes on for others.
    MayRun,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = lock(&self.flights.state);
        let Some(id) = self.flight.id else {
            self.flight.drop_if_harmless();
            return;
        };
        let over = self.outcome.borrow().is_some();
        let alone = state.deduplication.leave(id) == Remaining::Nobody;
        if !over && alone && self.flight.drop_if_harmless() {
            state.deduplication.forget(id);
            state.flights.remove(&id);
        }
    }
}

impl Flights {
    /// None in flight.
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        let state = State {
            deduplication: Deduplication::new(settings),
            flights: HashMap::new(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// Other settings from now on.
    pub(super) fn configure(&self, settings: Settings) {
        lock(&self.state).deduplication.configure(settings);
    }

    /// Finds an execution for a call, or starts one. Without a key it is always its own; with a kind,
    /// [`Flights::outdate`] reaches it.
    pub(super) fn board<F>(
        self: &Arc<Self>,
        key: Option<Key>,
        kind: Option<Kind>,
        writes: bool,
        execute: impl FnOnce(Arc<Flight>) -> F,
    ) -> Boarding
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut state = lock(&self.state);
        let id = match key.map(|key| state.deduplication.arrive(Instant::now().into_std(), key)) {
            None => None,
            Some(Arrival::Lead(id)) => Some(id),
            Some(Arrival::Join(id)) => match state.flights.get(&id) {
                Some(flight) => return Boarding::Seated(self.seat(flight.clone(), true)),
                None => return Boarding::Replayed(Err(Failure::new(Code::Internal))),
            },
            Some(Arrival::Replay(outcome)) => return Boarding::Replayed(outcome),
            Some(Arrival::Mismatch) => return Boarding::Mismatch,
        };
        let flight = Arc::new(Flight {
            id,
            kind,
            writes,
            began: Mutex::new(Began::No),
            landed: OnceLock::new(),
            outcome: watch::Sender::new(None),
            task: Mutex::new(None),
        });
        let seat = self.seat(flight.clone(), false);
        if let Some(id) = id {
            state.flights.insert(id, flight.clone());
        }
        let execution = execute(flight.clone());
        let flights = self.clone();
        let land = flight.clone();
        let task = spawn(async move {
            // Whoever waits hears of a defect of ours, too; nobody would land it otherwise.
            let outcome = match AssertUnwindSafe(execution).catch_unwind().await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure {
                    outcome_unknown: true,
                    ..Failure::new(Code::Internal)
                }),
            };
            flights.land(&land, outcome);
        });
        *lock(&flight.task) = Some(task.abort_handle());
        Boarding::Seated(seat)
    }

    fn seat(self: &Arc<Self>, flight: Arc<Flight>, joined: bool) -> Seat {
        let outcome = flight.outcome.subscribe();
        Seat {
            flights: self.clone(),
            flight,
            outcome,
            joined,
        }
    }

    /// The execution is over: keeps what a repetition must get, and tells everybody.
    fn land(&self, flight: &Flight, outcome: Outcome) {
        // Only its own task lands it, once.
        let _ = flight.landed.set(Instant::now());
        let mut state = lock(&self.state);
        if let Some(id) = flight.id {
            let executed = outcome
                .as_ref()
                .map_or_else(|failure| failure.outcome_unknown, |_| true);
            if executed {
                let size = outcome
                    .as_ref()
                    .map_or(0, |response| response.to_bytes().len());
                let now = Instant::now().into_std();
                state.deduplication.finish(now, id, outcome.clone(), size);
            } else {
                state.deduplication.forget(id);
            }
            state.flights.remove(&id);
        }
        if flight.writes {
            state.deduplication.outdate_reads();
        }
        flight.outcome.send_replace(Some(outcome));
    }

    /// What answers of these kinds tell has changed: calls that come from now on do not join one that
    /// has asked already. One that still waits for its turn will see the change.
    pub(super) fn outdate(&self, kinds: &[Kind]) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        for (id, flight) in &state.flights {
            let touched = flight.kind.is_some_and(|kind| kinds.contains(&kind));
            if touched && flight.running_since().is_some() {
                state.deduplication.outdate(*id);
            }
        }
    }

    /// There is another upstream: calls that come from now on join none that only looks.
    pub(super) fn outdate_reads(&self) {
        lock(&self.state).deduplication.outdate_reads();
    }

    /// The figures now.
    pub(super) fn figures(&self) -> Figures {
        lock(&self.state).deduplication.figures()
    }
}
