//! What has changed from one configuration to the next, and what of it needs a restart.

use serde_json::Value;

use super::{Config, Loaded};

/// Keys that are read once, when the bridge starts. Everything else counts at once.
pub const AT_START: [&str; 11] = [
    "listen",
    "admin_listen",
    "ingress_peer",
    "data",
    "demo",
    "log_format",
    "metrics.listen",
    "traces.collector",
    "tls.certificate",
    "tls.key",
    "tls.client_ca",
];

/// Whether a change of this key counts only after a restart.
pub fn needs_restart(key: &str) -> bool {
    AT_START.contains(&key)
}

/// The keys that differ, with dots.
pub fn changes(old: &Loaded, new: &Loaded) -> Vec<String> {
    let mut keys = Vec::new();
    compare(&written(&old.config), &written(&new.config), "", &mut keys);
    // A secret is written the same whatever it is, and a file can have another content.
    let (was, is) = (&old.settings, &new.settings);
    let token = match new.config.upstream_token_file {
        Some(_) => "upstream_token_file",
        None => "upstream_token",
    };
    for (key, differs) in [
        (token, !was.upstream.wish.has_token_of(&is.upstream.wish)),
        ("admin_token_file", was.admin_token != is.admin_token),
        ("clients", was.access.clients != is.access.clients),
    ] {
        if differs && !keys.iter().any(|other| other.starts_with(key)) {
            keys.push(key.to_owned());
        }
    }
    keys
}

fn written(config: &Config) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}

fn compare(old: &Value, new: &Value, key: &str, keys: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old.keys().filter(|name| !new.contains_key(*name));
            for name in new.keys().chain(gone) {
                let key = if key.is_empty() {
                    name.clone()
                } else {
                    format!("{key}.{name}")
                };
                let [old, new] = [old, new].map(|group| group.get(name).unwrap_or(&Value::Null));
                compare(old, new, &key, keys);
            }
        }
        _ if old == new => {}
        _ => keys.push(key.to_owned()),
    }
}
