//! When each client was last there: kept in memory, and written to the disk now and then.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// When each client was last there, by name.
pub type LastSeen = BTreeMap<String, Timestamp>;

/// The notes of this run on top of those of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    times: LastSeen,
    changed: bool,
}

impl Notes {
    pub(super) fn new(times: LastSeen) -> Self {
        let changed = false;
        Self(Mutex::new(State { times, changed }))
    }

    /// A client is there.
    pub(super) fn note(&self, name: &str, now: Timestamp) {
        let mut state = self.state();
        state.changed = true;
        match state.times.get_mut(name) {
            Some(time) => *time = now,
            None => {
                state.times.insert(name.to_owned(), now);
            }
        }
    }

    pub(super) fn times(&self) -> LastSeen {
        self.state().times.clone()
    }

    /// What is to be written, if anything is new since the last time. Forgets all but `names`.
    pub(super) fn take_changed(&self, is_kept: impl Fn(&str) -> bool) -> Option<LastSeen> {
        let mut state = self.state();
        state.times.retain(|name, _| is_kept(name));
        std::mem::take(&mut state.changed).then(|| state.times.clone())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
