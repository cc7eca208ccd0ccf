//! How many retries the upstream is asked to bear: a retry budget.

use std::time::{Duration, Instant};

/// What one retry costs, in the percents that calls bring in.
const RETRY: u64 = 100;

/// The bounds of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Retries for each hundred calls.
    pub percent: u32,
    /// The most retries that calls can save up; without a bound, a good night would pay for a
    /// storm in the morning.
    pub max_saved: u32,
    /// Retries in each `period` that need no calls, so that a quiet house can retry at all.
    pub floor: u32,
    /// The time for which `floor` is enough.
    pub period: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            percent: 10,
            max_saved: 10,
            floor: 3,
            period: Duration::from_secs(10),
        }
    }
}

/// Figures of a budget, for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Retries that would be granted now, one after the other.
    pub available: u64,
    /// Retries granted, ever.
    pub granted: u64,
    /// Retries refused, ever.
    pub refused: u64,
}

/// Lets retries through as long as they are few beside the calls, so that trouble at the upstream
/// is not made worse by everyone trying again.
///
/// The idea and the words are those of Finagle's `RetryBudget`
/// (<https://twitter.github.io/finagle/docs/com/twitter/finagle/service/RetryBudget$.html>), built
/// as two token buckets: calls fill one, time the other. Both count in integers, so nothing drifts
/// however long it runs. In any stretch of time, retries are at most `percent` of its calls, plus
/// `max_saved`, plus `floor` for each `period` in it and once more; over the whole life without
/// `max_saved`.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    settings: Settings,
    /// Brought in by calls: percents of a retry.
    saved: u64,
    /// Brought in by time: nanoseconds times `floor`, so that a retry costs a whole `period`.
    earned: u128,
    /// Until when time has been paid for. Never goes back: no second is paid for twice.
    paid_until: Instant,
    granted: u64,
    refused: u64,
}

impl RetryBudget {
    /// A budget without calls yet, with the whole floor to spend.
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            saved: 0,
            earned: most_earned(&settings),
            paid_until: now,
            granted: 0,
            refused: 0,
        }
    }

    /// A call goes to the upstream for the first time. Not to be told of retries: they would earn
    /// further ones.
    pub fn deposit(&mut self) {
        let most = u64::from(self.settings.max_saved) * RETRY;
        self.saved = (self.saved + u64::from(self.settings.percent)).min(most);
    }

    /// Whether a call may be sent again now; if so, it is paid for.
    pub fn try_withdraw(&mut self, now: Instant) -> bool {
        self.earned = self.earned_at(now);
        self.paid_until = self.paid_until.max(now);
        let price = price(&self.settings);
        // What calls brought in goes first; the floor is for when they are few.
        let granted = if self.saved >= RETRY {
            self.saved -= RETRY;
            true
        } else if self.settings.floor > 0 && self.earned >= price {
            self.earned -= price;
            true
        } else {
            false
        };
        self.granted += u64::from(granted);
        self.refused += u64::from(!granted);
        granted
    }

    /// The figures now.
    pub fn figures(&self, now: Instant) -> Figures {
        let floor = self.earned_at(now) / price(&self.settings);
        Figures {
            available: self.saved / RETRY + u64::try_from(floor).unwrap_or(u64::MAX),
            granted: self.granted,
            refused: self.refused,
        }
    }

    fn earned_at(&self, now: Instant) -> u128 {
        let unpaid = now.saturating_duration_since(self.paid_until).as_nanos();
        let earned = unpaid.saturating_mul(u128::from(self.settings.floor));
        let most = most_earned(&self.settings);
        self.earned.saturating_add(earned).min(most)
    }
}

/// What a retry costs, in the unit of time's bucket. Never nothing, or the floor had no bound.
fn price(settings: &Settings) -> u128 {
    settings.period.as_nanos().max(1)
}

