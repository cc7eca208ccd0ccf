//! What a queue tells about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::lanes::Level;
use super::{Entry, Mode, Queue, Ticket};
use crate::protocol::priority::Priority;

/// Figures of a queue, for the status.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Figures {
    /// Calls waiting now.
    pub waiting: usize,
    /// Calls waiting now, by their present priority.
    pub waiting_by_priority: [usize; 3],
    /// The most that ever waited.
    pub most_waiting: usize,
    /// Calls that may wait.
    pub max_waiting: usize,
    /// How long the oldest of them has been waiting, in milliseconds.
    pub oldest_wait_ms: u64,
    /// The same for the calls of each priority.
    pub oldest_wait_ms_by_priority: [u64; 3],
    /// Calls of each client that wait.
    pub waiting_by_client: BTreeMap<String, usize>,
    /// How long the oldest of them has been waiting, in milliseconds.
    pub oldest_wait_ms_by_client: BTreeMap<String, u64>,
    /// Calls running now.
    pub running: usize,
    /// Calls that are about to be tried again.
    pub resting: usize,
    /// Calls that may run.
    pub limit: usize,
    /// What the queue does with calls: `open`, `paused` or `draining`.
    pub mode: Mode,
    /// How long a call runs on average, in milliseconds; nothing before the first ones ended.
    pub service_ms: Option<f64>,
    /// Calls that started, ever.
    pub started: u64,
    /// Calls that were refused because too many waited, ever.
    pub refused: u64,
    /// Calls that were refused because they would have waited beyond their deadline, ever.
    pub hopeless: u64,
    /// Calls that gave way to more urgent ones, ever.
    pub shed: u64,
    /// Calls whose deadline passed while they waited, ever.
    pub expired: u64,
}

impl Queue {
    /// How many waiting calls came before this one or are more urgent; nothing if it does not wait.
    /// Linear in the number of calls: for messages to people, not for decisions.
    pub fn position(&self, ticket: Ticket) -> Option<usize> {
        let entry = self.entries.get(&ticket).filter(|entry| entry.waits())?;
        let before = |level: &Level| level.waiting.range(..ticket).count();
        let (better, own) = self.levels.split_at(entry.arrival.priority as usize);
        let better: usize = better.iter().map(|level| level.waiting.len()).sum();
        Some(better + own.first().map_or(0, before))
    }

    /// The figures now. Linear in the number of waiting calls.
    pub fn figures(&self, now: Instant) -> Figures {
        let mut oldest_wait_ms_by_client = BTreeMap::new();
        for entry in self.waiting.iter().filter_map(|t| self.entries.get(t)) {
            oldest_wait_ms_by_client
                .entry(entry.arrival.client.to_string())
                .or_insert_with(|| waited_ms(entry, now));
        }
        let by_client = self.waiting_by_client.iter();
        let oldest = |waiting: &BTreeSet<Ticket>| {
            let entry = waiting.first().and_then(|ticket| self.entries.get(ticket));
            entry.map_or(0, |entry| waited_ms(entry, now))
        };
        Figures {
            waiting: self.waiting.len(),
            waiting_by_priority: Priority::ALL.map(|p| self.levels[p as usize].waiting.len()),
            most_waiting: self.most_waiting,
            max_waiting: self.settings.max_waiting,
            oldest_wait_ms: oldest(&self.waiting),
            oldest_wait_ms_by_priority: Priority::ALL
                .map(|priority| oldest(&self.levels[priority as usize].waiting)),
            waiting_by_client: by_client.map(|(name, n)| (name.to_string(), *n)).collect(),
            oldest_wait_ms_by_client,
            running: self.running,
            resting: self.resting,
            limit: self.limit,
            mode: self.mode,
            service_ms: self.service.known().map(|seconds| seconds * 1000.0),
            started: self.started,
            refused: self.refused,
            hopeless: self.hopeless,
            shed: self.shed,
            expired: self.expired,
        }
    }
}

fn waited_ms(entry: &Entry, now: Instant) -> u64 {
    let waited = now.saturating_duration_since(entry.arrived);
    u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)
}
