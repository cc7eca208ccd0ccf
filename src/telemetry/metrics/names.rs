//! Names from outside as values of labels: bounded in number, however many come.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

/// What all names are called for which there is no room.
const OTHER: &str = "other";
/// Bytes of a name; longer ones are cut.
const MAX_NAME: usize = 100;

/// The names that were given a place, for as long as the process lives.
#[derive(Debug)]
pub(super) struct Names {
    known: RwLock<HashSet<Arc<str>>>,
    other: Arc<str>,
    most: usize,
}

impl Names {
    /// Room for so many.
    pub(super) fn up_to(most: usize) -> Self {
        Self {
            known: RwLock::default(),
            other: OTHER.into(),
            most,
        }
    }

    /// The name if it has a place already, `other` if not.
    pub(super) fn find(&self, name: &str) -> Arc<str> {
        let name = beginning(name);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(name).unwrap_or(&self.other).clone()
    }

    /// The same, but gives the name a place while there is room.
    pub(super) fn keep(&self, name: &str) -> Arc<str> {
        let found = self.find(name);
        if !Arc::ptr_eq(&found, &self.other) {
            return found;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.most {
            return found;
        }
        let name: Arc<str> = beginning(name).into();
        known.insert(name.clone());
        name
    }
}

fn beginning(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_are_all_the_same() {
        let names = Names::up_to(2);
        assert_eq!(&*names.find("a"), OTHER, "looking gives no place");
        assert_eq!((&*names.keep("a"), &*names.keep("b")), ("a", "b"));
        assert_eq!((&*names.keep("c"), &*names.keep("a")), (OTHER, "a"));
        assert_eq!(&*names.find("b"), "b");
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let names = Names::up_to(1);
        assert_eq!(names.keep(&"ü".repeat(90)).chars().count(), MAX_NAME / 2);
    }
}