fn most_earned(settings: &Settings) -> u128 {
    price(settings) * u128::from(settings.floor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::disallowed_methods, reason = "only a starting point")]
    fn start() -> Instant {
        Instant::now()
    }

    fn granted(budget: &mut RetryBudget, now: Instant, tries: usize) -> usize {
        (0..tries).filter(|_| budget.try_withdraw(now)).count()
    }

    #[test]
    fn a_quiet_house_may_retry_three_times_in_ten_seconds() {
        let now = start();
        let mut budget = RetryBudget::new(Settings::default(), now);
        assert_eq!(granted(&mut budget, now, 9), 3);
        assert_eq!(granted(&mut budget, now + Duration::from_secs(4), 9), 1);
        assert_eq!(granted(&mut budget, now + Duration::from_hours(1), 9), 3);
        let figures = budget.figures(now + Duration::from_hours(2));
        assert_eq!(
            (figures.available, figures.granted, figures.refused),
            (3, 7, 20)
        );
    }

    #[test]
    fn each_ten_calls_pay_for_one_retry_exactly() {
        let now = start();
        let settings = Settings {
            floor: 0,
            ..Settings::default()
        };
        let mut budget = RetryBudget::new(settings, now);
        for _ in 0..10_000 {
            for _ in 0..9 {
                budget.deposit();
            }
            assert!(!budget.try_withdraw(now));
            budget.deposit();
            assert!(budget.try_withdraw(now));
        }
    }

    #[test]
    fn a_good_night_pays_for_no_storm() {
        let now = start();
        let mut budget = RetryBudget::new(Settings::default(), now);
        (0..100_000).for_each(|_| budget.deposit());
        assert_eq!(granted(&mut budget, now, 1000), 10 + 3);
    }

    #[test]
    fn a_clock_that_goes_back_earns_nothing_twice() {
        let now = start();
        let later = now + Duration::from_secs(10);
        let mut budget = RetryBudget::new(Settings::default(), now);
        assert_eq!(granted(&mut budget, later, 9), 3);
        assert_eq!(granted(&mut budget, now, 9), 0);
        assert_eq!(granted(&mut budget, later, 9), 0);
    }

    /// One thing that can happen to a budget.
    #[derive(Debug, Clone)]
    enum Step {
        Call,
        Retry,
        /// Time passes, in milliseconds.
        Pass(u64),
        /// The clock goes back, in milliseconds.
        Back(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => Just(Step::Call),
            4 => Just(Step::Retry),
            2 => (0_u64..4000).prop_map(Step::Pass),
            1 => (0_u64..2000).prop_map(Step::Back),
        ];
        prop::collection::vec(step, 0..100)
    }

    prop_compose! {
        fn any_settings()(
            percent in 0_u32..150, max_saved in 0_u32..12, floor in 0_u32..5, ms in 1_u64..9000
        ) -> Settings {
            Settings { percent, max_saved, floor, period: Duration::from_millis(ms) }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn over_any_stretch_retries_are_few_beside_the_calls(
            settings in any_settings(), steps in steps()
        ) {
            let start = start();
            let mut budget = RetryBudget::new(settings, start);
            // After each step: the latest time it was told (ms), calls and granted retries so far.
            let (mut ms, mut history) = (0, vec![(0, 0, 0)]);
            for step in steps {
                let (mut latest, mut calls, mut retries) = history[history.len() - 1];
                match step {
                    Step::Call => { budget.deposit(); calls += 1; }
                    Step::Retry => {
                        let now = start + Duration::from_millis(ms);
                        retries += u64::from(budget.try_withdraw(now));
                        latest = ms.max(latest);
                    }
                    Step::Pass(more) => ms += more,
                    Step::Back(less) => ms = ms.saturating_sub(less),
                }
                history.push((latest, calls, retries));
            }
            let period = u64::try_from(settings.period.as_millis()).unwrap();
            for (i, (since, calls_before, retries_before)) in history.iter().enumerate() {
                for (until, calls, retries) in &history[i..] {
                    // In hundredths of a retry times milliseconds, to compare without rounding.
                    let by_calls = (calls - calls_before) * u64::from(settings.percent);
                    let saved = if i == 0 { 0 } else { u64::from(settings.max_saved) * 100 };
                    let by_time = u64::from(settings.floor) * 100 * (until - since + period);
                    let paid = (by_calls + saved) * period + by_time;
                    prop_assert!((retries - retries_before) * 100 * period <= paid);
                }
            }
        }

        #[test]
        fn whatever_happened_the_floor_is_there_again_after_a_period(
            settings in any_settings(), steps in steps()
        ) {
            let mut now = start();
            let mut latest = now;
            let mut budget = RetryBudget::new(settings, now);
            for step in steps {
                match step {
                    Step::Call => budget.deposit(),
                    Step::Retry => { budget.try_withdraw(now); }
                    Step::Pass(ms) => now += Duration::from_millis(ms),
                    Step::Back(ms) => now = now.checked_sub(Duration::from_millis(ms)).unwrap(),
                }
                latest = latest.max(now);
            }
            let rested = latest + settings.period;
            let expected = budget.figures(rested).available;
            prop_assert!(expected >= u64::from(settings.floor));
            let mut granted = 0;
            while granted <= expected && budget.try_withdraw(rested) { granted += 1; }
            prop_assert_eq!(granted, expected);
        }
    }
}
