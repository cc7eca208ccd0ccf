//! Whether a call is taken: the bounds, who gives way, and whether its turn would come in time.

use std::time::{Duration, Instant};

use super::lanes::Level;
use super::{Arrival, Mode, Queue, Refusal, Ticket};

/// A running estimate of how long calls take at the upstream.
#[derive(Debug, Default)]
pub(super) struct ServiceTime {
    samples: u32,
    seconds: f64,
}

impl ServiceTime {
    /// Before this many samples nobody is refused for an estimate.
    const ENOUGH: u32 = 10;
    const WEIGHT: f64 = 0.1;

    pub(super) fn add(&mut self, took: Duration) {
        let weight = if self.samples == 0 { 1.0 } else { Self::WEIGHT };
        self.seconds += weight * (took.as_secs_f64() - self.seconds);
        self.samples = self.samples.saturating_add(1);
    }

    pub(super) fn known(&self) -> Option<f64> {
        (self.samples >= Self::ENOUGH).then_some(self.seconds)
    }
}

impl Queue {
    /// Whether the call would be the next to start, and now: it needs no place to wait.
    pub(super) fn starts_at_once(&self, arrival: &Arrival) -> bool {
        self.mode == Mode::Open
            && self.running < self.limit
            && self.levels.iter().all(Level::is_quiet)
            && self
                .conflicts
                .would_be_free(&arrival.client, &arrival.effect)
    }

    /// Checks the bounds; names a less urgent call that gave way, if one had to.
    pub(super) fn make_room(
        &mut self,
        now: Instant,
        arrival: &Arrival,
    ) -> Result<Option<Ticket>, Refusal> {
        let of_client = self
            .waiting_by_client
            .get(&arrival.client)
            .copied()
            .unwrap_or(0);
        if of_client >= self.settings.max_waiting_per_client {
            self.refused += 1;
            return Err(Refusal::ClientFull { waiting: of_client });
        }
        let (ahead, expected) = self.expected_wait(arrival, of_client);
        if expected > arrival.deadline.saturating_duration_since(now) {
            self.hopeless += 1;
            return Err(Refusal::Hopeless { ahead, expected });
        }
        let waiting = self.waiting.len();
        if waiting + self.resting < self.settings.max_waiting {
            return Ok(None);
        }
        let less_urgent = &self.levels[arrival.priority as usize + 1..];
        let newest = less_urgent
            .iter()
            .rev()
            .find_map(|level| level.waiting.last().copied());
        let Some(newest) = newest else {
            self.refused += 1;
            return Err(Refusal::Full { waiting });
        };
        self.shed += 1;
        self.remove(newest);
        Ok(Some(newest))
    }

    /// How many calls go before a new one, and how long they take. Each other client gets at most
    /// as many turns as the call's own client needs to come to it.
    fn expected_wait(&self, arrival: &Arrival, of_client: usize) -> (usize, Duration) {
        let levels = &self.levels[..=arrival.priority as usize];
        let ahead: usize = levels.iter().map(|level| level.waiting.len()).sum();
        let turns = (of_client + 1).saturating_mul(self.waiting_by_client.len().max(1));
        let ahead = ahead.min(turns);
        match self.service.known() {
            Some(seconds) if self.limit > 0 && ahead > 0 => {
                let rounds = ahead.div_ceil(self.limit);
                let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
                let expected = Duration::try_from_secs_f64(seconds * f64::from(rounds));
                (ahead, expected.unwrap_or(Duration::MAX))
            }
            _ => (ahead, Duration::ZERO),
        }
    }
}
