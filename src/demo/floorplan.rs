//! Floors and rooms, named as Home Assistant's registries name them.

/// A floor of the house.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Floor {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
}

/// A room, which Home Assistant calls an area.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) floor: &'static Floor,
}

static GROUND_FLOOR: Floor = floor("ground_floor", "Ground Floor");
static FIRST_FLOOR: Floor = floor("first_floor", "First Floor");

pub(super) static LIVING_ROOM: Area = area("living_room", "Living Room", &GROUND_FLOOR);
pub(super) static KITCHEN: Area = area("kitchen", "Kitchen", &GROUND_FLOOR);
pub(super) static HALLWAY: Area = area("hallway", "Hallway", &GROUND_FLOOR);
pub(super) static BEDROOM: Area = area("bedroom", "Bedroom", &FIRST_FLOOR);
pub(super) static OFFICE: Area = area("office", "Office", &FIRST_FLOOR);

static FLOORS: [&Floor; 2] = [&GROUND_FLOOR, &FIRST_FLOOR];
static AREAS: [&Area; 5] = [&LIVING_ROOM, &KITCHEN, &HALLWAY, &BEDROOM, &OFFICE];

impl Floor {
    /// By name or id.
    pub(super) fn called(given: &str) -> Option<&'static Self> {
        let mut floors = FLOORS.iter().copied();
        floors.find(|floor| same(given, floor.name) || same(given, floor.id))
    }
}

impl Area {
    /// By name or id.
    pub(super) fn called(given: &str) -> Option<&'static Self> {
        let mut areas = AREAS.iter().copied();
        areas.find(|area| same(given, area.name) || same(given, area.id))
    }
}

/// How names are compared everywhere in the house: neither case nor surrounding space counts.
pub(super) fn same(given: &str, known: &str) -> bool {
    given.trim().to_lowercase() == known.to_lowercase()
}

const fn floor(id: &'static str, name: &'static str) -> Floor {
    Floor { id, name }
}

const fn area(id: &'static str, name: &'static str, floor: &'static Floor) -> Area {
    Area { id, name, floor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_by_name_and_by_id() {
        assert_eq!(Area::called(" living ROOM"), Some(&LIVING_ROOM));
        assert_eq!(Area::called("living_room"), Some(&LIVING_ROOM));
        assert_eq!(Floor::called("first floor"), Some(&FIRST_FLOOR));
        assert_eq!(Area::called("Cellar"), None);
        assert_eq!(Floor::called("Kitchen"), None);
    }

    #[test]
    fn every_room_is_on_a_floor_that_can_be_found() {
        for area in AREAS {
            assert_eq!(Floor::called(area.floor.id), Some(area.floor));
        }
    }
}
