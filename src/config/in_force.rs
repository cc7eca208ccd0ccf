//! The settings in force, each with the place that it comes from.

use figment::Figment;
use serde_json::Value;

use super::file::Config;
use super::sources::place;
use crate::http::InForce;

/// All settings. Groups are one level deep; what is deeper is a value.
pub(super) fn of(config: &Config, figment: &Figment) -> Vec<InForce> {
    let Ok(Value::Object(members)) = serde_json::to_value(config) else {
        return Vec::new();
    };
    let setting = |key: String, value| {
        let source = place(figment, &key);
        InForce { key, value, source }
    };
    let mut settings = Vec::new();
    for (key, value) in members {
        match value {
            Value::Object(group) => settings.extend(
                group
                    .into_iter()
                    .map(|(name, value)| setting(format!("{key}.{name}"), value)),
            ),
            value => settings.push(setting(key, value)),
        }
    }
    settings
}
