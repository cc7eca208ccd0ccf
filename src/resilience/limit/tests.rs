//! The rules of the limit one by one, and what holds in every history.

mod simulation;

use super::*;
use proptest::prelude::*;

#[expect(clippy::disallowed_methods, reason = "only a starting point")]
fn epoch() -> Instant {
    Instant::now()
}

/// A limit that has grown to its maximum on calls of so many milliseconds, and the time then.
fn grown(max: usize, ms: u64) -> (Limit, Instant) {
    let mut limit = Limit::new(Settings::up_to(max));
    let mut now = epoch();
    while limit.places < max || limit.probe.is_some() {
        now = round(&mut limit, now, ms, Outcome::Success);
    }
    (limit, now)
}

fn fill(limit: &mut Limit, now: Instant) -> Vec<Running> {
    let mut calls = Vec::new();
    while limit.has_room(now) {
        calls.push(limit.start(now, Class::of("tool")));
    }
    calls
}

/// Fills all places with calls that take so long and end like this.
fn round(limit: &mut Limit, now: Instant, ms: u64, outcome: Outcome) -> Instant {
    let calls = fill(limit, now);
    let end = now + Duration::from_millis(ms);
    for call in calls {
        limit.finish(end, call, outcome);
    }
    end
}

#[test]
fn a_storm_of_failures_halves_once_and_the_climb_is_by_one() {
    let (mut limit, now) = grown(16, 20);
    let now = round(&mut limit, now, 20, Outcome::Overload);
    assert_eq!(limit.current(now), 8);
    let now = round(&mut limit, now, 20, Outcome::Overload);
    assert_eq!(limit.current(now), 4);
    assert_eq!(limit.figures(now).reason, Reason::Overload);
    let mut now = round(&mut limit, now, 20, Outcome::Ignored);
    let mut seen = vec![4];
    while limit.places < 16 {
        now = round(&mut limit, now, 20, Outcome::Success);
        seen.push(limit.places);
    }
    seen.dedup();
    assert_eq!(seen, (4..=16).collect::<Vec<_>>());
}

#[test]
fn answers_from_before_a_change_do_not_count() {
    let (mut limit, now) = grown(16, 20);
    let calls = fill(&mut limit, now);
    let now = now + Duration::from_millis(20);
    limit.finish(now, calls[0], Outcome::Overload);
    for call in calls {
        limit.finish(now, call, Outcome::Success);
    }
    // It takes 16 answers of calls that started with half of the places taken: five a round.
    let rounds = (0..4).scan(now, |now, _| {
        *now = round(&mut limit, *now, 20, Outcome::Success);
        Some(limit.places)
    });
    assert_eq!(rounds.collect::<Vec<_>>(), [8, 8, 8, 9]);
}

#[test]
fn a_limit_that_is_not_used_does_not_grow() {
    let mut limit = Limit::new(Settings {
        min: 4,
        ..Settings::up_to(16)
    });
    let mut now = epoch();
    for _ in 0..1000 {
        let calls = [(); 3].map(|()| limit.start(now, Class::of("tool")));
        now += Duration::from_millis(20);
        for call in calls {
            limit.finish(now, call, Outcome::Success);
        }
    }
    assert_eq!(limit.current(now), 4);
}

#[test]
fn a_place_held_for_long_lets_one_call_pass_and_then_is_given_back() {
    let mut limit = Limit::new(Settings::up_to(8));
    let start = epoch();
    let script = limit.start(start, Class::of("script"));
    assert!(!limit.has_room(start));
    let later = limit.next_change(start).unwrap();
    assert_eq!(later, start + Duration::from_secs(1));
    assert!(limit.has_room(later));
    let read = limit.start(later, Class::of("read"));
    assert!(!limit.has_room(later));
    let now = later + Duration::from_millis(10);
    limit.finish(now, read, Outcome::Success);
    assert_eq!((limit.current(now), limit.figures(now).parked), (2, 1));
    limit.finish(now, script, Outcome::Success);
    limit.finish(now, script, Outcome::Overload);
    assert_eq!(limit.figures(now).running, 0);
}

#[test]
fn parked_calls_need_no_place_and_their_timeouts_are_no_sign_of_load() {
    let (mut limit, mut now) = grown(8, 200);
    limit.set(now, Settings::up_to(64));
    limit.sprint = false;
    let extra = |limit: &Limit, now| limit.current(now) - limit.places;
    for _ in 0..3 {
        let script = limit.start(now, Class::of("script"));
        assert_eq!(extra(&limit, now), 0);
        for _ in 0..6 {
            now = round(&mut limit, now, 200, Outcome::Success);
        }
        assert_eq!(extra(&limit, now), 1);
        limit.finish(now, script, Outcome::Success);
    }
    // Now it is known.
    let script = limit.start(now, Class::of("script"));
    assert_eq!(extra(&limit, now), 1);
    for _ in 0..6 {
        now = round(&mut limit, now, 200, Outcome::Success);
    }
    let before = limit.places;
    limit.finish(now, script, Outcome::Overload);
    assert_eq!((limit.places, extra(&limit, now)), (before, 0));
    // Until one comes back at once.
    let script = limit.start(now, Class::of("script"));
    limit.finish(now, script, Outcome::Success);
    limit.start(now, Class::of("script"));
    assert_eq!(extra(&limit, now), 0);
}

