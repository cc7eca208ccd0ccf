//! The limit: how many calls may run at an upstream at once. A state machine without clock or task.
//!
//! An upstream has some number of workers (Home Assistant has one: the thread of its event loop).
//! More calls than that only wait inside it, where nobody can reorder them. How many wait shows in
//! the latency: of `n` calls running, `n x (1 - base / latency)` are waiting, `base` being the
//! latency without company. The limit is raised by one while it is used and fewer than [`ROOM`]
//! wait, and lowered to what the upstream really works on once more than [`CROWD`] do. That is TCP
//! Vegas (Brakmo and Peterson 1994) and the gradient limits of Netflix's concurrency-limits.
//! Trouble halves the limit (AIMD, as in TCP Reno); that works without any latency, too.
//!
//! What is different here, and why:
//!
//! * **Classes.** A ping takes 2 ms, a list of tools 20 ms. Each class of calls is compared with
//!   its own baseline, and the sums of both give the figure (Little's law). The fastest and the
//!   slowest eighth are left out, so that a hiccup or a failed call decides nothing.
//! * **Baseline.** It is the mean of *calm* calls: those that had no company. A plain minimum would
//!   take every lucky call for the truth. When a busy upstream has had no calm calls for 30 s, or
//!   is faster in company than it ever was alone, the limit goes down to the minimum for a handful
//!   of calls (the `ProbeRTT` of BBR). So the baseline follows the upstream, up and down.
//! * **Parked calls.** A script that sleeps for 10 s holds a place but loads nobody. A call counts
//!   as parked once another one that started [`Settings::patience`] later was answered before it:
//!   the upstream works, so the call is just waiting. Parked calls come on top of the limit, up to
//!   the maximum, and are no evidence of load. The class remembers it for its next calls. When long
//!   calls hold every place, one more may start, to find out; an upstream that hangs gets no more.
//!
//! Latencies are kept in microseconds, shares and means of calls in thousandths; no floats.

mod classes;
mod figures;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use classes::Class;
use classes::{CALM_CALLS, Classes};
pub use figures::{Figures, Reason};

/// Fewer calls waiting at the upstream leave room for one more (thousandths of a call).
const ROOM: u64 = 1_250;
/// More calls waiting at the upstream are too many (thousandths of a call).
const CROWD: u64 = 2_500;
/// How many calls more than the upstream works on the limit leaves when it is lowered. They hide
/// the time on the wire.
const SLACK: usize = 2;
/// Fewest and most answers on which a decision rests.
const ANSWERS: (usize, usize) = (4, 32);
/// How long a busy upstream may go without calm calls.
const PROBE_EVERY: Duration = Duration::from_secs(30);
/// Shortest and longest time that a probe may take.
const PROBE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// Probes come so rarely that they take one part in this many of the time (eight, if the baseline
/// is plainly out of date).
const PROBE_SHARE: u32 = 50;

/// The bounds of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The limit is never lower; at least 1.
    pub min: usize,
    /// The limit is never higher; at least `min`.
    pub max: usize,
    /// A call that runs longer than this is asked whether it is only parked.
    pub patience: Duration,
}

impl Settings {
    /// Between 1 and `max`, with a patience of one second.
    pub const fn up_to(max: usize) -> Self {
        Self {
            min: 1,
            max,
            patience: Duration::from_secs(1),
        }
    }

    fn valid(self) -> Self {
        let min = self.min.max(1);
        let max = self.max.max(min);
        Self { min, max, ..self }
    }
}

/// A call that has started and has not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Running(u64);

/// How a call ended, as far as the load of the upstream is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered, be it with an error of the tool.
    Success,
    /// The upstream could not keep up: a timeout, 503 or 504.
    Overload,
    /// Says nothing about load: the client left, no connection, a restart.
    Ignored,
}

/// A call on its way.
#[derive(Debug)]
struct Call {
    class: Class,
    started: Instant,
    /// Calls working at the upstream when it started, itself included.
    company: usize,
}

/// An answer that a decision rests on. Microseconds.
#[derive(Debug)]
struct Answer {
    base: u64,
    latency: u64,
    company: usize,
}

