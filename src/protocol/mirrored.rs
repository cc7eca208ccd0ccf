//! Tool arguments that a modern client repeats in HTTP headers (`x-mcp-header`, revision
//! 2026-07-28, basic/transports/streamable-http): which they are, and whether both say the same.

use serde_json::Value;

use super::era::{EraFault, decode};
use super::json::RawJson;

/// The annotation in a tool's `inputSchema`.
const ANNOTATION: &str = "x-mcp-header";
/// What the name of a header begins with.
pub const PREFIX: &str = "mcp-param-";
/// Integers up to here are exact in every client.
const SAFE: f64 = 9_007_199_254_740_991.0;

/// The arguments of one tool that have to be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored(Vec<Mirror>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirror {
    /// From the arguments down to the value.
    path: Vec<String>,
    /// The name of the header, in lower case.
    header: String,
    is_integer: bool,
}

impl Mirrored {
    /// What a tool's `inputSchema` demands; nothing if it demands nothing. Neither does a schema
    /// that breaks a rule of the annotation: clients do not use such a tool.
    pub fn of_schema(schema: &RawJson) -> Option<Self> {
        let is_there = |text: &[u8]| {
            text.windows(ANNOTATION.len())
                .any(|w| w == ANNOTATION.as_bytes())
        };
        if !is_there(schema.as_bytes()) {
            return None;
        }
        let mut mirrors = Vec::new();
        collect(&schema.read().ok()?, &mut Vec::new(), &mut mirrors)?;
        (!mirrors.is_empty()).then_some(Self(mirrors))
    }

    /// Holds the headers of a call against its arguments. Of each header its name in lower case and
    /// its value, if that is text.
    ///
    /// # Errors
    /// [`EraFault::HeaderMismatch`], with the header.
    pub fn check(
        &self,
        arguments: &Value,
        headers: &[(&str, Option<&str>)],
    ) -> Result<(), EraFault> {
        self.0.iter().try_for_each(|mirror| {
            let fault =
                |what| EraFault::HeaderMismatch(format!("the header {} {what}", mirror.header));
            let mut sent = headers.iter().filter(|(name, _)| *name == mirror.header);
            let header = match (sent.next(), sent.next()) {
                (_, Some(_)) => return Err(fault("is there more than once")),
                (Some((_, None)), None) => return Err(fault("has invalid characters")),
                (Some((_, Some(value))), None) => Some(*value),
                (None, None) => None,
            };
            match (header, mirror.value(arguments)) {
                (None, None) => Ok(()),
                (None, Some(_)) => Err(fault("is missing")),
                (Some(_), None) => Err(fault("has no argument that it repeats")),
                (Some(header), Some(value)) => match decode(header.trim()) {
                    None => Err(fault("is not valid Base64")),
                    Some(text) if mirror.agrees(&text, value) => Ok(()),
                    Some(_) => Err(fault("and the argument differ")),
                },
            }
        })
    }
}

impl Mirror {
    /// The argument, if there is one that a header can hold.
    fn value<'a>(&self, arguments: &'a Value) -> Option<&'a Value> {
        let value = self
            .path
            .iter()
            .try_fold(arguments, |at, key| at.get(key))?;
        let is_plain = value.is_string() || value.is_boolean() || value.is_number();
        is_plain.then_some(value)
    }

    fn agrees(&self, text: &str, value: &Value) -> bool {
        match value {
            Value::String(value) => text == value,
            Value::Bool(value) => text == if *value { "true" } else { "false" },
            value => {
                let (text_number, number) = (text.parse::<f64>(), value.as_f64());
                let is_same = |number: f64| {
                    number.abs() <= SAFE
                        && text_number.is_ok_and(|text| text.to_bits() == number.to_bits())
                };
                let written = value.to_string();
                *text == *written || self.is_integer && number.is_some_and(is_same)
            }
        }
    }
}

/// Finds the annotations below a schema, which stands at `path`. Nothing if one breaks a rule.
fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Mirror>) -> Option<()> {
    let Some(schema) = schema.as_object() else {
        return Some(());
    };
    if let Some(name) = schema.get(ANNOTATION) {
        let name = name.as_str().filter(|name| is_token(name))?;
        let header = format!("{PREFIX}{}", name.to_ascii_lowercase());
        let kind = schema.get("type").and_then(Value::as_str)?;
        let is_plain = matches!(kind, "string" | "integer" | "boolean");
        let is_new = found.iter().all(|mirror| mirror.header != header);
        if path.is_empty() || !is_plain || !is_new {
            return None;
        }
        found.push(Mirror {
            path: path.clone(),
            header,
            is_integer: kind == "integer",
        });
    }
    for (key, below) in schema {
        match (key.as_str(), below) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    path.push(name.clone());
                    collect(property, path, found)?;
                    path.pop();
                }
            }
            // Anything else may or may not apply to the arguments of a call.
            (keyword, below) if APPLICATORS.contains(&keyword) && annotates(below) => return None,
            _ => {}
        }
    }
    Some(())
}

