//! Deduplication against a naive model, over random histories.

use super::*;
use proptest::prelude::*;

const SETTINGS: Settings = Settings {
    write_window: Duration::from_secs(2),
    key_window: Duration::from_mins(10),
    max_kept: 100,
    max_kept_bytes: 1000,
    max_running: 100,
};

#[expect(clippy::disallowed_methods, reason = "only a starting point")]
fn start() -> Instant {
    Instant::now()
}

const fn read(n: u8) -> Key {
    Key::Read(Digest([n; 32]))
}

const fn write(n: u8) -> Key {
    Key::Write(Digest([n; 32]))
}

const fn keyed(n: u8, body: u8) -> Key {
    let (key, fingerprint) = (Digest([n; 32]), Digest([body; 32]));
    Key::Idempotency { key, fingerprint }
}

/// What the tests share: the answer of an execution is its id.
type Shared = Deduplication<ExecutionId>;

fn lead(shared: &mut Shared, now: Instant, key: Key) -> ExecutionId {
    match shared.arrive(now, key) {
        Arrival::Lead(id) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn identical_reads_share_one_execution_and_leave_nothing_behind() {
    let (now, mut shared) = (start(), Shared::new(SETTINGS));
    let first = lead(&mut shared, now, read(1));
    assert_eq!(shared.arrive(now, read(1)), Arrival::Join(first));
    lead(&mut shared, now, read(2));
    lead(&mut shared, now, write(1));
    shared.finish(now, first, first, 10);
    assert_ne!(lead(&mut shared, now, read(1)), first);
    assert_eq!(shared.figures().kept, 0);
}

#[test]
fn a_read_does_not_join_one_that_began_before_a_change() {
    let (now, mut shared) = (start(), Shared::new(SETTINGS));
    let before = lead(&mut shared, now, read(1));
    shared.outdate_reads();
    let after = lead(&mut shared, now, read(1));
    shared.finish(now, before, before, 10);
    assert_eq!(shared.arrive(now, read(1)), Arrival::Join(after));
}

#[test]
fn of_two_reads_one_may_be_outdated_and_a_write_never_is() {
    let (now, mut shared) = (start(), Shared::new(SETTINGS));
    let before = lead(&mut shared, now, read(1));
    let other = lead(&mut shared, now, read(2));
    let key = lead(&mut shared, now, keyed(1, 1));
    shared.outdate(before);
    shared.outdate(key);
    let after = lead(&mut shared, now, read(1));
    shared.outdate(before);
    shared.finish(now, before, before, 10);
    assert_eq!(shared.arrive(now, read(1)), Arrival::Join(after));
    assert_eq!(shared.arrive(now, read(2)), Arrival::Join(other));
    assert_eq!(shared.arrive(now, keyed(1, 1)), Arrival::Join(key));
}

#[test]
fn a_write_repeated_within_two_seconds_of_the_first_gets_its_answer() {
    let (now, mut shared) = (start(), Shared::new(SETTINGS));
    let first = lead(&mut shared, now, write(1));
    let repeated = now + Duration::from_millis(1900);
    assert_eq!(shared.arrive(repeated, write(1)), Arrival::Join(first));
    shared.finish(repeated, first, first, 10);
    assert_eq!(shared.arrive(repeated, write(1)), Arrival::Replay(first));
    // The repetition does not prolong the window.
    let second = lead(&mut shared, now + SETTINGS.write_window, write(1));
    // Neither does an execution that is still running.
    let later = now + 2 * SETTINGS.write_window;
    let third = lead(&mut shared, later, write(1));
    shared.finish(later, second, second, 10);
    assert_eq!(shared.arrive(later, write(1)), Arrival::Join(third));
}

#[test]
fn an_idempotency_key_stands_for_one_execution_and_one_body() {
    let (now, mut shared) = (start(), Shared::new(SETTINGS));
    let first = lead(&mut shared, now, keyed(1, 1));
    assert_eq!(shared.arrive(now, keyed(1, 2)), Arrival::Mismatch);
    lead(&mut shared, now, keyed(2, 1));
    let (in_time, late) = (now + Duration::from_secs(599), now + SETTINGS.key_window);
    assert_eq!(shared.arrive(late, keyed(1, 1)), Arrival::Join(first));
    shared.finish(in_time, first, first, 10);
    assert_eq!(shared.arrive(in_time, keyed(1, 1)), Arrival::Replay(first));
    assert_eq!(shared.arrive(in_time, keyed(1, 2)), Arrival::Mismatch);
    lead(&mut shared, late, keyed(1, 2));
}

#[test]
fn whoever_leaves_does_not_take_the_execution_from_the_others() {
    let (now, mut shared) = (start(), Shared::new(SETTINGS));
    let id = lead(&mut shared, now, write(1));
    assert_eq!(shared.arrive(now, write(1)), Arrival::Join(id));
    assert_eq!(shared.leave(id), Remaining::Others);
    assert_eq!(shared.leave(id), Remaining::Nobody);
    // It goes on all the same, so whoever comes back gets its answer.
    assert_eq!(shared.arrive(now, write(1)), Arrival::Join(id));
    shared.finish(now, id, id, 10);
    assert_eq!(shared.leave(id), Remaining::Nobody);
    assert_eq!(shared.arrive(now, write(1)), Arrival::Replay(id));
}

#[test]
fn what_was_surely_not_executed_is_not_kept() {
    let (now, mut shared) = (start(), Shared::new(SETTINGS));
    let refused = lead(&mut shared, now, keyed(1, 1));
    shared.forget(refused);
    shared.finish(now, refused, refused, 10);
    let second = lead(&mut shared, now, keyed(1, 2));
    shared.finish(now, second, second, 10);
    shared.forget(second);
    assert_eq!(shared.arrive(now, keyed(1, 2)), Arrival::Replay(second));
}

#[test]
fn beyond_the_bounds_calls_run_unshared_and_the_oldest_answers_go() {
    let now = start();
    let mut shared = Shared::new(Settings {
        max_kept: 2,
        max_kept_bytes: 100,
        max_running: 1,
        ..SETTINGS
    });
    for (n, size) in [(1, 40), (2, 40), (3, 40), (4, 101)] {
        let id = lead(&mut shared, now, write(n));
        let unshared = lead(&mut shared, now, write(9));
        assert_eq!(shared.leave(unshared), Remaining::Nobody);
        shared.finish(now, id, id, size);
        shared.finish(now, unshared, unshared, 1);
    }
    let figures = shared.figures();
    assert_eq!((figures.kept, figures.kept_bytes), (2, 80));
    assert_eq!((figures.unshared, figures.dropped), (4, 2));
    let big = lead(&mut shared, now, write(1));
    shared.finish(now, big, big, 100);
    assert_eq!(shared.arrive(now, write(1)), Arrival::Replay(big));
    assert_eq!((shared.figures().kept, shared.figures().dropped), (1, 4));
}

/// One thing that can happen; a number names an execution.
#[derive(Debug, Clone)]
enum Step {
    Arrive(Key),
    Leave(u64),
    Finish(u64, usize),
    Forget(u64),
    Outdate,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = prop_oneof![
        (0u8..2).prop_map(read),
        (0u8..3).prop_map(write),
        (0u8..3, 0u8..2).prop_map(|(n, body)| keyed(n, body)),
    ];
    let step = prop_oneof![
        8 => key.prop_map(Step::Arrive),
        2 => any::<u64>().prop_map(Step::Leave),
        6 => (any::<u64>(), 0usize..70).prop_map(|(id, size)| Step::Finish(id, size)),
        1 => any::<u64>().prop_map(Step::Forget),
        1 => Just(Step::Outdate),
        3 => prop_oneof![Just(0), 1u64..3000, 100_000u64..700_000, Just(1 << 40)]
            .prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..100)
}

/// The rules in the plainest form: one list of the executions that are running or kept.
struct Model {
    settings: Settings,
    next: u64,
    known: Vec<Known>,
}

struct Known {
    id: ExecutionId,
    key: Key,
    ends: Instant,
    callers: usize,
    outdated: bool,
    /// Once it is over.
    size: Option<usize>,
}

impl Model {
    /// The number of kept answers and their bytes.
    fn kept(&self) -> (usize, usize) {
        let sizes = || self.known.iter().filter_map(|k| k.size);
        (sizes().count(), sizes().sum())
    }

    fn expire(&mut self, now: Instant) {
        self.known.retain(|k| k.size.is_none() || now < k.ends);
    }

    fn arrive(&mut self, now: Instant, key: Key) -> Arrival<ExecutionId> {
        self.expire(now);
        let has_room = self.known.len() - self.kept().0 < self.settings.max_running;
        let same = |k: &&mut Known| match (k.key, key) {
            (Key::Read(a), Key::Read(b)) => a == b && !k.outdated,
            (Key::Write(a), Key::Write(b)) => a == b && now < k.ends,
            (Key::Idempotency { key: a, .. }, Key::Idempotency { key: b, .. }) => a == b,
            _ => false,
        };
        let mut same: Vec<_> = self.known.iter_mut().filter(same).collect();
        assert!(same.len() <= 1, "two executions of one key and window");
        if let Some(known) = same.pop() {
            if known.key != key {
                return Arrival::Mismatch;
            }
            known.callers += 1;
            let replay = known.size.map(|_| Arrival::Replay(known.id));
            return replay.unwrap_or(Arrival::Join(known.id));
        }
        let id = ExecutionId(self.next);
        self.next += 1;
        let window = match key {
            Key::Read(_) => Duration::ZERO,
            Key::Write(_) => SETTINGS.write_window,
            Key::Idempotency { .. } => SETTINGS.key_window,
        };
        self.known.extend(has_room.then_some(Known {
            id,
            key,
            ends: now + window,
            callers: 1,
            outdated: false,
            size: None,
        }));
        Arrival::Lead(id)
    }

    fn leave(&mut self, id: ExecutionId) -> Remaining {
        let running = |k: &&mut Known| k.id == id && k.size.is_none();
        let Some(known) = self.known.iter_mut().find(running) else {
            return Remaining::Nobody;
        };
        known.callers = known.callers.saturating_sub(1);
        [Remaining::Nobody, Remaining::Others][known.callers.min(1)]
    }

    fn forget(&mut self, id: ExecutionId) -> Option<Known> {
        let running = |k: &mut Known| k.id == id && k.size.is_none();
        self.known.extract_if(.., running).next()
    }

    fn finish(&mut self, now: Instant, id: ExecutionId, size: usize) {
        self.expire(now);
        let (max_kept, max_bytes) = (self.settings.max_kept, self.settings.max_kept_bytes);
        if let Some(known) = self.forget(id)
            && now < known.ends
            && max_kept > 0
            && size <= max_bytes
        {
            while self.kept().0 >= max_kept || self.kept().1 + size > max_bytes {
                let oldest = self.known.iter().position(|k| k.size.is_some());
                self.known.remove(oldest.unwrap());
            }
            let size = Some(size);
            self.known.push(Known { size, ..known });
            self.known.sort_by_key(|k| k.id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_history_shares_what_the_rules_say_and_stays_bounded(
        steps in steps(), max_kept in 0usize..5, max_kept_bytes in 0usize..150,
        max_running in 0usize..8,
    ) {
        let settings = Settings { max_kept, max_kept_bytes, max_running, ..SETTINGS };
        let mut shared = Shared::new(settings);
        let mut model = Model { settings, next: 0, known: Vec::new() };
        let mut now = start();
        for step in steps {
            let pick = |n| ExecutionId(n % model.next.max(1));
            match step {
                Step::Pass(ms) => now += Duration::from_millis(ms),
                Step::Arrive(key) => {
                    prop_assert_eq!(shared.arrive(now, key), model.arrive(now, key));
                }
                Step::Leave(n) => {
                    let id = pick(n);
                    prop_assert_eq!(shared.leave(id), model.leave(id));
                }
                Step::Finish(n, size) => {
                    let id = pick(n);
                    shared.finish(now, id, id, size);
                    model.finish(now, id, size);
                }
                Step::Forget(n) => {
                    let id = pick(n);
                    shared.forget(id);
                    model.forget(id);
                }
                Step::Outdate => {
                    shared.outdate_reads();
                    for known in &mut model.known {
                        known.outdated = true;
                    }
                }
            }
            let figures = shared.figures();
            prop_assert_eq!((figures.kept, figures.kept_bytes), model.kept());
            prop_assert_eq!(figures.running + figures.kept, model.known.len());
            prop_assert!(figures.kept <= max_kept && figures.kept_bytes <= max_kept_bytes);
            prop_assert!(figures.running <= max_running);
            prop_assert!(shared.latest.len() <= shared.executions.len());
        }
        shared.expire(now + SETTINGS.key_window);
        prop_assert_eq!(shared.figures().kept, 0, "kept after its window");
        for id in 0..model.next {
            shared.forget(ExecutionId(id));
        }
        prop_assert!(shared.executions.is_empty() && shared.latest.is_empty());
        prop_assert!(shared.expiries.is_empty());
    }
}
