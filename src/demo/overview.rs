//! The house in words: the YAML that Home Assistant gives to a language model, with and without
//! states.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::house::{self, Entity, Playback, State};

const LIVE: &str = "Live Context: An overview of the areas and the devices in this smart home:\n";
const STATIC: &str =
    "Static Context: An overview of the areas and the devices in this smart home:\n";

/// Names, rooms and states, as `GetLiveContext` reports them.
pub(super) fn live<'a>(entities: impl Iterator<Item = &'a Entity>, now: Timestamp) -> String {
    overview(LIVE, entities, Some(now))
}

/// Names and rooms only: what a prompt can hold without growing stale.
pub(super) fn fixed<'a>(entities: impl Iterator<Item = &'a Entity>) -> String {
    overview(STATIC, entities, None)
}

fn overview<'a>(
    heading: &str,
    entities: impl Iterator<Item = &'a Entity>,
    now: Option<Timestamp>,
) -> String {
    // Scripts are tools of their own, so they are not listed among the devices.
    let mut entities: Vec<_> = entities
        .filter(|entity| entity.state != State::Script)
        .collect();
    entities.sort_by_key(|entity| entity.name);
    let mut out = heading.to_owned();
    for entity in entities {
        let _ = writeln!(
            out,
            "- names: {}\n  domain: {}",
            entity.name,
            entity.domain()
        );
        if let Some(now) = now {
            let _ = writeln!(out, "  state: {}", quoted(&state(entity, now)));
        }
        if let Some(area) = entity.area {
            let _ = writeln!(out, "  areas: {}", area.name);
        }
        let attributes = now.map_or_else(Vec::new, |now| attributes(entity, now));
        if !attributes.is_empty() {
            out.push_str("  attributes:\n");
        }
        for (name, value) in attributes {
            let _ = writeln!(
                out,
                "    {name}:{}{value}",
                if value.is_empty() { "" } else { " " }
            );
        }
    }
    out
}

fn state(entity: &Entity, now: Timestamp) -> String {
    let on_off = |on| if on { "on" } else { "off" };
    let word = match &entity.state {
        State::Light { on, .. } | State::Switch { on } => on_off(*on),
        State::Cover { position: 0 } => "closed",
        State::Cover { .. } => "open",
        State::Climate { heating: true, .. } => "heat",
        State::Media { playback, .. } => match playback {
            Playback::Off => "off",
            Playback::Paused => "paused",
            Playback::Playing => "playing",
        },
        State::Lock { locked: true } => "locked",
        State::Lock { locked: false } => "unlocked",
        State::Temperature => return format!("{:?}", house::temperature(now)),
        State::Motion => on_off(house::motion(now)),
        State::Todo { items } => {
            return items.iter().filter(|item| !item.done).count().to_string();
        }
        State::Climate { heating: false, .. } | State::Script => "off",
    };
    word.to_owned()
}

/// In Home Assistant's manner: whole numbers are strings, the others are numbers.
fn attributes(entity: &Entity, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut attributes = match &entity.state {
        State::Light { on: false, .. } => vec![("brightness", String::new())],
        State::Light {
            on: true,
            brightness,
        } => vec![
            ("brightness", quoted(&of_255(*brightness).to_string())),
            ("brightness_pct", quoted(&brightness.to_string())),
        ],
        State::Cover { position } => vec![("current_position", quoted(&position.to_string()))],
        State::Climate { target, .. } => vec![
            (
                "current_temperature",
                format!("{:?}", house::temperature(now)),
            ),
            ("temperature", format!("{target:?}")),
        ],
        State::Media {
            playback,
            volume,
            titles,
            title,
        } if *playback != Playback::Off => vec![
            ("volume_level", format!("{:?}", f64::from(*volume) / 100.0)),
            (
                "media_title",
                titles.get(*title).copied().unwrap_or_default().to_owned(),
            ),
        ],
        State::Temperature => vec![("unit_of_measurement", "°C".to_owned())],
        _ => Vec::new(),
    };
    attributes.extend(
        entity
            .device_class
            .map(|class| ("device_class", class.to_owned())),
    );
    attributes
}

fn of_255(percent: u8) -> u16 {
    (u16::from(percent) * 255 + 50) / 100
}

/// A YAML string; only what YAML would read as a boolean or a number needs quotes here.
fn quoted(word: &str) -> String {
    if matches!(word, "on" | "off") || word.parse::<f64>().is_ok() {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::house::House;
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn entry(name: &str) -> String {
        let house = House::furnished();
        let of_name = house.entities.iter().filter(|entity| entity.name == name);
        live(of_name, now()).strip_prefix(LIVE).unwrap().to_owned()
    }

    #[test]
    fn a_lit_light_tells_its_brightness_twice() {
        assert_eq!(
            entry("Living Room Light"),
            "- names: Living Room Light\n  domain: light\n  state: 'on'\n  areas: Living Room\n  \
             attributes:\n    brightness: '204'\n    brightness_pct: '80'\n"
        );
    }

    #[test]
    fn a_dark_light_has_an_empty_brightness() {
        assert!(entry("Reading Lamp").ends_with("  attributes:\n    brightness:\n"));
    }

    #[test]
    fn fractions_are_numbers_and_whole_numbers_are_strings() {
        assert!(entry("Living Room Thermostat").contains("    temperature: 21.0\n"));
        assert!(entry("Living Room Blinds").contains("    current_position: '100'\n"));
        assert!(entry("Kitchen Radio").contains("    volume_level: 0.35\n"));
    }

    #[test]
    fn a_sensor_names_its_unit_and_class() {
        let sensor = entry("Living Room Temperature");
        assert!(sensor.ends_with("    unit_of_measurement: °C\n    device_class: temperature\n"));
    }

    #[test]
    fn a_list_counts_what_is_left_to_do_and_has_no_room() {
        assert_eq!(
            entry("Shopping List"),
            "- names: Shopping List\n  domain: todo\n  state: '3'\n"
        );
    }

    #[test]
    fn entities_are_sorted_by_name_and_scripts_are_left_out() {
        let house = House::furnished();
        let text = live(house.entities.iter(), now());
        let names: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("- names: "))
            .collect();
        assert!(names.is_sorted());
        assert_eq!(names.len(), house.entities.len() - 1);
        assert!(!names.contains(&"Movie Night"));
    }

    #[test]
    fn the_static_overview_holds_no_state() {
        let house = House::furnished();
        let text = fixed(house.entities.iter());
        assert!(text.starts_with(STATIC));
        assert!(text.contains("- names: Front Door\n  domain: lock\n  areas: Hallway\n"));
        assert!(!text.contains("state:") && !text.contains("attributes:"));
    }
}
