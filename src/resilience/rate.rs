//! Rates: how many calls in how much time, and how people write it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

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

    /// The period.
    pub const fn period(self) -> Duration {
        Duration::from_secs(match self.period {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3600,
        })
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