/// The state of a limit.
///
/// Whoever drives it starts a call only if there [is room](Limit::has_room), and reports every end.
#[derive(Debug)]
pub struct Limit {
    settings: Settings,
    /// Calls that may work at the upstream at once.
    places: usize,
    /// Nothing ever spoke against growing: double instead of adding one.
    sprint: bool,
    /// In the order of their start.
    running: BTreeMap<Running, Call>,
    next: Running,
    classes: Classes,
    /// The latest start of a call that was answered.
    answered: Option<Instant>,
    /// The last call that started as one more than `min` at work.
    crowded: Option<Running>,
    /// Answers since the last decision, of calls from `fresh` on.
    answers: Vec<Answer>,
    fresh: Running,
    /// Only trouble of calls from here on lowers the limit again.
    trouble: Running,
    /// The probe going on: since when, and for how long at most.
    probe: Option<(Instant, Duration)>,
    probe_every: Duration,
    /// Calm calls since `calm`, the last time there had been enough.
    calm_calls: u64,
    calm: Option<Instant>,
    /// Mean latency and mean base at the last decision.
    measured: (u64, u64),
    reason: Reason,
    previous: usize,
    changed: Option<Instant>,
}

impl Limit {
    /// A limit that starts at its minimum and doubles until something speaks against it.
    pub fn new(settings: Settings) -> Self {
        let settings = settings.valid();
        Self {
            settings,
            places: settings.min,
            sprint: true,
            running: BTreeMap::new(),
            next: Running(0),
            classes: Classes::default(),
            answered: None,
            crowded: None,
            answers: Vec::new(),
            fresh: Running(0),
            trouble: Running(0),
            probe: None,
            probe_every: PROBE_EVERY,
            calm_calls: 0,
            calm: None,
            measured: (0, 0),
            reason: Reason::Start,
            previous: settings.min,
            changed: None,
        }
    }

    /// Other bounds from now on; what was learned stays.
    pub fn set(&mut self, now: Instant, settings: Settings) {
        self.settings = settings.valid();
        self.change(now, self.places, Reason::Settings);
    }

    /// How many calls may run now, between `min` and `max`.
    pub fn current(&self, now: Instant) -> usize {
        let allowed = self.allowed(now);
        let stuck = self
            .stuck_from(allowed)
            .is_some_and(|from| self.is_long(from, now));
        (allowed + self.parked() + usize::from(stuck)).min(self.settings.max)
    }

    /// Whether one more call may start now.
    pub fn has_room(&self, now: Instant) -> bool {
        self.running.len() < self.current(now)
    }

    /// When there may be room although nothing starts or ends; to be asked again then.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let probe = self
            .probe
            .and_then(|(since, longest)| since.checked_add(longest));
        let stuck = self.stuck_from(self.allowed(now));
        let stuck = stuck.and_then(|from| from.checked_add(self.settings.patience));
        [probe, stuck]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    /// A call starts. It is to be reported to [`Limit::finish`], whatever becomes of it.
    pub fn start(&mut self, now: Instant, class: Class) -> Running {
        let id = self.next;
        self.next = Running(id.0 + 1);
        let company = self.running.len() - self.parked() + 1;
        if company > self.settings.min {
            self.crowded = Some(id);
        }
        let call = Call {
            class,
            started: now,
            company,
        };
        self.running.insert(id, call);
        id
    }

    /// A call is over. One that was over already changes nothing.
    pub fn finish(&mut self, now: Instant, id: Running, outcome: Outcome) {
        if self.probe.is_some() && !self.probing(now) {
            self.end_probe(now);
        }
        let Some(call) = self.running.remove(&id) else {
            return;
        };
        match outcome {
            Outcome::Success => self.learn(now, id, &call),
            Outcome::Overload if id >= self.trouble && !self.is_overtaken(&call) => {
                self.trouble = self.next;
                self.sprint = false;
                self.change(now, self.places / 2, Reason::Overload);
            }
            Outcome::Overload | Outcome::Ignored => {}
        }
    }

    /// Calls that may work at the upstream now.
    fn allowed(&self, now: Instant) -> usize {
        let probing = self.probing(now);
        if probing {
            self.settings.min
        } else {
            self.places
        }
    }

    fn probing(&self, now: Instant) -> bool {
        let over = |(since, longest)| now.saturating_duration_since(since) >= longest;
        self.probe.is_some_and(|probe| !over(probe))
    }

    fn is_long(&self, from: Instant, to: Instant) -> bool {
        to.saturating_duration_since(from) >= self.settings.patience
    }

    /// Whether a call was answered that started clearly later.
    fn is_overtaken(&self, call: &Call) -> bool {
        self.answered
            .is_some_and(|later| self.is_long(call.started, later))
    }

    fn is_parked(&self, call: &Call) -> bool {
        self.classes.parks(call.class) || self.is_overtaken(call)
    }

