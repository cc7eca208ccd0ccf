//! JSON text handled as text: pieces are found and replaced, everything else keeps its bytes.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::ser::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A piece of JSON text, known to be valid, in the bytes in which it arrived.
///
/// Cloning and slicing never copy: a `result` of 20 KB is a view into the message that carried it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawJson(Bytes);

impl RawJson {
    /// Takes the whole of `bytes` if it is one JSON value.
    ///
    /// # Errors
    /// The parser's own word on what is wrong, with line and column.
    pub fn parse(bytes: Bytes) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<&RawValue>(&bytes)?;
        Ok(Self(bytes))
    }

    /// The JSON form of a value of ours. Maps need string keys, or it becomes `null`.
    pub fn of(value: &impl Serialize) -> Self {
        Self(
            serde_json::to_vec(value)
                .unwrap_or_else(|_| b"null".to_vec())
                .into(),
        )
    }

    /// The object with these members; the keys need no escapes.
    pub(super) fn object(members: &[(&str, &Self)]) -> Self {
        let size = members
            .iter()
            .map(|(key, value)| key.len() + value.0.len() + 4);
        let mut out = BytesMut::with_capacity(size.sum::<usize>() + 2);
        for (i, (key, value)) in members.iter().enumerate() {
            out.put_slice(if i == 0 { b"{\"" } else { b",\"" });
            out.put_slice(key.as_bytes());
            out.put_slice(b"\":");
            out.put_slice(&value.0);
        }
        out.put_u8(b'}');
        Self(out.freeze())
    }

    /// The view of `part`, the text of a JSON value that was parsed out of `whole`.
    pub(super) fn within(whole: &Bytes, part: &str) -> Self {
        Self(whole.slice_ref(part.as_bytes()))
    }

    /// The text, as bytes of UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, as the shared buffer that it is.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Reads the text into a type.
    ///
    /// # Errors
    /// When the value has another shape than `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    /// The value's members if it is an object.
    pub fn members(&self) -> Option<Members<'_>> {
        Members::parse(&self.0).ok()
    }
}

impl std::fmt::Debug for RawJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for RawJson {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_slice::<&RawValue>(&self.0)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// The members of one JSON object, in their order, keys and values as they were written.
///
/// The way in which the bridge edits messages: take the members, replace the one that has to
/// change, write them down again. Members that nobody named keep every byte: digits of numbers,
/// escapes, unknown fields.
#[derive(Debug, Clone)]
pub struct Members<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Members<'a> {
    /// The members of the object that `text` is.
    ///
    /// # Errors
    /// When `text` is not valid JSON, or not an object.
    pub fn parse(text: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// An object without members.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// The value of `key`; of the last one, where a sender wrote the key twice.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(raw, _)| spells(raw, key))
            .map(|(_, value)| value.as_ref())
    }

    /// The value of `key`, if it is a string, without its quotes and escapes.
    pub fn get_str(&self, key: &str) -> Option<Cow<'_, str>> {
        let text = self.get(key)?;
        match plain(text) {
            Some(plain) => Some(plain.into()),
            None => serde_json::from_str::<Unquoted<'_>>(text).ok().map(|s| s.0),
        }
    }

    /// All members in their order: key without escapes, value as written.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
        self.0
            .iter()
            .map(|(raw, value)| (unquoted(raw), value.as_ref()))
    }

    /// True if `key` stands there more than once: two readers may then see two different messages.
    pub fn repeats(&self, key: &str) -> bool {
        self.0.iter().filter(|(raw, _)| spells(raw, key)).count() > 1
    }

    /// True if there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts `value` in the place of `key`'s value, or behind the last member.
    pub fn set(&mut self, key: &str, value: &RawJson) {
        let value = String::from_utf8_lossy(&value.0).into_owned();
        match self.0.iter_mut().find(|(raw, _)| spells(raw, key)) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((quoted(key).into(), value.into())),
        }
    }

    /// Like [`Members::set`], but an existing member stays as it is.
    pub fn set_if_absent(&mut self, key: &str, value: &RawJson) {
        if self.get(key).is_none() {
            self.set(key, value);
        }
    }

    /// Sets a member of the object that the member `key` is; makes that object where there is none.
    pub fn set_within(&mut self, key: &str, inner_key: &str, value: &RawJson) {
        let old = self.get(key).map(str::to_owned);
        let inner = old.as_deref().map(|text| Members::parse(text.as_bytes()));
        let mut inner = inner.and_then(Result::ok).unwrap_or_else(Members::empty);
        inner.set(inner_key, value);
        let inner = inner.write();
        self.set(key, &inner);
    }

    /// Adds a value behind the others of the array that the member `key` is; does nothing where there
    /// is none.
    pub fn push_to(&mut self, key: &str, value: &RawJson) {
        let Some(array) = self.get(key).and_then(|text| text.trim().strip_suffix(']')) else {
            return;
        };
        let comma = if array.trim_end().ends_with('[') {
            ""
        } else {
            ","
        };
        let value = String::from_utf8_lossy(value.as_bytes());
        let array = format!("{array}{comma}{value}]");
        self.set(key, &RawJson(array.into()));
    }

    /// Removes every member for which `condition` holds; says whether there was one.
    pub fn remove_where(&mut self, condition: impl Fn(&str) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|(raw, _)| !condition(&unquoted(raw)));
        self.0.len() != before
    }

    /// The object as JSON text.
    pub fn write(&self) -> RawJson {
        let size = self
            .0
            .iter()
            .map(|(k, v)| k.len() + v.len() + 2)
            .sum::<usize>()
            + 2;
        let mut out = BytesMut::with_capacity(size);
        out.put_u8(b'{');
        for (i, (key, value)) in self.0.iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            out.put_slice(key.as_bytes());
            out.put_u8(b':');
            out.put_slice(value.as_bytes());
        }
        out.put_u8(b'}');
        RawJson(out.freeze())
    }
}

