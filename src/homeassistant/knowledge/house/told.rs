//! What clients are told of the exposed entities: what Home Assistant tells a language model of them,
//! one by one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Entity, House, domain_of};
use crate::upstream::Thing;

/// Entities that Home Assistant tells no language model about: it has tools for them.
const UNTOLD: [&str; 2] = ["calendar", "script"];

/// One entity, as clients read it.
#[derive(Serialize)]
struct Text<'a> {
    entity_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    area: Option<&'a str>,
    state: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_changed: Option<jiff::Timestamp>,
}

impl House {
    /// Those entities that clients are told of, behind `after` in the order of their ids, `most` at a
    /// time.
    pub(in super::super) fn things_after(&self, after: Option<&str>, most: usize) -> Vec<Thing> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entities = self.entities.range::<str, _>((behind, Bound::Unbounded));
        let told = entities.filter(|(id, entity)| is_told(id, entity));
        let things = told.map(|(id, entity)| self.thing(id, entity));
        things.take(most).collect()
    }

    /// One of them with how it is, as JSON; nothing if clients are not told of it.
    pub(in super::super) fn told(&self, id: &str) -> Option<(Thing, String)> {
        let (id, entity) = self.entities.get_key_value(id)?;
        let state = entity.state.as_deref().filter(|_| is_told(id, entity))?;
        let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
        let attributes = entity.told.iter();
        let mut attributes: BTreeMap<_, _> = attributes
            .filter_map(|(name, text)| Some((name, raw(text)?)))
            .collect();
        if domain_of(id) == "light"
            && let Some(percent) = entity.told.number("brightness").map(percent)
            && let Some(percent) = raw(&percent.to_string())
        {
            attributes.insert("brightness_pct", percent);
        }
        let thing = self.thing(id, entity);
        let text = Text {
            entity_id: id,
            name: thing.name.as_deref(),
            area: thing.area.as_deref(),
            state,
            attributes,
            last_changed: entity.last_changed.and_then(timestamp),
        };
        let text = serde_json::to_string(&text).ok()?;
        Some((thing, text))
    }

    fn thing(&self, id: &Arc<str>, entity: &Entity) -> Thing {
        let area = self.area_of(id).and_then(|area| self.areas.get(area));
        Thing {
            id: id.clone(),
            name: entity.friendly_name.as_deref().map(str::to_owned),
            area: area.map(|place| place.name.to_string()),
        }
    }
}

fn is_told(id: &str, entity: &Entity) -> bool {
    entity.state.is_some() && !UNTOLD.contains(&domain_of(id))
}

/// What Home Assistant's tools take for this brightness of 0 to 255; what is on is at least at 1.
fn percent(brightness: f64) -> u8 {
    let percent = (brightness / 255.0 * 100.0).round().clamp(0.0, 100.0);
    let least = u8::from(brightness > 0.0);
    // The bounds are those of a percentage.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let percent = percent as u8;
    percent.max(least)
}

/// The moment of so many seconds of Unix time, to the millisecond.
fn timestamp(seconds: f64) -> Option<jiff::Timestamp> {
    let seconds = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
    let millis = i64::try_from(seconds.as_millis()).ok()?;
    jiff::Timestamp::from_millisecond(millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brightness_is_told_as_the_percentage_that_tools_take() {
        for (brightness, expected) in [(0.0, 0), (1.0, 1), (128.0, 50), (255.0, 100), (999.0, 100)]
        {
            assert_eq!(percent(brightness), expected, "{brightness}");
        }
    }

    #[test]
    fn a_moment_that_cannot_be_is_not_told() {
        let told = timestamp(1_700_000_000.123_4).unwrap().to_string();
        assert_eq!(told, "2023-11-14T22:13:20.123Z");
        for odd in [f64::NAN, f64::INFINITY, 1e300, -1e300] {
            assert_eq!(timestamp(odd), None);
        }
    }
}
