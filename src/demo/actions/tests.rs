//! What each tool does, called by name as a client calls it.

use serde_json::{Value, json};

use super::super::tools::Tool;
use super::*;

/// Calls tools by name, as a client does, and looks at the house afterwards.
struct Visit {
    house: House,
}

impl Visit {
    fn new() -> Self {
        Self {
            house: House::furnished(),
        }
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value, String> {
        let now: Zoned = "2026-11-22T09:31:48+01:00[Europe/Berlin]".parse().unwrap();
        let tool = Tool::named(tool).unwrap();
        tool.call(&mut self.house, arguments.as_object().unwrap(), &now)
            .map(|text| serde_json::from_str(&text).unwrap())
    }

    /// Ids of what succeeded.
    fn done(&mut self, tool: &str, arguments: &Value) -> Vec<String> {
        let result = self.call(tool, arguments).unwrap();
        assert_eq!(result["response_type"], "action_done");
        assert_eq!(result["data"]["failed"], json!([]));
        let success = result["data"]["success"].as_array().unwrap();
        success
            .iter()
            .map(|entry| entry["id"].as_str().unwrap().to_owned())
            .collect()
    }

    fn state(&self, id: &str) -> &State {
        &self
            .house
            .entities
            .iter()
            .find(|entity| entity.id == id)
            .unwrap()
            .state
    }

    fn volume(&self, id: &str) -> u8 {
        match self.state(id) {
            State::Media { volume, .. } => *volume,
            other => panic!("{other:?} has no volume"),
        }
    }
}

#[test]
fn turning_on_by_name_answers_as_home_assistant_does() {
    let mut visit = Visit::new();
    let result = visit.call(
        "intent__HassTurnOn",
        &json!({"name": "Printer", "bogus": true}),
    );
    let expected = json!({
        "speech": {},
        "response_type": "action_done",
        "data": {
            "success": [{"name": "Printer", "type": "entity", "id": "switch.printer"}],
            "failed": [],
        },
    });
    assert_eq!(result, Ok(expected));
    assert_eq!(*visit.state("switch.printer"), State::Switch { on: true });
}

#[test]
fn turning_off_a_floor_names_the_floor_first_and_passes_over_what_cannot_be_turned() {
    let mut visit = Visit::new();
    let arguments = json!({"floor": "First Floor"});
    assert_eq!(
        visit.done("intent__HassTurnOff", &arguments),
        [
            "first_floor",
            "light.bedroom_light",
            "cover.bedroom_curtain",
            "light.desk_lamp",
            "switch.printer"
        ]
    );
    assert_eq!(
        *visit.state("cover.bedroom_curtain"),
        State::Cover { position: 0 }
    );
    let hallway = visit.done("intent__HassTurnOff", &json!({"area": "Hallway"}));
    assert_eq!(
        hallway,
        ["hallway", "light.hallway_light", "lock.front_door"]
    );
    assert_eq!(
        *visit.state("lock.front_door"),
        State::Lock { locked: false }
    );
}

#[test]
fn a_sensor_on_its_own_cannot_be_turned_on() {
    let error = Visit::new().call("intent__HassTurnOn", &json!({"name": "Hallway Motion"}));
    assert_eq!(
        error.unwrap_err(),
        "Error calling tool: No entities supported the required features \
         (given name 'Hallway Motion')"
    );
}

#[test]
fn turning_the_script_on_runs_it() {
    let mut visit = Visit::new();
    assert_eq!(
        visit.done("intent__HassTurnOn", &json!({"name": "Movie Night"})),
        ["script.movie_night"]
    );
    assert_eq!(
        *visit.state("cover.living_room_blinds"),
        State::Cover { position: 0 }
    );
}

#[test]
fn covers_go_to_the_position_given() {
    let mut visit = Visit::new();
    let arguments = json!({"area": "Bedroom", "position": 30});
    let done = visit.done("intent__HassSetPosition", &arguments);
    assert_eq!(done, ["bedroom", "cover.bedroom_curtain"]);
    assert_eq!(
        *visit.state("cover.bedroom_curtain"),
        State::Cover { position: 30 }
    );
    let lamp = json!({"name": "Desk Lamp", "position": 30});
    assert!(visit.call("intent__HassSetPosition", &lamp).is_err());
    let nowhere = visit.call("intent__HassSetPosition", &json!({"area": "Bedroom"}));
    let invalid = "Error calling tool: Received invalid slot info for HassSetPosition";
    assert_eq!(nowhere.unwrap_err(), invalid);
}

#[test]
fn setting_brightness_lights_the_lamp_and_zero_puts_it_out() {
    let mut visit = Visit::new();
    visit.done(
        "light__HassLightSet",
        &json!({"name": "Reading Lamp", "brightness": 40}),
    );
    assert_eq!(
        *visit.state("light.reading_lamp"),
        State::Light {
            on: true,
            brightness: 40
        }
    );
    visit.done(
        "light__HassLightSet",
        &json!({"name": "Reading Lamp", "brightness": 0}),
    );
    assert_eq!(
        *visit.state("light.reading_lamp"),
        State::Light {
            on: false,
            brightness: 40
        }
    );
    let bright = json!({"name": "Reading Lamp", "brightness": 400});
    assert_eq!(
        visit.call("light__HassLightSet", &bright).unwrap_err(),
        "Error calling tool: Received invalid slot info for HassLightSet"
    );
}

#[test]
fn white_lights_refuse_colours() {
    let arguments = json!({"name": "Desk Lamp", "color": "red"});
    let error = Visit::new()
        .call("light__HassLightSet", &arguments)
        .unwrap_err();
    assert_eq!(
        error,
        "Error calling tool: No entities supported the required features \
         (given name 'Desk Lamp', domains light)"
    );
}

#[test]
fn the_thermostat_takes_what_is_within_its_range() {
    let mut visit = Visit::new();
    let tool = "climate__HassClimateSetTemperature";
    visit.done(tool, &json!({"area": "Living Room", "temperature": 22.5}));
    let warm = State::Climate {
        heating: true,
        target: 22.5,
    };
    assert_eq!(*visit.state("climate.living_room_thermostat"), warm);
    let error = visit.call(tool, &json!({"temperature": 99})).unwrap_err();
    assert!(error.ends_with("Accepted range is 7 to 35"), "{error}");
}

#[test]
fn pausing_needs_something_that_plays() {
    let mut visit = Visit::new();
    let radio = json!({"name": "Kitchen Radio"});
    visit.done("media_player__HassMediaPause", &radio);
    assert_eq!(
        visit
            .call("media_player__HassMediaPause", &radio)
            .unwrap_err(),
        "Error calling tool: No entities matched the state \
         (given name 'Kitchen Radio', domains media_player)"
    );
    assert!(
        visit
            .call("media_player__HassMediaPause", &json!({}))
            .is_err()
    );
    let both = visit.done("media_player__HassMediaUnpause", &json!({}));
    assert_eq!(both.len(), 2);
}

#[test]
fn the_next_title_follows_and_the_first_follows_the_last() {
    let mut visit = Visit::new();
    let mut heard = Vec::new();
    for _ in 0..4 {
        visit.done(
            "media_player__HassMediaNext",
            &json!({"device_class": ["speaker"]}),
        );
        if let State::Media { title, .. } = visit.state("media_player.kitchen_radio") {
            heard.push(*title);
        }
    }
    assert_eq!(heard, [1, 2, 0, 1]);
}

#[test]
fn volume_is_set_and_stepped_within_its_bounds() {
    let mut visit = Visit::new();
    let id = "media_player.kitchen_radio";
    let set = json!({"name": "Kitchen Radio", "volume_level": 95});
    visit.done("media_player__HassSetVolume", &set);
    assert_eq!(visit.volume(id), 95);
    for (step, expected) in [(json!("up"), 100), (json!("down"), 90), (json!(-100), 0)] {
        let arguments = json!({"name": "Kitchen Radio", "volume_step": step});
        visit.done("media_player__HassSetVolumeRelative", &arguments);
        assert_eq!(visit.volume(id), expected);
    }
    for step in [json!("sideways"), json!(101), json!(null)] {
        let arguments = json!({"name": "Kitchen Radio", "volume_step": step});
        assert!(
            visit
                .call("media_player__HassSetVolumeRelative", &arguments)
                .is_err()
        );
    }
}

#[test]
fn live_context_follows_what_was_done() {
    let mut visit = Visit::new();
    visit.done("intent__HassTurnOn", &json!({"name": "Coffee Machine"}));
    let arguments = json!({"area": "kitchen", "domain": "switch", "name": ""});
    let result = visit
        .call("homeassistant__GetLiveContext", &arguments)
        .unwrap();
    let text = result["result"].as_str().unwrap();
    assert!(
        text.contains("- names: Coffee Machine\n  domain: switch\n  state: 'on'\n"),
        "{text}"
    );
    assert_eq!(text.matches("- names:").count(), 1);
}

#[test]
fn live_context_reports_its_own_errors_as_json() {
    let mut visit = Visit::new();
    let cases = [
        (
            json!({"name": "No Such Thing"}),
            "No exposed entities matched name 'No Such Thing'",
        ),
        (json!({"area": "Nowhere"}), "Area 'Nowhere' does not exist"),
        (
            json!({"area": "Office", "domain": "lock"}),
            "No exposed entities found in area 'Office'",
        ),
        (
            json!({"domain": ["fan"]}),
            "No exposed entities found in domain(s): fan",
        ),
    ];
    for (arguments, message) in cases {
        let error = visit
            .call("homeassistant__GetLiveContext", &arguments)
            .unwrap_err();
        assert_eq!(error, format!("{{\"error\": \"{message}\"}}"));
    }
}

#[test]
fn date_and_time_are_those_of_the_house() {
    let now = Visit::new().call("llm__GetDateTime", &json!({})).unwrap();
    let expected =
        json!({"date": "2026-11-22", "time": "09:31:48", "timezone": "CET", "weekday": "Sunday"});
    assert_eq!(now, expected);
}

#[test]
fn the_script_reports_what_it_did() {
    let mut visit = Visit::new();
    let result = visit.call("script__movie_night", &json!({"brightness": 5}));
    assert_eq!(result, Ok(json!({"result": {"brightness": 5}})));
    let dim = State::Light {
        on: true,
        brightness: 5,
    };
    assert_eq!(*visit.state("light.living_room_light"), dim);
}

#[test]
fn items_are_added_completed_and_listed() {
    let mut visit = Visit::new();
    let list = json!({"name": "shopping list", "item": "Tea"});
    assert_eq!(
        visit.done("todo__HassListAddItem", &list),
        ["todo.shopping_list"]
    );
    visit.done(
        "todo__HassListCompleteItem",
        &json!({"name": "Shopping List", "item": "milk"}),
    );
    let items = |visit: &mut Visit, status: &str| {
        let arguments = json!({"todo_list": "Shopping List", "status": status});
        let result = visit.call("todo__get_items", &arguments).unwrap();
        let items = result["result"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["summary"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        items(&mut visit, "needs_action"),
        ["Bread", "Light bulbs", "Tea"]
    );
    assert_eq!(items(&mut visit, "completed"), ["Milk"]);
    assert_eq!(items(&mut visit, "all").len(), 4);
}

#[test]
fn lists_and_items_that_do_not_exist_are_named() {
    let mut visit = Visit::new();
    assert_eq!(
        visit
            .call("todo__get_items", &json!({"todo_list": "Nope"}))
            .unwrap_err(),
        "Error calling tool: value must be one of ['Shopping List'] \
         for dictionary value @ data['todo_list']"
    );
    let gone = json!({"name": "Shopping List", "item": "Gold"});
    assert_eq!(
        visit.call("todo__HassListCompleteItem", &gone).unwrap_err(),
        "Error calling tool: Item 'Gold' not found on list"
    );
    let long = json!({"name": "Shopping List", "item": "x".repeat(300)});
    assert_eq!(
        visit.call("todo__HassListAddItem", &long).unwrap_err(),
        "Error calling tool: Received invalid slot info for HassListAddItem"
    );
    let elsewhere = json!({"name": "Printer", "item": "Ink"});
    assert!(
        visit
            .call("todo__HassListAddItem", &elsewhere)
            .unwrap_err()
            .contains("the domain")
    );
}
