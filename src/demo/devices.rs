//! What stands in the house, and in which state a first visitor finds it.

use super::floorplan::{Area, BEDROOM, HALLWAY, KITCHEN, LIVING_ROOM, OFFICE};
use super::house::Playback::{self, Paused, Playing};
use super::house::{Entity, Item, State};

static FILMS: [&str; 3] = [
    "The Quiet Harbour",
    "Night Train North",
    "A House with Two Doors",
];
static SONGS: [&str; 3] = ["Morning Light", "Blue Kitchen", "Small Hours"];

/// Every entity, in the order in which results name them.
pub(super) fn all() -> Vec<Entity> {
    let mut all = Vec::new();
    all.extend(living_room());
    all.extend(kitchen());
    all.extend(hallway());
    all.extend([
        light("light.bedroom_light", "Bedroom Light", false, 30).within(&BEDROOM),
        cover("cover.bedroom_curtain", "Bedroom Curtain", "curtain").within(&BEDROOM),
        light("light.desk_lamp", "Desk Lamp", true, 70).within(&OFFICE),
        outlet("switch.printer", "Printer").within(&OFFICE),
    ]);
    let items = ["Milk", "Bread", "Light bulbs"].map(Item::open).to_vec();
    all.extend([
        entity("todo.shopping_list", "Shopping List", State::Todo { items }),
        entity("script.movie_night", "Movie Night", State::Script),
    ]);
    all
}

fn living_room() -> [Entity; 6] {
    let (heating, target) = (true, 21.0);
    let climate = State::Climate { heating, target };
    [
        light("light.living_room_light", "Living Room Light", true, 80),
        light("light.reading_lamp", "Reading Lamp", false, 60),
        cover("cover.living_room_blinds", "Living Room Blinds", "blind"),
        entity(
            "climate.living_room_thermostat",
            "Living Room Thermostat",
            climate,
        ),
        player(
            "media_player.living_room_tv",
            "Living Room TV",
            "tv",
            Paused,
            &FILMS,
        ),
        entity(
            "sensor.living_room_temperature",
            "Living Room Temperature",
            State::Temperature,
        )
        .of_class("temperature"),
    ]
    .map(|entity| entity.within(&LIVING_ROOM))
}

fn kitchen() -> [Entity; 3] {
    [
        light("light.kitchen_light", "Kitchen Light", true, 100),
        outlet("switch.coffee_machine", "Coffee Machine"),
        player(
            "media_player.kitchen_radio",
            "Kitchen Radio",
            "speaker",
            Playing,
            &SONGS,
        ),
    ]
    .map(|entity| entity.within(&KITCHEN))
}

fn hallway() -> [Entity; 3] {
    let locked = true;
    [
        light("light.hallway_light", "Hallway Light", false, 40),
        entity("lock.front_door", "Front Door", State::Lock { locked }),
        entity(
            "binary_sensor.hallway_motion",
            "Hallway Motion",
            State::Motion,
        )
        .of_class("motion"),
    ]
    .map(|entity| entity.within(&HALLWAY))
}

fn light(id: &'static str, name: &'static str, on: bool, brightness: u8) -> Entity {
    entity(id, name, State::Light { on, brightness })
}

fn cover(id: &'static str, name: &'static str, class: &'static str) -> Entity {
    entity(id, name, State::Cover { position: 100 }).of_class(class)
}

fn outlet(id: &'static str, name: &'static str) -> Entity {
    entity(id, name, State::Switch { on: false }).of_class("outlet")
}

fn player(
    id: &'static str,
    name: &'static str,
    class: &'static str,
    playback: Playback,
    titles: &'static [&'static str],
) -> Entity {
    let state = State::Media {
        playback,
        volume: 35,
        titles,
        title: 0,
    };
    entity(id, name, state).of_class(class)
}

fn entity(id: &'static str, name: &'static str, state: State) -> Entity {
    Entity {
        id,
        name,
        area: None,
        device_class: None,
        state,
    }
}

impl Entity {
    fn within(self, area: &'static Area) -> Self {
        Self {
            area: Some(area),
            ..self
        }
    }

    fn of_class(self, class: &'static str) -> Self {
        Self {
            device_class: Some(class),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_unique() {
        let all = all();
        for (at, entity) in all.iter().enumerate() {
            let same = |other: &Entity| other.id == entity.id || other.name == entity.name;
            assert!(!all[..at].iter().any(same), "{} stands twice", entity.id);
        }
    }
}
