//! When a client goes round in circles.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units;

/// When a client goes round in circles, as some models do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a group of keys such as `loops.calls`, in the environment MCP_BRIDGE__LOOPS__CALLS"
)]
pub struct Loops {
    /// So often a client may make the same tool call within the window that follows, without doing
    /// anything else. An action is not carried out once more then: its client gets the last answer
    /// again, with a hint. A question whose answer stays the same gets the hint as well. 0 turns it
    /// off.
    pub calls: usize,
    /// How far back calls are counted.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub window: Duration,
}

impl Default for Loops {
    fn default() -> Self {
        Self {
            calls: 15,
            window: Duration::from_mins(1),
        }
    }
}
