//! Deduplication: whether a call runs, or gets the answer of an identical one.
//!
//! A state machine without clock, task or lock. Reads share while they are in flight (single
//! flight), writes for a short while after the first arrived (duplicate guard), calls with an
//! `Idempotency-Key` for a long one. An execution runs once for all who share it; whoever drives
//! this keeps the waiting callers by its id and wakes them. Everything is bounded: executions in
//! flight by number, kept answers by number and bytes; without room a call runs on its own.

use std::collections::{BTreeSet, HashMap};
use std::mem::Discriminant;
use std::time::{Duration, Instant};

/// How long and how much is remembered. Windows count from the arrival of the first call.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a repeated write is taken for the first one (2 s); zero turns the guard off.
    pub write_window: Duration,
    /// How long an idempotency key is remembered (10 min).
    pub key_window: Duration,
    /// Answers that are kept for repetitions.
    pub max_kept: usize,
    /// Bytes of all kept answers, as their sizes were given.
    pub max_kept_bytes: usize,
    /// Executions in flight that others may join; beyond it a call runs unshared.
    pub max_running: usize,
}

/// A collision-free hash, such as SHA-256, over what makes two calls the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// What a call is recognised by. The id and the `_meta` of a request belong in no digest: they
/// differ between repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A read, over upstream, identity scope, method and canonical parameters.
    Read(Digest),
    /// A write, over the same and the client. Not for tools whose repetition is meant.
    Write(Digest),
    /// A call with an `Idempotency-Key`, which alone decides: the same body under another key is
    /// another call.
    Idempotency {
        /// Over the client and the key that it sent.
        key: Digest,
        /// Over the body: upstream, method and canonical parameters.
        fingerprint: Digest,
    },
}

/// A kind of key and its digest: calls with an equal one claim to be the same.
type Slot = (Discriminant<Key>, Digest);

impl Key {
    const fn slot(&self) -> Slot {
        let (Self::Read(digest) | Self::Write(digest) | Self::Idempotency { key: digest, .. }) =
            self;
        (std::mem::discriminant(self), *digest)
    }
}

/// One execution for all who share it. Ids are given out in the order of arrival, never twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId(u64);

/// What becomes of a call that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival<A> {
    /// It is the first: it runs, and ends with [`Deduplication::finish`] or
    /// [`Deduplication::forget`].
    Lead(ExecutionId),
    /// The execution is in flight; its answer is this call's answer too.
    Join(ExecutionId),
    /// The execution is over; this was its answer.
    Replay(A),
    /// The idempotency key was used with another body: the call must be refused.
    Mismatch,
}

/// Who still wants the answer of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remaining {
    /// Other callers wait for it: it must go on.
    Others,
    /// No one, or it is over. If it has not started it may be dropped, with
    /// [`Deduplication::forget`] before the next arrival: until then it can be joined.
    Nobody,
}

/// Figures of the deduplication, for the status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Executions in flight that may be joined or kept.
    pub running: usize,
    /// Answers kept.
    pub kept: usize,
    /// Bytes of the kept answers.
    pub kept_bytes: usize,
    /// Calls that ran unshared because too many were in flight, ever.
    pub unshared: u64,
    /// Answers not kept for their whole window, because there was no room, ever.
    pub dropped: u64,
}

#[derive(Debug)]
struct Execution<A> {
    key: Key,
    /// When its window ends; a read has none.
    ends: Option<Instant>,
    /// Callers who still want the answer. May be zero: a write goes on when its client left.
    callers: usize,
    /// Its answer and the bytes of that, once it is over.
    kept: Option<(A, usize)>,
}

/// The executions in flight and the answers kept. `A` is what callers share, an answer or a
/// failure; it is cloned for each, so it should be cheap to clone.
///
/// Operations take O(log n), amortised; expired answers go with the next one. Time may stand still
/// or jump ahead between them.
#[derive(Debug)]
pub struct Deduplication<A> {
    settings: Settings,
    next: ExecutionId,
    /// Reads that began before this one are joined no more.
    joinable_reads: ExecutionId,
    executions: HashMap<ExecutionId, Execution<A>>,
    /// The latest execution of each slot. One that nobody may join any more runs to its end even
    /// when a later one has taken its place here.
    latest: HashMap<Slot, ExecutionId>,
    /// Executions whose answers are kept, in the order of arrival.
    kept: BTreeSet<ExecutionId>,
    /// The same, in the order in which their windows end.
    expiries: BTreeSet<(Instant, ExecutionId)>,
    /// The counters and the kept bytes; the other sizes are read off the sets.
    figures: Figures,
}

