//! Calls in the queue, their turns, pause, drain and an upstream that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::queue::{self, Arrival, Effect, Targets};
use super::runtime::{HORIZON, Instant, JoinHandle, schedules, spawn, yield_now};
use super::scheduler::{Experience, Scheduler, Settings};
use crate::error::{Code, Failure};
use crate::protocol::priority::Priority;
use crate::resilience::limit::Class;
use crate::resilience::{backoff, breaker, limit};

const LIMIT: usize = 2;
/// So far away that only a call that was forgotten comes to it.
const NEVER: Duration = HORIZON.saturating_mul(2);

/// A scheduler that always lets [`LIMIT`] calls run, before a breaker that opens after two failures.
fn scheduler() -> Arc<Scheduler> {
    Scheduler::new(Settings {
        hold: true,
        queue: queue::Settings {
            max_waiting: 4,
            max_waiting_per_client: 4,
            aging_interval: Duration::from_secs(5),
        },
        limit: limit::Settings {
            min: LIMIT,
            ..limit::Settings::up_to(LIMIT)
        },
        breaker: breaker::Settings {
            consecutive_failures: 2,
            pause: backoff::Backoff {
                base: Duration::from_millis(500),
                cap: Duration::from_secs(1),
            },
            ..breaker::Settings::default()
        },
    })
}

/// What the calls run into; notices who runs beside whom.
#[derive(Default)]
struct House {
    running: AtomicUsize,
    writing: AtomicUsize,
    executed: AtomicUsize,
    closed: AtomicBool,
    /// How many calls fail before it is well.
    failing: AtomicUsize,
}

impl House {
    async fn execute(&self, writes: bool) -> Experience {
        let _here = Here::new(self, writes);
        yield_now().await;
        self.executed.fetch_add(1, Ordering::Relaxed);
        let count = |failing: usize| failing.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        match self.failing.fetch_update(set, get, count) {
            Ok(_) => Experience::Trouble { overloaded: true },
            Err(_) => Experience::Answered,
        }
    }
}

/// A call that is in the house, until it leaves.
struct Here<'a> {
    house: &'a House,
    writes: bool,
}

impl<'a> Here<'a> {
    fn new(house: &'a House, writes: bool) -> Self {
        assert!(!house.closed.load(Ordering::Relaxed), "it was drained");
        let running = house.running.fetch_add(1, Ordering::Relaxed);
        assert!(running < LIMIT, "more than the limit");
        if writes {
            let writing = house.writing.fetch_add(1, Ordering::Relaxed);
            assert_eq!(writing, 0, "writes to the same thing overlap");
        }
        Self { house, writes }
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.house.running.fetch_sub(1, Ordering::Relaxed);
        let writing = usize::from(self.writes);
        self.house.writing.fetch_sub(writing, Ordering::Relaxed);
    }
}

fn arrival(client: &str, writes: bool, patience: Duration) -> Arrival {
    Arrival {
        client: client.into(),
        priority: Priority::Normal,
        deadline: (Instant::now() + patience).into_std(),
        effect: if writes {
            Effect::Write(Targets::Only(vec!["lamp".into()]))
        } else {
            Effect::Read
        },
        cost: 1,
    }
}

/// One call on its whole way, tried again once if it fails.
async fn call(scheduler: Arc<Scheduler>, house: Arc<House>, arrival: Arrival) -> Result<(), Code> {
    let code = |failure: Failure| failure.code;
    let writes = arrival.effect != Effect::Read;
    let deadline = Instant::from_std(arrival.deadline);
    let class = Class::of(writes);
    let mut waiting = scheduler.enter(arrival, class).map_err(code)?;
    for last in [false, true] {
        waiting.turn().await.map_err(code)?;
        let turn = waiting.begin();
        match house.execute(writes).await {
            trouble @ Experience::Trouble { .. } if !last => {
                let rest = turn.rest(trouble);
                yield_now().await;
                waiting = rest.again(deadline);
            }
            experience => {
                turn.end(experience);
                break;
            }
        }
    }
    Ok(())
}

type Told = Result<(), Code>;

/// Four calls of two clients, two of them writes to the same thing.
fn four_calls(
    scheduler: &Arc<Scheduler>,
    house: &Arc<House>,
    patience: Duration,
) -> Vec<JoinHandle<Told>> {
    [("a", true), ("a", false), ("b", true), ("b", false)]
        .map(|(client, writes)| {
            let arrival = arrival(client, writes, patience);
            spawn(call(scheduler.clone(), house.clone(), arrival))
        })
        .into()
}

