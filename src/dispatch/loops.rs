//! Loops: a client that makes the same call again and again, and learns nothing new from it.
//!
//! A state machine without clock, task or lock. Some models call a tool that has answered once more,
//! and once more, without end. What counts is what a client repeats after it has read the answer, with
//! no other action of its own in between: on, off, on, off is no loop, and looking again after having
//! done something is none either. A question whose answer changes is worth asking again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deduplication::Digest;

/// What is a loop.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// So many answers to one call within the window are enough; zero turns the guard off.
    pub calls: usize,
    /// How far back they are counted.
    pub window: Duration,
    /// Different calls that are remembered, of all clients.
    pub max_remembered: usize,
    /// Bytes of their last answers, as their sizes were given.
    pub max_bytes: usize,
}

/// Who makes which call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The client.
    pub client: Arc<str>,
    /// Method, tool and arguments.
    pub call: Digest,
}

/// A call that is over.
#[derive(Debug)]
pub struct Answered<A> {
    /// Which one.
    pub key: Key,
    /// When it came.
    pub asked: Instant,
    /// Whether it may have changed anything.
    pub writes: bool,
    /// What its client was told, and the bytes of that.
    pub answer: A,
    /// The bytes of the answer.
    pub size: usize,
}

#[derive(Debug)]
struct Repeated<A> {
    /// When it was answered, the latest last; never more than are enough.
    times: VecDeque<Instant>,
    /// The last answer, and when it was given.
    answer: A,
    answered: Instant,
    size: usize,
    /// Its place among all, by the age of the last answer.
    place: u64,
}

/// What was answered lately. `A` is the answer that a loop gets again; it should be cheap to clone.
#[derive(Debug)]
pub struct Loops<A> {
    settings: Settings,
    /// By client, since its actions concern all of its own calls and no others.
    clients: HashMap<Arc<str>, HashMap<Digest, Repeated<A>>>,
    /// All calls, the one that was answered longest ago first.
    by_age: BTreeMap<u64, Key>,
    next_place: u64,
    bytes: usize,
}

