//! Rates: how many calls in how much time, how people write it, and how much of one is used up.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// So many calls in a second, a minute or an hour; written `60/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    calls: NonZeroU32,
    period: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Second,
    Minute,
    Hour,
}

/// A text that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no rate; write it like 60/min, with s, min or h behind a number from 1 to {MAX}")]
pub struct NotARate;

/// More calls in a period than anybody has.
const MAX: u32 = 1_000_000;

impl Rate {
    /// How many calls there may be in a period.
    pub const fn calls(self) -> u32 {
        self.calls.get()
    }

    /// What one call takes of the period.
    fn step(self) -> Duration {
        self.period() / self.calls()
    }

    /// The period.
    pub const fn period(self) -> Duration {
        Duration::from_secs(match self.period {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3600,
        })
    }
}

/// How much of a rate is used up: the generic cell rate algorithm (GCRA, ITU-T I.371), which is one
/// moment in time instead of a list of calls.
///
/// Each call takes its share of the period, starting where the last one ended; whoever has used up a
/// whole period ahead has to wait. So all calls of a period may come at once after a pause, and as
/// many again only as time goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Up to where the calls have taken their shares.
    used_until: Option<Instant>,
}

/// What is left of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The rate.
    pub rate: Rate,
    /// Calls that may come at once.
    pub remaining: u32,
    /// After how long without calls all of them may.
    pub reset: Duration,
}

impl Usage {
    /// Nothing of the rate is used up any more: the same as no usage at all.
    pub fn is_over(self, now: Instant) -> bool {
        self.used_until.is_none_or(|until| until <= now)
    }

    /// The usage after one more call.
    ///
    /// # Errors
    /// How long to wait, if it came too early.
    pub fn with_one_more(self, rate: Rate, now: Instant) -> Result<Self, Duration> {
        let used_until = self.start(now) + rate.step();
        let ahead = used_until.saturating_duration_since(now);
        match ahead.checked_sub(rate.period()) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(Self {
                used_until: Some(used_until),
            }),
        }
    }

    /// What is left.
    pub fn standing(self, rate: Rate, now: Instant) -> Standing {
        let reset = self.start(now).saturating_duration_since(now);
        let left = rate.period().saturating_sub(reset).as_nanos();
        let remaining = left / rate.step().as_nanos().max(1);
        Standing {
            rate,
            remaining: u32::try_from(remaining).map_or(rate.calls(), |n| n.min(rate.calls())),
            reset,
        }
    }

    fn start(self, now: Instant) -> Instant {
        self.used_until.map_or(now, |until| until.max(now))
    }
}

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let (calls, period) = text.split_once('/').ok_or(NotARate)?;
        let calls: NonZeroU32 = calls.trim().parse().map_err(|_| NotARate)?;
        let period = match period.trim() {
            "s" => Period::Second,
            "min" => Period::Minute,
            "h" => Period::Hour,
            _ => return Err(NotARate),
        };
        if calls.get() > MAX {
            return Err(NotARate);
        }
        Ok(Self { calls, period })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            Period::Second => "s",
            Period::Minute => "min",
            Period::Hour => "h",
        };
        write!(f, "{}/{period}", self.calls)
    }
}

impl TryFrom<String> for Rate {
    type Error = NotARate;

    fn try_from(text: String) -> Result<Self, NotARate> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_whole_period_may_come_at_once_and_then_one_step_at_a_time() {
        let (rate, start) = ("60/min".parse().unwrap(), now());
        let mut usage = Usage::default();
        for n in (0..60).rev() {
            usage = usage.with_one_more(rate, start).unwrap();
            assert_eq!(usage.standing(rate, start).remaining, n);
        }
        let second = Duration::from_secs(1);
        assert_eq!(usage.with_one_more(rate, start), Err(second));
        let late = start + second / 4;
        assert_eq!(usage.with_one_more(rate, late), Err(second * 3 / 4));
        usage = usage.with_one_more(rate, start + second).unwrap();
        assert_eq!(usage.with_one_more(rate, start + second), Err(second));
        assert_eq!(usage.standing(rate, start + second).reset, 60 * second);
        assert!(!usage.is_over(start + 60 * second));
        assert!(usage.is_over(start + 61 * second));
        let rested = usage.standing(rate, start + 3600 * second);
        assert_eq!((rested.remaining, rested.reset), (60, Duration::ZERO));
    }

    proptest! {
        /// In any stretch of time there are no more calls than the rate has for it, and a period's
        /// worth on top.
        #[test]
        fn no_history_gets_more_than_the_rate_and_one_period(
            calls in 1..500_u32,
            unit in prop::sample::select(vec!["s", "min", "h"]),
            pauses in prop::collection::vec(0..5_000_u64, 1..2000),
        ) {
            let rate: Rate = format!("{calls}/{unit}").parse().unwrap();
            let (mut usage, start) = (Usage::default(), now());
            let (mut at, mut let_in) = (start, 0_u32);
            for pause in pauses {
                at += Duration::from_millis(pause);
                match usage.with_one_more(rate, at) {
                    Ok(next) => {
                        usage = next;
                        let_in += 1;
                    }
                    Err(wait) => {
                        // Whoever waits for so long is let in.
                        prop_assert!(wait <= rate.period());
                        prop_assert!(usage.with_one_more(rate, at + wait).is_ok());
                    }
                }
                // The step is cut to whole nanoseconds, which lets a call more in an hour.
                let earned = (at - start).as_nanos() / rate.step().as_nanos();
                prop_assert!(u128::from(let_in) <= earned + u128::from(calls) + 1);
            }
        }
    }

    #[test]
    fn a_rate_is_read_as_it_is_written() {
        for text in ["1/s", "60/min", "1000000/h"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        let rate: Rate = "30 / min".parse().unwrap();
        assert_eq!((rate.calls(), rate.period().as_secs()), (30, 60));
    }

    #[test]
    fn other_texts_are_no_rates() {
        for text in ["", "60", "0/min", "-1/s", "60/day", "1000001/h", "/s", "1/"] {
            assert_eq!(text.parse::<Rate>(), Err(NotARate), "{text:?}");
        }
    }
}
