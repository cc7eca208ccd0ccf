//! The calls of one priority: deficit round robin over clients (Shreedhar and Varghese, 1995).
//!
//! Clients take turns. A turn adds [`QUANTUM`] to what a client may spend; it runs its calls, the
//! oldest first, as long as that pays for them. So a client with many calls, or with dear ones,
//! gets no more of the upstream's time than one with few.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::Ticket;

/// What a client may spend in a turn.
pub(super) const QUANTUM: u32 = 8;

/// One priority.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// Calls that wait, whether or not they could start.
    pub waiting: BTreeSet<Ticket>,
    /// Writes that are not over yet, waiting or not.
    pub writes: BTreeSet<Ticket>,
    ready_reads: BTreeSet<Ticket>,
    lanes: HashMap<Arc<str>, Lane>,
    /// Clients with calls that could start, the next one in front.
    ring: VecDeque<Arc<str>>,
}

/// The calls of one client that could start, with their costs.
#[derive(Debug, Default)]
struct Lane {
    ready: BTreeMap<Ticket, u32>,
    /// What is left to spend; only while the client stands in the ring.
    deficit: u32,
    /// Whether this turn's quantum was added.
    in_turn: bool,
}

impl Level {
    /// Whether no call could start.
    pub(super) fn is_quiet(&self) -> bool {
        self.ring.is_empty()
    }

    /// The oldest read that could start.
    pub(super) fn oldest_read(&self) -> Option<Ticket> {
        self.ready_reads.first().copied()
    }

    /// A waiting call could start from now on.
    pub(super) fn add(&mut self, ticket: Ticket, client: &Arc<str>, cost: u32, is_read: bool) {
        let lane = self.lanes.entry(client.clone()).or_default();
        if lane.ready.is_empty() {
            self.ring.push_back(client.clone());
        }
        lane.ready.insert(ticket, cost.clamp(1, QUANTUM));
        if is_read {
            self.ready_reads.insert(ticket);
        }
    }

    /// The call whose turn it is. Asking again without [`Level::remove`] gives the same one.
    pub(super) fn peek(&mut self) -> Option<Ticket> {
        loop {
            let client = self.ring.front()?;
            let lane = self.lanes.get_mut(client)?;
            let (ticket, cost) = lane.ready.first_key_value().map(|(t, c)| (*t, *c))?;
            if !std::mem::replace(&mut lane.in_turn, true) {
                lane.deficit += QUANTUM;
            }
            if lane.deficit >= cost {
                return Some(ticket);
            }
            lane.in_turn = false;
            self.ring.rotate_left(1);
        }
    }

    /// A call waits no longer; if it could have started (`client` is given then), it is paid for.
    pub(super) fn remove(&mut self, ticket: Ticket, client: Option<&Arc<str>>) {
        self.waiting.remove(&ticket);
        self.ready_reads.remove(&ticket);
        let Some(client) = client else { return };
        let Some(lane) = self.lanes.get_mut(client) else {
            return;
        };
        if let Some(cost) = lane.ready.remove(&ticket) {
            lane.deficit = lane.deficit.saturating_sub(cost);
        }
        if lane.ready.is_empty() {
            self.lanes.remove(client);
            if self.ring.front() == Some(client) {
                self.ring.pop_front();
            } else {
                self.ring.retain(|other| other != client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(level: &mut Level, n: usize) -> Vec<u64> {
        let owners: HashMap<Ticket, Arc<str>> = level
            .lanes
            .iter()
            .flat_map(|(client, lane)| lane.ready.keys().map(|t| (*t, client.clone())))
            .collect();
        let mut served = Vec::new();
        while let Some(ticket) = level.peek().filter(|_| served.len() < n) {
            level.remove(ticket, owners.get(&ticket));
            served.push(ticket.0);
        }
        served
    }

    fn level(calls: &[(u64, &str, u32)]) -> Level {
        let mut level = Level::default();
        for (ticket, client, cost) in calls {
            level.add(Ticket(*ticket), &Arc::from(*client), *cost, true);
        }
        level
    }

    #[test]
    fn clients_take_turns_and_each_ones_calls_keep_their_order() {
        let calls = [
            (0, "a", 8),
            (1, "a", 8),
            (2, "a", 8),
            (3, "b", 8),
            (4, "b", 8),
            (5, "c", 8),
        ];
        assert_eq!(served(&mut level(&calls), 9), [0, 3, 5, 1, 4, 2]);
    }

    #[test]
    fn a_turn_pays_for_one_dear_call_or_several_cheap_ones() {
        let dear = (0..4).map(|n| (n, "dear", 8));
        let cheap = (10..30).map(|n| (n, "cheap", 2));
        let calls: Vec<_> = dear.chain(cheap).collect();
        let order = served(&mut level(&calls), 10);
        assert_eq!(order, [0, 10, 11, 12, 13, 1, 14, 15, 16, 17]);
    }

    #[test]
    fn no_call_is_free_and_none_costs_more_than_a_turn() {
        let free = (0..10).map(|n| (n, "free", 0));
        let calls: Vec<_> = free.chain([(10, "dear", 80), (11, "dear", 80)]).collect();
        let order = served(&mut level(&calls), 12);
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7, 10, 8, 9, 11]);
    }

    #[test]
    fn what_is_left_of_a_turn_is_kept_for_the_next() {
        let calls = [
            (0, "a", 5),
            (1, "a", 5),
            (2, "a", 5),
            (3, "b", 8),
            (4, "b", 8),
            (5, "b", 8),
        ];
        assert_eq!(served(&mut level(&calls), 9), [0, 3, 1, 2, 4, 5]);
    }
}
