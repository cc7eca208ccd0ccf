//! The attributes of an entity that the bridge looks at, and none of the others: among those may be
//! what is nobody's business, such as the token of a camera's picture.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Those that clients are told: the ones that Home Assistant tells a language model
/// (`homeassistant/components/homeassistant/llm.py`, 2026.11).
const TOLD: [&str; 13] = [
    "brightness",
    "current_position",
    "current_temperature",
    "device_class",
    "humidity",
    "media_album_name",
    "media_artist",
    "media_title",
    "percentage",
    "temperature",
    "temperature_unit",
    "unit_of_measurement",
    "volume_level",
];
/// Bytes of JSON that one of them may have; a longer one is not kept.
const MAX_VALUE: usize = 1024;

/// Attributes as Home Assistant says them. An integration may put anything there.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    friendly_name: Option<&'a RawValue>,
    /// The members of a group, and those of a group of media players.
    members: [Option<&'a RawValue>; 2],
    /// Places in [`TOLD`] with what is said.
    told: Vec<(usize, &'a RawValue)>,
}

impl<'a> Attributes<'a> {
    /// What people call it.
    pub(super) fn friendly_name(&self) -> Option<Cow<'a, str>> {
        serde_json::from_str(self.friendly_name?.get()).ok()
    }

    /// The entities that it stands for; nothing if that is not said.
    pub(super) fn members(&self) -> Option<Vec<Cow<'a, str>>> {
        let mut said = self.members.into_iter().flatten().peekable();
        said.peek()?;
        let members = said.filter_map(|list| serde_json::from_str::<Vec<_>>(list.get()).ok());
        Some(members.flatten().collect())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Attributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Chosen;
        impl<'de> Visitor<'de> for Chosen {
            type Value = Attributes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("attributes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Attributes::default();
                while let Some(Name(name)) = map.next_key::<Name<'_>>()? {
                    match &*name {
                        "friendly_name" => found.friendly_name = Some(map.next_value()?),
                        "entity_id" => found.members[0] = Some(map.next_value()?),
                        "group_members" => found.members[1] = Some(map.next_value()?),
                        name => match TOLD.binary_search(&name) {
                            Ok(place) => found.told.push((place, map.next_value()?)),
                            Err(_) => drop(map.next_value::<IgnoredAny>()?),
                        },
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Chosen)
    }
}

/// Without it, serde makes a copy of each name.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// What does not hold any more besides what is said anew.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gone<'a> {
    /// Everything that was known.
    All,
    /// These.
    These(&'a [Cow<'a, str>]),
}

/// Those attributes of one entity that clients are told, as JSON texts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Told(Box<[(usize, Box<str>)]>);

impl Told {
    /// The same after a change.
    pub(super) fn after(&self, gone: Gone<'_>, new: Option<&Attributes<'_>>) -> Self {
        let new = new.map_or(&[][..], |attributes| &attributes.told);
        let stays = |place: usize| match gone {
            Gone::All => false,
            Gone::These(names) => !names.iter().any(|name| name == TOLD[place]),
        };
        let is_new = |place: usize| new.iter().any(|(other, _)| *other == place);
        let old = self.0.iter().filter(|(place, _)| stays(*place));
        let old = old.filter(|(place, _)| !is_new(*place)).cloned();
        let new = new.iter().map(|(place, value)| (*place, value.get()));
        let new = new.filter(|(_, text)| *text != "null" && text.len() <= MAX_VALUE);
        let mut all: Vec<_> = old
            .chain(new.map(|(place, text)| (place, text.into())))
            .collect();
        all.sort_by_key(|(place, _)| *place);
        // Said twice in one object: the last one counts, as everywhere.
        all.reverse();
        all.dedup_by_key(|(place, _)| *place);
        all.reverse();
        Self(all.into_boxed_slice())
    }

    /// All of them, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(place, text)| (TOLD[*place], &**text))
    }

    /// One of them, if it is a number.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        let mut all = self.iter();
        all.find(|(one, _)| *one == name)?.1.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn after(told: &Told, gone: Gone<'_>, new: &Value) -> Told {
        let text = new.to_string();
        told.after(gone, Some(&serde_json::from_str(&text).unwrap()))
    }

    fn shown(told: &Told) -> String {
        let all = told.iter().map(|(name, text)| format!("{name}={text}"));
        all.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_names_can_be_searched_for() {
        assert!(TOLD.is_sorted());
    }

    #[test]
    fn only_what_a_language_model_is_told_by_home_assistant_is_kept() {
        let said = json!({"brightness": 128, "access_token": "secret", "entity_picture": "/x?token=secret",
            "friendly_name": "Lamp", "media_title": "Ümläut", "temperature": null,
            "humidity": "x".repeat(MAX_VALUE)});
        let told = after(&Told::default(), Gone::All, &said);
        assert_eq!(shown(&told), "brightness=128 media_title=\"Ümläut\"");
        assert_eq!(told.number("brightness"), Some(128.0));
        assert_eq!(told.number("media_title"), None);
    }

    #[test]
    fn what_changes_takes_the_place_of_what_was_and_what_is_gone_is_gone() {
        let first = after(
            &Told::default(),
            Gone::All,
            &json!({"brightness": 1, "volume_level": 0.5, "percentage": 20}),
        );
        let gone = ["volume_level".into(), "odd".into()];
        let second = after(&first, Gone::These(&gone), &json!({"brightness": 2}));
        assert_eq!(shown(&second), "brightness=2 percentage=20");
        let third = after(&second, Gone::These(&[]), &json!({"percentage": null}));
        assert_eq!(shown(&third), "brightness=2");
        assert_eq!(shown(&after(&third, Gone::All, &json!({}))), "");
        assert_eq!(third.after(Gone::These(&[]), None), third);
    }

    #[test]
    fn escaped_and_repeated_names_are_read_as_home_assistant_means_them() {
        let text =
            r#"{"bright\u006eess": 1, "brightness": 2, "entity_id": ["a.b"], "group_members": 5}"#;
        let attributes: Attributes<'_> = serde_json::from_str(text).unwrap();
        let told = Told::default().after(Gone::All, Some(&attributes));
        assert_eq!(shown(&told), "brightness=2");
        assert_eq!(attributes.members().unwrap(), ["a.b"]);
    }
}
