//! The JSON Schema of a tool's arguments: compiled when it is first needed, and only if checking
//! against it is surely quick.
//!
//! Schemas come from the upstream, which may be any server: nothing is fetched for them, patterns
//! run in linear time, and a schema that refers to itself, or unfolds to more than it should, is
//! not checked at all.

use std::collections::HashMap;
use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::protocol::json::depth;

/// Bytes of one schema.
const MAX_TEXT: usize = 64 << 10;
const MAX_DEPTH: usize = 32;
/// Parts of a schema, with everything that it refers to put in the place of the reference.
const MAX_PARTS: usize = 4000;
/// Bytes of a compiled pattern.
const MAX_PATTERN: usize = 256 << 10;
/// Faults of one call that are told.
const MAX_FAULTS: usize = 5;
/// Characters of the line of the schema that is told.
const MAX_LINE: usize = 300;

/// The schema of a tool's arguments.
#[derive(Debug)]
pub struct Schema {
    text: Box<str>,
    takes: Vec<String>,
    requires: Vec<String>,
    compiled: OnceLock<Option<Compiled>>,
}

#[derive(Debug)]
struct Compiled {
    schema: Value,
    validator: Validator,
}

/// What is wrong with some arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the arguments: a JSON pointer (RFC 6901), empty for all of them.
    pub place: String,
    /// What is wrong, in a sentence without its full stop.
    pub what: String,
    /// Where in the schema the rule stands: a JSON pointer.
    pub rule: String,
    /// That part of the schema.
    pub line: String,
    /// The closed set of words that the schema allows there, if it does.
    pub(super) words: Vec<Value>,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place.trim_start_matches('/'))?;
        }
        write!(
            f,
            "{}; the schema says at {}: {}",
            self.what, self.rule, self.line
        )
    }
}

impl Schema {
    /// Keeps the schema; nothing of what is none, or is too large.
    pub fn of_text(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT || depth(text.as_bytes()) > MAX_DEPTH {
            return None;
        }
        let schema: Map<String, Value> = serde_json::from_str(text).ok()?;
        let properties = schema.get("properties").and_then(Value::as_object);
        let takes = properties.map(|members| members.keys().cloned().collect());
        let required = schema.get("required").and_then(Value::as_array);
        let required = required.into_iter().flatten().filter_map(Value::as_str);
        Some(Self {
            text: text.into(),
            takes: takes.unwrap_or_default(),
            requires: required.map(str::to_owned).collect(),
            compiled: OnceLock::new(),
        })
    }

    /// The schema as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of the arguments.
    pub fn takes(&self) -> &[String] {
        &self.takes
    }

    /// Whether this argument must not be left out.
    pub fn requires(&self, argument: &str) -> bool {
        self.requires.iter().any(|name| name == argument)
    }

    /// The part of the schema for one argument.
    pub(super) fn property(&self, argument: &str) -> Option<&Value> {
        self.compiled()?.schema.get("properties")?.get(argument)
    }

    /// What is wrong with the arguments, the first few faults; nothing wrong if the schema cannot
    /// be checked.
    pub fn faults(&self, arguments: &Value) -> Vec<Fault> {
        let Some(compiled) = self.compiled() else {
            return Vec::new();
        };
        let errors = compiled.validator.iter_errors(arguments).take(MAX_FAULTS);
        errors
            .map(|error| Fault {
                place: error.instance_path().as_str().to_owned(),
                what: error.to_string(),
                rule: format!("#{}", error.schema_path().as_str()),
                line: shortened(&compiled.line(&error).to_string()),
                words: words(error.kind()),
            })
            .collect()
    }

