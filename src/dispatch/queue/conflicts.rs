//! Which writes must wait for which: those that may touch the same thing keep their order.
//!
//! Each thing has a line of the writes that touch it, in the order of arrival. A write is free when
//! it stands first in all of its lines. Writes of one client share a line, so they never overlap; a
//! write that may touch anything is free only when it is the oldest of all.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Effect, Ticket};

/// What a write touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// It cannot be told: anything.
    Everything,
    /// These things, by names that are equal for equal things.
    Only(Vec<Arc<str>>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Line {
    Client(Arc<str>),
    Target(Arc<str>),
}

/// The lines of all writes that are not over yet.
#[derive(Debug, Default)]
pub(super) struct Conflicts {
    writes: BTreeSet<Ticket>,
    everything: BTreeSet<Ticket>,
    lines: HashMap<Line, BTreeSet<Ticket>>,
    /// The lines in which a write stands.
    stands_in: HashMap<Ticket, Vec<Line>>,
}

fn lines_of(client: &Arc<str>, targets: &Targets) -> Vec<Line> {
    let own = std::iter::once(Line::Client(client.clone()));
    match targets {
        Targets::Everything => own.collect(),
        Targets::Only(things) => own
            .chain(things.iter().cloned().map(Line::Target))
            .collect(),
    }
}

impl Conflicts {
    /// Whether there are no writes.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.everything.is_empty()
            && self.lines.is_empty()
            && self.stands_in.is_empty()
    }

    /// Puts a write, the newest of all, at the end of its lines.
    pub(super) fn enter(&mut self, ticket: Ticket, client: &Arc<str>, targets: &Targets) {
        let lines = lines_of(client, targets);
        for line in &lines {
            self.lines.entry(line.clone()).or_default().insert(ticket);
        }
        self.stands_in.insert(ticket, lines);
        self.writes.insert(ticket);
        if *targets == Targets::Everything {
            self.everything.insert(ticket);
        }
    }

    /// Whether nothing stands before the write.
    pub(super) fn is_free(&self, ticket: Ticket) -> bool {
        if self.touches_everything(ticket) {
            return self.writes.first() == Some(&ticket);
        }
        let first_in = |line| {
            self.lines
                .get(line)
                .is_some_and(|l| l.first() == Some(&ticket))
        };
        self.everything
            .first()
            .is_none_or(|oldest| *oldest > ticket)
            && self
                .stands_in
                .get(&ticket)
                .is_some_and(|lines| lines.iter().all(first_in))
    }

    /// Whether a call that arrived now would be free.
    pub(super) fn would_be_free(&self, client: &Arc<str>, effect: &Effect) -> bool {
        match effect {
            Effect::Read => true,
            Effect::Write(Targets::Everything) => self.writes.is_empty(),
            Effect::Write(targets) => {
                self.everything.is_empty()
                    && lines_of(client, targets)
                        .iter()
                        .all(|line| !self.lines.contains_key(line))
            }
        }
    }

    /// Whether the write may touch anything.
    pub(super) fn touches_everything(&self, ticket: Ticket) -> bool {
        self.everything.contains(&ticket)
    }

    /// The writes right before this one in each of its lines, and the last one before it that
    /// touches everything.
    pub(super) fn directly_before(&self, ticket: Ticket) -> Vec<Ticket> {
        let before = |line: &BTreeSet<Ticket>| line.range(..ticket).next_back().copied();
        let lines = self.stands_in.get(&ticket).into_iter().flatten();
        let mut found: Vec<Ticket> = lines
            .filter_map(|line| self.lines.get(line))
            .filter_map(before)
            .collect();
        found.extend(before(&self.everything));
        found
    }

    /// Takes a write out of its lines; gives those that may be free now.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Vec<Ticket> {
        let mut next = Vec::new();
        for line in self.stands_in.remove(&ticket).unwrap_or_default() {
            if let Some(waiting) = self.lines.get_mut(&line) {
                waiting.remove(&ticket);
                next.extend(waiting.first());
                if waiting.is_empty() {
                    self.lines.remove(&line);
                }
            }
        }
        self.writes.remove(&ticket);
        if self.everything.remove(&ticket) {
            // Whatever came after it, up to the next one of its kind, has one reason less to wait.
            let until = self.everything.range(ticket..).next().copied();
            let held = self
                .writes
                .range(ticket..)
                .take_while(|w| until.is_none_or(|u| **w < u));
            next.extend(held);
        }
        let oldest = self
            .writes
            .first()
            .filter(|oldest| self.everything.contains(oldest));
        next.extend(oldest);
        next
    }
}
