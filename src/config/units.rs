//! Values as people write them: durations (`50s`, `250ms`, `2m`), sizes (`4MiB`, `512KiB`), lists
//! (`a,b` in the environment), and addresses as they may be shown.

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

/// Reads and writes a [`std::time::Duration`], to be named in `#[serde(with)]`.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Duration,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        let millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
        s.serialize_str(&super::write(millis, &UNITS))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Duration, D::Error> {
        let text = super::Text::deserialize(d)?;
        super::read(&text.0, &UNITS)
            .map(Duration::from_millis)
            .ok_or_else(|| {
                let text = &text.0;
                serde::de::Error::custom(format!(
                    "{text:?} is no duration; write it like 50s, 250ms or 2m"
                ))
            })
    }
}

/// Reads and writes a number of bytes, to be named in `#[serde(with)]`.
pub(super) mod bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    const UNITS: [(&str, u64); 4] = [
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes fields by reference"
    )]
    pub(in super::super) fn serialize<S: Serializer>(
        value: &usize,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_str(&super::write(*value as u64, &UNITS))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<usize, D::Error> {
        let text = super::Text::deserialize(d)?;
        super::read(&text.0, &UNITS)
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| {
                let text = &text.0;
                serde::de::Error::custom(format!(
                    "{text:?} is no size; write it like 4MiB or 512KiB"
                ))
            })
    }
}

/// Writes an address without what stands behind its path, where keys are found; to be named in
/// `#[serde(serialize_with)]`.
pub(super) fn without_query<S: Serializer>(address: &str, s: S) -> Result<S::Ok, S::Error> {
    let end = address.find(['?', '#']).unwrap_or(address.len());
    s.serialize_str(&address[..end])
}

/// Reads a list of texts, or of paths, to be named in `#[serde(deserialize_with)]`. A text is a list, too, with
/// commas: the environment has no simple way to write another.
pub(super) fn list<'de, D: Deserializer<'de>, T: From<String>>(d: D) -> Result<Vec<T>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of texts")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            if text.starts_with('[') {
                return Err(E::custom(format!("the list {text:?} has no proper end")));
            }
            let entries = text.split(',').map(str::trim);
            let entries = entries.filter(|entry| !entry.is_empty());
            Ok(entries.map(str::to_owned).collect())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
            Deserialize::deserialize(SeqAccessDeserializer::new(entries))
        }
    }
    let texts = d.deserialize_any(List)?;
    Ok(texts.into_iter().map(T::from).collect())
}

/// A text, or a bare number, which lacks its unit and is refused with its digits in the message.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyScalar;
        impl Visitor<'_> for AnyScalar {
            type Value = Text;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number with its unit")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(AnyScalar)
    }
}

fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// In the largest unit that has no remainder.
fn write(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| value > 0 && value.is_multiple_of(*factor);
    let (name, factor) = units.iter().rfind(fits).unwrap_or(&units[0]);
    format!("{}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use std::time::Duration;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        #[serde(with = "super::duration")]
        time: Duration,
        #[serde(with = "super::bytes")]
        size: usize,
    }

    fn sample(time: &str, size: &str) -> Result<Sample, String> {
        serde_json::from_str(&format!(r#"{{"time":{time},"size":{size}}}"#))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn units_are_understood() {
        let read = sample(r#""250ms""#, r#""4MiB""#).unwrap();
        assert_eq!(
            read,
            Sample {
                time: Duration::from_millis(250),
                size: 4 << 20
            }
        );
        let read = sample(r#"" 2 m""#, r#""512 kib""#).unwrap();
        assert_eq!(
            read,
            Sample {
                time: Duration::from_mins(2),
                size: 512 << 10
            }
        );
    }

    #[test]
    fn a_number_without_its_unit_is_refused_with_an_example() {
        assert!(
            sample("50", r#""1B""#)
                .unwrap_err()
                .contains(r#""50" is no duration; write it like 50s"#)
        );
        assert!(
            sample(r#""1s""#, "4")
                .unwrap_err()
                .contains(r#""4" is no size; write it like 4MiB"#)
        );
        for nonsense in [
            "s",
            "-5s",
            "5 days",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(
                sample(&format!("{nonsense:?}"), r#""1B""#).is_err(),
                "{nonsense}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_the_same(millis in 0u64..1 << 50, size in 0usize..1 << 50) {
            let sample = Sample { time: Duration::from_millis(millis), size };
            let text = serde_json::to_string(&sample).unwrap();
            prop_assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample);
        }
    }
}
