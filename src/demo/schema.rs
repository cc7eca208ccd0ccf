//! Input schemas of the tools, in the dialect and with the slots that Home Assistant publishes.

use serde_json::{Map, Value, json};

use super::json;

const PLAYERS: &[&str] = &["tv", "speaker", "receiver", "projector"];
const COVERS: &[&str] = &[
    "awning", "blind", "curtain", "damper", "door", "garage", "gate", "shade", "shutter", "window",
    "water", "gas",
];

/// An object with `properties`; `required` is left out when it is empty.
fn object(properties: Value, required: &[&str]) -> Value {
    let properties = ("properties", properties);
    let kind = ("type", Value::from("object"));
    if required.is_empty() {
        json::object([properties, kind])
    } else {
        json::object([properties, ("required", json!(required)), kind])
    }
}

pub(super) fn nothing() -> Value {
    object(json!({}), &[])
}

/// The slots of `intent__HassTurnOn` and `intent__HassTurnOff`.
pub(super) fn any_target() -> Value {
    let mut classes = vec!["identify", "restart", "update"];
    classes.extend(
        COVERS
            .iter()
            .filter(|class| !matches!(**class, "water" | "gas")),
    );
    classes.extend(PLAYERS);
    classes.extend(["outlet", "switch", "water", "gas"]);
    object(join([place(), domain(&[]), device_class(&classes)]), &[])
}

pub(super) fn position() -> Value {
    let position = json!({"position": {"allOf": [
        {"type": "integer"}, {"type": "number", "minimum": 0, "maximum": 100}
    ]}});
    object(
        join([place(), domain(&[]), device_class(COVERS), position]),
        &["position"],
    )
}

pub(super) fn light() -> Value {
    let look = json!({
        "color": {"type": "string"},
        "temperature": {"type": "integer", "minimum": 0},
        "brightness": percentage("Brightness in percent: 0 turns the light off, 100 is as bright as it gets"),
    });
    object(join([place(), domain(&["light"]), look]), &[])
}

pub(super) fn temperature() -> Value {
    object(
        join([json!({"temperature": {"type": "number"}}), place()]),
        &["temperature"],
    )
}

pub(super) fn player() -> Value {
    object(players(), &[])
}

pub(super) fn volume() -> Value {
    let level = json!({"volume_level": percentage("Loudness in percent")});
    object(join([players(), level]), &["volume_level"])
}

pub(super) fn volume_step() -> Value {
    let step = json!({"volume_step": {"anyOf": [
        {"type": "string", "enum": ["up", "down"]},
        {"type": "integer", "minimum": -100, "maximum": 100}
    ]}});
    object(join([step, place()]), &["volume_step"])
}

pub(super) fn live_context() -> Value {
    let properties = json!({
        "name": {"type": "string", "description": "Only the device of this name, in any case."},
        "domain": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "description": "Only devices of this kind or these kinds, for example 'light' or 'lock'."
        },
        "area": {"type": "string", "description": "Only devices in the room of this name, in any case."},
    });
    object(properties, &[])
}

pub(super) fn items(lists: &[&str]) -> Value {
    let properties = json!({
        "todo_list": {"type": "string", "enum": lists},
        "status": {
            "type": "string",
            "enum": ["needs_action", "completed", "all"],
            "description": "Which items to give; those still to do if left out",
            "default": "needs_action"
        },
    });
    object(properties, &["todo_list"])
}

pub(super) fn item() -> Value {
    let properties = json!({"item": {"type": "string"}, "name": {"type": "string"}});
    object(properties, &["item", "name"])
}

pub(super) fn movie_night() -> Value {
    let brightness = json!({
        "type": "number", "minimum": 0.0, "maximum": 100.0,
        "description": "How bright the living room stays, in percent; 15 if left out."
    });
    object(json!({ "brightness": brightness }), &[])
}

fn place() -> Value {
    json!({"name": {"type": "string"}, "area": {"type": "string"}, "floor": {"type": "string"}})
}

fn players() -> Value {
    join([place(), domain(&["media_player"]), device_class(PLAYERS)])
}

fn domain(only: &[&str]) -> Value {
    json::object([("domain", list_of(only))])
}

fn device_class(classes: &[&str]) -> Value {
    json::object([("device_class", list_of(classes))])
}

fn list_of(words: &[&str]) -> Value {
    let items = if words.is_empty() {
        json!({"type": "string"})
    } else {
        json!({"type": "string", "enum": words})
    };
    json::object([("type", Value::from("array")), ("items", items)])
}

fn percentage(description: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": 100, "description": description})
}

fn join<const N: usize>(parts: [Value; N]) -> Value {
    let members = parts.into_iter().filter_map(|part| match part {
        Value::Object(members) => Some(members),
        _ => None,
    });
    Value::Object(members.flatten().collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(schema: &Value) -> Vec<&str> {
        schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn slots_keep_the_order_in_which_they_were_joined() {
        assert_eq!(
            names(&any_target()),
            ["name", "area", "floor", "domain", "device_class"]
        );
        assert_eq!(
            names(&temperature()),
            ["temperature", "name", "area", "floor"]
        );
    }

    #[test]
    fn an_empty_list_of_required_slots_is_left_out() {
        assert_eq!(nothing(), json!({"properties": {}, "type": "object"}));
        assert_eq!(volume()["required"], json!(["volume_level"]));
    }

    #[test]
    fn a_tool_of_one_domain_says_so() {
        assert_eq!(
            player()["properties"]["domain"]["items"]["enum"],
            json!(["media_player"])
        );
        assert_eq!(
            any_target()["properties"]["domain"]["items"],
            json!({"type": "string"})
        );
    }
}
