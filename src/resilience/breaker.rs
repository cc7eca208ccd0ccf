//! The circuit breaker: keeps calls away from an upstream that is down and lets a trial call find
//! out when it is back. A state machine without clock, task or lock.
//!
//! Two signals open it, because each misses what the other sees. Failures in a row show a hard
//! outage at once but never add up while some calls get through; the share of failures in a
//! sliding window shows such partial trouble but needs a few samples first. Both counted together
//! are linkerd's "unified" breaker; the states are those of Michael Nygard's "Release It!".

use std::time::{Duration, Instant};

use super::backoff::Backoff;

/// When a breaker opens and for how long. Zeros count as the least that makes sense.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Failures in a row that open it.
    pub consecutive_failures: u32,
    /// Share of failures in the window that opens it, in `0.0..=1.0`.
    pub failure_ratio: f64,
    /// Outcomes that must be in the window before their share counts.
    pub min_samples: u32,
    /// How far back the window reaches.
    pub window: Duration,
    /// Parts of the window; what is old falls out one part at a time.
    pub buckets: usize,
    /// Pauses while open: jittered between half the ceiling and all of it, a day at most.
    pub pause: Backoff,
    /// Trial calls at once while half-open.
    pub probes: usize,
    /// After how long a trial call without an outcome no longer holds its place. Longer than any
    /// call can take, so that it only ever frees the place of a [`Pass`] that was lost.
    pub probe_lease: Duration,
}

impl Settings {
    fn valid(mut self) -> Self {
        self.pause.cap = self.pause.cap.min(Duration::from_hours(24));
        self.probes = self.probes.max(1);
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failure_ratio: 0.5,
            min_samples: 10,
            window: Duration::from_secs(20),
            buckets: 10,
            pause: Backoff {
                base: Duration::from_millis(500),
                cap: Duration::from_secs(15),
            },
            probes: 1,
            probe_lease: Duration::from_secs(75),
        }
    }
}

/// How a call went, seen from the health of the upstream: an answer that says "no" is a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered.
    Success,
    /// The upstream was in trouble: unreachable, silent until the time limit, overloaded.
    Failure,
}

/// How many calls may start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// As many as one likes.
    Freely,
    /// So many more trial calls; with 0, all of them are on their way.
    Probes(usize),
    /// None.
    No {
        /// When to ask again.
        until: Instant,
    },
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Calls go through.
    Closed,
    /// No call goes through.
    Open,
    /// Trial calls go through.
    HalfOpen,
}

/// Why a breaker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Trip {
    /// So many calls failed in a row.
    ConsecutiveFailures {
        /// Calls that failed.
        failures: u32,
    },
    /// Too many calls of the window failed.
    FailureRatio {
        /// Calls that failed.
        failures: u32,
        /// Calls that failed or succeeded.
        calls: u32,
    },
    /// Somebody knew of the outage: [`Breaker::force_open`].
    Forced,
}

/// Figures of a breaker, for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// The state.
    pub state: State,
    /// Milliseconds for which it has been in this state.
    pub for_ms: u64,
    /// Milliseconds until it is half-open, while it is open.
    pub half_open_in_ms: Option<u64>,
    /// Why it opened, unless it is closed.
    pub trip: Option<Trip>,
    /// How often it went from closed to open, ever.
    pub opened: u64,
}

/// A call that was let through. To be handed back when the call is over: [`Breaker::record`], or
/// [`Breaker::abandon`].
#[must_use = "a trial call holds its place until its pass is handed back"]
#[derive(Debug)]
pub struct Pass(u64);

