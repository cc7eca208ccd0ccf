//! A client: somebody who holds a token, and on which terms.

use std::num::NonZeroU64;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::certificate::CertificateId;
use super::network;
use super::rights::Rights;
use super::token::TokenHash;
use crate::protocol::priority::Priority;
use crate::resilience::rate::Rate;

/// Characters of a name.
const MAX_NAME: usize = 64;

/// A client: somebody who holds a token.
///
/// A field that is not known is an error, not ignored: it may have been a restriction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its name, unique among those not revoked.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it may come in for the time being.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When it was locked out for good, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// What is kept of its tokens, the newest first.
    pub tokens: Vec<Credential>,
    /// What it may do.
    #[serde(default)]
    pub terms: Terms,
    /// Whether the configuration declares it, so that the register has nothing to say about it.
    #[serde(skip)]
    pub declared: bool,
}

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Its hash.
    pub sha256: TokenHash,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends, if it has a successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// What a client may do, and how much of it. The default has no bounds of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// How urgent its calls are at most.
    pub priority: Priority,
    /// How long its calls may take at most, in seconds; nothing for the bridge's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<NonZeroU64>,
    /// How often it may call, such as `60/min`; nothing for the bridge's default.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The networks that it may come from. None means all that the bridge lets in.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "network::deserialize"
    )]
    #[schemars(with = "Vec<String>")]
    pub networks: Vec<IpNet>,
    /// Certificates that open for it in the place of a token, where the listener asks for some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub certificates: Vec<CertificateId>,
    /// Whether its token may stand in the address (`/c/TOKEN/mcp`), where logs and histories of
    /// others may keep it. For clients that cannot send headers.
    #[serde(skip_serializing_if = "is_false")]
    pub path_token: bool,
    /// What it may do with tools.
    pub rights: Rights,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Client {
    /// A client without tokens or bounds.
    pub fn new(name: String, created: Timestamp) -> Self {
        Self {
            name,
            created,
            enabled: true,
            revoked: None,
            tokens: Vec::new(),
            terms: Terms::default(),
            declared: false,
        }
    }

    /// Whoever comes without a token, where none is needed.
    pub fn anyone() -> Self {
        Self::new("anyone".to_owned(), Timestamp::UNIX_EPOCH)
    }

    /// Whether a client can be called so: 1 to 64 characters, none that would confuse a reader.
    pub fn is_name(name: &str) -> bool {
        (1..=MAX_NAME).contains(&name.chars().count())
            && name.trim() == name
            && !name.chars().any(char::is_control)
    }

    /// Whether its name is taken: names of revoked clients are free again.
    pub fn is_active(&self) -> bool {
        self.revoked.is_none()
    }
}

impl Terms {
    /// How long its calls may take at most, if that is bounded for it.
    pub fn timeout(&self) -> Option<Duration> {
        let seconds = self.timeout_s?;
        Some(Duration::from_secs(seconds.get()))
    }
}
