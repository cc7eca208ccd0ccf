//! The arguments of a tool call, held against the tool's schema: what is plainly meant is repaired,
//! what is wrong is told with the line of the schema that it breaks.
//!
//! A repair is tried where the schema finds a fault, and kept if the fault is gone with it. So it
//! needs to know nothing of the schema's make, and never touches what is right already.

use serde_json::{Map, Value};

use super::schema::{Fault, Schema};

/// Which of them are done.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Settings {
    /// Whether wrong arguments are refused.
    pub check: bool,
    /// Empty texts of arguments that may be left out are left out.
    pub drop_empty: bool,
    /// Nulls of arguments that may be left out, and must not be null, are left out.
    pub drop_null: bool,
    /// A text that holds what was wanted becomes that (`"5"`, `"true"`, `"[\"light\"]"`), a bare
    /// value becomes a text.
    pub convert: bool,
    /// One value becomes a list where a list is wanted.
    pub wrap: bool,
    /// A word of a closed set is taken in any case.
    pub ignore_case: bool,
}

/// What became of arguments.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checked {
    /// The names of the arguments that were changed or left out, with what was done.
    pub repairs: Vec<Repair>,
    /// What is wrong with the others.
    pub faults: Vec<Fault>,
}

/// One argument that was repaired.
#[derive(Debug, Clone, PartialEq)]
pub struct Repair {
    /// Its name.
    pub argument: String,
    /// What stands there now; nothing if it was left out.
    pub value: Option<Value>,
}

/// Repairs the arguments where that is plain, and says what is wrong with the rest.
pub fn check(settings: Settings, schema: &Schema, arguments: &Map<String, Value>) -> Checked {
    let mut work = Work {
        settings,
        schema,
        arguments: Value::Object(arguments.clone()),
        repairs: Vec::new(),
    };
    work.leave_out_empty();
    let mut faults = schema.faults(&work.arguments);
    let mut tried = 0;
    while let Some(fault) = faults.get(tried) {
        if work.mend(fault) {
            faults = schema.faults(&work.arguments);
            tried = 0;
        } else {
            tried += 1;
        }
    }
    if !settings.check {
        faults.clear();
    }
    Checked {
        repairs: work.repairs(),
        faults,
    }
}

struct Work<'a> {
    settings: Settings,
    schema: &'a Schema,
    arguments: Value,
    repairs: Vec<String>,
}

impl Work<'_> {
    /// Models fill in every argument that they know; Home Assistant takes an empty text for a room
    /// without a name.
    fn leave_out_empty(&mut self) {
        if !self.settings.drop_empty {
            return;
        }
        let (schema, repairs) = (self.schema, &mut self.repairs);
        let Some(arguments) = self.arguments.as_object_mut() else {
            return;
        };
        arguments.retain(|name, value| {
            let goes = is_empty(value)
                && !schema.requires(name)
                && schema
                    .property(name)
                    .is_some_and(|property| !wants_empty(property));
            if goes {
                repairs.push(name.clone());
            }
            !goes
        });
    }

    /// Tries what may be meant by the value at the place of the fault; says whether something fits.
    fn mend(&mut self, fault: &Fault) -> bool {
        let place = fault.place.as_str();
        let Some(name) = place.split('/').nth(1).map(unescaped) else {
            return false;
        };
        let Some(value) = self.arguments.pointer(place).cloned() else {
            return false;
        };
        let is_argument = place.matches('/').count() == 1;
        let may_go = is_argument && !self.schema.requires(&name);
        if value.is_null() && may_go && self.settings.drop_null {
            if let Some(arguments) = self.arguments.as_object_mut() {
                arguments.shift_remove(&name);
            }
            self.note(name);
            return true;
        }
        for candidate in self.candidates(&value, fault) {
            self.put(place, candidate);
            if !self.schema.finds_fault_at(place, &self.arguments) {
                self.note(name);
                return true;
            }
        }
        self.put(place, value);
        false
    }

    fn put(&mut self, place: &str, value: Value) {
        if let Some(target) = self.arguments.pointer_mut(place) {
            *target = value;
        }
    }

    fn note(&mut self, name: String) {
        if !self.repairs.contains(&name) {
            self.repairs.push(name);
        }
    }

    /// What may be meant by a value, the nearest first.
    fn candidates(&self, value: &Value, fault: &Fault) -> Vec<Value> {
        let mut candidates = Vec::new();
        if self.settings.ignore_case {
            let is_meant = |word: &&Value| match (word.as_str(), value.as_str()) {
                (Some(word), Some(text)) => word.to_lowercase() == text.trim().to_lowercase(),
                _ => false,
            };
            candidates.extend(fault.words.iter().find(is_meant).cloned());
        }
        if self.settings.convert {
            candidates.extend(converted(value));
        }
        if self.settings.wrap && !value.is_array() {
            let one = std::iter::once(value).chain(&candidates);
            let lists: Vec<Value> = one.map(|one| Value::Array(vec![one.clone()])).collect();
            candidates.extend(lists);
        }
        candidates
    }

    fn repairs(self) -> Vec<Repair> {
        let arguments = self.arguments;
        let repair = |argument: String| Repair {
            value: arguments.get(&argument).cloned(),
            argument,
        };
        self.repairs.into_iter().map(repair).collect()
    }
}