/// A circuit breaker. When the clock goes back, the pause of the moment starts anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Breaker {
    settings: Settings,
    phase: Phase,
    /// Since when it is in this phase.
    since: Instant,
    /// What it remembers while closed.
    recent: Recent,
    next_pass: u64,
    /// Passes below this one are from an earlier phase: their outcomes are old news.
    first_pass: u64,
    /// How often the pause has doubled; 0 while closed.
    doublings: u32,
    trip: Option<Trip>,
    opened: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Closed,
    /// For so long.
    Open(Duration),
    /// Passes and start times of the trial calls on their way.
    HalfOpen(Vec<(u64, Instant)>),
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let settings = settings.valid();
        Self {
            settings,
            phase: Phase::Closed,
            since: now,
            recent: Recent::new(&settings, now),
            next_pass: 0,
            first_pass: 0,
            doublings: 0,
            trip: None,
            opened: 0,
        }
    }

    /// How many calls may start now.
    pub fn allowed(&mut self, now: Instant) -> Allowed {
        self.advance(now);
        match &self.phase {
            Phase::Closed => Allowed::Freely,
            Phase::Open(pause) => Allowed::No {
                until: self.since + *pause,
            },
            Phase::HalfOpen(on_their_way) => {
                Allowed::Probes(self.settings.probes.saturating_sub(on_their_way.len()))
            }
        }
    }

    /// Lets a call through, if one may start now.
    pub fn start(&mut self, now: Instant) -> Option<Pass> {
        if matches!(self.allowed(now), Allowed::No { .. } | Allowed::Probes(0)) {
            return None;
        }
        let pass = self.next_pass;
        self.next_pass += 1;
        if let Phase::HalfOpen(on_their_way) = &mut self.phase {
            on_their_way.push((pass, now));
        }
        Some(Pass(pass))
    }

    /// A call is over. One that started before the breaker last changed its state says nothing
    /// about the upstream of today and changes nothing. `random` is a number in `0.0..1.0`.
    pub fn record(&mut self, now: Instant, pass: Pass, outcome: Outcome, random: f64) {
        self.advance(now);
        if pass.0 < self.first_pass {
            return;
        }
        let failed = outcome == Outcome::Failure;
        match self.phase {
            Phase::Closed => {
                self.recent.add(now, failed);
                if failed && let Some(trip) = self.recent.trip(&self.settings) {
                    self.open(now, trip, self.pause(random));
                }
            }
            Phase::HalfOpen(_) if failed => {
                self.doublings = self.doublings.saturating_add(1);
                self.enter(now, Phase::Open(self.pause(random)));
            }
            Phase::HalfOpen(_) => self.reset(now),
            // Nothing starts while it is open, so no pass is that young.
            Phase::Open(_) => {}
        }
    }

    /// Other settings from now on. The state stays; the outcomes of the last time are forgotten if
    /// they are counted in another way now.
    pub fn configure(&mut self, now: Instant, settings: Settings) {
        let settings = settings.valid();
        let counted = |settings: &Settings| (settings.window, settings.buckets);
        if counted(&settings) != counted(&self.settings) {
            self.recent = Recent::new(&settings, now);
        }
        self.settings = settings;
    }

    /// A call is over without a word about the upstream, for example because its client left. Not
    /// for a call that ran out of time: that is an [`Outcome::Failure`].
    pub fn abandon(&mut self, pass: Pass) {
        if let Phase::HalfOpen(on_their_way) = &mut self.phase {
            on_their_way.retain(|(probe, _)| *probe != pass.0);
        }
    }

    /// The upstream is known to be down. Opens for the longest pause, since whoever knows will
    /// also know when it is back: [`Breaker::force_half_open`]. Should that word never come, trial
    /// calls find out.
    pub fn force_open(&mut self, now: Instant) {
        self.open(now, Trip::Forced, self.settings.pause.cap);
        self.doublings = u32::MAX;
    }

    /// The upstream is known to be back. Trial calls go through at once, even where earlier ones
    /// still hang; should they fail, pauses are short again. A closed breaker stays closed.
    pub fn force_half_open(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Closed) {
            self.doublings = 0;
            self.enter(now, Phase::HalfOpen(Vec::new()));
        }
    }

    /// Closes and forgets all outcomes; what was counted for the status stays.
    pub fn reset(&mut self, now: Instant) {
        self.recent = Recent::new(&self.settings, now);
        self.doublings = 0;
        self.trip = None;
        self.enter(now, Phase::Closed);
    }

    /// The state now.
    pub fn state(&self, now: Instant) -> State {
        self.figures(now).state
    }

    /// The figures now.
    pub fn figures(&self, now: Instant) -> Figures {
        let elapsed = now.saturating_duration_since(self.since);
        let (state, elapsed, left) = match &self.phase {
            Phase::Closed => (State::Closed, elapsed, None),
            Phase::HalfOpen(_) => (State::HalfOpen, elapsed, None),
            Phase::Open(pause) => match elapsed.checked_sub(*pause) {
                Some(over) => (State::HalfOpen, over, None),
                None => (State::Open, elapsed, Some(pause.saturating_sub(elapsed))),
            },
        };
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Figures {
            state,
            for_ms: millis(elapsed),
            half_open_in_ms: left.map(millis),
            trip: self.trip,
            opened: self.opened,
        }
    }

    fn pause(&self, random: f64) -> Duration {
        let pause = self.settings.pause;
        pause.pause_at_least_half(self.doublings, random)
    }

    fn open(&mut self, now: Instant, trip: Trip, pause: Duration) {
        self.opened += u64::from(matches!(self.phase, Phase::Closed));
        self.trip = Some(trip);
        self.enter(now, Phase::Open(pause));
    }

    fn enter(&mut self, now: Instant, phase: Phase) {
        self.phase = phase;
        self.since = now;
        self.first_pass = self.next_pass;
    }

    /// Does what only needs time.
    fn advance(&mut self, now: Instant) {
        // A clock that went back is believed: waiting for it to catch up could take for ever.
        self.since = self.since.min(now);
        match &mut self.phase {
            Phase::Closed => {}
            Phase::Open(pause) => {
                let half_open = self.since + *pause;
                if half_open <= now {
                    self.enter(half_open, Phase::HalfOpen(Vec::new()));
                }
            }
            Phase::HalfOpen(on_their_way) => on_their_way.retain_mut(|(_, start)| {
                *start = now.min(*start);
                now.duration_since(*start) < self.settings.probe_lease
            }),
        }
    }
}

