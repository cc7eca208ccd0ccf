//! The queue: which waiting call may start now. A state machine without clock, task or lock.
//!
//! Calls are offered, start in the order in which they came as long as the limit allows, and are
//! reported as finished. Whoever drives it passes the time in and carries the decisions out.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

/// The bounds of a queue.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Calls that may wait; one more is refused.
    pub max_waiting: usize,
    /// Calls that may run at the upstream at the same time.
    pub max_parallel_calls: usize,
}

/// A place in the queue. Tickets are given out in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Why a call was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// As many calls as allowed are waiting.
    Full {
        /// Calls waiting.
        waiting: usize,
    },
    /// Its deadline is over.
    Late,
    /// The queue takes nothing new.
    Draining,
}

/// Figures of a queue, for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Calls waiting now.
    pub waiting: usize,
    /// The most that ever waited.
    pub most_waiting: usize,
    /// Calls that may wait.
    pub max_waiting: usize,
    /// Calls running now.
    pub running: usize,
    /// Calls that may run.
    pub limit: usize,
    /// Calls that started, ever.
    pub started: u64,
    /// Calls that were refused because the queue was full, ever.
    pub refused: u64,
    /// Calls whose deadline passed while they waited, ever.
    pub expired: u64,
}

/// The state of the queue.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    next: u64,
    /// Deadlines, in the order of arrival.
    waiting: BTreeMap<Ticket, Instant>,
    running: HashSet<Ticket>,
    draining: bool,
    most_waiting: usize,
    started: u64,
    refused: u64,
    expired: u64,
}

