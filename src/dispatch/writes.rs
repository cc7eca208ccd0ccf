//! In which order a client's writes came: on, off, on is three actions, on, on is one said twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::deduplication::Digest;

/// The latest write of each client.
#[derive(Debug, Default)]
pub(super) struct Writes {
    latest: Mutex<HashMap<Arc<str>, Latest>>,
}

#[derive(Debug, Default)]
struct Latest {
    write: Option<Digest>,
    place: u64,
}

impl Writes {
    /// The place of a write in the client's sequence. A repetition has the place of what it
    /// repeats, as long as nothing else came in between. What cannot be compared repeats nothing.
    pub(super) fn place(&self, client: &Arc<str>, write: Option<Digest>) -> u64 {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = latest.entry(client.clone()).or_default();
        if write.is_none() || latest.write != write {
            latest.place += 1;
            latest.write = write;
        }
        latest.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_write_right_after_itself_is_a_repetition() {
        let writes = Writes::default();
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        let (on, off) = (Some(Digest([1; 32])), Some(Digest([2; 32])));
        let first = writes.place(&a, on);
        assert_eq!(
            writes.place(&b, off),
            1,
            "another client is another sequence"
        );
        assert_eq!(writes.place(&a, on), first);
        assert_ne!(writes.place(&a, off), first);
        assert_ne!(writes.place(&a, on), first);
        assert_ne!(writes.place(&a, None), writes.place(&a, None));
    }
}