/// Where the members of one object stand in its text, so that it is read only once.
#[derive(Debug, Clone)]
pub(super) struct Index(Arc<[[Range<usize>; 2]]>);

impl Index {
    /// Of the object that `json` is; of any other value there are no members.
    pub(super) fn of(json: &RawJson) -> Self {
        let start = json.0.as_ptr().addr();
        let place = |part: &str| {
            let from = part.as_ptr().addr() - start;
            from..from + part.len()
        };
        let members = Members::parse(&json.0).unwrap_or_else(|_| Members::empty());
        let pairs = members.0.iter();
        Self(
            pairs
                .map(|(key, value)| [place(key), place(value)])
                .collect(),
        )
    }

    /// The members of the same object.
    pub(super) fn members<'a>(&self, json: &'a RawJson) -> Members<'a> {
        let text = std::str::from_utf8(&json.0).unwrap_or_default();
        let part = |place: &Range<usize>| text.get(place.clone()).unwrap_or_default().into();
        let pairs = self.0.iter().map(|[key, value]| (part(key), part(value)));
        Members(pairs.collect())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    members.push((key.get().into(), value.get().into()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A JSON string that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Unquoted<'a>(#[serde(borrow)] Cow<'a, str>);

/// The text of a valid JSON string that has no escapes.
fn plain(raw: &str) -> Option<&str> {
    let text = raw.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}

fn unquoted(raw: &str) -> Cow<'_, str> {
    match plain(raw) {
        Some(plain) => plain.into(),
        None => serde_json::from_str::<Unquoted<'_>>(raw).map_or(raw.into(), |s| s.0),
    }
}

fn quoted(key: &str) -> String {
    serde_json::Value::from(key).to_string()
}

/// Whether the JSON string `raw`, quotes and escapes included, means `key`.
fn spells(raw: &str, key: &str) -> bool {
    match plain(raw) {
        Some(plain) => plain == key,
        None => serde_json::from_str::<Unquoted<'_>>(raw).is_ok_and(|s| s.0 == key),
    }
}

/// The value that `text` is, unless an object in it has a name twice: two readers may then see two
/// different values.
///
/// The work grows with the depth of nesting; readers bound that before they come here.
pub fn unambiguous(text: &str) -> Option<Value> {
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members = Members::parse(text.as_bytes()).ok()?;
            let mut object = Map::new();
            for (name, value) in members.iter() {
                if object
                    .insert(name.into_owned(), unambiguous(value)?)
                    .is_some()
                {
                    return None;
                }
            }
            Some(Value::Object(object))
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let values = values.into_iter().map(|value| unambiguous(value.get()));
            values.collect::<Option<_>>().map(Value::Array)
        }
        _ => serde_json::from_str(text).ok(),
    }
}

