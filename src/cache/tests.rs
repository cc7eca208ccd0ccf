//! What the cache promises, by example and through random histories of a home that changes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

const LISTS: Duration = Duration::from_mins(5);
const UNHEARD: Duration = Duration::from_secs(10);
const LIVE: Duration = Duration::from_secs(2);
const STALE: Duration = Duration::from_mins(1);
const SETTINGS: Settings = Settings {
    max_bytes: 20_000,
    list_ttl: LISTS,
    list_ttl_without_events: UNHEARD,
    state_ttl: LIVE,
    max_stale: STALE,
};

fn key(n: usize) -> Key {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    Key(key)
}

fn tools(version: u64) -> RawJson {
    RawJson::of(&json!({"tools": [{"name": "a", "description": version}]}))
}

/// A cache and its time.
struct Bench {
    cache: Cache,
    now: Instant,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "only a starting point")]
    fn new() -> Self {
        Self {
            cache: Cache::new(SETTINGS),
            now: Instant::now(),
        }
    }

    /// A cache that hears of changes.
    fn hearing() -> Self {
        let mut bench = Self::new();
        bench.apply(&Change::Connected);
        bench.apply(&Change::Started);
        bench
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn apply(&mut self, change: &Change) {
        self.cache.apply(self.now, change);
    }

    fn begin(&self, n: usize, kind: Kind) -> Ticket {
        self.cache.begin(self.now, key(n), kind)
    }

    fn ask(&mut self, n: usize, kind: Kind, answer: &RawJson) -> Option<Kind> {
        let ticket = self.begin(n, kind);
        self.cache.keep(ticket, "test", answer)
    }

    fn state(&mut self, n: usize) -> Option<State> {
        self.cache.find(self.now, key(n)).map(|found| found.state)
    }

    fn is_fresh(&mut self, n: usize) -> bool {
        matches!(self.state(n), Some(State::Fresh { .. }))
    }
}

fn lamp() -> Change {
    Change::State {
        entity_id: "light.kitchen".into(),
    }
}

#[test]
fn a_list_is_kept_until_something_changes_it() {
    let mut bench = Bench::hearing();
    bench.ask(1, Kind::Tools, &tools(1));
    bench.pass(LISTS / 2);
    bench.apply(&lamp());
    bench.apply(&Change::AreaRegistry);
    assert_eq!(bench.state(1), Some(State::Fresh { left: LISTS / 2 }));
    bench.apply(&Change::EntityRegistry);
    assert_eq!(bench.state(1), Some(State::Outdated));
}

#[test]
fn of_an_upstream_that_was_replaced_nothing_is_kept_not_even_what_it_still_answers() {
    let mut bench = Bench::hearing();
    bench.ask(1, Kind::Tools, &tools(1));
    let late = bench.begin(2, Kind::Live);
    bench.cache.replace_upstream();
    assert_eq!(bench.state(1), None);
    assert_eq!(bench.cache.keep(late, "test", &tools(1)), None);
    assert_eq!(bench.state(2), None);
    assert!(!bench.cache.figures(bench.now).hears_changes);
    let differs = bench.ask(1, Kind::Tools, &tools(2));
    assert_eq!(differs, Some(Kind::Tools), "listeners hear of other lists");
}

#[test]
fn with_less_room_than_before_the_answer_that_was_used_longest_ago_goes() {
    let mut bench = Bench::hearing();
    for n in 1..=3 {
        bench.ask(n, Kind::Tools, &tools(1));
    }
    bench.is_fresh(1);
    let one = bench.cache.figures(bench.now).bytes / 3;
    bench.cache.configure(Settings {
        max_bytes: one,
        ..SETTINGS
    });
    let kept = [1, 2, 3].map(|n| bench.is_fresh(n));
    assert_eq!(kept, [true, false, false]);
}

