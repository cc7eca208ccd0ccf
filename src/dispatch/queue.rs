//! The queue: which waiting call may start now. A state machine without clock, task or lock.
//!
//! * Three priorities; a waiting call rises by one for each `aging_interval`.
//! * Within a priority, deficit round robin over clients; within a client, in the order of arrival.
//! * Reads overlap freely. Writes that may touch the same thing start one after the other, in the
//!   order of their arrival, and lend their priority to those they wait for.
//! * Everything is bounded; when it is full, the lowest priority gives way first.
//!
//! Whoever drives it passes the time in and carries the decisions out: offers calls, asks
//! [`Queue::start`] until it says `None`, and reports each end. A call waits only for calls that
//! came before it, so there is always one that can go on. All operations take O(log n) amortised,
//! but for [`Queue::position`].

mod admission;
mod conflicts;
mod figures;
mod lanes;
#[cfg(test)]
mod tests;
mod urgency;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::priority::Priority;
use admission::ServiceTime;
use conflicts::Conflicts;
pub use conflicts::Targets;
pub use figures::Figures;
use lanes::Level;

/// The bounds of a queue.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Calls that may wait; one more is refused or makes a less urgent one give way.
    pub max_waiting: usize,
    /// Calls of one client that may wait.
    pub max_waiting_per_client: usize,
    /// After this long a waiting call rises one priority.
    pub aging_interval: Duration,
}

/// What a call does to the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Read,
    /// Something, to these targets.
    Write(Targets),
}

/// A call that wants to run.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Whose it is.
    pub client: Arc<str>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it must have been answered.
    pub deadline: Instant,
    /// What it does.
    pub effect: Effect,
    /// Its share of the upstream's time, 1 to [`Arrival::MAX_COST`]; more counts as that.
    pub cost: u32,
}

impl Arrival {
    /// The dearest call. A client's turn pays for one of them, or for as many cheaper ones.
    pub const MAX_COST: u32 = lanes::QUANTUM;
}

/// A place in the queue. Tickets are given out in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Why a call was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// As many calls as allowed are waiting, none of them less urgent.
    Full {
        /// Calls waiting, of all clients.
        waiting: usize,
    },
    /// As many calls of this client as allowed are waiting.
    ClientFull {
        /// Calls of the client waiting.
        waiting: usize,
    },
    /// It would wait beyond its deadline.
    Hopeless {
        /// Calls waiting before it.
        ahead: usize,
        /// How long it would wait.
        expected: Duration,
    },
    /// Its deadline is over.
    Late,
    /// The queue takes nothing new.
    Draining,
}

/// A call that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Its place.
    pub ticket: Ticket,
    /// A less urgent call that had to give way; it is out of the queue.
    pub shed: Option<Ticket>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for other writes.
    Blocked,
    /// Waits for its turn.
    Ready,
    /// Runs at the upstream.
    Running,
    /// Has run in vain and is about to be tried again; keeps its place among the writes.
    Resting,
}

#[derive(Debug)]
struct Entry {
    arrival: Arrival,
    arrived: Instant,
    state: State,
    rises: Instant,
}

impl Entry {
    const fn is_write(&self) -> bool {
        matches!(self.arrival.effect, Effect::Write(_))
    }

    const fn waits(&self) -> bool {
        matches!(self.state, State::Blocked | State::Ready)
    }
}

/// What the queue does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Takes and starts them.
    Open,
    /// Takes them, but starts none.
    Paused,
    /// Takes none; those that it has still start.
    Draining,
}

/// The state of the queue.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    limit: usize,
    mode: Mode,
    next: u64,
    entries: HashMap<Ticket, Entry>,
    levels: [Level; 3],
    conflicts: Conflicts,
    /// Waiting calls by the moment at which they rise; those at the top are not in it.
    aging: BTreeSet<(Instant, Ticket)>,
    /// Waiting calls by their arrival.
    waiting: BTreeSet<Ticket>,
    waiting_by_client: HashMap<Arc<str>, usize>,
    running: usize,
    running_writes: usize,
    resting: usize,
    service: ServiceTime,
    most_waiting: usize,
    started: u64,
    refused: u64,
    hopeless: u64,
    shed: u64,
    expired: u64,
}

