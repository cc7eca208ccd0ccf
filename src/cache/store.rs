//! Where answers are kept: bounded by their weight, the one that was used longest ago goes first.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::{Key, Kind};
use crate::protocol::json::RawJson;

/// About what keeping an answer takes besides its bytes.
const OVERHEAD: usize = 512;

/// One kept answer.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) what: String,
    pub(super) result: RawJson,
    pub(super) asked: Instant,
    /// The number of changes that had touched its kind when it was asked for; nothing if it was
    /// never fresh.
    pub(super) touched: Option<u64>,
    /// How long it is fresh, where the upstream says so.
    pub(super) lifetime: Option<Duration>,
    pub(super) hits: u64,
}

impl Entry {
    fn weight(&self) -> usize {
        self.result.as_bytes().len() + self.what.len() + OVERHEAD
    }
}

/// In which order entries go: those that tell states first, since they are worth little soon and a
/// client can ask for as many different ones as it likes; then by their last use.
type Place = (bool, u64);

/// All kept answers.
#[derive(Debug)]
pub(super) struct Store {
    max_bytes: usize,
    entries: HashMap<Key, (Entry, Place)>,
    order: BTreeMap<Place, Key>,
    bytes: usize,
    uses: u64,
    dropped: u64,
}

impl Store {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            bytes: 0,
            uses: 0,
            dropped: 0,
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.get(&key).map(|(entry, _)| entry)
    }

    /// It was used.
    pub(super) fn touch(&mut self, key: Key) {
        if let Some((entry, place)) = self.entries.get_mut(&key) {
            self.uses += 1;
            entry.hits += 1;
            self.order.remove(place);
            place.1 = self.uses;
            self.order.insert(*place, key);
        }
    }

    /// Takes an entry in, in the place of the one under its key. Without room for it even alone
    /// nothing is kept under the key.
    pub(super) fn put(&mut self, key: Key, entry: Entry) {
        self.remove(key);
        let weight = entry.weight();
        if weight > self.max_bytes {
            self.dropped += 1;
            return;
        }
        self.make_room(weight);
        self.uses += 1;
        let place = (!entry.kind.tells_states(), self.uses);
        self.bytes += weight;
        self.order.insert(place, key);
        self.entries.insert(key, (entry, place));
    }

    /// Other bounds from now on.
    pub(super) fn resize(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
        self.make_room(0);
    }

    /// Lets entries go until there is room for so many bytes, which must not be more than there are.
    fn make_room(&mut self, bytes: usize) {
        while self.bytes > self.max_bytes - bytes
            && let Some((_, &first)) = self.order.first_key_value()
        {
            self.dropped += 1;
            self.remove(first);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some((entry, place)) = self.entries.remove(&key) {
            self.order.remove(&place);
            self.bytes -= entry.weight();
        }
    }

    /// Forgets everything; gives the number of entries.
    pub(super) fn clear(&mut self) -> usize {
        let entries = self.entries.len();
        self.entries.clear();
        self.order.clear();
        self.bytes = 0;
        entries
    }

    /// All entries, the lists first, and of each sort the one used last first.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Entry> {
        self.order.values().rev().filter_map(|key| self.get(*key))
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }
}
