//! Who may come in, besides holding a token.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units;

/// Who may come in, besides holding a token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a group of keys such as `access.allowed_hosts`, in the environment MCP_BRIDGE__ACCESS__ALLOWED_HOSTS"
)]
pub struct Access {
    /// Public host names under which the bridge is reached. Addresses and private names need no
    /// entry.
    #[serde(deserialize_with = "units::list")]
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may use the bridge with a token, such as
    /// `https://chat.example.org`; browsers let them read its answers (CORS).
    #[serde(deserialize_with = "units::list")]
    pub allowed_origins: Vec<String>,
    /// Networks that clients may come from, such as `192.168.1.0/24`; `private` stands for all that
    /// strangers cannot send from, `any` for all. Carrier-grade NAT and Tailscale, `100.64.0.0/10`,
    /// are not private.
    #[serde(deserialize_with = "units::list")]
    pub networks: Vec<String>,
    /// Networks of reverse proxies that are believed when they say in `X-Forwarded-For` who came to
    /// them.
    #[serde(deserialize_with = "units::list")]
    pub trusted_proxies: Vec<String>,
    /// Lets in whoever sends no token. Everybody who reaches the bridge can then control the house;
    /// only meant for a test on one's own machine.
    pub leave_front_door_open: bool,
    /// Nobody may change anything through the bridge: only tools that look are shown and called.
    pub read_only: bool,
    /// How long a call is held until a person agrees to it, where the rights of its client demand
    /// that.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub approval_timeout: Duration,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            networks: vec!["private".to_owned()],
            trusted_proxies: Vec::new(),
            leave_front_door_open: false,
            read_only: false,
            approval_timeout: Duration::from_secs(40),
        }
    }
}