#[test]
fn a_new_limit_doubles() {
    let (mut limit, mut now) = (Limit::new(Settings::up_to(20)), epoch());
    let mut seen = vec![1];
    while limit.places < 20 {
        now = round(&mut limit, now, 20, Outcome::Success);
        seen.push(limit.places);
    }
    seen.dedup();
    assert_eq!(seen, [1, 2, 4, 8, 16, 20]);
}

#[test]
fn new_bounds_hold_at_once() {
    let (mut limit, now) = grown(16, 20);
    limit.set(now, Settings::up_to(4));
    assert_eq!(
        (limit.current(now), limit.figures(now).reason),
        (4, Reason::Settings)
    );
    limit.set(
        now,
        Settings {
            min: 0,
            ..Settings::up_to(0)
        },
    );
    assert_eq!(limit.current(now), 1);
}

#[test]
fn figures_are_plain_numbers() {
    let (limit, now) = grown(4, 20);
    let figures = limit.figures(now + Duration::from_secs(3));
    assert!((figures.latency_ms - 20.0).abs() < 0.001, "{figures:?}");
    assert!((figures.baseline_ms - 20.0).abs() < 0.001, "{figures:?}");
    let json = serde_json::to_value(figures).unwrap();
    assert_eq!(
        (&json["current"], &json["reason"]),
        (&4.into(), &"room".into())
    );
}

#[derive(Debug, Clone)]
enum Step {
    /// A call of one of so many classes, whether or not there is room.
    Start(u8),
    /// A running call ends; the index picks one.
    End(usize, Outcome),
    Pass(Duration),
    /// The clock goes back.
    Back(Duration),
    Set(usize, usize),
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (0u64..50_000).prop_map(Duration::from_micros),
        2 => (0u64..5_000).prop_map(Duration::from_millis),
        1 => any::<u64>().prop_map(Duration::from_secs),
        1 => Just(Duration::ZERO),
        1 => Just(Duration::MAX),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![
        6 => Just(Outcome::Success),
        1 => Just(Outcome::Overload),
        1 => Just(Outcome::Ignored),
    ];
    let step = prop_oneof![
        8 => any::<u8>().prop_map(Step::Start),
        8 => (any::<usize>(), outcome).prop_map(|(i, o)| Step::End(i, o)),
        6 => durations().prop_map(Step::Pass),
        1 => durations().prop_map(Step::Back),
        1 => (0usize..40, 0usize..40).prop_map(|(min, max)| Step::Set(min, max)),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_history_keeps_the_bounds(steps in steps(), min in 0usize..5, max in 0usize..40) {
        let mut now = epoch();
        let settings = |min, max| Settings { min, ..Settings::up_to(max) };
        let mut limit = Limit::new(settings(min, max));
        let mut running = Vec::new();
        for step in steps {
            match step {
                Step::Start(class) => running.push(limit.start(now, Class::of(class))),
                Step::End(i, outcome) if !running.is_empty() => {
                    limit.finish(now, running.swap_remove(i % running.len()), outcome);
                }
                Step::End(..) => {}
                Step::Pass(time) => now = now.checked_add(time).unwrap_or(now),
                Step::Back(time) => now = now.checked_sub(time).unwrap_or(now),
                Step::Set(min, max) => limit.set(now, settings(min, max)),
            }
            let (current, figures) = (limit.current(now), limit.figures(now));
            prop_assert!(figures.min >= 1 && figures.max >= figures.min);
            prop_assert!((figures.min..=figures.max).contains(&current));
            prop_assert!((figures.min..=figures.max).contains(&figures.limit));
            prop_assert!(limit.next_change(now).is_none_or(|next| next > now));
            prop_assert_eq!(figures.running, running.len());
            prop_assert!(figures.parked <= figures.running);
            prop_assert!(limit.classes.len() <= classes::MOST && limit.answers.len() < ANSWERS.1);
        }
    }

    #[test]
    fn one_slow_call_lowers_nothing(
        max in 1usize..40, ms in 1u64..900, slow in durations(), lonely: bool
    ) {
        let (mut limit, mut now) = grown(max, ms);
        let (mut calls, start) = (fill(&mut limit, now), now);
        let outlier = calls.pop().unwrap();
        let end = now.checked_add(slow).unwrap_or(now);
        now += Duration::from_millis(ms);
        for call in calls {
            limit.finish(now, call, Outcome::Success);
        }
        for i in 0..80 {
            // Either the others wait for it, or they do not.
            if end <= now || lonely || i == 40 {
                now = now.max(end);
                limit.finish(now, outlier, Outcome::Success);
            }
            now = round(&mut limit, now, ms, Outcome::Success);
            prop_assert_eq!(limit.places, max, "after {:?}", now - start);
        }
    }
}
