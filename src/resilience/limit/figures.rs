//! What a limit tells about itself.

use std::time::{Duration, Instant};

use super::Limit;

/// Why the limit is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing is known yet.
    Start,
    /// The limit was used and the upstream kept up.
    Room,
    /// Calls waited inside the upstream.
    Crowd,
    /// The upstream could not keep up.
    Overload,
    /// The settings changed.
    Settings,
}

/// Figures of a limit, for the status.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Figures {
    /// Calls that may run now: `limit` (or `min`, while probing) and the parked ones, up to `max`.
    pub current: usize,
    /// Calls that may work at the upstream at once.
    pub limit: usize,
    /// The lowest limit.
    pub min: usize,
    /// The highest limit, and the most calls ever running.
    pub max: usize,
    /// Calls that run now.
    pub running: usize,
    /// Those among them that wait at the upstream without loading it.
    pub parked: usize,
    /// Whether the limit is at its minimum for a moment, to measure latencies without company.
    pub probing: bool,
    /// Mean latency of the calls of the last decision, in milliseconds.
    pub latency_ms: f64,
    /// What those calls would have taken without company, in milliseconds.
    pub baseline_ms: f64,
    /// Why the limit changed last.
    pub reason: Reason,
    /// The limit before that.
    pub previous: usize,
    /// Seconds since then; none if it never changed.
    pub changed_s_ago: Option<u64>,
}

impl Limit {
    /// The figures now.
    pub fn figures(&self, now: Instant) -> Figures {
        let ms = |micros| Duration::from_micros(micros).as_secs_f64() * 1000.0;
        let ago = |at| now.saturating_duration_since(at).as_secs();
        Figures {
            current: self.current(now),
            limit: self.places,
            min: self.settings.min,
            max: self.settings.max,
            running: self.running.len(),
            parked: self.parked(),
            probing: self.probing(now),
            latency_ms: ms(self.measured.0),
            baseline_ms: ms(self.measured.1),
            reason: self.reason,
            previous: self.previous,
            changed_s_ago: self.changed.map(ago),
        }
    }
}
