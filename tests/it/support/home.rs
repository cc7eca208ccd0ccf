//! A large home, as Home Assistant tells of it, and what the bridge knows of it then.

use tokio::time::Instant;

use mcp_bridge::homeassistant::knowledge::{Knowledge, Request, Topic};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

const DOMAINS: [&str; 5] = ["light", "sensor", "switch", "cover", "media_player"];

/// What is known of a home with so many exposed entities.
pub(crate) fn known(entities: usize) -> Knowledge {
    let now = Instant::now().into_std();
    let mut knowledge = Knowledge::new(now);
    knowledge.connected("2026.11.0");
    loop {
        let requests = knowledge.take_requests();
        if requests.is_empty() {
            knowledge.take_reports();
            return knowledge;
        }
        for request in requests {
            match request {
                Request::Command(topic, kind, arguments) => {
                    let answer = answer(kind, &arguments, entities);
                    knowledge.answer(now, topic, Ok(&raw(&answer)));
                }
                Request::Subscribe(topic, kind, arguments) => {
                    knowledge.answer(now, topic, Ok(&raw(&Value::Null)));
                    if kind == "subscribe_entities" {
                        let ids = arguments["entity_ids"].as_array().unwrap().iter();
                        let states = ids.map(|id| (id.as_str().unwrap().to_owned(), state(id)));
                        let states: Map<String, Value> = states.collect();
                        knowledge.event(now, topic, &raw(&json!({"a": states})));
                    }
                }
                Request::Unsubscribe(_) => {}
            }
        }
    }
}

/// An event that tells of another state of one of them, as often as there are `changes`, each of
/// another entity.
pub(crate) fn changes(entities: usize, changes: usize) -> Vec<Box<RawValue>> {
    let change = |n: usize| {
        // Far from each other.
        let id = id(n * 7919 % entities);
        let plus = json!({"s": n.to_string(), "lc": 1_700_000_000 + n,
            "a": {"brightness": n % 256, "media_position": n}, "c": "01M8169NF0000000000000000"});
        raw(&json!({"c": {id: {"+": plus}}}))
    };
    (0..changes).map(change).collect()
}

/// The bridge hears of a change.
pub(crate) fn hear(knowledge: &mut Knowledge, now: std::time::Instant, change: &RawValue) {
    knowledge.event(now, Topic::States, change);
    assert!(!knowledge.take_reports().is_empty());
}

/// The id of an entity.
pub(crate) fn id(n: usize) -> String {
    let domain = DOMAINS[n % DOMAINS.len()];
    format!("{domain}.room_{}_thing_{n}", n % 60)
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

fn answer(kind: &str, arguments: &Value, entities: usize) -> Value {
    let rooms = 0..60;
    match kind {
        "get_config" => json!({"state": "RUNNING", "version": "2026.11.0"}),
        "auth/current_user" => json!({"is_admin": true}),
        "llm/api/list" => json!({"apis": []}),
        "homeassistant/expose_entity/list" => {
            let exposed = (0..entities).map(|n| (id(n), json!({"conversation": true})));
            json!({"exposed_entities": Value::Object(exposed.collect())})
        }
        "config/entity_registry/get_entries" => {
            let ids = arguments["entity_ids"].as_array().unwrap().iter();
            let entry = |id: &str| {
                json!({"area_id": null, "device_id": format!("device of {id}"), "name": null,
                    "original_name": format!("Thing {id}"), "aliases": [null, format!("My {id}")]})
            };
            let entries = ids.map(|id| (id.as_str().unwrap().to_owned(), entry(id.as_str().unwrap())));
            Value::Object(entries.collect())
        }
        "config/device_registry/list" => {
            let devices = (0..entities).map(|n| {
                json!({"id": format!("device of {}", id(n)), "area_id": format!("room_{}", n % 60)})
            });
            devices.collect()
        }
        "config/area_registry/list" => rooms
            .map(|n| json!({"area_id": format!("room_{n}"), "name": format!("Room {n}"), "floor_id": "ground"}))
            .collect(),
        "config/floor_registry/list" => json!([{"floor_id": "ground", "name": "Ground floor"}]),
        other => panic!("{other} was not expected"),
    }
}

/// A state with as many attributes as a light of Home Assistant's has.
fn state(id: &Value) -> Value {
    json!({"s": "on", "lc": 1_700_000_000.5, "c": "01M8169NF0000000000000000", "a": {
        "friendly_name": format!("Thing {id}"), "brightness": 128, "unit_of_measurement": "°C",
        "min_color_temp_kelvin": 2000, "max_color_temp_kelvin": 6500, "effect_list": ["None", "candle", "fire"],
        "supported_color_modes": ["color_temp", "xy"], "color_mode": "xy", "hs_color": [27.0, 56.9],
        "rgb_color": [255, 176, 109], "xy_color": [0.4738, 0.3847], "supported_features": 44,
        "entity_picture": "/api/image/serve/0123456789abcdef0123456789abcdef/512x512"}})
}
