//! Figures by time: buckets of equal width, of which only the last are kept.

use std::collections::VecDeque;

/// Steps of a histogram for each doubling of the duration.
const STEPS: f64 = 4.0;
/// Up to 2^17 ms, more than any call takes.
const SLOTS: usize = 17 * 4 + 1;

/// How long calls took: counts by logarithmic steps, exact to a fifth.
#[derive(Debug, Clone)]
pub(super) struct Histogram([u32; SLOTS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; SLOTS])
    }
}

impl Histogram {
    /// Counts one duration in milliseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded by the number of slots"
    )]
    pub(super) fn add(&mut self, ms: f64) {
        let slot = (STEPS * (ms.max(0.0) + 1.0).log2()) as usize;
        let count = &mut self.0[slot.min(SLOTS - 1)];
        *count = count.saturating_add(1);
    }

    /// Adds all of another one.
    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count = count.saturating_add(*more);
        }
    }

    /// The duration in milliseconds below which this share of them lies; nothing if there are none.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody reads the fifteenth digit"
    )]
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.0.iter().map(|n| u64::from(*n)).sum();
        let wanted = (total as f64 * share).max(1.0);
        let mut seen = 0.0;
        for (slot, count) in self.0.iter().enumerate() {
            seen += f64::from(*count);
            if seen >= wanted {
                let middle = (slot as f64 + 0.5) / STEPS;
                return Some(middle.exp2() - 1.0);
            }
        }
        None
    }
}

/// What happened in one span of time.
#[derive(Debug, Clone, Default)]
pub(super) struct Bucket {
    /// Calls that ended.
    pub(super) calls: u32,
    /// Those of them that went wrong.
    pub(super) errors: u32,
    /// The most calls that waited.
    pub(super) most_waiting: u32,
    /// Answers of the upstream.
    pub(super) good: u32,
    /// Troubles with the upstream.
    pub(super) bad: u32,
    /// How long calls took.
    pub(super) took: Histogram,
}

/// The buckets of the last span of time.
#[derive(Debug)]
pub(super) struct Series {
    buckets: VecDeque<Bucket>,
    width_ms: u64,
    /// Which one the newest is, counted since 1970.
    newest: u64,
}

impl Series {
    /// So many buckets, each so wide, up to now.
    pub(super) fn new(buckets: usize, width_ms: u64, now: u64) -> Self {
        Self {
            buckets: std::iter::repeat_with(Bucket::default)
                .take(buckets)
                .collect(),
            width_ms,
            newest: now / width_ms,
        }
    }

    /// The bucket of this moment, in milliseconds since 1970. A clock that was set back counts on in
    /// the newest one.
    pub(super) fn at(&mut self, now: u64) -> &mut Bucket {
        let number = now / self.width_ms;
        let steps = number.saturating_sub(self.newest);
        for _ in 0..steps.min(self.buckets.len() as u64) {
            self.buckets.pop_front();
            self.buckets.push_back(Bucket::default());
        }
        self.newest = self.newest.max(number);
        let last = self.buckets.len() - 1;
        &mut self.buckets[last]
    }

    /// All buckets up to this moment, oldest first.
    pub(super) fn until(&mut self, now: u64) -> impl ExactSizeIterator<Item = &Bucket> {
        self.at(now);
        self.buckets.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn calls(series: &mut Series, now: u64) -> Vec<u32> {
        series.until(now).map(|bucket| bucket.calls).collect()
    }

    #[test]
    fn buckets_move_on_with_the_time_and_no_further_than_they_reach() {
        let mut series = Series::new(3, 60_000, 0);
        series.at(59_999).calls += 1;
        series.at(60_000).calls += 2;
        assert_eq!(calls(&mut series, 61_000), [0, 1, 2]);
        assert_eq!(calls(&mut series, 125_000), [1, 2, 0]);
        assert_eq!(calls(&mut series, u64::MAX), [0, 0, 0]);
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing() {
        let mut series = Series::new(3, 60_000, 600_000);
        series.at(600_000).calls += 1;
        series.at(0).calls += 1;
        assert_eq!(calls(&mut series, 0), [0, 0, 2]);
    }

    proptest! {
        #[test]
        fn quantiles_are_right_to_a_fifth(mut durations in prop::collection::vec(0.0..100_000.0_f64, 1..200)) {
            let mut histogram = Histogram::default();
            for ms in &durations {
                histogram.add(*ms);
            }
            durations.sort_by(f64::total_cmp);
            for share in [0.0, 0.5, 0.95, 1.0] {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
                let place = ((durations.len() as f64 * share).ceil() as usize).max(1) - 1;
                let (exact, told) = (durations[place], histogram.quantile(share).unwrap());
                prop_assert!((told - exact).abs() <= 0.2 * (exact + 1.0), "{share}: {exact} {told}");
            }
        }
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
