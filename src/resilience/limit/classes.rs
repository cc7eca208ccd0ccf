//! Classes of calls: how long one takes without company, and whether it only holds a place.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Classes that are remembered; the one unused for longest is forgotten for a new one.
pub(super) const MOST: usize = 256;
/// How many calm calls make a baseline, and what the old one is worth when a probe begins.
pub(super) const CALM_CALLS: u64 = 16;
const OLD_CALLS: u64 = 2;
/// So many overtaken calls in a row, and the next ones of the class are taken to be parked at once.
const OVERTAKEN_CALLS: u8 = 3;
/// Latencies are taken as at least and at most this, in microseconds: less than a millisecond is
/// noise of this machine, more than an hour is none.
const LATENCY: (u64, u64) = (1_000, 3_600_000_000);

/// A latency in microseconds, within reason.
pub(super) fn latency(took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    micros.clamp(LATENCY.0, LATENCY.1)
}

/// A class of calls that take about the same time, such as a method, or a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(u64);

impl Class {
    /// The class with this name, for example `(method, tool)`.
    pub fn of(name: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What is known of a class.
#[derive(Debug)]
pub(super) struct Known {
    /// The latency without company, in microseconds.
    pub base: u64,
    /// Calm calls in it, up to [`CALM_CALLS`].
    calm: u64,
    /// So many of its calls in a row were overtaken.
    overtaken: u8,
    used: Instant,
}

/// What is known of all classes.
#[derive(Debug, Default)]
pub(super) struct Classes(BTreeMap<Class, Known>);

impl Classes {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a call of this class was answered before.
    pub(super) fn knows(&self, class: Class) -> bool {
        self.0.contains_key(&class)
    }

    /// Whether calls of this class hold a place without loading the upstream.
    pub(super) fn parks(&self, class: Class) -> bool {
        let class = self.0.get(&class);
        class.is_some_and(|class| class.overtaken >= OVERTAKEN_CALLS)
    }

    /// A call of this class was answered, overtaken by a later one or not. A new
    /// class takes the latency of the call for what it is without company.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        class: Class,
        latency: u64,
        overtaken: bool,
    ) -> &mut Known {
        if !self.knows(class) && self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, class)| class.used);
            if let Some(oldest) = oldest.map(|(class, _)| *class) {
                self.0.remove(&oldest);
            }
        }
        let known = self.0.entry(class).or_insert(Known {
            base: latency,
            calm: 0,
            overtaken: 0,
            used: now,
        });
        known.used = now;
        known.overtaken = if overtaken {
            known.overtaken.saturating_add(1)
        } else {
            0
        };
        known
    }

    /// The baselines may be out of date: new calm calls count for more than old ones.
    pub(super) fn doubt(&mut self) {
        for class in self.0.values_mut() {
            class.calm = class.calm.min(OLD_CALLS);
        }
    }
}

impl Known {
    /// Takes a calm call into the baseline. A single hiccup does not count for much.
    pub(super) fn learn(&mut self, latency: u64) {
        let most = if self.calm == 0 {
            latency
        } else {
            2 * self.base
        };
        let before = self.calm.min(CALM_CALLS - 1);
        self.base = (self.base * before + latency.min(most)) / (before + 1);
        self.calm = before + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "only a starting point")]
    fn epoch() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_baseline_takes_no_notice_of_a_hiccup() {
        let mut classes = Classes::default();
        for _ in 0..CALM_CALLS {
            classes
                .answered(epoch(), Class::of("tool"), 20_000, false)
                .learn(20_000);
        }
        let known = classes.answered(epoch(), Class::of("tool"), 60_000_000, false);
        known.learn(60_000_000);
        assert!((20_000..23_000).contains(&known.base), "{known:?}");
    }

    #[test]
    fn the_class_unused_for_longest_gives_way_to_a_new_one() {
        let mut classes = Classes::default();
        let mut now = epoch();
        for name in 0..MOST {
            now += Duration::from_millis(1);
            classes.answered(now, Class::of(name), 20_000, false);
        }
        now += Duration::from_millis(1);
        classes.answered(now, Class::of(0), 20_000, false);
        classes.answered(now, Class::of("new"), 20_000, false);
        assert_eq!(classes.len(), MOST);
        assert!(classes.knows(Class::of("new")) && classes.knows(Class::of(0)));
        assert!(!classes.knows(Class::of(1)));
    }
}