/// Nothing is left of any call: the queue is empty, and all places are free.
async fn assert_all_free(scheduler: &Arc<Scheduler>) {
    scheduler.open();
    let figures = scheduler.figures();
    let queue = &figures.queue;
    assert_eq!((queue.waiting, queue.running, queue.resting), (0, 0, 0));
    assert_eq!(figures.adaptive_limit.running, 0);
    for _ in 0..LIMIT {
        let arrival = arrival("late", false, NEVER);
        let mut waiting = scheduler.enter(arrival, Class::of("late")).unwrap();
        waiting.turn().await.unwrap();
        waiting.begin().end(Experience::Answered);
    }
    scheduler.drain().await;
}

#[test]
fn every_call_gets_its_turn_whatever_comes_and_ends_beside_it() {
    schedules(|| async {
        let (scheduler, house) = (scheduler(), Arc::new(House::default()));
        for told in four_calls(&scheduler, &house, NEVER) {
            assert_eq!(told.await.unwrap(), Ok(()));
        }
        assert_eq!(house.executed.load(Ordering::Relaxed), 4);
        assert_all_free(&scheduler).await;
    });
}

#[test]
fn whoever_leaves_takes_nobodys_turn_along() {
    schedules(|| async {
        let (scheduler, house) = (scheduler(), Arc::new(House::default()));
        let calls = four_calls(&scheduler, &house, NEVER);
        let leaving = [calls[0].abort_handle(), calls[3].abort_handle()];
        let leave = spawn(async move {
            for call in leaving {
                yield_now().await;
                call.abort();
            }
        });
        for (n, call) in calls.into_iter().enumerate() {
            let told = call.await;
            assert!(matches!(told, Ok(Ok(()))) || matches!(n, 0 | 3), "{told:?}");
        }
        leave.await.unwrap();
        assert_all_free(&scheduler).await;
    });
}

#[test]
fn a_pause_holds_calls_and_loses_none() {
    schedules(|| async {
        let (scheduler, house) = (scheduler(), Arc::new(House::default()));
        let operator = scheduler.clone();
        let operator = spawn(async move {
            operator.pause();
            yield_now().await;
            operator.open();
        });
        for told in four_calls(&scheduler, &house, NEVER) {
            assert_eq!(told.await.unwrap(), Ok(()));
        }
        operator.await.unwrap();
        assert_all_free(&scheduler).await;
    });
}

#[test]
fn after_the_drain_nothing_runs_and_everybody_was_told() {
    schedules(|| async {
        let (scheduler, house) = (scheduler(), Arc::new(House::default()));
        let calls = four_calls(&scheduler, &house, NEVER);
        let stopping = (scheduler.clone(), house.clone());
        let stop = spawn(async move {
            let (scheduler, house) = stopping;
            scheduler.drain().await;
            assert_eq!(house.running.load(Ordering::Relaxed), 0);
            house.closed.store(true, Ordering::Relaxed);
        });
        let mut executed = 0;
        for call in calls {
            match call.await.unwrap() {
                Ok(()) => executed += 1,
                Err(code) => assert_eq!(code, Code::ShuttingDown),
            }
        }
        stop.await.unwrap();
        assert_eq!(house.executed.load(Ordering::Relaxed), executed);
        assert_all_free(&scheduler).await;
    });
}

#[test]
fn calls_wait_for_an_upstream_that_comes_back() {
    schedules(|| async {
        let (scheduler, house) = (scheduler(), Arc::new(House::default()));
        house.failing.store(3, Ordering::Relaxed);
        for told in four_calls(&scheduler, &house, NEVER) {
            assert_eq!(told.await.unwrap(), Ok(()));
        }
        assert_eq!(house.failing.load(Ordering::Relaxed), 0);
        assert_all_free(&scheduler).await;
    });
}

#[test]
fn a_deadline_that_comes_with_the_turn_costs_no_place() {
    schedules(|| async {
        let (scheduler, house) = (scheduler(), Arc::new(House::default()));
        let mut executed = 0;
        for call in four_calls(&scheduler, &house, Duration::from_millis(1)) {
            match call.await.unwrap() {
                Ok(()) => executed += 1,
                Err(code) => assert_eq!(code, Code::DeadlineWaiting),
            }
        }
        assert_eq!(house.executed.load(Ordering::Relaxed), executed);
        assert_all_free(&scheduler).await;
    });
}
