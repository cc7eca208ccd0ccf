//! What the body of an HTTP request holds: one message, or a batch of them.

use bytes::Bytes;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::json::{RawJson, depth};
use super::message::{Malformed, Message};

/// What a body holds.
#[derive(Debug)]
pub enum Body {
    /// One message.
    One(Message),
    /// A batch of JSON-RPC, not yet read.
    Batch(Batch),
}

impl Body {
    /// Reads a body of at most `max_depth` levels of nesting.
    ///
    /// # Errors
    /// What makes the body unreadable; of a batch only what is seen without reading it.
    pub fn parse(whole: &Bytes, max_depth: usize) -> Result<Self, Malformed> {
        check_text(whole, max_depth)?;
        if whole.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            return Ok(Self::Batch(Batch(whole.clone())));
        }
        Message::parse(whole).map(Self::One)
    }
}

/// The text of a batch. It is read only once it is known to be welcome: a member takes two bytes to
/// write and a hundred times that in memory.
#[derive(Debug)]
pub struct Batch(Bytes);

impl Batch {
    /// Its members, with a fault in the place of each that is no message. Nothing behind the first
    /// member over `max` is looked at.
    ///
    /// # Errors
    /// What makes the batch as a whole unreadable, and [`Malformed::TooMany`].
    pub fn messages(&self, max: usize) -> Result<Vec<Result<Message, Malformed>>, Malformed> {
        let mut reader = serde_json::Deserializer::from_slice(&self.0);
        let members = reader.deserialize_seq(AtMost(max));
        let members = members.and_then(|members| reader.end().map(|()| members));
        // Any JSON is a member, so the only objection to the data itself is their number.
        let members = members.map_err(|error| match error.classify() {
            Category::Data => Malformed::TooMany(max),
            _ => Malformed::Syntax(error.to_string()),
        })?;
        if members.is_empty() {
            return Err(Malformed::Invalid("a batch must not be empty"));
        }
        let parse =
            |raw: &RawValue| Message::parse(&RawJson::within(&self.0, raw.get()).into_bytes());
        Ok(members.into_iter().map(parse).collect())
    }
}

/// Reads an array of at most this many members.
struct AtMost(usize);

impl<'de> Visitor<'de> for AtMost {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at most {} members", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = array.next_element()? {
            if members.len() == self.0 {
                return Err(A::Error::invalid_length(self.0 + 1, &self));
            }
            members.push(member);
        }
        Ok(members)
    }
}

/// Refuses text that is empty, no UTF-8, or nested too deeply, before a parser sees it.
///
/// # Errors
/// The first of these that holds.
pub fn check_text(body: &[u8], max_depth: usize) -> Result<(), Malformed> {
    let text =
        std::str::from_utf8(body).map_err(|error| Malformed::NotUtf8(error.valid_up_to()))?;
    if text.trim().is_empty() {
        return Err(Malformed::Empty);
    }
    match depth(body) {
        deep if deep > max_depth => Err(Malformed::TooDeep {
            deep,
            limit: max_depth,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch(text: &'static str, max: usize) -> Result<Vec<Result<Message, Malformed>>, Malformed> {
        match Body::parse(&Bytes::from_static(text.as_bytes()), 64)? {
            Body::Batch(batch) => batch.messages(max),
            Body::One(message) => panic!("{message:?}"),
        }
    }

    #[test]
    fn unreadable_bodies_are_told_apart() {
        let read = |bytes: &'static [u8]| Body::parse(&Bytes::from_static(bytes), 4).unwrap_err();
        assert_eq!(read(b"  \n"), Malformed::Empty);
        assert_eq!(read(b"{\"a\":\"\xff\"}"), Malformed::NotUtf8(6));
        assert_eq!(
            read(b"[[[[[]]]]]"),
            Malformed::TooDeep { deep: 5, limit: 4 }
        );
        assert!(matches!(
            read(b"{\"jsonrpc\":\"2.0\","),
            Malformed::Syntax(_)
        ));
        assert!(matches!(read(b"{} {}"), Malformed::Syntax(_)));
    }

    #[test]
    fn a_batch_reports_its_members_one_by_one() {
        let members = batch(
            r#" [{"jsonrpc":"2.0","id":1,"method":"ping"},5,{"jsonrpc":"2.0","method":"n"}] "#,
            3,
        )
        .unwrap();
        assert!(matches!(&members[0], Ok(Message::Request(r)) if r.method == "ping"));
        assert!(matches!(&members[1], Err(Malformed::Invalid(_))));
        assert!(matches!(&members[2], Ok(Message::Notification(n)) if n.method == "n"));
    }

    #[test]
    fn a_batch_that_is_none_is_refused_as_a_whole() {
        for text in ["[1,", "[1", "[1] 2", "[1]]", "[1 2]", "[x]"] {
            let fault = batch(text, 9).unwrap_err();
            assert!(matches!(fault, Malformed::Syntax(_)), "{text}: {fault:?}");
        }
        assert!(matches!(batch("[]", 9), Err(Malformed::Invalid(_))));
    }

    #[test]
    fn nothing_is_read_behind_the_first_member_that_is_too_many() {
        assert_eq!(batch("[1,2]", 2).unwrap().len(), 2);
        assert_eq!(
            batch("[1,2,3, no JSON", 2).unwrap_err(),
            Malformed::TooMany(2)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read_all(&Bytes::from(bytes));
        }

        #[test]
        fn no_json_like_text_makes_the_parser_panic(text in r#"[\[\]{}",:0-9a-z\\\. -]{0,120}"#) {
            read_all(&Bytes::from(text));
        }
    }

    fn read_all(body: &Bytes) {
        if let Ok(Body::Batch(batch)) = Body::parse(body, 64) {
            let _ = batch.messages(100);
        }
    }
}
