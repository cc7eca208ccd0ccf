//! Executions that several callers share, and leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::deduplication::{Digest, Key, Settings};
use super::flights::{Boarding, Flight, Flights, GivenUp, Outcome, Seat};
use super::runtime::{JoinHandle, schedules, spawn, yield_now};
use crate::error::{Code, Failure};
use crate::protocol::json::RawJson;
use crate::protocol::message::{Payload, Response};

fn flights() -> Arc<Flights> {
    Flights::new(Settings {
        write_window: Duration::from_secs(2),
        key_window: Duration::from_mins(10),
        max_kept: 10,
        max_kept_bytes: 10_000,
        max_running: 10,
    })
}

/// What executions run into.
#[derive(Default)]
struct House {
    begun: AtomicUsize,
    finished: AtomicUsize,
}

impl House {
    fn counts(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (count(&self.begun), count(&self.finished))
    }

    /// Waits for a while, as in a queue, then executes.
    async fn execute(self: Arc<Self>, flight: Arc<Flight>) -> Outcome {
        yield_now().await;
        if !flight.begin() {
            return Err(Failure::new(Code::Cancelled));
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        yield_now().await;
        self.finished.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(None, Payload::Result(RawJson::of(&"done"))))
    }
}

/// Boards as a caller that cannot have been refused.
fn board(flights: &Arc<Flights>, house: &Arc<House>, key: Key) -> Result<Seat, Outcome> {
    let writes = !matches!(key, Key::Read(_));
    match flights.board(Some(key), None, writes, |flight| {
        house.clone().execute(flight)
    }) {
        Boarding::Seated(seat) => Ok(seat),
        Boarding::Replayed(outcome) => Err(outcome),
        Boarding::Mismatch => panic!("the key is always the same"),
    }
}

/// A caller that waits for the answer.
fn patient(flights: &Arc<Flights>, house: &Arc<House>, key: Key) -> JoinHandle<Outcome> {
    let (flights, house) = (flights.clone(), house.clone());
    spawn(async move {
        match board(&flights, &house, key) {
            Ok(mut seat) => seat.outcome().await,
            Err(outcome) => outcome,
        }
    })
}

/// A caller that gives up at once; nothing if it was answered at once.
fn hasty(flights: &Arc<Flights>, house: &Arc<House>, key: Key) -> JoinHandle<Option<GivenUp>> {
    let (flights, house) = (flights.clone(), house.clone());
    spawn(async move {
        let seat = board(&flights, &house, key).ok()?;
        yield_now().await;
        Some(seat.give_up())
    })
}

const READ: Key = Key::Read(Digest([1; 32]));
const WRITE: Key = Key::Write(Digest([2; 32]));

#[test]
fn whoever_stays_is_answered_whoever_leaves() {
    schedules(|| async {
        for key in [READ, WRITE] {
            let (flights, house) = (flights(), Arc::new(House::default()));
            let leaving = [hasty(&flights, &house, key), hasty(&flights, &house, key)];
            let staying = [
                patient(&flights, &house, key),
                patient(&flights, &house, key),
            ];
            for caller in staying {
                let outcome = caller.await.unwrap();
                assert!(outcome.is_ok(), "{outcome:?}");
            }
            for caller in leaving {
                caller.await.unwrap();
            }
            assert_eq!(flights.figures().running, 0);
        }
    });
}

#[test]
fn identical_writes_run_once_and_what_has_begun_is_finished() {
    schedules(|| async {
        let (flights, house) = (flights(), Arc::new(House::default()));
        let leaving = hasty(&flights, &house, WRITE);
        let staying = [
            patient(&flights, &house, WRITE),
            patient(&flights, &house, WRITE),
        ];
        for caller in staying {
            assert!(caller.await.unwrap().is_ok());
        }
        leaving.await.unwrap();
        assert_eq!(house.counts(), (1, 1));
    });
}

#[test]
fn what_is_said_never_to_run_never_runs() {
    schedules(|| async {
        let (flights, house) = (flights(), Arc::new(House::default()));
        let callers = [(); 2].map(|()| hasty(&flights, &house, WRITE));
        let mut nothing = true;
        for caller in callers {
            let given_up = caller.await.unwrap();
            nothing &= given_up.is_none_or(|given_up| given_up == GivenUp::Nothing);
        }
        // The second may have been told so of an execution of its own.
        for _ in 0..10 {
            yield_now().await;
        }
        let (begun, finished) = house.counts();
        assert!(!nothing || begun == 0, "it ran");
        assert_eq!(begun, finished);
        // A repetition is neither joined to what was dropped nor held back by it.
        assert!(patient(&flights, &house, WRITE).await.unwrap().is_ok());
        assert!(house.counts().1 <= 1 + finished);
    });
}
