//! The queue at work: gives the real time to the state machines and wakes the calls that may start.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::queue::{self, Arrival, Queue, Ticket};
use super::refusals::{away, expired, failure_of, shed};
use super::runtime::{Instant, Mutex, MutexGuard, lock, random, sleep_until, spawn, timeout_at};
use crate::error::Failure;
use crate::resilience::breaker::{self, Allowed, Breaker, Pass};
use crate::resilience::limit::{self, Class, Limit, Running};
use crate::upstream::Presence;

/// Bounds of a scheduler.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The queue.
    pub queue: queue::Settings,
    /// How many calls may run at the upstream at once.
    pub limit: limit::Settings,
    /// The breaker in front of the upstream.
    pub breaker: breaker::Settings,
    /// Whether calls wait for an upstream that is known to be away.
    pub hold: bool,
}

/// What a call that ran says about the upstream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Experience {
    /// It answered.
    Answered,
    /// It was in trouble.
    Trouble {
        /// Too much to do, rather than away.
        overloaded: bool,
    },
    /// Nothing.
    Unknown,
}

/// Lets calls through in the order and number that queue, limit and breaker decide.
///
/// It has no task of its own: every call that comes, ends or gives up moves the queue on. Only
/// while the breaker is open and calls wait does an alarm run, which ends with the pause.
#[derive(Debug)]
pub(super) struct Scheduler {
    state: Mutex<State>,
    idle: Notify,
    own: Weak<Self>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    limit: Limit,
    breaker: Breaker,
    waiting: HashMap<Ticket, Waker>,
    underway: HashMap<Ticket, Underway>,
    alarm: Option<Instant>,
    presence: Presence,
    hold: bool,
}

/// How a waiting call hears of its turn, and what kind of call it is.
#[derive(Debug)]
struct Waker {
    sender: oneshot::Sender<Signal>,
    class: Class,
}

/// What limit and breaker know a running call by.
#[derive(Debug)]
struct Underway {
    running: Running,
    pass: Option<Pass>,
}

/// What a waiting call is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Start,
    Shed,
    Away(Presence),
}

impl State {
    /// How many calls may run: as many as the limit says while the upstream is well, and as many as
    /// the breaker wants to try it with otherwise. Gives when that may change by itself.
    fn gate(&mut self, now: std::time::Instant) -> Option<std::time::Instant> {
        if self.presence.is_away() {
            // Whoever knows that will also know when it is back.
            self.queue.set_limit(0);
            return None;
        }
        let (limit, until) = match self.breaker.allowed(now) {
            Allowed::Freely => (self.limit.current(now), self.limit.next_change(now)),
            Allowed::Probes(more) => (self.queue.running() + more, None),
            Allowed::No { until } => (0, Some(until)),
        };
        self.queue.set_limit(limit);
        until
    }

    /// A running call is over, or was left.
    fn learn(&mut self, now: std::time::Instant, ticket: Ticket, experience: Experience) {
        let Some(underway) = self.underway.remove(&ticket) else {
            return;
        };
        let (limit, breaker) = match experience {
            Experience::Answered => (limit::Outcome::Success, Some(breaker::Outcome::Success)),
            Experience::Trouble { overloaded } => {
                let limit = if overloaded {
                    limit::Outcome::Overload
                } else {
                    limit::Outcome::Ignored
                };
                (limit, Some(breaker::Outcome::Failure))
            }
            Experience::Unknown => (limit::Outcome::Ignored, None),
        };
        self.limit.finish(now, underway.running, limit);
        match (underway.pass, breaker) {
            (Some(pass), Some(outcome)) => self.breaker.record(now, pass, outcome, random()),
            (Some(pass), None) => self.breaker.abandon(pass),
            (None, _) => {}
        }
    }

    fn signal(&mut self, ticket: Ticket, signal: Signal) {
        // Whoever left has no receiver any more; its own departure takes it out of the queue.
        if let Some(waker) = self.waiting.remove(&ticket) {
            let _ = waker.sender.send(signal);
        }
    }
}

/// A place in the queue. Dropping it leaves, wherever the call is.
#[derive(Debug)]
struct Place {
    scheduler: Arc<Scheduler>,
    ticket: Ticket,
    class: Class,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.scheduler.lock();
        state.waiting.remove(&self.ticket);
        state.learn(Instant::now().into_std(), self.ticket, Experience::Unknown);
        state.queue.finish(self.ticket, None);
        self.scheduler.advance(&mut state);
    }
}

