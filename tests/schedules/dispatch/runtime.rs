//! Locks, tasks, time and chance that shuttle decides on.
//!
//! Time stands still until somebody sleeps. Then it may jump, at any moment, to the end of the
//! shortest sleep. It never goes further than [`HORIZON`], so what only a longer sleep would wake
//! counts as not woken at all.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::ops::Add;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub(super) use shuttle::future::{AbortHandle, JoinHandle, block_on, spawn, yield_now};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
pub(super) use shuttle::sync::{Mutex, MutexGuard};
use shuttle::{Config, Runner};

/// As far as time goes.
pub(super) const HORIZON: Duration = Duration::from_mins(10);

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn random() -> f64 {
    thread_rng().r#gen()
}

/// Runs a test under many schedules: half of them by chance, half by priorities that change only a
/// few times (probabilistic concurrency testing), which finds what needs rare delays.
pub(super) fn schedules<F>(test: impl Fn() -> F + Send + Sync + Copy + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let run = move || {
        CLOCK.take();
        spawn(keep_time());
        block_on(test());
    };
    let half = number() / 2;
    Runner::new(RandomScheduler::new(half), Config::new()).run(run);
    Runner::new(PctScheduler::new(4, half), Config::new()).run(run);
}

/// How many schedules: `SCHEDULES` in the environment, 1,000 otherwise.
fn number() -> usize {
    let wanted = std::env::var("SCHEDULES").ok();
    wanted.and_then(|n| n.parse().ok()).unwrap_or(1_000)
}

thread_local! {
    /// All tasks of a schedule take turns on one thread.
    static CLOCK: RefCell<Clock> = RefCell::default();
    static START: std::time::Instant = tokio::time::Instant::now().into_std();
}

#[derive(Default)]
struct Clock {
    passed: Duration,
    sleepers: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    keeper: Option<Waker>,
}

impl Clock {
    /// The end of the shortest sleep that time comes to.
    fn due(&self) -> Option<Instant> {
        let horizon = Instant::at(HORIZON);
        let first = self.sleepers.first_key_value();
        first.map(|((at, _), _)| *at).filter(|at| *at <= horizon)
    }
}

/// Lets time pass for as long as the schedule lasts.
async fn keep_time() {
    loop {
        poll_fn(|context| {
            CLOCK.with_borrow_mut(|clock| {
                clock.keeper = Some(context.waker().clone());
                clock.due().map_or(Poll::Pending, Poll::Ready)
            })
        })
        .await;
        if thread_rng().gen_ratio(1, 4) {
            CLOCK.with_borrow_mut(|clock| {
                if let Some(due) = clock.due() {
                    clock.passed = clock.passed.max(due.0 - START.with(|start| *start));
                    clock.sleepers.values().for_each(Waker::wake_by_ref);
                }
            });
        }
        yield_now().await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(std::time::Instant);

impl Instant {
    fn at(passed: Duration) -> Self {
        Self(START.with(|start| *start) + passed)
    }

    pub(super) fn now() -> Self {
        Self::at(CLOCK.with_borrow(|clock| clock.passed))
    }

    pub(super) const fn from_std(instant: std::time::Instant) -> Self {
        Self(instant)
    }

    pub(super) const fn into_std(self) -> std::time::Instant {
        self.0
    }

    pub(super) fn elapsed(self) -> Duration {
        Self::now().0 - self.0
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

struct Sleep {
    at: Instant,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        CLOCK.with_borrow_mut(|clock| {
            let id = *self.id.get_or_insert_with(|| {
                clock.next += 1;
                clock.next
            });
            clock
                .sleepers
                .insert((self.at, id), context.waker().clone());
            if let Some(keeper) = clock.keeper.take() {
                keeper.wake();
            }
        });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            CLOCK.with_borrow_mut(|clock| clock.sleepers.remove(&(self.at, id)));
        }
    }
}

pub(super) fn sleep_until(at: Instant) -> impl Future<Output = ()> {
    Sleep { at, id: None }
}

#[derive(Debug)]
pub(super) struct Elapsed;

pub(super) async fn timeout_at<F: Future>(at: Instant, future: F) -> Result<F::Output, Elapsed> {
    tokio::select! {
        biased;
        output = future => Ok(output),
        () = sleep_until(at) => Err(Elapsed),
    }
}
