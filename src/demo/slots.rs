//! Arguments of a tool call, read as loosely as Home Assistant reads them.
//!
//! Numbers pass for strings and numeric strings for numbers, but nothing may be empty.

use serde_json::{Map, Value, json};

use super::json;

/// The `arguments` object of a `tools/call`.
pub(super) type Arguments = Map<String, Value>;

/// Why a tool gave no result; both kinds become a result with `isError: true`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ToolError {
    /// An exception in Home Assistant.
    Raised(String),
    /// An error that the tool itself reports.
    Reported(String),
}

impl ToolError {
    /// The text block of the result.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Raised(message) => format!("Error calling tool: {message}"),
            Self::Reported(message) => json::text(&json!({ "error": message })),
        }
    }
}

/// Arguments together with the tool that they are for, which every complaint names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots<'a> {
    tool: &'a str,
    arguments: &'a Arguments,
}

impl<'a> Slots<'a> {
    pub(super) fn new(tool: &'a str, arguments: &'a Arguments) -> Self {
        Self { tool, arguments }
    }

    pub(super) fn invalid(&self) -> ToolError {
        let intent = self.tool.rsplit("__").next().unwrap_or(self.tool);
        ToolError::Raised(format!("Received invalid slot info for {intent}"))
    }

    pub(super) fn text(&self, slot: &str) -> Result<Option<String>, ToolError> {
        self.arguments
            .get(slot)
            .map(|value| as_text(value).ok_or_else(|| self.invalid()))
            .transpose()
    }

    /// For tools that take an empty or odd value as if it were not there.
    pub(super) fn filter(&self, slot: &str) -> Option<String> {
        self.arguments.get(slot).and_then(as_text)
    }

    /// A list of strings, or one string in its place.
    pub(super) fn texts(&self, slot: &str) -> Result<Vec<String>, ToolError> {
        match self.arguments.get(slot) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| as_text(value).ok_or_else(|| self.invalid()))
                .collect(),
            Some(value) => Ok(vec![as_text(value).ok_or_else(|| self.invalid())?]),
        }
    }

    pub(super) fn number(&self, slot: &str) -> Result<Option<f64>, ToolError> {
        self.arguments
            .get(slot)
            .map(|value| as_number(value).ok_or_else(|| self.invalid()))
            .transpose()
    }

    /// A whole number between 0 and 100; fractions are cut off.
    pub(super) fn percentage(&self, slot: &str) -> Result<Option<u8>, ToolError> {
        let Some(number) = self.number(slot)? else {
            return Ok(None);
        };
        if !(0.0..=100.0).contains(&number) {
            return Err(self.invalid());
        }
        Ok((0..=100_u8).rev().find(|&whole| f64::from(whole) <= number))
    }

    /// What the schema requires.
    pub(super) fn required<T>(&self, slot: Option<T>) -> Result<T, ToolError> {
        slot.ok_or_else(|| self.invalid())
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn as_number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_f64()?,
    };
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(arguments: &Value, read: impl FnOnce(Slots<'_>) -> T) -> T {
        read(Slots::new(
            "light__HassLightSet",
            arguments.as_object().unwrap(),
        ))
    }

    fn invalid() -> ToolError {
        ToolError::Raised("Received invalid slot info for HassLightSet".to_owned())
    }

    #[test]
    fn numbers_pass_for_text_and_text_for_numbers() {
        with(&json!({"name": 5, "brightness": "40"}), |slots| {
            assert_eq!(slots.text("name"), Ok(Some("5".to_owned())));
            assert_eq!(slots.percentage("brightness"), Ok(Some(40)));
        });
    }

    #[test]
    fn empty_strings_and_nulls_are_refused_rather_than_ignored() {
        with(&json!({"name": " ", "area": null, "floor": []}), |slots| {
            for slot in ["name", "area", "floor"] {
                assert_eq!(slots.text(slot), Err(invalid()), "{slot}");
            }
        });
    }

    #[test]
    fn one_string_stands_for_a_list_of_one() {
        with(
            &json!({"domain": "light", "device_class": ["tv", "speaker"]}),
            |slots| {
                assert_eq!(slots.texts("domain"), Ok(vec!["light".to_owned()]));
                assert_eq!(
                    slots.texts("device_class").map(|classes| classes.len()),
                    Ok(2)
                );
                assert_eq!(slots.texts("absent"), Ok(Vec::new()));
            },
        );
    }

    #[test]
    fn percentages_lose_their_fraction_and_keep_their_bounds() {
        let cases = [
            (json!(40.9), Ok(Some(40))),
            (json!(100), Ok(Some(100))),
            (json!(-1), Err(invalid())),
        ];
        for (value, expected) in cases {
            with(&json!({ "brightness": value }), |slots| {
                assert_eq!(slots.percentage("brightness"), expected);
            });
        }
        for value in [json!(400), json!("NaN"), json!(true), json!({})] {
            with(&json!({ "brightness": value }), |slots| {
                assert_eq!(slots.percentage("brightness"), Err(invalid()));
            });
        }
    }

    #[test]
    fn a_missing_required_slot_is_refused() {
        with(&json!({}), |slots| {
            let brightness = slots
                .percentage("brightness")
                .and_then(|slot| slots.required(slot));
            assert_eq!(brightness, Err(invalid()));
        });
    }

    #[test]
    fn reported_errors_are_json_and_raised_ones_are_prose() {
        assert_eq!(
            ToolError::Raised("no".to_owned()).text(),
            "Error calling tool: no"
        );
        assert_eq!(
            ToolError::Reported("no".to_owned()).text(),
            r#"{"error": "no"}"#
        );
    }
}