impl<A: Clone> Deduplication<A> {
    /// Nothing in flight, nothing kept.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            next: ExecutionId(0),
            joinable_reads: ExecutionId(0),
            executions: HashMap::new(),
            latest: HashMap::new(),
            kept: BTreeSet::new(),
            expiries: BTreeSet::new(),
            figures: Figures::default(),
        }
    }

    /// Other settings from now on. Windows that have begun end when they were meant to.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Decides what becomes of a call. One that leads or joins has to [`leave`](Self::leave) when
    /// its caller goes away before the answer.
    pub fn arrive(&mut self, now: Instant, key: Key) -> Arrival<A> {
        self.expire(now);
        if let Some(&id) = self.latest.get(&key.slot())
            && let Some(execution) = self.executions.get_mut(&id)
            && match execution.key {
                Key::Read(_) => id >= self.joinable_reads,
                Key::Write(_) => execution.ends.is_some_and(|ends| now < ends),
                // While it runs, even past its window: one key never runs twice side by side.
                Key::Idempotency { .. } => true,
            }
        {
            if execution.key != key {
                return Arrival::Mismatch;
            }
            if let Some((answer, _)) = &execution.kept {
                return Arrival::Replay(answer.clone());
            }
            execution.callers += 1;
            return Arrival::Join(id);
        }
        Arrival::Lead(self.lead(now, key))
    }

    /// A caller that led or joined went away; to be said once for each. The others stay.
    pub fn leave(&mut self, id: ExecutionId) -> Remaining {
        let Some(execution) = self.executions.get_mut(&id) else {
            return Remaining::Nobody;
        };
        execution.callers = execution.callers.saturating_sub(1);
        if execution.callers == 0 || execution.kept.is_some() {
            Remaining::Nobody
        } else {
            Remaining::Others
        }
    }

    /// The execution is over with an answer of so many bytes. It is kept for repetitions until the
    /// window ends, unless it was a read's. A write whose outcome is unknown belongs here too, with
    /// the failure as its answer: its repetition must not run.
    pub fn finish(&mut self, now: Instant, id: ExecutionId, answer: A, size: usize) {
        self.expire(now);
        let running = |execution: &&Execution<A>| execution.kept.is_none();
        let Some(execution) = self.executions.get(&id).filter(running) else {
            return;
        };
        if let Some(ends) = execution.ends.filter(|ends| now < *ends)
            && self.make_room(size)
            && let Some(execution) = self.executions.get_mut(&id)
        {
            execution.kept = Some((answer, size));
            self.kept.insert(id);
            self.expiries.insert((ends, id));
            self.figures.kept_bytes += size;
        } else {
            self.remove(id);
        }
    }

    /// The execution is over, and its outcome is only for those who wait for it now: it was
    /// dropped, or surely not executed (the queue was full). The next such call runs.
    pub fn forget(&mut self, id: ExecutionId) {
        if !self.kept.contains(&id) {
            self.remove(id);
        }
    }

    /// What reads look at has changed: those that arrive from now on do not join one that began
    /// before. To be said when a write is over, or else a client may not see its own write.
    pub const fn outdate_reads(&mut self) {
        self.joinable_reads = self.next;
    }

    /// The same of one read alone: what this one looks at has changed.
    pub fn outdate(&mut self, read: ExecutionId) {
        let key = self.executions.get(&read).map(|execution| execution.key);
        if let Some(key @ Key::Read(_)) = key
            && self.latest.get(&key.slot()) == Some(&read)
        {
            self.latest.remove(&key.slot());
        }
    }

    /// Drops the answers whose window is over. Arrivals and ends do it too; an idle bridge may call
    /// it now and then to give the memory back.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(ends, id)) = self.expiries.first()
            && ends <= now
        {
            self.remove(id);
        }
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        Figures {
            running: self.running(),
            kept: self.kept.len(),
            ..self.figures
        }
    }

    fn running(&self) -> usize {
        self.executions.len() - self.kept.len()
    }

    fn lead(&mut self, now: Instant, key: Key) -> ExecutionId {
        let id = self.next;
        self.next.0 += 1;
        if self.running() >= self.settings.max_running {
            // Its id stands nowhere: finishing or leaving it changes nothing.
            self.figures.unshared += 1;
            return id;
        }
        let execution = Execution {
            key,
            ends: match key {
                Key::Read(_) => None,
                Key::Write(_) => Some(now + self.settings.write_window),
                Key::Idempotency { .. } => Some(now + self.settings.key_window),
            },
            callers: 1,
            kept: None,
        };
        self.executions.insert(id, execution);
        self.latest.insert(key.slot(), id);
        id
    }

    /// Drops the oldest answers until one more of this size fits; none if it never will.
    fn make_room(&mut self, size: usize) -> bool {
        let (max_kept, max_bytes) = (self.settings.max_kept, self.settings.max_kept_bytes);
        if max_kept == 0 || size > max_bytes {
            self.figures.dropped += 1;
            return false;
        }
        while (self.kept.len() >= max_kept || self.figures.kept_bytes > max_bytes - size)
            && let Some(&oldest) = self.kept.first()
        {
            self.figures.dropped += 1;
            self.remove(oldest);
        }
        true
    }

    /// Takes every trace of an execution away, running or kept.
    fn remove(&mut self, id: ExecutionId) {
        let Some(execution) = self.executions.remove(&id) else {
            return;
        };
        let slot = execution.key.slot();
        if self.latest.get(&slot) == Some(&id) {
            self.latest.remove(&slot);
        }
        if let (Some(ends), Some((_, size))) = (execution.ends, execution.kept) {
            self.kept.remove(&id);
            self.expiries.remove(&(ends, id));
            self.figures.kept_bytes -= size;
        }
    }
}

#[cfg(test)]
mod tests;