/// Keywords of JSON Schema 2020-12, besides `properties`, below which there are schemas.
const APPLICATORS: [&str; 20] = [
    "items",
    "prefixItems",
    "contains",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "dependentSchemas",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
    "$defs",
    "definitions",
    "additionalItems",
];

/// Whether there is an annotation anywhere in it.
fn annotates(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            members.contains_key(ANNOTATION) || members.values().any(annotates)
        }
        Value::Array(members) => members.iter().any(annotates),
        _ => false,
    }
}

/// A token of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mirrored(schema: Value) -> Option<Mirrored> {
        Mirrored::of_schema(&RawJson::of(&schema))
    }

    fn region() -> Mirrored {
        let properties = json!({
            "region": {"type": "string", "x-mcp-header": "Region"},
            "count": {"type": "integer", "x-mcp-header": "Count"},
            "deep": {"type": "object", "properties": {"on": {"type": "boolean", "x-mcp-header": "On"}}},
        });
        mirrored(json!({"type": "object", "properties": properties})).unwrap()
    }

    #[test]
    fn headers_that_repeat_the_arguments_are_fine() {
        for (arguments, headers) in [
            (json!({}), vec![]),
            (json!({"region": null}), vec![]),
            (json!({"region": "eu"}), vec![("mcp-param-region", " eu ")]),
            (
                json!({"region": "lümen"}),
                vec![("mcp-param-region", "=?base64?bMO8bWVu?=")],
            ),
            (json!({"count": 42}), vec![("mcp-param-count", "42")]),
            (json!({"count": 42}), vec![("mcp-param-count", "42.0")]),
            (json!({"count": 42.0}), vec![("mcp-param-count", "42")]),
            (
                json!({"deep": {"on": true}}),
                vec![("mcp-param-on", "true")],
            ),
            (json!({"other": 1}), vec![("mcp-param-unknown", "x")]),
        ] {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (*name, Some(*value)))
                .collect();
            assert_eq!(
                region().check(&arguments, &headers),
                Ok(()),
                "{arguments} {headers:?}"
            );
        }
    }

    #[test]
    fn headers_that_say_something_else_are_refused() {
        for (arguments, headers) in [
            (json!({"region": "eu"}), vec![]),
            (
                json!({"region": "eu"}),
                vec![("mcp-param-region", Some("us"))],
            ),
            (
                json!({"region": "eu"}),
                vec![("mcp-param-region", Some("EU"))],
            ),
            (json!({"region": "eu"}), vec![("mcp-param-region", None)]),
            (
                json!({"region": "eu"}),
                vec![("mcp-param-region", Some("=?base64?!?="))],
            ),
            (
                json!({"region": "eu"}),
                vec![
                    ("mcp-param-region", Some("eu")),
                    ("mcp-param-region", Some("us")),
                ],
            ),
            (json!({}), vec![("mcp-param-region", Some("eu"))]),
            (
                json!({"region": null}),
                vec![("mcp-param-region", Some("null"))],
            ),
            (
                json!({"region": {}}),
                vec![("mcp-param-region", Some("{}"))],
            ),
            (json!({"count": 42}), vec![("mcp-param-count", Some("43"))]),
            (
                json!({"deep": {"on": true}}),
                vec![("mcp-param-on", Some("True"))],
            ),
            (json!({"deep": 5}), vec![("mcp-param-on", Some("true"))]),
        ] {
            let fault = region().check(&arguments, &headers);
            assert!(
                matches!(fault, Err(EraFault::HeaderMismatch(_))),
                "{arguments} {headers:?}"
            );
        }
    }

    #[test]
    fn a_schema_that_breaks_a_rule_demands_nothing() {
        let on = |property: Value| json!({"type": "object", "properties": {"a": property}});
        for schema in [
            json!({"type": "object"}),
            json!({"type": "object", "x-mcp-header": "Root"}),
            on(json!({"type": "string", "x-mcp-header": ""})),
            on(json!({"type": "string", "x-mcp-header": "two words"})),
            on(json!({"type": "string", "x-mcp-header": 5})),
            on(json!({"type": "number", "x-mcp-header": "A"})),
            on(json!({"type": ["string", "null"], "x-mcp-header": "A"})),
            on(json!({"x-mcp-header": "A"})),
            on(json!({"type": "array", "items": {"type": "string", "x-mcp-header": "A"}})),
            json!({"properties": {
                "a": {"type": "string", "x-mcp-header": "Same"},
                "b": {"type": "string", "x-mcp-header": "same"},
            }}),
        ] {
            assert_eq!(mirrored(schema.clone()), None, "{schema}");
        }
    }

    #[test]
    fn an_argument_of_that_name_is_no_annotation() {
        let named = json!({"properties": {"x-mcp-header": {"type": "string"}}});
        assert_eq!(mirrored(named), None);
        let default = json!({"properties": {
            "a": {"type": "string", "x-mcp-header": "A", "default": {"x-mcp-header": ""}},
        }});
        assert!(mirrored(default).is_some());
    }
}
