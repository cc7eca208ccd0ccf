//! Clients that the configuration declares.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Terms;
use crate::config::units;

/// A client that the configuration declares.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a group of keys such as `token_file` and `terms`"
)]
pub struct DeclaredClient {
    /// The SHA-256 of its token, as `mcp-bridge token generate` prints it; of several tokens while one
    /// takes the place of another.
    #[serde(
        deserialize_with = "units::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub token_sha256: Vec<String>,
    /// Files that hold a token each.
    #[serde(
        deserialize_with = "units::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub token_file: Vec<PathBuf>,
    /// Whether it is switched off for the time being.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// What it may do, and how much of it.
    pub terms: Terms,
}
