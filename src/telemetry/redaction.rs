//! What must not stand in the history and in the audit: values of arguments with telling names, and
//! tokens anywhere.

use serde_json::Value;
use wildmatch::WildMatch;

/// What stands in the place of what is hidden.
const HIDDEN: &str = "•••";
/// Words in the names of arguments whose values are nobody's business.
const SECRETS: [&str; 8] = [
    "code", "usercode", "pin", "password", "passwd", "passcode", "token", "secret",
];
/// How tokens begin: those of the bridge, and those of Home Assistant (JSON Web Tokens).
const TOKENS: [&str; 2] = ["mcpb_", "eyJ"];
/// No word that begins like one is that long.
const SHORTEST_TOKEN: usize = 20;

/// Hides. The default hides what is plainly secret.
#[derive(Debug, Default)]
pub struct Redaction {
    names: Vec<WildMatch>,
}

impl Redaction {
    /// Hides values of arguments whose names fit one of these patterns, too; `*` stands for anything.
    pub fn new(patterns: &[String]) -> Self {
        let names = patterns.iter();
        Self {
            names: names
                .map(|pattern| WildMatch::new_case_insensitive(pattern))
                .collect(),
        }
    }

    /// The value without what must not be seen. Texts that spell JSON are looked through as well.
    pub fn hide(&self, value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| {
                    let value = if self.is_secret(&name) {
                        Value::from(HIDDEN)
                    } else {
                        self.hide(value)
                    };
                    (hide_tokens(&name), value)
                });
                Value::Object(members.collect())
            }
            Value::Array(values) => values.into_iter().map(|value| self.hide(value)).collect(),
            Value::String(text) => Value::String(match spelled(&text) {
                Some(value) => self.hide(value).to_string(),
                None => hide_tokens(&text),
            }),
            other => other,
        }
    }

    fn is_secret(&self, name: &str) -> bool {
        let lower = name.to_ascii_lowercase();
        let mut words = lower.split(['_', '-', '.', ' ']);
        words.any(|word| SECRETS.contains(&word)) || self.names.iter().any(|n| n.matches(name))
    }
}

/// The object or list that a text spells.
fn spelled(text: &str) -> Option<Value> {
    let begins = text.trim_start().starts_with(['{', '[']);
    begins.then(|| serde_json::from_str(text).ok())?
}

/// The text without tokens.
pub fn hide_tokens(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = TOKENS.iter().filter_map(|token| rest.find(token)).min() {
        let (before, from) = rest.split_at(start);
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        shown.push_str(before);
        shown.push_str(if end < SHORTEST_TOKEN {
            &from[..end]
        } else {
            HIDDEN
        });
        rest = &from[end..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_with_telling_names_are_hidden_wherever_they_stand() {
        let redaction = Redaction::new(&["*_key".to_owned(), "Wifi*".to_owned()]);
        let hidden = redaction.hide(json!({
            "name": "Alarm", "CODE": 1234, "encoded": "x", "api_key": "k", "wifi-phrase": 1,
            "data": [{"user_pin": "9", "new password": {"a": 1}, "n": null}],
            "text": r#" {"pin": 9, "deep": "{\"token\": 1}"}"#,
        }));
        let expected = json!({
            "name": "Alarm", "CODE": HIDDEN, "encoded": "x", "api_key": HIDDEN, "wifi-phrase": HIDDEN,
            "data": [{"user_pin": HIDDEN, "new password": HIDDEN, "n": null}],
            "text": r#"{"pin":"•••","deep":"{\"token\":\"•••\"}"}"#,
        });
        assert_eq!(hidden, expected);
    }

    #[test]
    fn tokens_are_hidden_in_every_text() {
        let token = format!("mcpb_{}", "a".repeat(58));
        let other = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJ4In0.abc-_x";
        let text = format!("use {token}, or Bearer {other}!");
        assert_eq!(hide_tokens(&text), "use •••, or Bearer •••!");
        for plain in ["", "mcpb_short", "eyJ", "nothing to hide", "ümcpb_"] {
            assert_eq!(hide_tokens(plain), plain);
        }
        let value = json!({token.clone(): [token]});
        let hidden = Redaction::default().hide(value).to_string();
        assert!(!hidden.contains("mcpb_"), "{hidden}");
    }
}
