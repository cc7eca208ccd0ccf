//! The answers of one upstream that are kept, for how long, and what makes them outdated.
//!
//! A state machine without clock, task or lock: whoever drives it tells the time, asks the upstream
//! and passes on what happened there. One thing holds whatever comes: an answer that counts as
//! fresh was asked for after every change that touches it and that was told before.
//!
//! ```text
//!            find ──────────► Fresh      as good as asking
//!  request ──┤    ──────────► Expired    its time is over, but nothing is known to have changed
//!            │    ──────────► Outdated   something changed: only while the upstream is in trouble
//!            └ none: begin ─► Ticket ─ ask the upstream ─► keep ─► perhaps: this list differs
//!  change  ── apply: what it touches (the table of `change`) is outdated from now on
//! ```

mod change;
mod listing;
mod policy;
mod store;

use std::time::{Duration, Instant};

use crate::protocol::json::RawJson;
pub use change::{Change, Kind};
use listing::Listings;
pub use policy::{Policy, Settings};
use store::{Entry, Store};

/// What an answer is found by: a collision-free hash, such as SHA-256, over the method and the params
/// in canonical form (RFC 8785), without the `_meta` that says nothing to the upstream. The upstream
/// is no part of it, since each has a cache of its own, nor is the client: the bridge asks for all
/// of them under one identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 32]);

/// A kept answer.
#[derive(Debug, Clone)]
pub struct Found {
    /// The `result`, byte for byte as the upstream gave it.
    pub result: RawJson,
    /// How long ago it was asked for.
    pub age: Duration,
    /// How good it is.
    pub state: State,
}

/// How good a kept answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As good as asking.
    Fresh {
        /// How long it stays so if nothing happens.
        left: Duration,
    },
    /// Its time is over, though nothing is known to have changed: good enough while it is asked for
    /// again.
    Expired,
    /// What it tells may have changed. Better than no answer, if one says how old it is.
    Outdated,
}

/// An answer that is being asked for.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    key: Key,
    kind: Kind,
    begun: Instant,
    /// The number of changes that touched its kind by then.
    touched: u64,
    /// Whether the upstream was all there.
    settled: bool,
    /// The number of upstreams before it.
    upstream: u64,
}

/// Figures of the cache, for the status.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Figures {
    /// Whether the upstream tells of changes now, so that lists are kept until one comes.
    pub hears_changes: bool,
    /// Bytes of the kept answers, with what keeping them takes.
    pub bytes: usize,
    /// Lookups that found a fresh or just expired answer, ever.
    pub hits: u64,
    /// Lookups that found none, ever.
    pub misses: u64,
    /// Answers that had to go because there was no room, ever.
    pub dropped: u64,
    /// Changes that the upstream told, ever.
    pub changes: u64,
    /// Every kept answer, the one used last first.
    pub entries: Vec<EntryFigures>,
}

/// Figures of one kept answer.
#[derive(Debug, Clone, serde::Serialize)]
pub struct EntryFigures {
    /// Method, and the beginning of its params.
    pub what: String,
    /// Bytes of the answer.
    pub bytes: usize,
    /// How old it is.
    pub age_ms: u64,
    /// How long it stays fresh; nothing if it is not.
    pub fresh_for_ms: Option<u64>,
    /// How often it was found while it was good.
    pub hits: u64,
}

/// More entries than a person looks at.
const MAX_SHOWN: usize = 50;

/// The answers of one upstream.
#[derive(Debug)]
pub struct Cache {
    settings: Settings,
    store: Store,
    listings: Listings,
    /// Changes so far, by the kind that they touched.
    touched: [u64; Kind::ALL.len()],
    hears_changes: bool,
    /// False while the upstream starts or stops: what it says then is true, but not the whole truth.
    settled: bool,
    /// Upstreams that were here before.
    upstream: u64,
    /// Until then a write may still take effect without anybody telling.
    restless_until: Option<Instant>,
    hits: u64,
    misses: u64,
    changes: u64,
}

impl Cache {
    /// Nothing kept yet, of an upstream of which nothing is heard but its answers.
    pub fn new(settings: Settings) -> Self {
        Self {
            store: Store::new(settings.max_bytes),
            settings,
            listings: Listings::default(),
            touched: [0; Kind::ALL.len()],
            hears_changes: false,
            settled: true,
            upstream: 0,
            restless_until: None,
            hits: 0,
            misses: 0,
            changes: 0,
        }
    }

    /// The kept answer under `key`, if it is good for anything.
    pub fn find(&mut self, now: Instant, key: Key) -> Option<Found> {
        let state = self.peek(now, key);
        match state {
            Some(State::Fresh { .. } | State::Expired) => {
                self.hits += 1;
                self.store.touch(key);
            }
            Some(State::Outdated) | None => self.misses += 1,
        }
        let entry = self.store.get(key)?;
        Some(Found {
            result: entry.result.clone(),
            age: age(now, entry),
            state: state?,
        })
    }

