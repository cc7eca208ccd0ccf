//! The house itself: what its devices are and what can be done to them.
//!
//! Pure state: no I/O, and no clock but the `now` that it is given.

use std::f64::consts::TAU;

use jiff::Timestamp;

use super::devices;
use super::floorplan::{Area, Floor, LIVING_ROOM};

/// The to-do list refuses more, so that a house that runs for months stays small.
const MOST_ITEMS: usize = 200;

/// One thing that Home Assistant would expose.
#[derive(Debug)]
pub(super) struct Entity {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) area: Option<&'static Area>,
    pub(super) device_class: Option<&'static str>,
    pub(super) state: State,
}

/// What an entity is at the moment; the variant decides what can be done to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    Light {
        on: bool,
        /// In percent; remembered while the light is off.
        brightness: u8,
    },
    Switch {
        on: bool,
    },
    Cover {
        /// In percent, 100 is open.
        position: u8,
    },
    Climate {
        heating: bool,
        target: f64,
    },
    Media {
        playback: Playback,
        /// In percent.
        volume: u8,
        titles: &'static [&'static str],
        title: usize,
    },
    Lock {
        locked: bool,
    },
    Temperature,
    Motion,
    Todo {
        items: Vec<Item>,
    },
    Script,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Playback {
    Off,
    Paused,
    Playing,
}

/// A line of the to-do list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) summary: String,
    pub(super) done: bool,
}

impl Entity {
    pub(super) fn domain(&self) -> &'static str {
        self.id
            .split_once('.')
            .map_or(self.id, |(domain, _)| domain)
    }

    pub(super) fn on_floor(&self, floor: &Floor) -> bool {
        self.area.is_some_and(|area| area.floor == floor)
    }

    /// On, open, locked or playing, and the reverse; `false` for what has no such thing.
    pub(super) fn turn(&mut self, to_on: bool) -> bool {
        match &mut self.state {
            State::Light { on, .. } | State::Switch { on } => *on = to_on,
            State::Climate { heating, .. } => *heating = to_on,
            State::Lock { locked } => *locked = to_on,
            State::Cover { position } => *position = if to_on { 100 } else { 0 },
            State::Media { playback, .. } => {
                *playback = if to_on {
                    Playback::Playing
                } else {
                    Playback::Off
                };
            }
            // Starting a script is the house's business; stopping an idle one changes nothing.
            State::Script => {}
            State::Temperature | State::Motion | State::Todo { .. } => return false,
        }
        true
    }
}

/// Everything that the tools read and change.
#[derive(Debug)]
pub(super) struct House {
    pub(super) entities: Vec<Entity>,
}

impl House {
    /// The house as it is on a first visit.
    pub(super) fn furnished() -> Self {
        Self {
            entities: devices::all(),
        }
    }

    /// The one script: the living room goes dark, the film starts, the radio stops.
    pub(super) fn movie_night(&mut self, brightness: u8) {
        for entity in &mut self.entities {
            let in_living_room = entity.area == Some(&LIVING_ROOM);
            match &mut entity.state {
                State::Light {
                    on,
                    brightness: level,
                } if in_living_room => {
                    *on = brightness > 0;
                    *level = brightness.max(1);
                }
                State::Cover { position } if in_living_room => *position = 0,
                State::Media { playback, .. } if in_living_room => *playback = Playback::Playing,
                State::Media { playback, .. } if *playback == Playback::Playing => {
                    *playback = Playback::Paused;
                }
                _ => {}
            }
        }
    }
}

impl Item {
    pub(super) fn open(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            done: false,
        }
    }

    pub(super) fn status(&self) -> &'static str {
        if self.done {
            "completed"
        } else {
            "needs_action"
        }
    }
}

impl State {
    /// `false` when the list is full, or this is none.
    pub(super) fn add_item(&mut self, summary: String) -> bool {
        match self {
            Self::Todo { items } if items.len() < MOST_ITEMS => {
                items.push(Item::open(summary));
                true
            }
            _ => false,
        }
    }
}

