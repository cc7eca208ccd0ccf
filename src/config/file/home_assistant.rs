//! Home Assistant, as far as it is more than an upstream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units;

/// Home Assistant beyond its MCP server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a group of keys such as `home_assistant.events`, in the environment MCP_BRIDGE__HOME_ASSISTANT__EVENTS"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct HomeAssistant {
    /// Whether to listen to its events: the bridge then knows at once when it stops, when it is
    /// back, and what has changed in it. Where the upstream is no Home Assistant, nothing is
    /// listened to.
    pub events: bool,
    /// Whether clients find each exposed entity among the resources, to read and to watch, from what
    /// its events tell.
    pub resources: bool,
    /// Bytes of its prompt, with its advice and the names of what is exposed, that clients get as
    /// `instructions` when they connect; `0B` for none. Many clients know tools only, and no prompts.
    #[serde(with = "units::bytes")]
    #[schemars(with = "String")]
    pub instructions: usize,
    /// Which of its sets of tools to use, by its id, such as `assist`; empty for what its
    /// integration `Model Context Protocol Server` offers.
    pub api: String,
    /// Whether to add that integration if it is missing. Otherwise the bridge says that it is, and
    /// adds it when asked to.
    pub auto_setup: bool,
    /// Whether to show a notice in it when a person must see to something.
    pub notify: bool,
}

impl Default for HomeAssistant {
    fn default() -> Self {
        Self {
            events: true,
            resources: true,
            instructions: 4 << 10,
            api: String::new(),
            auto_setup: false,
            notify: true,
        }
    }
}
