//! How long to wait before the next attempt: exponential backoff with jitter.

use std::time::Duration;

/// Pauses that double from `base` up to `cap` and differ from one waiting party to the next, so
/// that those who failed together do not come back together.
///
/// The algorithms and their names are Marc Brooker's, "Exponential Backoff And Jitter":
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
///
/// `random` is a number in `0.0..1.0`; anything that is none counts as 1, the longest pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest pause after the first attempt.
    pub base: Duration,
    /// The longest pause of all.
    pub cap: Duration,
}

impl Backoff {
    /// Full jitter: anything between nothing and the [`ceiling`](Self::ceiling). The least load
    /// when many wait for the same thing. `attempt` counts from 0.
    pub fn pause(&self, attempt: u32, random: f64) -> Duration {
        fraction(self.ceiling(attempt), random)
    }

    /// Equal jitter: between half the [`ceiling`](Self::ceiling) and all of it. For a pause that
    /// must be one. `attempt` counts from 0.
    pub fn pause_at_least_half(&self, attempt: u32, random: f64) -> Duration {
        let half = self.ceiling(attempt) / 2;
        half + fraction(half, random)
    }

    /// The longest pause after this attempt: `base * 2^attempt`, at most `cap`.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 1_u128.checked_shl(attempt).unwrap_or(u128::MAX);
        let nanos = self.base.as_nanos().saturating_mul(factor);
        Duration::from_nanos_u128(nanos.min(self.cap.as_nanos()))
    }
}

/// `random` of `whole`. Less than the whole, so it cannot overflow.
fn fraction(whole: Duration, random: f64) -> Duration {
    if (0.0..1.0).contains(&random) {
        whole.mul_f64(random)
    } else {
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn backoff(base_ms: u64, cap_ms: u64) -> Backoff {
        Backoff {
            base: Duration::from_millis(base_ms),
            cap: Duration::from_millis(cap_ms),
        }
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let ceilings = [0, 1, 2, 3, 4, 5, 6, u32::MAX]
            .map(|attempt| backoff(500, 15_000).ceiling(attempt).as_millis());
        assert_eq!(
            ceilings,
            [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]
        );
    }

    #[test]
    fn jitter_takes_its_share_of_the_ceiling() {
        let backoff = backoff(1000, 8000);
        let pauses = [0.0, 0.25, 0.5].map(|random| backoff.pause(2, random).as_millis());
        assert_eq!(pauses, [0, 1000, 2000]);
        let pauses =
            [0.0, 0.25, 0.5].map(|random| backoff.pause_at_least_half(2, random).as_millis());
        assert_eq!(pauses, [2000, 2500, 3000]);
    }

    #[test]
    fn a_random_number_that_is_none_gives_the_longest_pause() {
        for random in [-0.1, 1.0, 7.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(backoff(500, 900).pause(3, random).as_millis(), 900);
        }
    }

    #[test]
    fn no_base_means_no_pause() {
        assert_eq!(backoff(0, 1000).ceiling(u32::MAX), Duration::ZERO);
    }

    fn any_duration() -> impl Strategy<Value = Duration> {
        let extreme = prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::from_nanos(1)),
            Just(Duration::MAX)
        ];
        prop_oneof![
            extreme,
            any::<u64>().prop_map(Duration::from_nanos),
            any::<Duration>()
        ]
    }

    prop_compose! {
        fn any_backoff()(base in any_duration(), cap in any_duration()) -> Backoff {
            Backoff { base, cap }
        }
    }

    proptest! {
        #[test]
        fn no_pause_exceeds_the_ceiling_nor_any_ceiling_the_cap(
            backoff in any_backoff(), attempt: u32,
            random in prop_oneof![prop::num::f64::ANY, 0.0..1.0, Just(1.0_f64.next_down())]
        ) {
            let ceiling = backoff.ceiling(attempt);
            prop_assert!(ceiling <= backoff.cap);
            prop_assert!(backoff.pause(attempt, random) <= ceiling);
            let pause = backoff.pause_at_least_half(attempt, random);
            prop_assert!(ceiling / 2 <= pause && pause <= ceiling);
        }

        #[test]
        fn the_ceiling_is_what_repeated_doubling_gives(
            backoff in any_backoff(), attempt in 0_u32..300
        ) {
            let doubled = (0..attempt).fold(backoff.base, |pause, _| pause.saturating_mul(2));
            prop_assert_eq!(backoff.ceiling(attempt), doubled.min(backoff.cap));
        }

        #[test]
        fn a_larger_random_number_never_gives_a_shorter_pause(
            backoff in any_backoff(), attempt in 0_u32..40, one in 0.0..1.0, other in 0.0..1.0
        ) {
            let (less, more) = if one <= other { (one, other) } else { (other, one) };
            prop_assert!(backoff.pause(attempt, less) <= backoff.pause(attempt, more));
        }
    }
}
