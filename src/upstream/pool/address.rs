//! One address of an upstream, as the pool sees it.

use std::time::{Duration, Instant};

/// The most that is waited after a first failure; twice as long after each further one ...
const FIRST: Duration = Duration::from_millis(250);
/// ... but no longer than this.
const LONGEST: Duration = Duration::from_mins(1);

/// One address.
#[derive(Debug, Default)]
pub(super) struct Address {
    /// Whether the server there gave out a session when it was last greeted.
    pub(super) has_sessions: bool,
    /// Calls there now.
    pub(super) outstanding: usize,
    /// It cannot be reached, or does not serve.
    pub(super) trouble: Backoff,
    /// It serves, but did not give another session.
    pub(super) growth: Backoff,
}

/// Something that failed, and is left alone for a while: exponential backoff with full jitter.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Whether nothing failed.
    pub(super) const fn is_none(&self) -> bool {
        self.until.is_none()
    }

    /// Until when it is left alone; nothing if nothing failed.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// It failed. What fails while it is left alone failed for the reason that is known already.
    pub(super) fn fail(&mut self, now: Instant, random: u64) {
        if self.until.is_some_and(|until| now < until) {
            return;
        }
        let most = FIRST.saturating_mul(1 << self.failures.min(16));
        let nanos = (u128::from(random) * most.min(LONGEST).as_nanos()) >> u64::BITS;
        let pause = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + pause);
    }

    /// It did not fail.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_further_failure_may_double_the_pause_up_to_a_minute() {
        let mut now = tokio::time::Instant::now().into_std();
        let mut backoff = Backoff::default();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            backoff.fail(now, u64::MAX);
            let until = backoff.until().unwrap();
            pauses.push((until - now).as_millis() + 1);
            now = until;
        }
        assert_eq!(pauses[..4], [250, 500, 1000, 2000]);
        assert_eq!(pauses[8..], [60_000; 32]);
    }

    #[test]
    fn the_jitter_is_full() {
        let now = tokio::time::Instant::now().into_std();
        let pause = |random| {
            let mut backoff = Backoff::default();
            backoff.fail(now, random);
            backoff.until().unwrap() - now
        };
        assert_eq!(pause(0), Duration::ZERO);
        assert_eq!(pause(1 << 63), FIRST / 2);
    }

    #[test]
    fn failures_of_the_same_moment_count_once() {
        let now = tokio::time::Instant::now().into_std();
        let mut backoff = Backoff::default();
        backoff.fail(now, u64::MAX);
        let until = backoff.until();
        backoff.fail(now, u64::MAX);
        assert_eq!(backoff.until(), until);
    }

    #[test]
    fn a_success_forgets_every_failure() {
        let now = tokio::time::Instant::now().into_std();
        let mut backoff = Backoff::default();
        backoff.fail(now, 0);
        backoff.clear();
        assert!(backoff.is_none());
        backoff.fail(now, u64::MAX);
        assert!(backoff.until().unwrap() - now < FIRST);
    }
}
