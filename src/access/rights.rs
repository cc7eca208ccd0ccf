//! What a client may do, once it is in.

use serde::{Deserialize, Serialize};

/// The rights of a client. The default is everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rights {
    /// Only tools that cannot change the house.
    pub read_only: bool,
    /// Patterns of the tools that it may call; `*` stands for anything. None means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Patterns of the tools that it may not call. They win over `allow`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}