/// A call that waits for its turn.
#[derive(Debug)]
pub(super) struct Waiting {
    place: Place,
    signal: oneshot::Receiver<Signal>,
    deadline: Instant,
    since: Instant,
}

/// The right to use the upstream now.
#[derive(Debug)]
pub(super) struct Turn {
    place: Place,
    started: Instant,
    waited: Duration,
}

/// A call that has run in vain and keeps its place among the writes until it is tried again.
#[derive(Debug)]
pub(super) struct Rest {
    place: Place,
}

impl Waiting {
    /// How many calls go before this one, about.
    pub(super) fn position(&self) -> Option<usize> {
        self.place
            .scheduler
            .lock()
            .queue
            .position(self.place.ticket)
    }

    /// Waits for the turn, at most until the deadline of the call.
    ///
    /// # Errors
    /// See [`super::refusals`]; the call did not run.
    pub(super) async fn turn(&mut self) -> Result<(), Failure> {
        let signal = timeout_at(self.deadline, &mut self.signal).await;
        let waited = self.since.elapsed();
        match signal {
            Ok(Ok(Signal::Start)) => Ok(()),
            Ok(Ok(Signal::Shed)) => Err(shed(waited)),
            Ok(Ok(Signal::Away(presence))) => Err(away(presence, waited)),
            Ok(Err(_)) | Err(_) => Err(self.expired(waited)),
        }
    }

    /// The turn that has come.
    pub(super) fn begin(self) -> Turn {
        Turn {
            place: self.place,
            started: Instant::now(),
            waited: self.since.elapsed(),
        }
    }

    fn expired(&self, waited: Duration) -> Failure {
        let now = Instant::now().into_std();
        let mut state = self.place.scheduler.lock();
        state.queue.expire(self.place.ticket);
        if state.presence.is_away() {
            return away(state.presence, waited);
        }
        expired(
            waited,
            &state.queue.figures(now),
            &state.breaker.figures(now),
        )
    }
}

impl Turn {
    /// How long the call waited for it.
    pub(super) const fn waited(&self) -> Duration {
        self.waited
    }

    /// The call is over.
    pub(super) fn end(self, experience: Experience) {
        let mut state = self.place.scheduler.lock();
        state.learn(Instant::now().into_std(), self.place.ticket, experience);
        let answered = matches!(experience, Experience::Answered);
        let took = answered.then(|| self.started.elapsed());
        state.queue.finish(self.place.ticket, took);
    }

    /// The call has to be tried again.
    pub(super) fn rest(self, experience: Experience) -> Rest {
        let mut state = self.place.scheduler.lock();
        state.learn(Instant::now().into_std(), self.place.ticket, experience);
        state.queue.suspend(self.place.ticket);
        self.place.scheduler.advance(&mut state);
        drop(state);
        Rest { place: self.place }
    }
}

impl Rest {
    /// Waits for a turn again, in the place that the call had.
    pub(super) fn again(self, deadline: Instant) -> Waiting {
        let scheduler = self.place.scheduler.clone();
        let (sender, signal) = oneshot::channel();
        let mut state = scheduler.lock();
        let now = Instant::now();
        state.queue.resume(now.into_std(), self.place.ticket);
        state.waiting.insert(
            self.place.ticket,
            Waker {
                sender,
                class: self.place.class,
            },
        );
        scheduler.advance(&mut state);
        drop(state);
        Waiting {
            place: self.place,
            signal,
            deadline,
            since: now,
        }
    }
}