    fn working(&self) -> impl Iterator<Item = &Call> {
        self.running.values().filter(|call| !self.is_parked(call))
    }

    fn parked(&self) -> usize {
        self.running.len() - self.working().count()
    }

    /// If calls hold every place, the start of the one that took the last. When even that one has
    /// run for long, one more call may start, to find out whether they are parked or stuck.
    fn stuck_from(&self, allowed: usize) -> Option<Instant> {
        self.working().nth(allowed - 1).map(|call| call.started)
    }

    /// An answer came: what it says about its class, then about the load.
    fn learn(&mut self, now: Instant, id: Running, ended: &Call) {
        let (parked, overtaken) = (self.is_parked(ended), self.is_overtaken(ended));
        self.answered = self.answered.max(Some(ended.started));
        let latency = classes::latency(now.saturating_duration_since(ended.started));
        let calm = !parked && self.crowded.is_none_or(|crowded| crowded < id);

        let known = self.classes.knows(ended.class);
        let class = self.classes.answered(now, ended.class, latency, overtaken);
        if parked {
            return;
        }
        if calm {
            class.learn(latency);
        }
        let base = class.base;
        if calm {
            self.calm_calls += 1;
            if self.calm_calls >= CALM_CALLS {
                self.end_probe(now);
            }
        }
        let fresh = known && self.probe.is_none() && id >= self.fresh;
        if fresh && ended.company * 2 >= self.places {
            let company = ended.company;
            self.answers.push(Answer {
                base,
                latency,
                company,
            });
            if self.answers.len() >= (2 * self.places).clamp(ANSWERS.0, ANSWERS.1) {
                self.decide(now);
            }
        }
    }

    /// Moves the limit by what the answers since the last decision say.
    fn decide(&mut self, now: Instant) {
        let mut answers = std::mem::take(&mut self.answers);
        answers.sort_unstable_by_key(|answer| answer.latency.saturating_sub(answer.base));
        let cut = answers.len() / 8;
        let kept = &answers[cut..answers.len() - cut];
        let count = kept.len() as u64;
        let base = kept.iter().map(|answer| answer.base).sum::<u64>() / count;
        let latency = kept.iter().map(|answer| answer.latency).sum::<u64>() / count;
        let company = kept.iter().map(|answer| answer.company as u64).sum::<u64>() * 1000 / count;
        let fullest = kept.iter().map(|answer| answer.company).max();
        self.measured = (latency, base);

        let working = company * base.min(latency) / latency;
        let waiting = company - working;
        if waiting > CROWD {
            self.sprint = false;
            let goal = usize::try_from((working + 500) / 1000).unwrap_or(self.places) + SLACK;
            self.change(
                now,
                goal.max(self.places / 2).min(self.places),
                Reason::Crowd,
            );
        } else if waiting < ROOM && fullest >= Some(self.places) {
            let step = if self.sprint { self.places } else { 1 };
            self.change(now, self.places + step, Reason::Room);
        }
        self.fresh = self.next;
        // Faster in company than alone: the baseline is out of date.
        let every = if latency * 4 < base * 3 {
            self.probe_every / 8
        } else {
            self.probe_every
        };
        let due = |calm| now.saturating_duration_since(calm) >= every;
        if self.places > self.settings.min && self.calm.is_none_or(due) {
            self.start_probe(now);
        }
    }

    fn start_probe(&mut self, now: Instant) {
        let (latency, base) = self.measured;
        let longest = Duration::from_micros(2 * latency + CALM_CALLS * base);
        self.probe = Some((now, longest.clamp(PROBE.0, PROBE.1)));
        self.calm_calls = 0;
        self.classes.doubt();
    }

    /// There were enough calm calls, or it took too long to get them.
    fn end_probe(&mut self, now: Instant) {
        self.calm = Some(now);
        self.calm_calls = 0;
        if let Some((since, _)) = self.probe.take() {
            let took = now.saturating_duration_since(since);
            self.probe_every = PROBE_EVERY.max(took.saturating_mul(PROBE_SHARE));
            self.fresh = self.next;
        }
    }

    fn change(&mut self, now: Instant, places: usize, reason: Reason) {
        let places = places.clamp(self.settings.min, self.settings.max);
        if places != self.places {
            (self.previous, self.places) = (self.places, places);
            (self.reason, self.changed) = (reason, Some(now));
            // Answers of calls that started under the old limit do not count.
            self.answers.clear();
            self.fresh = self.next;
        }
    }
}

#[cfg(test)]
mod tests;
