//! Configuration: layers of sources become one raw struct, which is checked into the settings that
//! each module defines for itself.

mod changes;
mod file;
mod in_force;
mod options;
mod sources;
mod units;
mod validate;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::homeassistant::Wish;
use crate::{access, dispatch, homeassistant, http, server, telemetry, upstream};
pub use changes::{AT_START, changes, needs_restart};
pub use file::{Config, Profile, Secret};
pub use options::Options;
pub use sources::{Environment, Flags, Loaded, data_folder, listen, load, reload};

/// Everything that the bridge is told, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address for clients in the network.
    pub listen: SocketAddr,
    /// The address for the status page and its API.
    pub admin_listen: SocketAddr,
    /// The address for `/metrics`, if it has one of its own.
    pub metrics_listen: Option<SocketAddr>,
    /// The one address that may use it, if it lets people in by itself.
    pub ingress_peer: Option<IpAddr>,
    /// The folder for clients, tokens and whatever else must outlive a restart.
    pub data: PathBuf,
    /// Whether the built-in house takes the place of Home Assistant.
    pub demo: bool,
    /// The upstream.
    pub upstream: Upstream,
    /// The listeners.
    pub server: server::Settings,
    /// HTTPS for clients.
    pub tls: Option<server::TlsSettings>,
    /// How long the end may take.
    pub drain_timeout: Duration,
    /// Bounds of what clients send.
    pub http: http::Settings,
    /// The guard.
    pub access: access::Settings,
    /// The admin token, if one is set.
    pub admin_token: Option<access::TokenHash>,
    /// The way of a call.
    pub dispatch: dispatch::Settings,
    /// Logs.
    pub telemetry: telemetry::Settings,
    /// What is written down of calls.
    pub audit: telemetry::audit::Settings,
    /// All of it as it was written, with the places that it comes from.
    pub in_force: Vec<http::InForce>,
}

/// Which upstream, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// What to look for.
    pub wish: Wish,
    /// Further addresses of the same one.
    pub further_urls: Vec<Url>,
    /// Bounds of the sessions.
    pub pool: upstream::pool::Settings,
    /// Bytes of an answer.
    pub max_answer: usize,
    /// Time limits and trust.
    pub http: upstream::http_client::Settings,
    /// Home Assistant beyond its MCP server.
    pub home_assistant: homeassistant::Settings,
}

/// One thing that is wrong in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it was said: a file, the environment, a flag.
    pub source: String,
    /// The key, with dots.
    pub key: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, key, what } = self;
        if key.is_empty() {
            write!(f, "{source}: {what}")
        } else {
            write!(f, "{source}: {key}: {what}")
        }
    }
}

/// A configuration that is refused, with everything that is wrong in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<Fault>);

impl From<Fault> for ConfigError {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}
