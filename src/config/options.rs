//! The options of the Home Assistant app, as its form writes them, in terms of the configuration.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format as _, Json};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::ConfigError;
use super::file::Secret;
use super::sources::{self, Layer};
use crate::telemetry::Level;

/// The folder in which apps find certificates.
const SSL: &str = "/ssl";

/// `/data/options.json`. The form has plain numbers; their units stand in its descriptions. Its
/// types, bounds and defaults are those of `config.yaml`; a test holds them together.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    read_only: Option<bool>,
    max_parallel_calls: Option<Whole<1, 64>>,
    /// Seconds.
    call_timeout: Option<Whole<5, 280>>,
    ssl: Option<bool>,
    certfile: Option<String>,
    keyfile: Option<String>,
    queue: QueueOptions,
    allowed_hosts: Option<Vec<String>>,
    allowed_origins: Option<Vec<String>>,
    allowed_networks: Option<Vec<String>>,
    #[schemars(with = "Option<String>")]
    home_assistant_token: Option<Secret>,
    auto_setup: Option<bool>,
    verify_ssl: Option<bool>,
    log_level: Option<Level>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a group of keys such as `max_waiting`"
)]
struct QueueOptions {
    max_waiting: Option<Whole<1, 1000>>,
    max_waiting_per_client: Option<Whole<1, 1000>>,
}

/// A number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct Whole<const MIN: u64, const MAX: u64>(u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if (MIN..=MAX).contains(&number) {
            Ok(Self(number))
        } else {
            let why = format_args!("it is {number}, and must be from {MIN} to {MAX}");
            Err(D::Error::custom(why))
        }
    }
}

/// Reads the options as a layer of the configuration; empty if there is no such file.
///
/// # Errors
/// A file that is not what the form writes.
pub(super) fn read(path: &Path) -> Result<Map<String, Value>, ConfigError> {
    if matches!(path.try_exists(), Ok(false)) {
        return Ok(Map::new());
    }
    layer(&Figment::from(Json::file_exact(path)))
}

/// The options as the Supervisor tells them, as a layer of the configuration.
///
/// # Errors
/// What is not the form's.
pub(super) fn understand(options: &Value) -> Result<Map<String, Value>, ConfigError> {
    layer(&Figment::from(Layer::new("options of the app", options)))
}

fn layer(options: &Figment) -> Result<Map<String, Value>, ConfigError> {
    let options: Options = options.extract().map_err(|e| sources::explain(&e))?;
    let token = options
        .home_assistant_token
        .filter(|token| !token.is_empty())
        .map(Secret::into_inner);
    let token = token.as_ref().map(ExposeSecret::expose_secret);
    let timeout = options
        .call_timeout
        .map(|Whole(seconds)| format!("{seconds}s"));
    // An empty list is one that nobody has filled, not one that lets nobody in.
    let networks = options.allowed_networks.filter(|list| !list.is_empty());
    let queue = without_null([
        ("max_parallel_calls", json!(options.max_parallel_calls)),
        ("max_waiting", json!(options.queue.max_waiting)),
        (
            "max_waiting_per_client",
            json!(options.queue.max_waiting_per_client),
        ),
        ("call_timeout", json!(timeout)),
    ]);
    let access = without_null([
        ("read_only", json!(options.read_only)),
        ("allowed_hosts", json!(options.allowed_hosts)),
        ("allowed_origins", json!(options.allowed_origins)),
        ("networks", json!(networks)),
    ]);
    let mut layer = without_null([
        ("log_level", json!(options.log_level)),
        ("upstream_token", json!(token)),
        ("upstream_verify_tls", json!(options.verify_ssl)),
    ]);
    layer.insert("queue".to_owned(), Value::Object(queue));
    layer.insert("access".to_owned(), Value::Object(access));
    let home_assistant = without_null([("auto_setup", json!(options.auto_setup))]);
    layer.insert("home_assistant".to_owned(), Value::Object(home_assistant));
    if options.ssl == Some(true) {
        let tls = json!({
            "certificate": in_ssl(options.certfile, "fullchain.pem"),
            "key": in_ssl(options.keyfile, "privkey.pem"),
        });
        layer.insert("tls".to_owned(), tls);
    }
    Ok(layer)
}

/// Where a file of the folder for certificates is, in which all apps find them.
fn in_ssl(name: Option<String>, default: &str) -> PathBuf {
    let name = name.filter(|name| !name.trim().is_empty());
    Path::new(SSL).join(name.as_deref().map_or(default, str::trim))
}

fn without_null<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    let named = members.into_iter().filter(|(_, value)| !value.is_null());
    named.map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Value, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("options.json");
        std::fs::write(&path, text).unwrap();
        read(&path)
            .map(Value::Object)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_form_becomes_a_layer_of_the_configuration() {
        let layer = options(
            r#"{"max_parallel_calls":2,"call_timeout":40,"log_level":"warning",
                "home_assistant_token":"t","verify_ssl":false,"auto_setup":true,"queue":{"max_waiting":7},
                "allowed_hosts":["mcp.example.org"]}"#,
        );
        let expected = json!({
            "log_level": "warn",
            "upstream_token": "t",
            "upstream_verify_tls": false,
            "queue": {"max_parallel_calls": 2, "max_waiting": 7, "call_timeout": "40s"},
            "access": {"allowed_hosts": ["mcp.example.org"]},
            "home_assistant": {"auto_setup": true},
        });
        assert_eq!(layer.unwrap(), expected);
    }

    #[test]
    fn certificates_are_looked_for_where_all_apps_find_them() {
        let tls = |text: &str| options(text).unwrap()["tls"].clone();
        assert_eq!(tls(r#"{"ssl":false,"certfile":"a.pem"}"#), Value::Null);
        assert_eq!(
            tls(r#"{"ssl":true,"certfile":"","keyfile":" own/key.pem "}"#),
            json!({"certificate": "/ssl/fullchain.pem", "key": "/ssl/own/key.pem"})
        );
        let whole = tls(r#"{"ssl":true,"certfile":"/ssl/a.pem"}"#);
        assert_eq!(whole["certificate"], "/ssl/a.pem");
    }

    #[test]
    fn networks_are_those_of_the_form_if_it_has_any() {
        let access = |text: &str| options(text).unwrap()["access"].clone();
        assert_eq!(access(r#"{"allowed_networks":[]}"#), json!({}));
        let some = access(r#"{"allowed_networks":["private","100.64.0.0/10"]}"#);
        assert_eq!(some, json!({"networks": ["private", "100.64.0.0/10"]}));
    }

    #[test]
    fn what_was_left_empty_is_not_set() {
        assert_eq!(
            options(r#"{"home_assistant_token":""}"#).unwrap(),
            json!({"queue": {}, "access": {}, "home_assistant": {}})
        );
        assert!(read(Path::new("/nowhere/options.json")).is_ok());
    }

    #[test]
    fn what_the_form_does_not_have_is_refused_by_name() {
        let error = options(r#"{"max_paralel_calls":2}"#).unwrap_err();
        assert!(
            error.contains("options.json") && error.contains("did you mean `max_parallel_calls`?"),
            "{error}"
        );
        let error = options(r#"{"call_timeout":"soon"}"#).unwrap_err();
        assert!(error.contains("call_timeout"), "{error}");
        let error = options(r#"{"call_timeout":300}"#).unwrap_err();
        assert!(
            error.contains("call_timeout: it is 300, and must be from 5 to 280"),
            "{error}"
        );
        assert!(options("{").is_err());
    }
}
