//! What tells others how the bridge is: figures and traces.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Figures for Prometheus.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a group of keys such as `metrics.listen`, in the environment MCP_BRIDGE__METRICS__LISTEN"
)]
pub struct Metrics {
    /// An address and port of their own for `/metrics`, such as `0.0.0.0:9124`; it is not served at
    /// `listen` then.
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
    /// Whether `/metrics` wants the token of a client. The names of clients and tools stand there.
    pub token_required: bool,
}

/// Traces for OpenTelemetry.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a group of keys such as `traces.collector`, in the environment MCP_BRIDGE__TRACES__COLLECTOR"
)]
pub struct Traces {
    /// The address of a collector that takes OTLP over HTTP, such as `http://localhost:4318`. Only
    /// for programs that were built with the feature `otlp`.
    pub collector: Option<String>,
}