impl<A: Clone + PartialEq> Loops<A> {
    /// Nothing was answered yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            clients: HashMap::new(),
            by_age: BTreeMap::new(),
            next_place: 0,
            bytes: 0,
        }
    }

    /// Other settings from now on; what was answered until now is forgotten.
    pub fn configure(&mut self, settings: Settings) {
        *self = Self::new(settings);
    }

    /// The last answer, if the call was answered often enough lately that one more is a loop; and how
    /// often that was.
    pub fn repeated(&mut self, now: Instant, key: &Key) -> Option<(A, usize)> {
        let Settings { calls, window, .. } = self.settings;
        let repeated = self.clients.get_mut(&key.client)?.get_mut(&key.call)?;
        let is_recent = |time: &Instant| now.saturating_duration_since(*time) < window;
        repeated.times.retain(is_recent);
        let times = repeated.times.len();
        (times >= calls).then(|| (repeated.answer.clone(), times))
    }

    /// A call was answered. Only what is asked after the last answer repeats it: whoever asks several
    /// times at once knows no answer yet.
    pub fn answered(&mut self, now: Instant, call: Answered<A>) {
        let Settings {
            calls, max_bytes, ..
        } = self.settings;
        if calls == 0 {
            return;
        }
        let Answered {
            key,
            asked,
            writes,
            answer,
            size,
        } = call;
        let before = self.remove(&key);
        if writes {
            self.changed(&key.client);
        }
        if size > max_bytes / 8 {
            return;
        }
        self.make_room(now, size);
        let (mut times, last, answered) = match before {
            Some(Repeated {
                times,
                answer,
                answered,
                ..
            }) => (times, Some(answer), answered),
            None => (VecDeque::new(), None, asked),
        };
        if !writes && last.is_some_and(|last| last != answer) {
            times.clear();
        }
        if asked >= answered {
            times.push_back(now);
        }
        if times.len() > calls {
            times.pop_front();
        }
        self.insert(
            key,
            Repeated {
                times,
                answer,
                answered: now,
                size,
                place: self.next_place,
            },
        );
    }

    /// The client may have changed something by a call that is not watched.
    pub fn changed(&mut self, client: &Arc<str>) {
        for (_, repeated) in self.clients.remove(client).unwrap_or_default() {
            self.by_age.remove(&repeated.place);
            self.bytes -= repeated.size;
        }
    }

    /// Forgets what is too old, and of the rest the oldest, until one more fits in.
    fn make_room(&mut self, now: Instant, size: usize) {
        let Settings {
            window,
            max_remembered,
            max_bytes,
            ..
        } = self.settings;
        while let Some((_, oldest)) = self.by_age.first_key_value() {
            let oldest = oldest.clone();
            let calls = self.clients.get(&oldest.client);
            let answered = calls.and_then(|calls| Some(calls.get(&oldest.call)?.answered));
            let is_over = |answered| now.saturating_duration_since(answered) >= window;
            let is_full = self.by_age.len() >= max_remembered || self.bytes + size > max_bytes;
            if !is_full && !answered.is_none_or(is_over) {
                return;
            }
            self.by_age.pop_first();
            self.remove(&oldest);
        }
    }

    fn insert(&mut self, key: Key, repeated: Repeated<A>) {
        self.next_place += 1;
        self.bytes += repeated.size;
        self.by_age.insert(repeated.place, key.clone());
        let calls = self.clients.entry(key.client).or_default();
        calls.insert(key.call, repeated);
    }

    fn remove(&mut self, key: &Key) -> Option<Repeated<A>> {
        let calls = self.clients.get_mut(&key.client)?;
        let repeated = calls.remove(&key.call)?;
        if calls.is_empty() {
            self.clients.remove(&key.client);
        }
        self.by_age.remove(&repeated.place);
        self.bytes -= repeated.size;
        Some(repeated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: Settings = Settings {
        calls: 3,
        window: Duration::from_mins(1),
        max_remembered: 4,
        max_bytes: 80,
    };

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn key(client: &str, call: u8) -> Key {
        Key {
            client: client.into(),
            call: Digest([call; 32]),
        }
    }

    fn read(key: Key, asked: Instant, answer: u64) -> Answered<u64> {
        Answered {
            key,
            asked,
            writes: false,
            answer,
            size: 1,
        }
    }

    fn write(key: Key, asked: Instant, answer: u64) -> Answered<u64> {
        Answered {
            writes: true,
            ..read(key, asked, answer)
        }
    }

    #[test]
    fn the_same_call_is_a_loop_once_it_was_answered_often_enough() {
        let (mut loops, start) = (Loops::new(SETTINGS), start());
        for n in 0..3 {
            let now = after(start, n * 10);
            assert_eq!(loops.repeated(now, &key("a", 1)), None);
            loops.answered(now, write(key("a", 1), now, n));
        }
        let later = after(start, 30);
        assert_eq!(loops.repeated(later, &key("a", 1)), Some((2, 3)));
        assert_eq!(loops.repeated(later, &key("b", 1)), None);
        assert_eq!(loops.repeated(later, &key("a", 2)), None);
        // The first one is a minute ago now.
        assert_eq!(loops.repeated(after(start, 60), &key("a", 1)), None);
    }

    #[test]
    fn another_action_of_the_same_client_begins_anew() {
        let (mut loops, now) = (Loops::new(SETTINGS), start());
        let one = key("a", 1);
        for _ in 0..3 {
            loops.answered(now, write(one.clone(), now, 0));
            loops.answered(now, write(key("b", 1), now, 0));
        }
        loops.answered(now, read(key("a", 2), now, 0));
        assert!(loops.repeated(now, &one).is_some(), "looking is no action");
        loops.answered(now, write(key("a", 3), now, 0));
        assert_eq!(loops.repeated(now, &one), None);
        assert!(loops.repeated(now, &key("b", 1)).is_some());
        loops.changed(&"b".into());
        assert_eq!(loops.repeated(now, &key("b", 1)), None);
        assert_eq!(loops.bytes, 1);
    }

    #[test]
    fn a_question_whose_answer_changes_is_no_loop() {
        let (mut loops, now) = (Loops::new(SETTINGS), start());
        for answer in [1, 1, 2, 2] {
            loops.answered(now, read(key("a", 1), now, answer));
        }
        assert_eq!(loops.repeated(now, &key("a", 1)), None);
        loops.answered(now, read(key("a", 1), now, 2));
        assert_eq!(loops.repeated(now, &key("a", 1)), Some((2, 3)));
    }

    #[test]
    fn what_is_asked_before_the_answer_is_known_is_no_repetition() {
        let (mut loops, start) = (Loops::new(SETTINGS), start());
        for n in 0..5 {
            loops.answered(after(start, n + 1), read(key("a", 1), start, 0));
        }
        assert_eq!(loops.repeated(after(start, 6), &key("a", 1)), None);
    }

    #[test]
    fn the_guard_can_be_turned_off_and_an_answer_that_is_too_large_is_not_kept() {
        let now = start();
        let off = Settings {
            calls: 0,
            ..SETTINGS
        };
        let mut loops = Loops::new(SETTINGS);
        for size in [1, 1, 11] {
            let call = Answered {
                size,
                ..read(key("a", 1), now, 0)
            };
            loops.answered(now, call);
        }
        assert_eq!((loops.repeated(now, &key("a", 1)), loops.bytes), (None, 0));
        loops.configure(off);
        for _ in 0..9 {
            loops.answered(now, write(key("a", 1), now, 0));
        }
        assert_eq!(loops.repeated(now, &key("a", 1)), None);
    }

    proptest! {
        #[test]
        fn memory_is_bounded_in_every_history(
            history in prop::collection::vec(
                (0u8..3, 0u8..6, any::<bool>(), 0usize..12, 0u64..40, 0u64..3), 0..200)
        ) {
            let (mut loops, mut now) = (Loops::new(SETTINGS), start());
            for (client, call, writes, size, pause, answer) in history {
                now += Duration::from_secs(pause);
                let key = key(&client.to_string(), call);
                if let Some((_, times)) = loops.repeated(now, &key) {
                    prop_assert_eq!(times, SETTINGS.calls);
                }
                let call = Answered { key, asked: now, writes, answer, size };
                loops.answered(now, call);
                prop_assert!(loops.by_age.len() <= SETTINGS.max_remembered);
                prop_assert!(loops.bytes <= SETTINGS.max_bytes);
                let calls = loops.clients.values().flat_map(HashMap::values);
                let sum: usize = calls.clone().map(|repeated| repeated.size).sum();
                prop_assert_eq!(loops.by_age.len(), calls.count());
                prop_assert_eq!(loops.bytes, sum);
            }
        }
    }
}
