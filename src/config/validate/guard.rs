//! The settings of the guard.

use super::Faults;
use crate::access::{BrakeSettings, Rates, Settings, parse_networks};
use crate::config::file::{Access, Limits};

/// Checks what is said about who may come in.
pub(super) fn settings(access: Access, limits: &Limits, faults: &mut Faults<'_>) -> Settings {
    let mut networks = |key, texts: &[String], default: &str| {
        let mut found = Vec::new();
        for (n, text) in (1..).zip(texts) {
            match parse_networks(text) {
                Some(networks) => found.extend(networks),
                None => faults.add(
                    key,
                    format_args!(
                        "entry {n}, {text:?}, is no network; write it like 192.168.1.0/24{default}"
                    ),
                ),
            }
        }
        found
    };
    let or = ", or `private`, or `any`";
    Settings {
        networks: networks("access.networks", &access.networks, or),
        trusted_proxies: networks("access.trusted_proxies", &access.trusted_proxies, ""),
        allowed_hosts: access.allowed_hosts,
        allowed_origins: access.allowed_origins,
        leave_front_door_open: access.leave_front_door_open,
        read_only: access.read_only,
        rates: Rates {
            total: limits.calls,
            client: limits.calls_per_client,
            tools: limits.calls_per_tool.clone().into_iter().collect(),
        },
        clients: Vec::new(),
        brake: BrakeSettings {
            wrong_tokens: limits.wrong_tokens,
            window: limits.wrong_tokens_window,
        },
    }
}