#[test]
fn a_list_whose_time_is_over_is_good_for_a_while_and_then_only_in_trouble() {
    let mut bench = Bench::hearing();
    bench.ask(1, Kind::Tools, &tools(1));
    bench.pass(LISTS);
    assert_eq!(bench.state(1), Some(State::Expired));
    bench.pass(LISTS);
    assert_eq!(bench.state(1), Some(State::Outdated));
    bench.pass(Duration::from_hours(100));
    assert_eq!(bench.state(1), Some(State::Outdated));
}

#[test]
fn states_are_kept_for_two_seconds_at_most_and_never_once_a_lamp_was_switched() {
    let mut bench = Bench::hearing();
    bench.ask(1, Kind::Live, &tools(1));
    assert_eq!(bench.state(1), Some(State::Fresh { left: LIVE }));
    bench.apply(&lamp());
    assert_eq!(bench.state(1), Some(State::Outdated));
    bench.ask(1, Kind::Live, &tools(2));
    bench.pass(LIVE);
    assert_eq!(bench.state(1), Some(State::Outdated));
    bench.pass(STALE);
    assert_eq!(bench.state(1), None, "too old to tell anybody");
}

#[test]
fn who_hears_nothing_asks_again_soon() {
    let mut bench = Bench::new();
    bench.ask(1, Kind::Tools, &tools(1));
    assert_eq!(bench.state(1), Some(State::Fresh { left: UNHEARD }));
    let mut bench = Bench::hearing();
    bench.ask(1, Kind::Tools, &tools(1));
    bench.pass(UNHEARD);
    bench.apply(&Change::Disconnected);
    assert_eq!(bench.state(1), Some(State::Expired));
}

#[test]
fn an_answer_that_was_asked_for_before_the_change_is_not_fresh_after_it() {
    let mut bench = Bench::hearing();
    let ticket = bench.begin(1, Kind::Tools);
    bench.apply(&Change::Exposure);
    bench.cache.keep(ticket, "test", &tools(1));
    assert_eq!(bench.state(1), Some(State::Outdated));
}

#[test]
fn an_earlier_answer_that_comes_late_does_not_replace_a_later_one() {
    let mut bench = Bench::hearing();
    let slow = bench.begin(1, Kind::Tools);
    bench.pass(Duration::from_secs(1));
    bench.ask(1, Kind::Tools, &tools(2));
    bench.cache.keep(slow, "test", &tools(1));
    let found = bench.cache.find(bench.now, key(1)).unwrap();
    assert_eq!(found.result, tools(2));
}

#[test]
fn while_it_starts_or_stops_a_good_list_is_not_replaced() {
    let mut bench = Bench::hearing();
    bench.ask(1, Kind::Tools, &tools(1));
    bench.apply(&Change::Stopping);
    assert_eq!(bench.ask(1, Kind::Tools, &tools(0)), None);
    for change in [Change::Disconnected, Change::Starting, Change::Connected] {
        bench.apply(&change);
        assert_eq!(bench.ask(1, Kind::Tools, &tools(0)), None);
    }
    let found = bench.cache.find(bench.now, key(1)).unwrap();
    assert_eq!((found.result, found.state), (tools(1), State::Outdated));
    // What comes when nothing was kept is better than nothing, and said to be so.
    bench.ask(2, Kind::Tools, &tools(0));
    assert_eq!(bench.state(2), Some(State::Outdated));
    bench.apply(&Change::Started);
    bench.ask(1, Kind::Tools, &tools(3));
    assert!(bench.is_fresh(1));
}

#[test]
fn without_news_states_are_not_kept_while_a_write_may_still_take_effect() {
    let mut bench = Bench::new();
    bench.ask(1, Kind::Live, &tools(1));
    bench.apply(&Change::Written);
    assert!(!bench.is_fresh(1));
    bench.ask(1, Kind::Live, &tools(2));
    assert!(!bench.is_fresh(1), "the lamp may be slow");
    bench.pass(LIVE);
    bench.ask(1, Kind::Live, &tools(3));
    assert!(bench.is_fresh(1));
}