impl Scheduler {
    /// A scheduler over an empty queue.
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        let now = Instant::now().into_std();
        let state = State {
            queue: Queue::new(settings.queue),
            limit: Limit::new(settings.limit),
            breaker: Breaker::new(settings.breaker, now),
            waiting: HashMap::new(),
            underway: HashMap::new(),
            alarm: None,
            presence: Presence::Unknown,
            hold: settings.hold,
        };
        Arc::new_cyclic(|own| Self {
            state: Mutex::new(state),
            idle: Notify::new(),
            own: own.clone(),
        })
    }

    /// Other settings from now on; what waits already keeps its place.
    pub(super) fn configure(&self, settings: Settings) {
        let now = Instant::now().into_std();
        let mut state = self.lock();
        state.hold = settings.hold;
        state.queue.configure(settings.queue);
        state.limit.set(now, settings.limit);
        state.breaker.configure(now, settings.breaker);
        self.advance(&mut state);
    }

    /// Takes a call into the queue.
    ///
    /// # Errors
    /// See [`failure_of`]; the call did not run.
    pub(super) fn enter(
        self: &Arc<Self>,
        arrival: Arrival,
        class: Class,
    ) -> Result<Waiting, Failure> {
        let since = Instant::now();
        let deadline = Instant::from_std(arrival.deadline);
        let (sender, signal) = oneshot::channel();
        let mut state = self.lock();
        state.gate(since.into_std());
        let offer = state
            .queue
            .offer(since.into_std(), arrival)
            .map_err(|refusal| failure_of(refusal, &state.queue.figures(since.into_std())))?;
        if let Some(shed) = offer.shed {
            state.signal(shed, Signal::Shed);
        }
        state.waiting.insert(offer.ticket, Waker { sender, class });
        self.advance(&mut state);
        drop(state);
        let place = Place {
            scheduler: self.clone(),
            ticket: offer.ticket,
            class,
        };
        Ok(Waiting {
            place,
            signal,
            deadline,
            since,
        })
    }

    /// Starts what may start now and wakes it.
    fn advance(&self, state: &mut State) {
        let now = Instant::now();
        loop {
            let may_change = state.gate(now.into_std());
            let Some(ticket) = state.queue.start(now.into_std()) else {
                self.set_alarm(state, may_change);
                break;
            };
            if let Some(waker) = state.waiting.get(&ticket) {
                let running = state.limit.start(now.into_std(), waker.class);
                let pass = state.breaker.start(now.into_std());
                state.underway.insert(ticket, Underway { running, pass });
            }
            state.signal(ticket, Signal::Start);
        }
        if state.presence.is_away() && !state.hold {
            let waiting: Vec<Ticket> = state.waiting.keys().copied().collect();
            for ticket in waiting {
                state.signal(ticket, Signal::Away(state.presence));
            }
        }
        if state.queue.is_idle() {
            self.idle.notify_waiters();
        }
    }

    /// Moves the queue on at a moment at which more may start, if somebody waits for that.
    fn set_alarm(&self, state: &mut State, until: Option<std::time::Instant>) {
        let Some(until) = until.map(Instant::from_std) else {
            return;
        };
        if state.waiting.is_empty() || state.alarm.is_some_and(|alarm| alarm <= until) {
            return;
        }
        state.alarm = Some(until);
        let own = self.own.clone();
        spawn(async move {
            sleep_until(until).await;
            if let Some(scheduler) = own.upgrade() {
                let mut state = scheduler.lock();
                state.alarm = None;
                scheduler.advance(&mut state);
            }
        });
    }

    /// Somebody knows whether the upstream is there. While it is away nothing starts; once it is
    /// back, a trial call does at once.
    pub(super) fn set_presence(&self, presence: Presence) {
        let now = Instant::now().into_std();
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.presence, presence);
        match presence {
            Presence::Gone | Presence::Stopping => state.breaker.force_open(now),
            Presence::Running | Presence::Unknown if before.is_away() => {
                state.breaker.force_half_open(now);
            }
            Presence::Starting | Presence::Running | Presence::Unknown => {}
        }
        self.advance(&mut state);
    }

    /// Starts nothing until [`Scheduler::open`].
    pub(super) fn pause(&self) {
        self.lock().queue.pause();
    }

    /// Takes and starts calls again, after a pause or while draining.
    pub(super) fn open(&self) {
        let mut state = self.lock();
        state.queue.open();
        self.advance(&mut state);
    }

    /// Takes the upstream for well again.
    pub(super) fn reset_breaker(&self) {
        let mut state = self.lock();
        state.breaker.reset(Instant::now().into_std());
        self.advance(&mut state);
    }

    /// Takes nothing new from now on; what was taken still runs.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.queue.drain();
        self.advance(&mut state);
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
                self.advance(&mut state);
                if state.queue.is_idle() {
                    return;
                }
            }
            idle.await;
        }
    }

    /// Whether nothing is let through now because the upstream is away or does not answer.
    pub(super) fn is_away(&self) -> bool {
        let mut state = self.lock();
        let allowed = state.breaker.allowed(Instant::now().into_std());
        state.presence.is_away() || matches!(allowed, Allowed::No { .. })
    }

    /// The figures now.
    pub(super) fn figures(&self) -> Figures {
        let now = Instant::now().into_std();
        let mut state = self.lock();
        state.gate(now);
        Figures {
            queue: state.queue.figures(now),
            adaptive_limit: state.limit.figures(now),
            breaker: state.breaker.figures(now),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Figures of a scheduler, for the status.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Figures {
    /// The queue.
    #[serde(flatten)]
    pub queue: queue::Figures,
    /// How the limit came about.
    pub adaptive_limit: limit::Figures,
    /// The breaker.
    pub breaker: breaker::Figures,
}
