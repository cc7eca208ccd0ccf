//! The last calls, for people to look at: a ring, so that it never grows.

use std::collections::VecDeque;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

/// Calls that are kept.
pub(super) const CAPACITY: usize = 1000;

/// From where a call got its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Home Assistant was asked for it.
    Upstream,
    /// An identical call was on its way, and its answer served both.
    Joined,
    /// It is the answer to an identical call that was over.
    Repeated,
    /// The bridge knew it.
    Memory,
    /// The bridge had known it, and Home Assistant could not be asked.
    Stale,
}

impl Source {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Joined => "joined",
            Self::Repeated => "repeated",
            Self::Memory => "memory",
            Self::Stale => "stale",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With a result.
    Answered,
    /// With a result in which the tool says that it did not work.
    ToolFailed,
    /// With an error of Home Assistant's MCP server.
    Refused,
    /// With a failure on the way.
    Failed,
    /// Its client left before.
    Left,
}

impl Outcome {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ToolFailed => "tool_failed",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Left => "left",
        }
    }
}

/// One call that is over.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Call {
    /// Counts up from 1; later calls have larger ones.
    pub id: u64,
    /// When it came, in milliseconds since 1970.
    pub at: u64,
    /// Who called.
    #[schemars(with = "String")]
    pub client: Arc<str>,
    /// The MCP method.
    pub method: String,
    /// What was called: the name of the tool or prompt, or the address of the resource.
    pub target: Option<String>,
    /// The beginning of the arguments, as JSON; secrets in them are left out.
    pub arguments: Option<String>,
    /// The beginning of the result, as JSON.
    pub answer: Option<String>,
    /// Bytes of the whole result.
    pub answer_bytes: usize,
    /// From where the answer came.
    pub source: Source,
    /// How it ended.
    pub outcome: Outcome,
    /// The code of the catalogue, of a call that failed.
    pub code: Option<&'static str>,
    /// What that code means, in English.
    pub title: Option<&'static str>,
    /// What can be done about it, in English.
    pub fix: Option<&'static str>,
    /// What exactly went wrong.
    pub detail: Option<String>,
    /// How long it waited for its turn, in milliseconds.
    pub waited_ms: f64,
    /// How long Home Assistant had it, in milliseconds; nothing if it never got there.
    pub upstream_ms: Option<f64>,
    /// From its arrival to its end, in milliseconds.
    pub total_ms: f64,
}

impl Call {
    /// Whether somebody may want to know why it did not work.
    pub const fn went_wrong(&self) -> bool {
        matches!(
            self.outcome,
            Outcome::ToolFailed | Outcome::Refused | Outcome::Failed
        )
    }
}

/// Things in the order in which they came, numbered, of which only the last are kept.
#[derive(Debug)]
pub(super) struct Ring<T> {
    kept: VecDeque<Arc<T>>,
    capacity: usize,
    last: u64,
}

impl<T> Ring<T> {
    /// A ring that keeps so many.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            kept: VecDeque::new(),
            capacity,
            last: 0,
        }
    }

    /// Adds what `make` makes of its number; the oldest gives way.
    pub(super) fn push(&mut self, make: impl FnOnce(u64) -> T) {
        self.last += 1;
        if self.kept.len() == self.capacity {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::new(make(self.last)));
    }

    /// The number of the newest; 0 if there never was one.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// Those after number `after`, oldest first, but at most the newest `most` of them.
    pub(super) fn after(&self, after: u64, most: usize) -> Vec<Arc<T>> {
        // Numbers from before a restart may be larger than any of now: all is news then.
        let after = if after > self.last { 0 } else { after };
        let news = usize::try_from(self.last - after).unwrap_or(usize::MAX);
        let take = news.min(most).min(self.kept.len());
        self.kept.range(self.kept.len() - take..).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(ring: &Ring<u64>, after: u64, most: usize) -> Vec<u64> {
        ring.after(after, most).iter().map(|n| **n).collect()
    }

    #[test]
    fn the_last_ones_are_kept_and_numbered() {
        let mut ring = Ring::new(3);
        assert_eq!((ring.last(), numbers(&ring, 0, 9)), (0, vec![]));
        for _ in 0..5 {
            ring.push(|id| id);
        }
        assert_eq!(ring.last(), 5);
        assert_eq!(numbers(&ring, 0, 9), [3, 4, 5]);
        assert_eq!(numbers(&ring, 4, 9), [5]);
        assert!(numbers(&ring, 5, 9).is_empty());
        assert_eq!(numbers(&ring, 0, 2), [4, 5]);
        assert_eq!(numbers(&ring, 77, 9), [3, 4, 5], "from before a restart");
    }

    proptest! {
        #[test]
        fn whoever_asks_again_and_again_gets_each_once_unless_too_many_came(
            rounds in prop::collection::vec(0_usize..6, 0..40)
        ) {
            let mut ring = Ring::new(6);
            let (mut seen, mut cursor) = (Vec::new(), 0);
            for pushed in rounds {
                for _ in 0..pushed {
                    ring.push(|id| id);
                }
                seen.extend(numbers(&ring, cursor, 6));
                cursor = ring.last();
            }
            prop_assert_eq!(seen, (1..=ring.last()).collect::<Vec<_>>());
        }
    }
}