/// A day's swing and a quicker ripple, in tenths of a degree, so that the sensor moves while
/// someone watches.
pub(super) fn temperature(now: Timestamp) -> f64 {
    let celsius = 20.8 + 1.2 * wave(now, 86_400) + 0.5 * wave(now, 600);
    (celsius * 10.0).round() / 10.0
}

/// Somebody walks through the hallway for 40 seconds out of every four minutes.
pub(super) fn motion(now: Timestamp) -> bool {
    now.as_second().rem_euclid(240) < 40
}

fn wave(now: Timestamp, period: i32) -> f64 {
    let second = now.as_second().rem_euclid(i64::from(period));
    let turn = f64::from(i32::try_from(second).unwrap_or_default()) / f64::from(period);
    (TAU * turn).sin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state<'a>(house: &'a House, id: &str) -> &'a State {
        &house
            .entities
            .iter()
            .find(|entity| entity.id == id)
            .unwrap()
            .state
    }

    #[test]
    fn the_temperature_moves_with_time_and_with_nothing_else() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let later = Timestamp::from_second(1_800_000_150).unwrap();
        assert!((temperature(start) - temperature(start)).abs() < f64::EPSILON);
        assert!((temperature(start) - temperature(later)).abs() > 0.2);
        for hour in 0..24 {
            let then = Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap();
            assert!((19.0..=22.6).contains(&temperature(then)));
        }
    }

    #[test]
    fn time_before_the_epoch_is_no_trouble() {
        let then = Timestamp::from_second(-1).unwrap();
        assert!((19.0..=22.6).contains(&temperature(then)));
        assert!(!motion(then));
    }

    #[test]
    fn motion_comes_and_goes() {
        assert!(motion(Timestamp::from_second(240).unwrap()));
        assert!(!motion(Timestamp::from_second(240 + 40).unwrap()));
    }

    #[test]
    fn turning_a_light_off_keeps_its_brightness() {
        let mut house = House::furnished();
        let lamp = house
            .entities
            .iter_mut()
            .find(|entity| entity.name == "Desk Lamp")
            .unwrap();
        assert!(lamp.turn(false));
        let dark = State::Light {
            on: false,
            brightness: 70,
        };
        assert_eq!(lamp.state, dark);
    }

    #[test]
    fn turning_on_means_lock_for_a_lock_and_open_for_a_cover() {
        let mut house = House::furnished();
        for entity in &mut house.entities {
            entity.turn(true);
        }
        assert_eq!(
            *state(&house, "lock.front_door"),
            State::Lock { locked: true }
        );
        assert_eq!(
            *state(&house, "cover.bedroom_curtain"),
            State::Cover { position: 100 }
        );
    }

    #[test]
    fn sensors_and_lists_cannot_be_turned() {
        let mut house = House::furnished();
        let refused = house.entities.iter_mut().filter_map(|entity| {
            let id = entity.id;
            (!entity.turn(true)).then_some(id)
        });
        assert_eq!(
            refused.collect::<Vec<_>>(),
            [
                "sensor.living_room_temperature",
                "binary_sensor.hallway_motion",
                "todo.shopping_list"
            ]
        );
    }

    #[test]
    fn movie_night_darkens_the_living_room_and_leaves_the_rest() {
        let mut house = House::furnished();
        house.movie_night(15);
        let dimmed = State::Light {
            on: true,
            brightness: 15,
        };
        assert_eq!(*state(&house, "light.reading_lamp"), dimmed);
        assert_eq!(
            *state(&house, "cover.living_room_blinds"),
            State::Cover { position: 0 }
        );
        assert_eq!(
            *state(&house, "cover.bedroom_curtain"),
            State::Cover { position: 100 }
        );
        let kitchen = State::Light {
            on: true,
            brightness: 100,
        };
        assert_eq!(*state(&house, "light.kitchen_light"), kitchen);
        let State::Media { playback, .. } = state(&house, "media_player.kitchen_radio") else {
            panic!("the radio is no media player");
        };
        assert_eq!(*playback, Playback::Paused);
    }

    #[test]
    fn the_list_does_not_grow_for_ever() {
        let mut list = State::Todo { items: Vec::new() };
        assert!((0..MOST_ITEMS).all(|at| list.add_item(at.to_string())));
        assert!(!list.add_item("one more".to_owned()));
    }
}