    /// How good the kept answer under `key` is, without counting that anybody looked.
    pub fn peek(&self, now: Instant, key: Key) -> Option<State> {
        self.state(now, self.store.get(key)?)
    }

    /// The kept answer under `key` if it is fresh, without counting that anybody looked.
    pub fn fresh(&self, now: Instant, key: Key) -> Option<RawJson> {
        let entry = self.store.get(key)?;
        let is_fresh = matches!(self.state(now, entry), Some(State::Fresh { .. }));
        is_fresh.then(|| entry.result.clone())
    }

    /// The upstream is about to be asked.
    pub const fn begin(&self, now: Instant, key: Key, kind: Kind) -> Ticket {
        Ticket {
            key,
            kind,
            begun: now,
            touched: self.touched[kind as usize],
            settled: self.settled,
            upstream: self.upstream,
        }
    }

    /// The upstream answered. `what` names the answer for people. Gives the kind of the list if this
    /// one differs from the one that the upstream gave before.
    pub fn keep(&mut self, ticket: Ticket, what: &str, result: &RawJson) -> Option<Kind> {
        if ticket.upstream != self.upstream {
            return None;
        }
        let settled = ticket.settled && self.settled;
        let older = |entry: &Entry| entry.asked > ticket.begun;
        let kept = self.store.get(ticket.key);
        if kept.is_some_and(|entry| older(entry) || !settled) || !policy::may_keep(result) {
            return None;
        }
        let restless = self
            .restless_until
            .is_some_and(|until| ticket.begun < until);
        let fresh = settled && !(restless && ticket.kind.tells_states());
        let entry = Entry {
            kind: ticket.kind,
            what: what.to_owned(),
            result: result.clone(),
            asked: ticket.begun,
            touched: fresh.then_some(ticket.touched),
            lifetime: policy::own_lifetime(result),
            hits: kept.map_or(0, |entry| entry.hits),
        };
        self.store.put(ticket.key, entry);
        let differs = settled && self.listings.differs(ticket.key, ticket.kind, result);
        differs.then_some(ticket.kind)
    }

    /// Something happened there.
    pub fn apply(&mut self, now: Instant, change: &Change) {
        match change {
            Change::Connected => self.hears_changes = true,
            Change::Disconnected => self.hears_changes = false,
            Change::Started => self.settled = true,
            Change::Starting | Change::Stopping => self.settled = false,
            Change::Written if !self.hears_changes => {
                self.restless_until = Some(now + self.settings.state_ttl);
            }
            _ => {}
        }
        for kind in change.touches() {
            self.touched[*kind as usize] += 1;
        }
        self.changes += u64::from(*change != Change::Written);
    }

    /// Other bounds from now on. What does not fit any more goes.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
        self.store.resize(settings.max_bytes);
    }

    /// Another upstream takes the place of the one before, of which nothing is kept, not even what it
    /// answers from now on. Nobody tells of changes there yet.
    pub fn replace_upstream(&mut self) {
        self.flush();
        self.upstream += 1;
        self.hears_changes = false;
        self.settled = true;
        self.restless_until = None;
    }

    /// Forgets every answer; gives their number.
    pub fn flush(&mut self) -> usize {
        self.store.clear()
    }

    /// How long a list is fresh if nothing happens.
    pub fn list_lifetime(&self) -> Duration {
        self.settings.lifetime(Kind::Tools, self.hears_changes)
    }

    /// Whether the upstream is all there, as far as it tells.
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// The figures now.
    pub fn figures(&self, now: Instant) -> Figures {
        let entries = self.store.recent().take(MAX_SHOWN).map(|entry| {
            let fresh_for = match self.state(now, entry) {
                Some(State::Fresh { left }) => Some(left),
                _ => None,
            };
            EntryFigures {
                what: entry.what.clone(),
                bytes: entry.result.as_bytes().len(),
                age_ms: millis(age(now, entry)),
                fresh_for_ms: fresh_for.map(millis),
                hits: entry.hits,
            }
        });
        Figures {
            hears_changes: self.hears_changes,
            bytes: self.store.bytes(),
            hits: self.hits,
            misses: self.misses,
            dropped: self.store.dropped(),
            changes: self.changes,
            entries: entries.collect(),
        }
    }

    /// How good an entry is; nothing if it is good for nothing.
    fn state(&self, now: Instant, entry: &Entry) -> Option<State> {
        let age = age(now, entry);
        let lifetime = entry
            .lifetime
            .unwrap_or_else(|| self.settings.lifetime(entry.kind, self.hears_changes));
        let untouched = entry.touched == Some(self.touched[entry.kind as usize]);
        if untouched && let Some(left) = lifetime.checked_sub(age).filter(|left| !left.is_zero()) {
            return Some(State::Fresh { left });
        }
        let states = entry.kind.tells_states();
        if untouched && !states && age < lifetime * 2 {
            return Some(State::Expired);
        }
        (!states || age < self.settings.max_stale).then_some(State::Outdated)
    }
}

fn age(now: Instant, entry: &Entry) -> Duration {
    now.saturating_duration_since(entry.asked)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