/// How deeply arrays and objects are nested in `text`, counted without recursion; brackets in
/// strings don't count.
///
/// It needs no valid JSON: a reader with a stack to lose asks this first.
pub fn depth(text: &[u8]) -> usize {
    let (mut now, mut deepest) = (0usize, 0usize);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            b'"' => {
                while let Some(inside) = bytes.next() {
                    match inside {
                        b'\\' => {
                            bytes.next();
                        }
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(members: &Members<'_>) -> String {
        String::from_utf8(members.write().as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn members_that_nobody_touched_keep_their_bytes() {
        let source =
            br#"{"a":1.50e+3,"\u0062":"\u00e9","c":{"x" : [1, 2]},"d":12345678901234567890123}"#;
        let mut members = Members::parse(source).unwrap();
        members.set("a", &RawJson::of(&2));
        assert_eq!(
            text(&members),
            r#"{"a":2,"\u0062":"\u00e9","c":{"x" : [1, 2]},"d":12345678901234567890123}"#
        );
    }

    #[test]
    fn a_key_is_found_however_it_is_escaped() {
        let mut members = Members::parse(br#"{"m\u0065thod":"ping","x":1}"#).unwrap();
        assert_eq!(members.get("method"), Some(r#""ping""#));
        assert_eq!(members.get_str("method").as_deref(), Some("ping"));
        assert!(members.remove_where(|key| key == "method"));
        assert_eq!(text(&members), r#"{"x":1}"#);
    }

    #[test]
    fn a_repeated_key_is_noticed_even_when_one_of_them_is_escaped() {
        assert!(
            Members::parse(br#"{"id":1,"\u0069d":2}"#)
                .unwrap()
                .repeats("id")
        );
        assert!(!Members::parse(br#"{"id":1,"ix":2}"#).unwrap().repeats("id"));
    }

    #[test]
    fn a_value_is_unambiguous_if_no_object_in_it_has_a_name_twice() {
        let value = serde_json::json!({"a": [1.5, {"b": null}], "c": "x"});
        assert_eq!(unambiguous(&value.to_string()), Some(value));
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"x":{"a":1,"b":2,"a":3}}]"#,
            "{",
        ] {
            assert_eq!(unambiguous(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_absent_is_added_at_the_end_and_what_is_there_stays() {
        let mut members = Members::parse(br#"{"a":1}"#).unwrap();
        members.set_if_absent("a", &RawJson::of(&9));
        members.set_if_absent("b", &RawJson::of(&"two"));
        assert_eq!(text(&members), r#"{"a":1,"b":"two"}"#);
    }

    #[test]
    fn a_member_of_a_member_is_set_and_its_neighbours_stay() {
        let mut members = Members::parse(br#"{"_meta":{"a": 1.0},"x":1}"#).unwrap();
        members.set_within("_meta", "b", &RawJson::of(&true));
        members.set_within("x", "b", &RawJson::of(&true));
        members.set_within("y", "b", &RawJson::of(&true));
        assert_eq!(
            text(&members),
            r#"{"_meta":{"a":1.0,"b":true},"x":{"b":true},"y":{"b":true}}"#
        );
    }

    #[test]
    fn a_value_is_put_behind_the_others_of_an_array() {
        for (before, after) in [
            (r#"{"a":[1, 2 ] }"#, r#"{"a":[1, 2 ,{}]}"#),
            (r#"{"a":[ ]}"#, r#"{"a":[ {}]}"#),
            (r#"{"a":["["]}"#, r#"{"a":["[",{}]}"#),
            (r#"{"a":5}"#, r#"{"a":5}"#),
            ("{}", "{}"),
        ] {
            let mut members = Members::parse(before.as_bytes()).unwrap();
            members.push_to("a", &RawJson::of(&serde_json::json!({})));
            assert_eq!(text(&members), after);
        }
    }

    #[test]
    fn depth_ignores_brackets_in_strings() {
        assert_eq!(depth(br#"{"a":"[[[\"[[","b":[{}]}"#), 3);
        assert_eq!(depth(b"5"), 0);
        assert_eq!(depth("[".repeat(100_000).as_bytes()), 100_000);
    }

    proptest! {
        #[test]
        fn any_object_survives_being_taken_apart_and_written_again(
            object in prop::collection::hash_map(".*", any_json(), 0..6)
        ) {
            let source = serde_json::to_vec(&object).unwrap();
            let written = Members::parse(&source).unwrap().write();
            prop_assert_eq!(written.as_bytes(), &source[..]);
        }

        #[test]
        fn depth_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            depth(&bytes);
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::hash_map(".*", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
