//! What is written down of calls, for those who have to know afterwards.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units;

/// The audit: who had what done, one line of JSON for each call, in the folder `audit` of the data
/// folder.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a group of keys such as `audit.enabled`, in the environment MCP_BRIDGE__AUDIT__ENABLED"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Audit {
    /// Whether calls are written down that may act, and those that were refused.
    pub enabled: bool,
    /// Whether calls that only look are written down as well.
    pub reads: bool,
    /// Whether the arguments of calls are.
    pub arguments: bool,
    /// Patterns for the names of arguments whose values are hidden, such as `*_key`; `*` stands for
    /// anything. Codes, PINs, passwords and tokens always are.
    #[serde(deserialize_with = "units::list")]
    pub redact: Vec<String>,
    /// Whether each of them is shown in Home Assistant's logbook as well, where the bridge listens to
    /// its events.
    pub logbook: bool,
    /// Size of a file, after which a new one is begun; so it is with every day.
    #[serde(with = "units::bytes")]
    #[schemars(with = "String")]
    pub file_size: usize,
    /// Files that are kept beside the one that is written.
    pub files: usize,
    /// Days for which they are kept.
    pub days: u32,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            enabled: true,
            reads: false,
            arguments: true,
            redact: Vec::new(),
            logbook: false,
            file_size: 1 << 20,
            files: 30,
            days: 30,
        }
    }
}
