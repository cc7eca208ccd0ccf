//! What is remembered of sessions between their requests: bounded, and lost without harm, since an
//! id says itself what its session is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Sessions in use, and as many that have ended. Those that were not used for longest go first.
    pub sessions: usize,
    /// What was not used for so long goes, too.
    pub idle: Duration,
}

/// Sessions by their numbers, each with what is remembered of it.
#[derive(Debug)]
pub struct SessionTable<T> {
    bounds: Bounds,
    known: HashMap<u128, Entry<T>>,
    ended: HashSet<u128>,
    /// In the order in which they ended.
    endings: VecDeque<u128>,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    used: Instant,
}

/// The session has ended, and its id is worth nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

impl<T: Clone> SessionTable<T> {
    /// Without any session.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            known: HashMap::new(),
            ended: HashSet::new(),
            endings: VecDeque::new(),
        }
    }

    /// What is remembered of a session that is used now; `new` if that is nothing yet.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn use_or(
        &mut self,
        number: u128,
        now: Instant,
        new: impl FnOnce() -> T,
    ) -> Result<T, Ended> {
        if self.ended.contains(&number) {
            return Err(Ended);
        }
        if !self.known.contains_key(&number) && self.known.len() >= self.bounds.sessions {
            self.make_room(now);
        }
        let entry = self.known.entry(number).or_insert_with(|| Entry {
            value: new(),
            used: now,
        });
        entry.used = now;
        Ok(entry.value.clone())
    }

    /// Ends a session for good; gives what was remembered of it.
    pub fn end(&mut self, number: u128) -> Option<T> {
        if self.ended.insert(number) {
            self.endings.push_back(number);
        }
        while self.endings.len() > self.bounds.sessions {
            if let Some(oldest) = self.endings.pop_front() {
                self.ended.remove(&oldest);
            }
        }
        self.known.remove(&number).map(|entry| entry.value)
    }

    /// Sessions that are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Drops what is idle, or else what was not used for longest.
    fn make_room(&mut self, now: Instant) {
        let idle = self.bounds.idle;
        self.known
            .retain(|_, entry| now.saturating_duration_since(entry.used) < idle);
        if self.known.len() >= self.bounds.sessions {
            let oldest = self.known.iter().min_by_key(|(_, entry)| entry.used);
            let oldest = oldest.map(|(number, _)| *number);
            oldest.map(|number| self.known.remove(&number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds {
        sessions: 3,
        idle: Duration::from_secs(10),
    };

    #[test]
    fn a_session_is_remembered_until_it_ends() {
        let (mut table, now) = (
            SessionTable::new(BOUNDS),
            tokio::time::Instant::now().into_std(),
        );
        assert_eq!(table.use_or(1, now, || "new"), Ok("new"));
        assert_eq!(table.use_or(1, now, || "newer"), Ok("new"));
        assert_eq!(table.end(1), Some("new"));
        assert_eq!(table.use_or(1, now, || "newer"), Err(Ended));
        assert_eq!(table.end(1), None);
    }

    #[test]
    fn a_session_that_nobody_remembers_can_end_too() {
        let mut table = SessionTable::new(BOUNDS);
        assert_eq!(table.end(7), None);
        assert_eq!(
            table.use_or(7, tokio::time::Instant::now().into_std(), || ()),
            Err(Ended)
        );
    }

    #[test]
    fn whoever_was_not_seen_for_longest_makes_room() {
        let (mut table, start) = (
            SessionTable::new(BOUNDS),
            tokio::time::Instant::now().into_std(),
        );
        for (second, number) in [(0, 1), (1, 2), (2, 3), (3, 1), (4, 4)] {
            table
                .use_or(number, start + Duration::from_secs(second), || number)
                .unwrap();
        }
        let now = start + Duration::from_secs(5);
        assert_eq!(table.use_or(1, now, || 0), Ok(1));
        assert_eq!(table.use_or(2, now, || 0), Ok(0), "it went");
        let late = now + Duration::from_mins(1);
        assert_eq!(table.use_or(9, late, || 9), Ok(9));
        assert_eq!(table.len(), 1, "the others were idle");
    }

    proptest! {
        #[test]
        fn it_never_grows_beyond_its_bounds(steps in prop::collection::vec((0u128..12, any::<bool>()), 0..100)) {
            let (mut table, now) = (SessionTable::new(BOUNDS), tokio::time::Instant::now().into_std());
            for (number, ends) in steps {
                if ends {
                    table.end(number);
                    prop_assert_eq!(table.use_or(number, now, || ()), Err(Ended));
                } else {
                    let _ = table.use_or(number, now, || ());
                }
                prop_assert!(table.len() <= 3 && table.ended.len() <= 3 && table.endings.len() <= 3);
            }
        }
    }
}