    /// Whether the arguments are wrong at this place or inside of it.
    pub(super) fn finds_fault_at(&self, place: &str, arguments: &Value) -> bool {
        let is_there = |found: &str| {
            let rest = found.strip_prefix(place);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.compiled().is_some_and(|compiled| {
            let mut errors = compiled.validator.iter_errors(arguments);
            errors.any(|error| is_there(error.instance_path().as_str()))
        })
    }

    fn compiled(&self) -> Option<&Compiled> {
        let compile = || {
            let schema: Value = serde_json::from_str(&self.text).ok()?;
            if parts(&schema).is_none_or(|parts| parts > MAX_PARTS) {
                return None;
            }
            let patterns = PatternOptions::regex().size_limit(MAX_PATTERN);
            let options = jsonschema::options()
                .offline()
                .with_pattern_options(patterns);
            let validator = options.build(&schema).ok()?;
            Some(Compiled { schema, validator })
        };
        self.compiled.get_or_init(compile).as_ref()
    }
}

impl Compiled {
    /// The part of the schema that helps to mend the error: what surrounds the rule, or what it says
    /// about an argument that is missing.
    fn line(&self, error: &ValidationError<'_>) -> &Value {
        let rule = error.schema_path().as_str();
        let around = rule.rsplit_once('/').map_or("", |(around, _)| around);
        let around = self.schema.pointer(around).unwrap_or(&self.schema);
        let missing = match error.kind() {
            ValidationErrorKind::Required { property } => property.as_str(),
            _ => None,
        };
        let missing = missing.and_then(|name| around.get("properties")?.get(name));
        missing.unwrap_or(around)
    }
}

/// The words among which the value should have been, by one of the ways in which it may be right.
fn words(kind: &ValidationErrorKind) -> Vec<Value> {
    match kind {
        ValidationErrorKind::Enum { options } => options.as_array().cloned().unwrap_or_default(),
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            context
                .iter()
                .flatten()
                .flat_map(|error| words(error.kind()))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// How many parts a schema has when every reference is unfolded: what checking may cost at most, for
/// each part of what is checked. Nothing if it refers to itself, or to what is not in it.
fn parts(schema: &Value) -> Option<usize> {
    Unfolding {
        root: schema,
        known: HashMap::new(),
    }
    .parts(schema)
}

struct Unfolding<'a> {
    root: &'a Value,
    /// The parts of what is referred to; nothing while they are being counted.
    known: HashMap<&'a str, Option<usize>>,
}

impl<'a> Unfolding<'a> {
    fn parts(&mut self, value: &'a Value) -> Option<usize> {
        match value {
            Value::Array(values) => values.iter().try_fold(1_usize, |sum, value| {
                Some(sum.saturating_add(self.parts(value)?))
            }),
            Value::Object(members) => members.iter().try_fold(1_usize, |sum, (key, inner)| {
                let more = match (key.as_str(), inner) {
                    ("$ref", Value::String(reference)) => self.parts_behind(reference)?,
                    ("$dynamicRef" | "$recursiveRef", Value::String(_)) => return None,
                    // It would change what references mean.
                    ("$id", Value::String(_)) if !std::ptr::eq(value, self.root) => return None,
                    _ => self.parts(inner)?,
                };
                Some(sum.saturating_add(more))
            }),
            _ => Some(1),
        }
    }

    fn parts_behind(&mut self, reference: &'a str) -> Option<usize> {
        if let Some(known) = self.known.get(reference) {
            return *known;
        }
        self.known.insert(reference, None);
        let target = self.target(reference)?;
        let parts = self.parts(target)?;
        self.known.insert(reference, Some(parts));
        Some(parts)
    }

    fn target(&self, reference: &str) -> Option<&'a Value> {
        match reference.strip_prefix('#')? {
            "" => Some(self.root),
            pointer if pointer.starts_with('/') => self.root.pointer(pointer),
            anchor => anchored(self.root, anchor),
        }
    }
}

fn anchored<'a>(value: &'a Value, anchor: &str) -> Option<&'a Value> {
    match value {
        Value::Object(members)
            if members.get("$anchor").and_then(Value::as_str) == Some(anchor) =>
        {
            Some(value)
        }
        Value::Object(members) => members.values().find_map(|value| anchored(value, anchor)),
        Value::Array(values) => values.iter().find_map(|value| anchored(value, anchor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(schema: &Value, arguments: &Value) -> Vec<String> {
        let schema = Schema::of_text(&schema.to_string()).unwrap();
        let faults = schema.faults(arguments);
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_fault_names_its_place_what_is_wrong_and_the_line_of_the_schema() {
        let schema = json!({"type": "object", "required": ["position"], "properties": {
            "position": {"type": "integer", "minimum": 0, "maximum": 100},
        }});
        assert_eq!(
            faults(&schema, &json!({"position": 50})),
            Vec::<String>::new()
        );
        assert_eq!(
            faults(&schema, &json!({"position": 101})),
            [concat!(
                "position: 101 is greater than the maximum of 100; the schema says at ",
                r##"#/properties/position/maximum: {"type":"integer","minimum":0,"maximum":100}"##
            )]
        );
        assert_eq!(
            faults(&schema, &json!({})),
            [concat!(
                r##""position" is a required property; the schema says at #/required: "##,
                r#"{"type":"integer","minimum":0,"maximum":100}"#
            )]
        );
    }

    #[test]
    fn the_dialect_is_the_declared_one_and_2020_12_where_none_is() {
        // `prefixItems` is new in 2020-12; draft 7 has a list in `items` for it.
        let tuple = json!([{"type": "integer"}]);
        let new = json!({"properties": {"a": {"prefixItems": tuple}}});
        let old = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "properties": {"a": {"items": tuple, "prefixItems": [false]}},
        });
        let wrong = json!({"a": ["x"]});
        assert_eq!(faults(&new, &wrong).len(), 1);
        assert_eq!(faults(&old, &wrong).len(), 1);
        assert_eq!(faults(&old, &json!({"a": [1]})).len(), 0);
    }

    #[test]
    fn references_inside_are_followed_and_others_are_not() {
        let inside = json!({
            "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#low"}},
            "$defs": {"n": {"type": "integer"}, "l": {"$anchor": "low", "maximum": 5}},
        });
        assert_eq!(faults(&inside, &json!({"a": "x", "b": 9})).len(), 2);
        for reference in [
            "http://127.0.0.1:9/schema.json",
            "file:///etc/passwd",
            "other.json",
            "#/nowhere",
        ] {
            let outside = json!({"properties": {"a": {"$ref": reference}}, "required": ["b"]});
            assert_eq!(faults(&outside, &json!({})).len(), 0, "{reference}");
        }
    }

    #[test]
    fn what_refers_to_itself_or_unfolds_without_end_is_not_checked() {
        let circle = json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "required": ["x"]});
        assert_eq!(faults(&circle, &json!({})).len(), 0);
        let mut defs = Map::new();
        for n in 0..40 {
            let next = json!({"$ref": format!("#/$defs/{}", n + 1)});
            defs.insert(n.to_string(), json!({"anyOf": [next, next]}));
        }
        defs.insert("40".to_owned(), json!({"type": "integer"}));
        let doubling = json!({"$ref": "#/$defs/0", "$defs": defs, "required": ["x"]});
        assert!(parts(&doubling).unwrap() > MAX_PARTS);
        assert_eq!(faults(&doubling, &json!({})).len(), 0);
        let dynamic = json!({"$dynamicRef": "#x", "required": ["x"]});
        assert_eq!(faults(&dynamic, &json!({})).len(), 0);
    }

    #[test]
    fn patterns_run_in_linear_time_and_those_that_cannot_are_not_checked() {
        let evil = json!({"properties": {"a": {"pattern": "^(a+)+$"}}});
        let long = format!("{}!", "a".repeat(50_000));
        assert_eq!(faults(&evil, &json!({"a": long})).len(), 1);
        for pattern in [r"^(?=a)b\1", "(a{1000}){1000}", "("] {
            let schema = json!({"properties": {"a": {"pattern": pattern}}, "required": ["b"]});
            assert_eq!(faults(&schema, &json!({})).len(), 0, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_schema_or_too_large_is_not_kept() {
        for text in ["", "true", "[]", "5", "{"] {
            assert!(Schema::of_text(text).is_none(), "{text}");
        }
        let large = json!({"description": "x".repeat(MAX_TEXT)}).to_string();
        assert!(Schema::of_text(&large).is_none());
        let deep = format!("{}{}", r#"{"not":"#.repeat(40), "{}") + &"}".repeat(40);
        assert!(Schema::of_text(&deep).is_none());
        let strange = Schema::of_text(r#"{"type":"nonsense","required":5}"#).unwrap();
        assert!(strange.faults(&json!({})).is_empty());
    }
}