/// What a text spells, or how a bare value is spelled.
fn converted(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => {
            let text = text.trim();
            let spelled = serde_json::from_str(text);
            let spelled = spelled.or_else(|_| serde_json::from_str(&text.to_lowercase()));
            spelled.ok().filter(|spelled: &Value| !spelled.is_null())
        }
        Value::Number(_) | Value::Bool(_) => Some(Value::String(value.to_string())),
        _ => None,
    }
}

/// Whether it is an empty text, or a list of nothing else.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.trim().is_empty(),
        Value::Array(entries) => !entries.is_empty() && entries.iter().all(is_empty),
        _ => false,
    }
}

/// Whether the schema of an argument speaks of the empty text.
fn wants_empty(property: &Value) -> bool {
    let is_empty = |value: &Value| value.as_str() == Some("");
    let among = |key| property.get(key).and_then(Value::as_array);
    property.get("const").is_some_and(is_empty)
        || property.get("default").is_some_and(is_empty)
        || among("enum").is_some_and(|words| words.iter().any(is_empty))
}

/// A part of a JSON pointer (RFC 6901, section 4) as it is meant.
fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ALL: Settings = Settings {
        check: true,
        drop_empty: true,
        drop_null: true,
        convert: true,
        wrap: true,
        ignore_case: true,
    };

    /// The slots of Home Assistant's tools, as it publishes them.
    fn schema() -> Schema {
        let text = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "area": {"type": "string"},
                "domain": {"type": "array", "items": {"type": "string"}},
                "device_class": {"type": "array", "items": {"type": "string", "enum": ["blind", "door"]}},
                "position": {"allOf": [{"type": "integer"}, {"type": "number", "minimum": 0, "maximum": 100}]},
                "volume_step": {"anyOf": [
                    {"type": "string", "enum": ["up", "down"]},
                    {"type": "integer", "minimum": -100, "maximum": 100}
                ]},
                "status": {"type": "string", "enum": ["all", "completed", ""]},
                "target": {"type": "object", "properties": {"loud": {"type": "boolean"}}},
                "note": {"type": ["string", "null"]},
            },
            "required": ["position"],
        });
        Schema::of_text(&text.to_string()).unwrap()
    }

    /// The arguments after their repair, or the faults.
    fn checked(settings: Settings, arguments: &Value) -> Result<Value, Vec<String>> {
        let mut arguments = arguments.as_object().unwrap().clone();
        let checked = check(settings, &schema(), &arguments);
        if !checked.faults.is_empty() {
            return Err(checked.faults.iter().map(ToString::to_string).collect());
        }
        for Repair { argument, value } in checked.repairs {
            match value {
                Some(value) => arguments.insert(argument, value),
                None => arguments.shift_remove(&argument),
            };
        }
        Ok(arguments.into())
    }

    #[test]
    fn what_is_plainly_meant_is_repaired() {
        for (sent, meant) in [
            (json!({"position": 5}), json!({"position": 5})),
            (json!({"position": "5"}), json!({"position": 5})),
            (json!({"position": " 5 "}), json!({"position": 5})),
            (json!({"position": 1, "area": ""}), json!({"position": 1})),
            (json!({"position": 1, "area": "  "}), json!({"position": 1})),
            (
                json!({"position": 1, "device_class": [""]}),
                json!({"position": 1}),
            ),
            (
                json!({"position": 1, "name": 5}),
                json!({"position": 1, "name": "5"}),
            ),
            (
                json!({"position": 1, "domain": "light"}),
                json!({"position": 1, "domain": ["light"]}),
            ),
            (
                json!({"position": 1, "domain": "[\"light\", \"fan\"]"}),
                json!({"position": 1, "domain": ["light", "fan"]}),
            ),
            (
                json!({"position": 1, "device_class": ["Blind", "DOOR"]}),
                json!({"position": 1, "device_class": ["blind", "door"]}),
            ),
            (
                json!({"position": 1, "device_class": ["blind"], "volume_step": "10"}),
                json!({"position": 1, "device_class": ["blind"], "volume_step": 10}),
            ),
            (
                json!({"position": 1, "volume_step": "Up"}),
                json!({"position": 1, "volume_step": "up"}),
            ),
            (
                json!({"position": 1, "target": "{\"loud\": true}"}),
                json!({"position": 1, "target": {"loud": true}}),
            ),
            (
                json!({"position": 1, "target": {"loud": "True"}}),
                json!({"position": 1, "target": {"loud": true}}),
            ),
        ] {
            assert_eq!(checked(ALL, &sent), Ok(meant), "{sent}");
        }
    }

    #[test]
    fn what_may_be_meant_as_it_is_stays() {
        for arguments in [
            json!({"position": 1, "status": ""}),
            json!({"position": 1, "note": null}),
            json!({"position": 1, "unknown": "", "other": null}),
            json!({"position": 1.0, "name": "5"}),
        ] {
            assert_eq!(checked(ALL, &arguments), Ok(arguments.clone()));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_the_line_of_the_schema() {
        for (arguments, told) in [
            (
                json!({}),
                r#""position" is a required property; the schema says at #/required"#,
            ),
            (
                json!({"position": ""}),
                r#"position: "" is not of type "integer""#,
            ),
            (
                json!({"position": null}),
                r#"position: null is not of type "integer""#,
            ),
            (
                json!({"position": "half"}),
                r#"position: "half" is not of type "integer""#,
            ),
            (
                json!({"position": "200"}),
                r#"position: "200" is not of type "integer""#,
            ),
            (
                json!({"position": 200}),
                "position: 200 is greater than the maximum of 100",
            ),
            (
                json!({"position": 1, "device_class": ["roof"]}),
                r#"device_class/0: "roof" is not one of "blind" or "door""#,
            ),
            (
                json!({"position": 1, "domain": {}}),
                r#"domain: {} is not of type "array""#,
            ),
        ] {
            let faults = checked(ALL, &arguments).unwrap_err();
            assert!(faults[0].starts_with(told), "{arguments}: {faults:?}");
        }
    }

    #[test]
    fn each_repair_and_the_check_itself_can_be_turned_off() {
        let off = |change: fn(&mut Settings)| {
            let mut settings = ALL;
            change(&mut settings);
            settings
        };
        for (settings, arguments) in [
            (
                off(|s| s.drop_null = false),
                json!({"position": 1, "area": null}),
            ),
            (off(|s| s.convert = false), json!({"position": "1"})),
            (
                off(|s| s.wrap = false),
                json!({"position": 1, "domain": "light"}),
            ),
            (
                off(|s| s.ignore_case = false),
                json!({"position": 1, "device_class": ["Door"]}),
            ),
        ] {
            assert!(checked(ALL, &arguments).is_ok(), "{arguments}");
            assert!(checked(settings, &arguments).is_err(), "{arguments}");
        }
        let empty = json!({"position": 1, "area": ""});
        assert_eq!(checked(off(|s| s.drop_empty = false), &empty), Ok(empty));
        let wrong = json!({"position": "half"});
        assert_eq!(checked(off(|s| s.check = false), &wrong), Ok(wrong));
    }
}