#[test]
fn a_list_is_said_to_differ_once_and_only_when_it_does() {
    let mut bench = Bench::hearing();
    assert_eq!(bench.ask(1, Kind::Tools, &tools(1)), None);
    bench.apply(&Change::EntityRegistry);
    assert_eq!(bench.ask(1, Kind::Tools, &tools(1)), None);
    bench.apply(&Change::EntityRegistry);
    assert_eq!(bench.ask(1, Kind::Tools, &tools(2)), Some(Kind::Tools));
    assert_eq!(bench.ask(1, Kind::Tools, &tools(2)), None);
    bench.cache.flush();
    assert_eq!(bench.ask(1, Kind::Tools, &tools(3)), Some(Kind::Tools));
}

#[test]
fn what_a_modern_upstream_says_of_its_answer_counts() {
    let mut bench = Bench::new();
    let answer = |ttl| RawJson::of(&json!({"tools": [], "ttlMs": ttl, "cacheScope": "private"}));
    bench.ask(1, Kind::Tools, &answer(1000));
    let left = Duration::from_secs(1);
    assert_eq!(bench.state(1), Some(State::Fresh { left }));
    bench.ask(2, Kind::Tools, &answer(0));
    assert_eq!(bench.state(2), Some(State::Outdated));
}

#[test]
fn a_flood_of_different_questions_does_not_drive_the_lists_out() {
    let mut bench = Bench::hearing();
    bench.ask(0, Kind::Tools, &tools(1));
    for n in 1..=200 {
        bench.ask(n, Kind::Live, &tools(1));
    }
    assert!(bench.is_fresh(0));
    assert!(bench.is_fresh(200) && bench.state(1).is_none());
    let figures = bench.cache.figures(bench.now);
    assert!(figures.bytes <= SETTINGS.max_bytes && figures.dropped > 100);
    assert_eq!(figures.entries[0].hits, 1, "{figures:?}");
}

#[test]
fn an_answer_larger_than_all_room_is_not_kept() {
    let mut bench = Bench::hearing();
    bench.ask(1, Kind::Tools, &tools(1));
    let huge = "x".repeat(SETTINGS.max_bytes);
    bench.ask(2, Kind::Live, &RawJson::of(&json!({"content": [huge]})));
    assert!(bench.is_fresh(1) && bench.state(2).is_none());
}

#[test]
fn a_flush_forgets_everything() {
    let mut bench = Bench::hearing();
    bench.ask(1, Kind::Tools, &tools(1));
    bench.ask(2, Kind::Live, &tools(1));
    assert_eq!(bench.cache.flush(), 2);
    assert!(bench.state(1).is_none() && bench.state(2).is_none());
    assert_eq!(bench.cache.figures(bench.now).bytes, 0);
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    /// Something happens, and is told if the cache hears of changes.
    Change(Change),
    /// Home Assistant restarts, or the connection does.
    Link(Change),
    Ask(usize),
    /// The upstream looks at the home, for the question asked longest ago.
    Look,
    /// An answer arrives: not always the oldest one.
    Arrive(usize),
    Find(usize),
    Pass(u64),
    Flush,
}

/// Few different questions, so that histories meet themselves.
fn asked() -> impl Strategy<Value = usize> {
    0..QUESTIONS.len()
}

const QUESTIONS: [Kind; 4] = [Kind::Tools, Kind::Live, Kind::Resource, Kind::Tools];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = prop_oneof![
        Just(Change::EntityRegistry),
        Just(Change::AreaRegistry),
        Just(Change::Scripts),
        Just(Change::Components),
        Just(lamp()),
        Just(Change::Announced(Kind::Resources)),
    ];
    let link = prop_oneof![
        Just(Change::Connected),
        Just(Change::Disconnected),
        Just(Change::Starting),
        Just(Change::Started),
        Just(Change::Stopping),
    ];
    let step = prop_oneof![
        3 => change.prop_map(Step::Change),
        1 => link.prop_map(Step::Link),
        4 => asked().prop_map(Step::Ask),
        4 => Just(Step::Look),
        4 => any::<usize>().prop_map(Step::Arrive),
        6 => asked().prop_map(Step::Find),
        2 => (0u64..1500).prop_map(Step::Pass),
        1 => Just(Step::Flush),
    ];
    prop::collection::vec(step, 0..300)
}