impl Queue {
    /// An empty queue.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            next: 0,
            waiting: BTreeMap::new(),
            running: HashSet::new(),
            draining: false,
            most_waiting: 0,
            started: 0,
            refused: 0,
            expired: 0,
        }
    }

    /// Takes a call that must have been answered by `deadline`. It waits until [`Queue::start`]
    /// names its ticket.
    ///
    /// # Errors
    /// [`Refusal`]; the queue is as it was then.
    pub fn offer(&mut self, now: Instant, deadline: Instant) -> Result<Ticket, Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        if deadline <= now {
            self.expired += 1;
            return Err(Refusal::Late);
        }
        let could_start = self.waiting.is_empty() && self.has_room();
        if !could_start && self.waiting.len() >= self.settings.max_waiting {
            self.refused += 1;
            return Err(Refusal::Full {
                waiting: self.waiting.len(),
            });
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.insert(ticket, deadline);
        if !could_start {
            self.most_waiting = self.most_waiting.max(self.waiting.len());
        }
        Ok(ticket)
    }

    /// The next call that starts now, if there is room for one; calls whose deadline is over are
    /// passed by. To be asked until it says `None`, after every other change.
    pub fn start(&mut self, now: Instant) -> Option<Ticket> {
        while self.has_room() {
            let (ticket, deadline) = self.waiting.pop_first()?;
            if deadline <= now {
                self.expired += 1;
                continue;
            }
            self.running.insert(ticket);
            self.started += 1;
            return Some(ticket);
        }
        None
    }

    /// The call is over: answered, failed, or left by its client. Frees its place wherever it was;
    /// a ticket that has none any more changes nothing.
    pub fn finish(&mut self, ticket: Ticket) {
        self.running.remove(&ticket);
        self.waiting.remove(&ticket);
    }

    /// The deadline of a waiting call has passed.
    pub fn expire(&mut self, ticket: Ticket) {
        if self.waiting.remove(&ticket).is_some() {
            self.expired += 1;
        }
    }

    /// From now on nothing new is taken; what waits or runs goes on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        Figures {
            waiting: self.waiting.len(),
            most_waiting: self.most_waiting,
            max_waiting: self.settings.max_waiting,
            running: self.running.len(),
            limit: self.settings.max_parallel_calls,
            started: self.started,
            refused: self.refused,
            expired: self.expired,
        }
    }

    fn has_room(&self) -> bool {
        self.running.len() < self.settings.max_parallel_calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn queue(max_waiting: usize, max_parallel_calls: usize) -> Queue {
        Queue::new(Settings {
            max_waiting,
            max_parallel_calls,
        })
    }

    #[test]
    fn a_call_that_can_start_at_once_needs_no_place_to_wait() {
        let now = tokio::time::Instant::now().into_std();
        let later = now + Duration::from_secs(1);
        let mut queue = queue(0, 1);
        let first = queue.offer(now, later).unwrap();
        assert_eq!(queue.start(now), Some(first));
        assert_eq!(queue.offer(now, later), Err(Refusal::Full { waiting: 0 }));
        queue.finish(first);
        assert!(queue.offer(now, later).is_ok());
    }

    #[test]
    fn a_draining_queue_takes_nothing_and_finishes_the_rest() {
        let now = tokio::time::Instant::now().into_std();
        let later = now + Duration::from_secs(1);
        let mut queue = queue(5, 1);
        let (first, second) = (
            queue.offer(now, later).unwrap(),
            queue.offer(now, later).unwrap(),
        );
        assert_eq!(queue.start(now), Some(first));
        queue.drain();
        assert_eq!(queue.offer(now, later), Err(Refusal::Draining));
        queue.finish(first);
        assert_eq!(queue.start(now), Some(second));
        queue.finish(second);
        assert!(queue.is_idle());
    }

    /// One thing that can happen to a queue.
    #[derive(Debug, Clone)]
    enum Step {
        /// A call with so many milliseconds to its deadline.
        Offer(u64),
        /// A running call ends; the index picks one.
        End(usize),
        /// A client leaves; the index picks one of its calls, waiting or running.
        Leave(usize),
        /// Time passes, in milliseconds.
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0u64..200).prop_map(Step::Offer),
            3 => any::<usize>().prop_map(Step::End),
            1 => any::<usize>().prop_map(Step::Leave),
            2 => (0u64..100).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 0..120)
    }

    /// What a queue must do, in the plainest form: lists.
    #[derive(Default)]
    struct Model {
        accepted: Vec<(Ticket, Instant)>,
        started: Vec<Ticket>,
        running: Vec<Ticket>,
        over: Vec<Ticket>,
    }

    impl Model {
        fn waiting(&self, now: Instant) -> usize {
            let gone = |t: &Ticket| self.started.contains(t) || self.over.contains(t);
            self.accepted
                .iter()
                .filter(|(t, deadline)| !gone(t) && *deadline > now)
                .count()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_history_is_bounded_in_order_and_loses_nothing(
            steps in steps(), max_waiting in 0usize..6, limit in 1usize..4
        ) {
            let mut now = tokio::time::Instant::now().into_std();
            let mut queue = queue(max_waiting, limit);
            let mut model = Model::default();
            for step in steps {
                match step {
                    Step::Offer(ms) => {
                        let deadline = now + Duration::from_millis(ms);
                        match queue.offer(now, deadline) {
                            Ok(ticket) => model.accepted.push((ticket, deadline)),
                            Err(Refusal::Full { waiting }) => prop_assert!(
                                waiting >= max_waiting && model.running.len() == limit,
                                "refused although there was room"
                            ),
                            Err(Refusal::Late) => prop_assert_eq!(ms, 0),
                            Err(Refusal::Draining) => prop_assert!(false, "nobody drained it"),
                        }
                    }
                    Step::End(i) if !model.running.is_empty() => {
                        let ticket = model.running.remove(i % model.running.len());
                        queue.finish(ticket);
                        model.over.push(ticket);
                    }
                    Step::Leave(i) if !model.accepted.is_empty() => {
                        let (ticket, _) = model.accepted[i % model.accepted.len()];
                        queue.finish(ticket);
                        model.running.retain(|t| *t != ticket);
                        model.over.push(ticket);
                    }
                    Step::Pass(ms) => now += Duration::from_millis(ms),
                    Step::End(_) | Step::Leave(_) => {}
                }
                while let Some(ticket) = queue.start(now) {
                    let deadline = model.accepted.iter().find(|(t, _)| *t == ticket).map(|(_, d)| *d);
                    prop_assert!(deadline.is_some_and(|d| d > now), "started late or from nowhere");
                    prop_assert!(!model.started.contains(&ticket), "started twice");
                    prop_assert!(!model.over.contains(&ticket), "started after it was over");
                    prop_assert!(model.started.last().is_none_or(|last| *last < ticket), "out of order");
                    model.started.push(ticket);
                    model.running.push(ticket);
                }
                let figures = queue.figures();
                prop_assert_eq!(figures.running, model.running.len());
                prop_assert!(figures.running <= limit);
                prop_assert!(figures.waiting <= max_waiting);
                prop_assert!(model.waiting(now) == 0 || figures.running == limit, "waits although there is room");
            }
            for (ticket, _) in &model.accepted {
                queue.finish(*ticket);
            }
            prop_assert!(queue.is_idle());
        }
    }
}
