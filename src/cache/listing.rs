//! Whether a list differs from the one before.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::{Key, Kind};
use crate::protocol::canonical;
use crate::protocol::json::RawJson;

/// More lists (or pages of lists) than an upstream has that means well.
const MAX_LISTS: usize = 1000;

type Hash = [u8; 32];

/// The lists as they were last, by their hashes.
#[derive(Debug, Default)]
pub(super) struct Listings {
    last: HashMap<Key, Hash>,
}

impl Listings {
    /// Whether `result` lists something else than the one before under `key`. The first one does not
    /// differ, nor does anything that is no list.
    pub(super) fn differs(&mut self, key: Key, kind: Kind, result: &RawJson) -> bool {
        let Some(hash) = kind.items().and_then(|items| hash(items, result)) else {
            return false;
        };
        if self.last.len() >= MAX_LISTS && !self.last.contains_key(&key) {
            self.last.clear();
        }
        self.last.insert(key, hash).is_some_and(|last| last != hash)
    }
}

/// Over what is listed, in whatever order. Home Assistant sorts by names that people give.
fn hash(items: &str, result: &RawJson) -> Option<Hash> {
    let members = result.members()?;
    let list: Vec<&serde_json::value::RawValue> = serde_json::from_str(members.get(items)?).ok()?;
    let canonical = |item: &&serde_json::value::RawValue| {
        let mut text = Vec::new();
        canonical::write(item.get(), &mut text).ok()?;
        Some(Sha256::digest(text))
    };
    let mut hashes = list.iter().map(canonical).collect::<Option<Vec<_>>>()?;
    hashes.sort_unstable();
    let mut all = Sha256::new();
    for hash in hashes {
        all.update(hash);
    }
    Some(all.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn differs(first: Value, second: Value) -> bool {
        let mut listings = Listings::default();
        let key = Key([0; 32]);
        assert!(!listings.differs(key, Kind::Tools, &RawJson::of(&json!({"tools": first}))));
        listings.differs(key, Kind::Tools, &RawJson::of(&json!({"tools": second})))
    }

    #[test]
    fn another_order_of_tools_or_of_their_members_is_the_same_list() {
        let one = json!([{"name": "a", "title": "x"}, {"name": "b"}]);
        assert!(!differs(one.clone(), one.clone()));
        assert!(!differs(
            one,
            json!([{"name": "b"}, {"title": "x", "name": "a"}])
        ));
    }

    #[test]
    fn one_tool_more_or_less_or_another_description_is_another_list() {
        let one = json!([{"name": "a", "description": "x"}]);
        for other in [
            json!([]),
            json!([{"name": "a", "description": "y"}]),
            json!([{"name": "a", "description": "x"}, {"name": "b"}]),
        ] {
            assert!(differs(one.clone(), other.clone()), "{other}");
            assert!(differs(other, one.clone()));
        }
    }

    #[test]
    fn what_is_no_list_never_differs() {
        let mut listings = Listings::default();
        for result in [json!({"tools": 1}), json!({}), json!(5)] {
            assert!(!listings.differs(Key([0; 32]), Kind::Tools, &RawJson::of(&result)));
        }
        let context = |text: &str| RawJson::of(&json!({"content": [text]}));
        assert!(!listings.differs(Key([1; 32]), Kind::Live, &context("a")));
        assert!(!listings.differs(Key([1; 32]), Kind::Live, &context("b")));
    }

    #[test]
    fn a_hostile_upstream_with_ever_new_pages_fills_no_memory() {
        let mut listings = Listings::default();
        for n in 0..3 * MAX_LISTS {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            listings.differs(Key(key), Kind::Tools, &RawJson::of(&json!({"tools": []})));
        }
        assert!(listings.last.len() <= MAX_LISTS);
    }
}