impl Queue {
    /// An empty queue that starts nothing before [`Queue::set_limit`].
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            limit: 0,
            mode: Mode::Open,
            next: 0,
            entries: HashMap::new(),
            levels: Default::default(),
            conflicts: Conflicts::default(),
            aging: BTreeSet::new(),
            waiting: BTreeSet::new(),
            waiting_by_client: HashMap::new(),
            running: 0,
            running_writes: 0,
            resting: 0,
            service: ServiceTime::default(),
            most_waiting: 0,
            started: 0,
            refused: 0,
            hopeless: 0,
            shed: 0,
            expired: 0,
        }
    }

    /// Other bounds from now on. Calls that wait already stay, even if they are too many now; the
    /// limit remains [`Queue::set_limit`]'s matter.
    pub const fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Takes a call. It waits until [`Queue::start`] names its ticket.
    ///
    /// # Errors
    /// [`Refusal`]; the queue is as it was then.
    pub fn offer(&mut self, now: Instant, arrival: Arrival) -> Result<Offer, Refusal> {
        if self.mode == Mode::Draining {
            return Err(Refusal::Draining);
        }
        if arrival.deadline <= now {
            self.expired += 1;
            return Err(Refusal::Late);
        }
        self.age(now);
        let shed = if self.starts_at_once(&arrival) {
            None
        } else {
            self.make_room(now, &arrival)?
        };
        let ticket = Ticket(self.next);
        self.next += 1;
        self.enter(ticket, now, arrival);
        Ok(Offer { ticket, shed })
    }

    /// The next call that starts now, if there is room for one; calls whose deadline is over are
    /// passed by. To be asked until it says `None`, after every other change.
    pub fn start(&mut self, now: Instant) -> Option<Ticket> {
        let started = self.start_one(now);
        if started.is_none() {
            self.most_waiting = self.most_waiting.max(self.waiting.len());
        }
        started
    }

    fn start_one(&mut self, now: Instant) -> Option<Ticket> {
        self.age(now);
        while self.mode != Mode::Paused && self.running < self.limit {
            let ticket = self.pick()?;
            let entry = self.entries.get(&ticket)?;
            if entry.arrival.deadline <= now {
                self.expired += 1;
                self.remove(ticket);
                continue;
            }
            self.stop_waiting(ticket, State::Running);
            self.started += 1;
            return Some(ticket);
        }
        None
    }

    /// The call is over: answered, failed, or left by its client. Frees its place wherever it was;
    /// a ticket that has none any more changes nothing. `took` is how long the upstream needed, if
    /// it answered.
    pub fn finish(&mut self, ticket: Ticket, took: Option<Duration>) {
        if let Some(took) = took {
            self.service.add(took);
        }
        self.remove(ticket);
    }

    /// The deadline of a waiting call has passed.
    pub fn expire(&mut self, ticket: Ticket) {
        if self.remove(ticket) {
            self.expired += 1;
        }
    }

    /// A running call has to be tried again later. It gives its slot back, and keeps its place
    /// before all writes that wait for it.
    pub fn suspend(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get_mut(&ticket) else {
            return;
        };
        if entry.state == State::Running {
            entry.state = State::Resting;
            self.running -= 1;
            self.running_writes -= usize::from(entry.is_write());
            self.resting += 1;
        }
    }

    /// A suspended call waits for its turn again.
    pub fn resume(&mut self, now: Instant, ticket: Ticket) {
        let Some(entry) = self.entries.get_mut(&ticket) else {
            return;
        };
        if entry.state == State::Resting {
            self.resting -= 1;
            entry.state = State::Blocked;
            entry.rises = now + self.settings.aging_interval;
            self.wait(ticket);
        }
    }

    /// How many calls may run from now on. Those that run are left alone; 0 holds everything.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Starts nothing until [`Queue::open`].
    pub fn pause(&mut self) {
        if self.mode == Mode::Open {
            self.mode = Mode::Paused;
        }
    }

    /// Takes and starts calls again, after a pause or while draining.
    pub const fn open(&mut self) {
        self.mode = Mode::Open;
    }

    /// From now on nothing new is taken; what waits or runs goes on.
    pub const fn drain(&mut self) {
        self.mode = Mode::Draining;
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many calls run now.
    pub const fn running(&self) -> usize {
        self.running
    }

    fn enter(&mut self, ticket: Ticket, now: Instant, arrival: Arrival) {
        if let Effect::Write(targets) = &arrival.effect {
            self.conflicts.enter(ticket, &arrival.client, targets);
            self.levels[arrival.priority as usize].writes.insert(ticket);
        }
        let rises = now + self.settings.aging_interval;
        let entry = Entry {
            arrival,
            arrived: now,
            state: State::Blocked,
            rises,
        };
        let (priority, is_write) = (entry.arrival.priority, entry.is_write());
        self.entries.insert(ticket, entry);
        self.wait(ticket);
        if is_write {
            self.lend(ticket, priority);
        }
    }

    /// Puts an entry among the waiting ones.
    fn wait(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get(&ticket) else {
            return;
        };
        let (client, priority, rises) = (
            entry.arrival.client.clone(),
            entry.arrival.priority,
            entry.rises,
        );
        self.levels[priority as usize].waiting.insert(ticket);
        if priority.raised().is_some() {
            self.aging.insert((rises, ticket));
        }
        self.waiting.insert(ticket);
        *self.waiting_by_client.entry(client).or_default() += 1;
        self.free(ticket);
    }

    /// Lets a blocked call take turns if nothing stands before it any more.
    fn free(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get_mut(&ticket) else {
            return;
        };
        let is_free = !entry.is_write() || self.conflicts.is_free(ticket);
        if entry.state == State::Blocked && is_free {
            entry.state = State::Ready;
            let arrival = &entry.arrival;
            let is_read = !entry.is_write();
            self.levels[arrival.priority as usize].add(
                ticket,
                &arrival.client,
                arrival.cost,
                is_read,
            );
        }
    }

    /// Takes an entry from the waiting ones.
    fn stop_waiting(&mut self, ticket: Ticket, next: State) {
        let Some(entry) = self.entries.get_mut(&ticket) else {
            return;
        };
        let was_ready = entry.state == State::Ready;
        entry.state = next;
        if next == State::Running {
            self.running += 1;
            self.running_writes += usize::from(entry.is_write());
        }
        let (client, priority, rises) = (
            entry.arrival.client.clone(),
            entry.arrival.priority,
            entry.rises,
        );
        self.levels[priority as usize].remove(ticket, was_ready.then_some(&client));
        self.aging.remove(&(rises, ticket));
        self.waiting.remove(&ticket);
        if let Some(waiting) = self.waiting_by_client.get_mut(&client) {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting_by_client.remove(&client);
            }
        }
    }

    /// Forgets a call, and frees those that waited for it; says whether it was still waiting.
    fn remove(&mut self, ticket: Ticket) -> bool {
        let Some(entry) = self.entries.get(&ticket) else {
            return false;
        };
        let waited = entry.waits();
        match entry.state {
            State::Blocked | State::Ready => self.stop_waiting(ticket, State::Blocked),
            State::Running => {
                self.running -= 1;
                self.running_writes -= usize::from(entry.is_write());
            }
            State::Resting => self.resting -= 1,
        }
        if let Some(entry) = self.entries.remove(&ticket)
            && entry.is_write()
        {
            self.levels[entry.arrival.priority as usize]
                .writes
                .remove(&ticket);
            for freed in self.conflicts.leave(ticket) {
                self.free(freed);
            }
        }
        waited
    }

    /// The call whose turn it is.
    ///
    /// A write never takes the last slot that is free of writes while a read of its priority has
    /// been waiting longer: slow actions shall not keep questions from being answered.
    fn pick(&mut self) -> Option<Ticket> {
        let (limit, running_writes) = (self.limit, self.running_writes);
        let level = self.levels.iter_mut().find(|level| !level.is_quiet())?;
        let next = level.peek()?;
        let takes_last_slot = limit > 1 && running_writes + 1 >= limit;
        let older_read = level
            .oldest_read()
            .filter(|read| takes_last_slot && *read < next);
        match older_read {
            Some(read) if self.entries.get(&next).is_some_and(Entry::is_write) => Some(read),
            _ => Some(next),
        }
    }
}
