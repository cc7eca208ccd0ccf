//! JSON in one form, so that equal values have equal bytes: the order of members as RFC 8785 wants
//! it, no white space, one spelling for each string. Numbers keep their digits: 1 and 1.0 are told
//! apart, which at worst treats equal things as different, never different things as equal.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json::Members;

/// Writes the canonical form of the JSON value `text` behind `out`.
///
/// The work grows with the depth of nesting; readers bound that before they come here.
///
/// # Errors
/// When `text` is not one JSON value.
pub fn write(text: &str, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members = Members::parse(text.as_bytes())?;
            let mut sorted: Vec<(Cow<'_, str>, &str)> = members.iter().collect();
            // UTF-16 order (RFC 8785, section 3.2.3); the sort is stable, so doubled keys keep
            // theirs.
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (i, (key, value)) in sorted.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, key)?;
                out.push(b':');
                write(value, out)?;
            }
            out.push(b'}');
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push(b'[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(value.get(), out)?;
            }
            out.push(b']');
        }
        Some(b'"') => serde_json::to_writer(out, &serde_json::from_str::<String>(text)?)?,
        _ => out.extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        let mut out = Vec::new();
        write(text, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn order_space_and_escapes_make_no_difference() {
        let one = r#"{ "b" : [1, {"y":"\u00e9","x":null}], "a" : "\/" }"#;
        let other = r#"{"a":"/","b":[1,{"x":null,"y":"é"}]}"#;
        assert_eq!(canonical(one), canonical(other));
        assert_eq!(canonical(one), other);
    }

    #[test]
    fn different_values_stay_different() {
        for (one, other) in [
            ("1", "2"),
            (r#""1""#, "1"),
            ("[1,2]", "[2,1]"),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
            ("12345678901234567890123", "12345678901234567890124"),
            (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#),
        ] {
            assert_ne!(canonical(one), canonical(other));
        }
    }

    #[test]
    fn members_stand_in_the_order_of_utf_16() {
        assert_eq!(
            canonical("{\"\u{ff61}\":1,\"😀\":2,\"a\":3}"),
            "{\"a\":3,\"😀\":2,\"\u{ff61}\":1}"
        );
    }

    proptest! {
        #[test]
        fn the_canonical_form_of_a_canonical_form_is_itself(
            object in prop::collection::hash_map(".{0,6}", prop::collection::vec(".{0,4}", 0..4), 0..5)
        ) {
            let once = canonical(&serde_json::to_string(&object).unwrap());
            prop_assert_eq!(canonical(&once), once);
        }
    }
}
