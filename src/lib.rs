//! MCP Bridge: an HTTP bridge with a queue in front of Home Assistant's MCP server.
//!
//! Many clients share one Home Assistant through it: fast, fair, in order, nothing lost, nothing
//! done twice. The folders are the picture; dependencies point downwards only (a test keeps it so).
//!
//! ```text
//!  LM Studio   n8n   Open WebUI   curl
//!      │        │        │         │
//!  ┌───▼────────▼────────▼─────────▼──────────────────┐
//!  │ server    listeners, connections, drain          │
//!  │ http      Streamable HTTP · plain HTTP · status  │  bytes → Call, answer → bytes
//!  ├──────────────────────────────────────────────────┤
//!  │ access    tokens, host names, origins            │  who is it, may it come in
//!  ├──────────────────────────────────────────────────┤
//!  │ dispatch  answer locally · keep · join · queue   │  dispatch/pipeline.rs, top to bottom
//!  │             └ queue     fairness, order, bounds  │  sans-IO state machine
//!  ├──────────────────────────────────────────────────┤
//!  │ upstream  greeting, transport, troubles          │  Call → bytes at the MCP server
//!  └───┬──────────────────────────────────────────────┘
//!      ▼
//!  Home Assistant /api/mcp          homeassistant: finds it · demo: takes its place
//! ```
//!
//! Beside them: [`app`] puts everything together, [`config`] says with which settings, [`cli`] is
//! the command line, [`cache`] says which answers are kept and what outdates them, [`resilience`]
//! bears an upstream in trouble, [`error`] is the catalogue of failures, [`protocol`] MCP as pure
//! messages, [`telemetry`] the logs.
//!
//! # The way of a `tools/call`
//!
//! 1. [`server`] takes the connection, [`http`] checks `Host`, `Origin` and token ([`access`]), and
//!    reads the body within its bounds.
//! 2. [`protocol`] finds the envelope in the bytes and decides on the revision; `params` stay raw.
//! 3. [`dispatch`] answers handshakes itself, and lists and states from memory ([`cache`]).
//!    Everything else joins an identical call that is on its way already, or waits for its turn in
//!    the queue; limit and breaker of [`resilience`] decide how many run.
//! 4. [`upstream`] sends the very same bytes (or, for a modern client, the request without the
//!    modern metadata) and waits for the answer. A call that has been started is always finished.
//! 5. The answer goes back under the client's id. A failure becomes a row of [`error`]: a tool
//!    result that a model understands, a JSON-RPC error, or a problem over plain HTTP.

pub mod access;
pub mod app;
pub mod cache;
pub mod cli;
pub mod config;
pub mod demo;
pub mod dispatch;
pub mod error;
pub mod homeassistant;
pub mod http;
pub mod protocol;
pub mod resilience;
pub mod server;
pub mod telemetry;
pub mod upstream;
