//! How calls become more urgent: by waiting, and by being waited for.

use std::time::Instant;

use super::{Queue, State, Ticket};
use crate::protocol::priority::Priority;

impl Queue {
    /// Lets calls rise that have waited long enough.
    pub(super) fn age(&mut self, now: Instant) {
        while let Some((due, ticket)) = self.aging.first().copied().filter(|(due, _)| *due <= now) {
            let raised = self
                .entries
                .get(&ticket)
                .and_then(|e| e.arrival.priority.raised());
            let Some(priority) = raised else {
                self.aging.remove(&(due, ticket));
                continue;
            };
            if self.raise(ticket, priority) {
                self.lend(ticket, priority);
            }
        }
    }

    /// Gives a call a better priority; says whether it is a write.
    fn raise(&mut self, ticket: Ticket, priority: Priority) -> bool {
        let Some(entry) = self.entries.get_mut(&ticket) else {
            return false;
        };
        let (is_write, was_ready) = (entry.is_write(), entry.state == State::Ready);
        let old = std::mem::replace(&mut entry.arrival.priority, priority);
        let arrival = &entry.arrival;
        self.levels[old as usize].remove(ticket, was_ready.then_some(&arrival.client));
        if is_write {
            self.levels[old as usize].writes.remove(&ticket);
            self.levels[priority as usize].writes.insert(ticket);
        }
        let level = &mut self.levels[priority as usize];
        if was_ready {
            level.add(ticket, &arrival.client, arrival.cost, !is_write);
        }
        if entry.waits() {
            level.waiting.insert(ticket);
            self.aging.remove(&(entry.rises, ticket));
            entry.rises += self.settings.aging_interval;
            if priority.raised().is_some() {
                self.aging.insert((entry.rises, ticket));
            }
        }
        is_write
    }

    /// Raises what a write waits for to the write's own priority, and what those wait for, and so
    /// on. Nothing is raised more than twice in its life, which bounds the work.
    pub(super) fn lend(&mut self, ticket: Ticket, priority: Priority) {
        let mut borrowers = vec![ticket];
        while let Some(ticket) = borrowers.pop() {
            let worse = &self.levels[priority as usize + 1..];
            let lenders = if self.conflicts.touches_everything(ticket) {
                worse
                    .iter()
                    .flat_map(|level| level.writes.range(..ticket).copied())
                    .collect()
            } else {
                self.conflicts.directly_before(ticket)
            };
            for lender in lenders {
                let entry = self.entries.get(&lender);
                if entry.is_some_and(|entry| entry.arrival.priority > priority) {
                    self.raise(lender, priority);
                    borrowers.push(lender);
                }
            }
        }
    }
}