/// The home: how often what is told by each kind has changed, and when the last time was.
#[derive(Default)]
struct Home {
    versions: [u64; Kind::ALL.len()],
    changed: HashMap<(usize, u64), Instant>,
    whole: bool,
}

impl Home {
    fn change(&mut self, now: Instant, change: &Change) {
        for kind in change.touches() {
            let kind = *kind as usize;
            self.changed.insert((kind, self.versions[kind]), now);
            self.versions[kind] += 1;
        }
    }
}

struct Question {
    ticket: Ticket,
    kind: Kind,
    seen: Option<(u64, bool)>,
}

proptest! {
    #[test]
    fn what_is_fresh_is_true(steps in steps()) {
        let mut bench = Bench::new();
        let mut home = Home { whole: true, ..Home::default() };
        let mut hears = false;
        let mut questions: Vec<Question> = Vec::new();
        for step in steps {
            match step {
                Step::Change(change) => {
                    home.change(bench.now, &change);
                    if hears {
                        bench.apply(&change);
                    }
                }
                Step::Link(change) => {
                    match change {
                        Change::Connected => hears = true,
                        Change::Started if hears => {
                            home.change(bench.now, &change);
                            home.whole = true;
                        }
                        Change::Starting | Change::Stopping if hears => home.whole = false,
                        Change::Disconnected => hears = false,
                        _ => continue,
                    }
                    bench.apply(&change);
                }
                Step::Ask(n) => {
                    let kind = QUESTIONS[n];
                    let ticket = bench.cache.begin(bench.now, key(n), kind);
                    questions.push(Question { ticket, kind, seen: None });
                }
                Step::Look => {
                    if let Some(question) = questions.iter_mut().find(|q| q.seen.is_none()) {
                        question.seen = Some((home.versions[question.kind as usize], home.whole));
                    }
                }
                Step::Arrive(n) => {
                    let answered: Vec<usize> = (0..questions.len())
                        .filter(|i| questions[*i].seen.is_some())
                        .collect();
                    if !answered.is_empty() {
                        let question = questions.remove(answered[n % answered.len()]);
                        let (version, whole) = question.seen.unwrap();
                        let answer = RawJson::of(&json!({"version": version, "whole": whole}));
                        bench.cache.keep(question.ticket, "test", &answer);
                    }
                }
                Step::Find(n) => {
                    let kind = QUESTIONS[n];
                    let Some(found) = bench.cache.find(bench.now, key(n)) else { continue };
                    if !matches!(found.state, State::Fresh { .. }) {
                        continue;
                    }
                    let answer: serde_json::Value = found.result.read().unwrap();
                    let version = answer["version"].as_u64().unwrap();
                    if hears {
                        prop_assert_eq!(version, home.versions[kind as usize]);
                        prop_assert_eq!(&answer["whole"], &json!(true));
                    } else if version != home.versions[kind as usize] {
                        let untrue_since = home.changed[&(kind as usize, version)];
                        let most = if kind.tells_states() { LIVE } else { UNHEARD };
                        prop_assert!(bench.now - untrue_since < most);
                    }
                }
                Step::Pass(millis) => bench.pass(Duration::from_millis(millis)),
                Step::Flush => {
                    bench.cache.flush();
                }
            }
            prop_assert!(bench.cache.figures(bench.now).bytes <= SETTINGS.max_bytes);
        }
    }
}
