//! The breaker against its promises, over random histories.

use super::Outcome::{Failure, Success};
use super::*;
use proptest::prelude::*;

#[expect(clippy::disallowed_methods, reason = "only a starting point")]
fn start() -> Instant {
    Instant::now()
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn breaker(now: Instant) -> Breaker {
    Breaker::new(Settings::default(), now)
}

/// Starts a call and ends it at once; the longest pause, should that open the breaker.
fn call(breaker: &mut Breaker, now: Instant, outcome: Outcome) {
    let pass = breaker.start(now).unwrap();
    breaker.record(now, pass, outcome, 1.0);
}

#[test]
fn five_failures_in_a_row_open_it() {
    let now = start();
    let mut breaker = breaker(now);
    for outcome in [Failure, Failure, Failure, Failure, Success] {
        call(&mut breaker, now, outcome);
    }
    assert_eq!(breaker.allowed(now), Allowed::Freely);
    (0..5).for_each(|_| call(&mut breaker, now, Failure));
    let until = now + ms(500);
    assert_eq!(breaker.allowed(now), Allowed::No { until });
}

#[test]
fn half_of_ten_calls_within_twenty_seconds_failing_opens_it() {
    let opens = |pause: Duration| {
        let mut now = start();
        let mut breaker = breaker(now);
        for outcome in [Success, Failure].repeat(5) {
            call(&mut breaker, now, outcome);
            now += pause;
        }
        breaker.trip.is_some()
    };
    assert!(opens(Duration::ZERO) && opens(ms(1900)));
    assert!(!opens(ms(2500)));
}

#[test]
fn pauses_double_until_a_probe_succeeds() {
    let mut now = start();
    let mut breaker = breaker(now);
    for _ in 0..2 {
        (0..4).for_each(|_| call(&mut breaker, now, Failure));
        for pause in [500, 1000, 2000, 4000, 8000, 15_000, 15_000] {
            call(&mut breaker, now, Failure);
            assert_eq!(breaker.figures(now).half_open_in_ms, Some(pause));
            now += ms(pause);
            assert_eq!(breaker.allowed(now), Allowed::Probes(1));
        }
        call(&mut breaker, now, Success);
        assert_eq!(breaker.allowed(now), Allowed::Freely);
    }
    assert_eq!(breaker.figures(now).opened, 2);
}

#[test]
fn a_known_outage_lasts_until_the_word_that_it_is_over() {
    let mut now = start();
    let mut breaker = breaker(now);
    breaker.force_half_open(now);
    assert_eq!(breaker.state(now), State::Closed);
    breaker.force_open(now);
    assert_eq!(breaker.figures(now).half_open_in_ms, Some(15_000));
    now += ms(15_000);
    call(&mut breaker, now, Failure);
    assert_eq!(breaker.figures(now).half_open_in_ms, Some(15_000));
    breaker.force_half_open(now);
    call(&mut breaker, now, Failure);
    assert_eq!(breaker.figures(now).half_open_in_ms, Some(1000));
    breaker.force_open(now);
    let figures = breaker.figures(now);
    assert_eq!((figures.trip, figures.opened), (Some(Trip::Forced), 1));
}

#[test]
fn a_clock_that_goes_back_holds_nothing_up() {
    let now = start();
    let future = now + Duration::from_hours(1);
    let mut breaker = breaker(future);
    (0..4).for_each(|_| call(&mut breaker, future, Failure));
    (0..5).for_each(|_| call(&mut breaker, now, Success));
    call(&mut breaker, now + ms(20_000), Failure);
    assert_eq!(breaker.trip, None, "the four are no longer in the window");
    breaker.force_open(now);
    breaker.force_half_open(future);
    let _lost = breaker.start(future).unwrap();
    assert!(breaker.start(now).is_none());
    assert!(breaker.start(now + ms(75_000)).is_some());
}

#[test]
fn no_pause_is_too_long_for_the_clock() {
    let now = start();
    let mut settings = Settings::default();
    settings.pause.cap = Duration::MAX;
    let mut breaker = Breaker::new(settings, now);
    breaker.force_open(now);
    let until = now + Duration::from_hours(24);
    assert_eq!(breaker.allowed(now), Allowed::No { until });
}

#[test]
fn the_place_of_a_probe_is_free_again_when_it_is_abandoned_or_lost() {
    let now = start();
    let mut breaker = breaker(now);
    breaker.force_open(now);
    breaker.force_half_open(now);
    let pass = breaker.start(now).unwrap();
    assert_eq!(breaker.allowed(now), Allowed::Probes(0));
    breaker.abandon(pass);
    let _lost = breaker.start(now).unwrap();
    assert!(breaker.start(now + ms(74_999)).is_none());
    assert!(breaker.start(now + ms(75_000)).is_some());
}

/// One thing that can happen to a breaker; times are in milliseconds.
#[derive(Debug, Clone)]
enum Step {
    Start,
    /// The index picks a running call, a random number the pause.
    End(usize, Outcome, f64),
    Leave(usize),
    Pass(u64),
    /// The clock goes back.
    Back(u64),
    ForceOpen,
    ForceHalfOpen,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![1 => Just(Success), 3 => Just(Failure)];
    let step = prop_oneof![
        12 => Just(Step::Start),
        12 => (any::<usize>(), outcome, 0.0..1.0).prop_map(|(i, o, r)| Step::End(i, o, r)),
        1 => any::<usize>().prop_map(Step::Leave),
        5 => (0_u64..1000).prop_map(Step::Pass),
        1 => (0_u64..5000).prop_map(Step::Back),
        1 => prop_oneof![Just(Step::ForceOpen), Just(Step::ForceHalfOpen), Just(Step::Reset)],
    ];
    prop::collection::vec(step, 0..150)
}

prop_compose! {
    fn any_settings()(
        consecutive_failures in 0_u32..5, failure_ratio in 0.0..1.2, min_samples in 0_u32..8,
        window in 0_u64..3000, buckets in 0_usize..6, base in 1_u64..400, cap in 1_u64..2000,
        probes in 1_usize..4,
    ) -> Settings {
        let pause = Backoff { base: ms(base), cap: ms(cap) };
        Settings {
            consecutive_failures, failure_ratio, min_samples, window: ms(window), buckets,
            pause, probes, probe_lease: Duration::MAX,
        }
    }
}

/// A breaker and what its driver knows.
struct World {
    breaker: Breaker,
    now: Instant,
    /// Running calls that started since the last change of state.
    fresh: Vec<Pass>,
    /// Those from before.
    late: Vec<Pass>,
}

impl World {
    fn new(settings: Settings) -> Self {
        let now = start();
        let breaker = Breaker::new(settings, now);
        let (fresh, late) = (Vec::new(), Vec::new());
        Self {
            breaker,
            now,
            fresh,
            late,
        }
    }

    fn take(&mut self, i: usize) -> Option<Pass> {
        let from = [&mut self.fresh, &mut self.late].into_iter().nth(i % 2)?;
        (!from.is_empty()).then(|| from.swap_remove(i / 2 % from.len()))
    }

    fn step(&mut self, step: Step) {
        let (now, before) = (self.now, self.breaker.state(self.now));
        let mut changed = false;
        match step {
            Step::Start => self.fresh.extend(self.breaker.start(now)),
            Step::End(i, outcome, random) => {
                if let Some(pass) = self.take(i) {
                    self.breaker.record(now, pass, outcome, random);
                }
            }
            Step::Leave(i) => {
                if let Some(pass) = self.take(i) {
                    self.breaker.abandon(pass);
                }
            }
            Step::Pass(millis) => self.now += ms(millis),
            Step::Back(millis) => self.now = now.checked_sub(ms(millis)).unwrap(),
            Step::ForceOpen => self.breaker.force_open(now),
            Step::ForceHalfOpen => {
                self.breaker.force_half_open(now);
                changed = before != State::Closed;
            }
            Step::Reset => {
                self.breaker.reset(now);
                changed = true;
            }
        }
        self.breaker.allowed(self.now);
        if changed || self.breaker.state(self.now) != before {
            self.late.append(&mut self.fresh);
        }
    }

    /// The breaker as it would be after this outcome of this call.
    fn after(&self, pass: &Pass, outcome: Outcome) -> Breaker {
        let mut breaker = self.breaker.clone();
        breaker.record(self.now, Pass(pass.0), outcome, 0.5);
        breaker
    }
}

/// Whether a breaker that saw these outcomes since `begin` must open, from a plain list.
fn must_open(settings: &Settings, begin: Instant, outcomes: &[(Instant, bool)]) -> bool {
    let (last, failed) = outcomes[outcomes.len() - 1];
    let in_a_row = outcomes.iter().rev().take_while(|(_, failed)| *failed);
    let width = settings.window.as_nanos() / settings.buckets as u128;
    let bucket = |at: Instant| at.duration_since(begin).as_nanos() / width;
    let in_window = |at| bucket(at) + settings.buckets as u128 > bucket(last);
    let recent = || outcomes.iter().filter(|(at, _)| in_window(*at));
    let calls = u32::try_from(recent().count()).unwrap();
    let failures = u32::try_from(recent().filter(|(_, failed)| *failed).count()).unwrap();
    let ratio = f64::from(failures) / f64::from(calls);
    failed
        && (in_a_row.count() >= settings.consecutive_failures as usize
            || calls >= settings.min_samples && ratio >= settings.failure_ratio)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_closed_breaker_never_blocks(settings in any_settings(), steps in steps()) {
        let mut world = World::new(settings);
        for step in steps {
            world.step(step);
            if world.breaker.state(world.now) == State::Closed {
                prop_assert_eq!(world.breaker.allowed(world.now), Allowed::Freely);
                prop_assert!(world.breaker.clone().start(world.now).is_some());
            }
        }
    }

    #[test]
    fn an_open_breaker_lets_nothing_through_and_half_opens_in_bounded_time(
        settings in any_settings(), steps in steps()
    ) {
        let mut world = World::new(settings);
        for step in steps {
            world.step(step);
            if let Allowed::No { until } = world.breaker.allowed(world.now) {
                prop_assert!(world.now < until && until <= world.now + settings.pause.cap);
                prop_assert!(world.breaker.clone().start(world.now).is_none());
                let mut later = world.breaker.clone();
                prop_assert_eq!(later.allowed(until + ms(7)), Allowed::Probes(settings.probes));
                let figures = later.figures(until + ms(7));
                prop_assert_eq!((figures.state, figures.for_ms), (State::HalfOpen, 7));
                prop_assert_eq!(world.breaker.figures(until + ms(7)), figures);
            }
        }
    }

    #[test]
    fn at_most_the_allowed_probes_run(settings in any_settings(), steps in steps()) {
        let mut world = World::new(settings);
        for step in steps {
            world.step(step);
            if let Allowed::Probes(more) = world.breaker.allowed(world.now) {
                prop_assert_eq!(world.fresh.len() + more, settings.probes);
                prop_assert_eq!(world.breaker.clone().start(world.now).is_some(), more > 0);
            }
        }
    }

    #[test]
    fn the_outcome_of_a_probe_decides(settings in any_settings(), steps in steps()) {
        let mut world = World::new(settings);
        for step in steps {
            world.step(step);
            if world.breaker.state(world.now) != State::HalfOpen { continue; }
            for pass in &world.fresh {
                let closed = world.after(pass, Success).figures(world.now);
                prop_assert_eq!((closed.state, closed.trip), (State::Closed, None));
                prop_assert_eq!(world.after(pass, Failure).state(world.now), State::Open);
            }
        }
    }

    #[test]
    fn late_outcomes_change_nothing(settings in any_settings(), steps in steps()) {
        let mut world = World::new(settings);
        for step in steps {
            world.step(step);
            for pass in &world.late {
                prop_assert_eq!(&world.after(pass, Success), &world.breaker);
                prop_assert_eq!(&world.after(pass, Failure), &world.breaker);
            }
        }
    }

    #[test]
    fn it_opens_exactly_when_the_list_of_all_outcomes_says_so(
        settings in any_settings().prop_filter("zero", |s| s.window > ms(9) && s.buckets > 0),
        calls in prop::collection::vec((0_u64..600, prop::bool::weighted(0.4)), 0..60)
    ) {
        let begin = start();
        let (mut now, mut breaker) = (begin, Breaker::new(settings, begin));
        let mut outcomes = Vec::new();
        for (millis, failed) in calls {
            now += ms(millis);
            outcomes.push((now, failed));
            call(&mut breaker, now, if failed { Failure } else { Success });
            let opened = breaker.state(now) == State::Open;
            prop_assert_eq!(opened, must_open(&settings, begin, &outcomes));
            if opened { break; }
        }
    }
}