/// Outcomes of the last while, in buckets of time.
#[derive(Debug, Clone, PartialEq)]
struct Recent {
    failures_in_a_row: u32,
    /// Calls and failures among them, newest first.
    buckets: Vec<(u32, u32)>,
    /// When the newest bucket began.
    start: Instant,
    /// Time in a bucket, in nanoseconds.
    width: u128,
}

impl Recent {
    fn new(settings: &Settings, now: Instant) -> Self {
        let buckets = settings.buckets.max(1);
        Self {
            failures_in_a_row: 0,
            buckets: vec![(0, 0); buckets],
            start: now,
            width: (settings.window.as_nanos() / buckets as u128).max(1),
        }
    }

    fn add(&mut self, now: Instant, failed: bool) {
        self.start = self.start.min(now);
        let past = now.duration_since(self.start).as_nanos() / self.width;
        let stale = usize::try_from(past).map_or(self.buckets.len(), |n| n.min(self.buckets.len()));
        self.buckets.rotate_right(stale);
        self.buckets[..stale].fill((0, 0));
        self.start += Duration::from_nanos_u128(past * self.width);

        let (calls, failures) = &mut self.buckets[0];
        *calls = calls.saturating_add(1);
        if failed {
            *failures = failures.saturating_add(1);
            self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        } else {
            self.failures_in_a_row = 0;
        }
    }

    /// Why a breaker that saw these outcomes opens, if it does.
    fn trip(&self, settings: &Settings) -> Option<Trip> {
        let failures = self.failures_in_a_row;
        if failures >= settings.consecutive_failures {
            return Some(Trip::ConsecutiveFailures { failures });
        }
        let sum = |numbers: fn(&(u32, u32)) -> u32| {
            self.buckets
                .iter()
                .map(numbers)
                .fold(0, u32::saturating_add)
        };
        let (calls, failures) = (sum(|bucket| bucket.0), sum(|bucket| bucket.1));
        let too_many = f64::from(failures) >= f64::from(calls) * settings.failure_ratio;
        (calls >= settings.min_samples && too_many)
            .then_some(Trip::FailureRatio { failures, calls })
    }
}

#[cfg(test)]
mod tests;
