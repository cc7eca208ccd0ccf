//! The queue at work: gives the real time to the state machine and wakes the calls that may start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::queue::{Figures, Queue, Refusal, Settings, Ticket};
use crate::error::{Code, Failure};

/// Lets calls through in the order and number that the queue decides.
///
/// It has no task of its own: every call that comes, ends or gives up moves the queue on.
#[derive(Debug)]
pub(super) struct Scheduler {
    state: Mutex<State>,
    idle: Notify,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

impl State {
    /// Starts what may start now and wakes it. A call that its client left has no receiver any
    /// more; its own departure takes it out of the queue again.
    fn advance(&mut self) -> Vec<Ticket> {
        let now = Instant::now().into_std();
        let started: Vec<Ticket> = std::iter::from_fn(|| self.queue.start(now)).collect();
        for ticket in &started {
            if let Some(waker) = self.waiting.remove(ticket) {
                let _ = waker.send(());
            }
        }
        started
    }
}

/// The right to use the upstream now. Dropping it lets the next call through.
#[derive(Debug)]
pub(super) struct Turn {
    scheduler: Arc<Scheduler>,
    ticket: Ticket,
    since: Instant,
    waited: Duration,
}

impl Turn {
    /// How long the call waited for it.
    pub(super) const fn waited(&self) -> Duration {
        self.waited
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.scheduler.lock();
        state.waiting.remove(&self.ticket);
        state.queue.finish(self.ticket);
        state.advance();
        if state.queue.is_idle() {
            self.scheduler.idle.notify_waiters();
        }
    }
}

impl Scheduler {
    /// A scheduler over an empty queue.
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        let state = State {
            queue: Queue::new(settings),
            waiting: HashMap::new(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
            idle: Notify::new(),
        })
    }

    /// Waits for the call's turn, at most until `deadline`. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`Code::QueueFull`], [`Code::DeadlineWaiting`] or [`Code::ShuttingDown`]; the call did not
    /// run.
    pub(super) async fn turn(self: &Arc<Self>, deadline: Instant) -> Result<Turn, Failure> {
        let since = Instant::now();
        let (mut turn, started) = {
            let mut state = self.lock();
            let ticket = state
                .queue
                .offer(since.into_std(), deadline.into_std())
                .map_err(|refusal| failure_of(refusal, state.queue.figures()))?;
            let turn = Turn {
                scheduler: self.clone(),
                ticket,
                since,
                waited: Duration::ZERO,
            };
            if state.advance().contains(&ticket) {
                return Ok(turn);
            }
            let (waker, started) = oneshot::channel();
            state.waiting.insert(ticket, waker);
            (turn, started)
        };
        let in_time = timeout_at(deadline, started).await;
        turn.waited = turn.since.elapsed();
        if matches!(in_time, Ok(Ok(()))) {
            return Ok(turn);
        }
        self.lock().queue.expire(turn.ticket);
        Err(Failure::with(
            Code::DeadlineWaiting,
            format_args!("waited {:.1} s", turn.waited.as_secs_f64()),
        ))
    }

    /// Takes nothing new from now on, and waits until everything that was taken is over.
    pub(super) async fn drain(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            {
                let mut state = self.lock();
                state.queue.drain();
                if state.queue.is_idle() {
                    return;
                }
            }
            idle.await;
        }
    }

    /// The figures now.
    pub(super) fn figures(&self) -> Figures {
        self.lock().queue.figures()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure_of(refusal: Refusal, figures: Figures) -> Failure {
    let (failure, seconds) = match refusal {
        Refusal::Full { waiting } => (
            Failure::with(
                Code::QueueFull,
                format_args!("{waiting} waiting, {} running", figures.running),
            ),
            1,
        ),
        Refusal::Late => (
            Failure::with(Code::DeadlineWaiting, "it was over on arrival"),
            1,
        ),
        Refusal::Draining => (Failure::new(Code::ShuttingDown), 5),
    };
    Failure {
        retry_after: Some(Duration::from_secs(seconds)),
        ..failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduler(max_waiting: usize) -> Arc<Scheduler> {
        Scheduler::new(Settings {
            max_waiting,
            max_parallel_calls: 1,
        })
    }

    fn in_seconds(n: u64) -> Instant {
        Instant::now() + Duration::from_secs(n)
    }

    #[tokio::test(start_paused = true)]
    async fn calls_run_one_after_another_in_the_order_of_their_arrival() {
        let scheduler = scheduler(10);
        let order = Arc::new(Mutex::new(Vec::new()));
        let calls: Vec<_> = (0..5)
            .map(|n| {
                let (scheduler, order) = (scheduler.clone(), order.clone());
                async move {
                    let turn = scheduler.turn(in_seconds(60)).await.unwrap();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    order.lock().unwrap().push(n);
                    turn.waited().as_secs()
                }
            })
            .map(tokio::spawn)
            .collect();
        for (n, call) in (0..).zip(calls) {
            assert_eq!(call.await.unwrap(), n);
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_whose_time_is_over_leaves_and_says_how_long_it_waited() {
        let scheduler = scheduler(10);
        let _busy = scheduler.turn(in_seconds(60)).await.unwrap();
        let failure = scheduler.turn(in_seconds(3)).await.unwrap_err();
        assert_eq!(failure.code, Code::DeadlineWaiting);
        assert_eq!(failure.detail.as_deref(), Some("waited 3.0 s"));
        assert_eq!(
            (scheduler.figures().waiting, scheduler.figures().expired),
            (0, 1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_frees_its_place_in_the_queue() {
        let scheduler = scheduler(1);
        let busy = scheduler.turn(in_seconds(60)).await.unwrap();
        {
            let mut waiting = pending(scheduler.turn(in_seconds(60)));
            waiting.poll_once().await;
            assert_eq!(
                scheduler.turn(in_seconds(60)).await.unwrap_err().code,
                Code::QueueFull
            );
        }
        assert_eq!(scheduler.figures().waiting, 0);
        drop(busy);
        assert!(scheduler.turn(in_seconds(60)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn draining_lets_the_rest_finish_and_refuses_the_new() {
        let scheduler = scheduler(5);
        let busy = scheduler.turn(in_seconds(60)).await.unwrap();
        let mut drain = pending(scheduler.drain());
        drain.poll_once().await;
        assert_eq!(
            scheduler.turn(in_seconds(60)).await.unwrap_err().code,
            Code::ShuttingDown
        );
        drop(busy);
        drain.future.await;
    }

    /// A future that can be polled a single time.
    struct Pending<F> {
        future: std::pin::Pin<Box<F>>,
    }

    fn pending<F: Future>(future: F) -> Pending<F> {
        Pending {
            future: Box::pin(future),
        }
    }

    impl<F: Future> Pending<F> {
        async fn poll_once(&mut self) {
            std::future::poll_fn(|context| {
                assert!(self.future.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
    }
}
