//! Which calls are tried again, and when.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::scheduler::Experience;
use crate::resilience::backoff::Backoff;
use crate::resilience::budget::{self, RetryBudget};
use crate::upstream::Trouble;

/// Pauses between attempts. Short, since the breaker paces them once trouble lasts.
const PAUSES: Backoff = Backoff {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(2),
};

/// Decides on retries, within a budget over all calls.
#[derive(Debug)]
pub(super) struct Retries {
    budget: Mutex<RetryBudget>,
}

/// What a trouble says about the upstream. An answer that says "no" is no trouble of it.
pub(super) fn experience(trouble: &Trouble) -> Experience {
    match trouble.root() {
        Trouble::Connect(_)
        | Trouble::Lost(_)
        | Trouble::Truncated(_)
        | Trouble::NotReady
        | Trouble::WentDown => Experience::Trouble { overloaded: false },
        Trouble::Timeout => Experience::Trouble { overloaded: true },
        Trouble::Status { status, .. } => match *status {
            502 => Experience::Trouble { overloaded: false },
            429 | 503 | 504 => Experience::Trouble { overloaded: true },
            500.. => Experience::Unknown,
            _ => Experience::Answered,
        },
        Trouble::Tls(_)
        | Trouble::TooLarge { .. }
        | Trouble::NotAnAnswer(_)
        | Trouble::Redirect(_)
        | Trouble::Greeting(_) => Experience::Unknown,
    }
}

impl Retries {
    /// With a full budget.
    pub(super) fn new() -> Self {
        let now = Instant::now().into_std();
        Self {
            budget: Mutex::new(RetryBudget::new(budget::Settings::default(), now)),
        }
    }

    /// A call is made for the first time.
    pub(super) fn call(&self) {
        self.budget
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .deposit();
    }

    /// How long to wait before the call is tried again; nothing if it is not.
    ///
    /// A write is only tried again if surely nothing of it arrived. Where nothing was sent at all,
    /// for want of a connection, a retry costs the upstream nothing and the budget is spared.
    pub(super) fn pause(&self, trouble: &Trouble, writes: bool, attempt: u32) -> Option<Duration> {
        let passes = matches!(experience(trouble), Experience::Trouble { .. });
        if !passes || writes && trouble.may_have_run() {
            return None;
        }
        let free = matches!(trouble.root(), Trouble::Connect(_) | Trouble::NotReady);
        let now = Instant::now().into_std();
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        (free || budget.try_withdraw(now)).then(|| PAUSES.pause(attempt, rand::random()))
    }

    /// The figures now.
    pub(super) fn figures(&self) -> budget::Figures {
        let now = Instant::now().into_std();
        self.budget
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .figures(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Trouble {
        Trouble::Status {
            status,
            text: String::new(),
        }
    }

    #[test]
    fn a_write_is_tried_again_only_if_surely_nothing_of_it_arrived() {
        let retries = Retries::new();
        let again = |trouble: &Trouble| retries.pause(trouble, true, 0).is_some();
        assert!(again(&Trouble::Connect(String::new())));
        assert!(again(&status(503)));
        assert!(again(&Trouble::Greeting(Box::new(Trouble::Lost(
            String::new()
        )))));
        for trouble in [
            Trouble::Lost(String::new()),
            Trouble::Timeout,
            status(502),
            status(504),
        ] {
            assert!(!again(&trouble), "{trouble}");
        }
    }

    #[test]
    fn what_would_fail_again_is_not_tried_again() {
        let retries = Retries::new();
        for trouble in [
            status(400),
            status(401),
            status(403),
            status(404),
            Trouble::Tls(String::new()),
            Trouble::NotAnAnswer(String::new()),
            Trouble::TooLarge { limit: 1 },
        ] {
            assert!(retries.pause(&trouble, false, 0).is_none(), "{trouble}");
        }
    }

    #[test]
    fn the_budget_bounds_retries_but_not_the_search_for_a_connection() {
        let retries = Retries::new();
        let granted = (0..100)
            .filter(|_| retries.pause(&status(502), false, 0).is_some())
            .count();
        assert!((1..10).contains(&granted), "{granted}");
        assert!((0..100).all(|n| {
            retries
                .pause(&Trouble::Connect(String::new()), false, n)
                .is_some()
        }));
    }

    #[test]
    fn only_trouble_of_the_upstream_itself_reaches_the_breaker() {
        for answer in [400, 401, 403, 404] {
            assert!(
                matches!(experience(&status(answer)), Experience::Answered),
                "{answer}"
            );
        }
        for trouble in [502, 503, 504] {
            assert!(
                matches!(experience(&status(trouble)), Experience::Trouble { .. }),
                "{trouble}"
            );
        }
    }
}
