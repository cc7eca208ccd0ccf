//! MCP as messages: the JSON-RPC envelope, the revisions and their two eras, the event-stream
//! codec.
//!
//! Everything in here is a plain function or state machine over bytes: no socket, no clock, no
//! task. Messages are never decoded further than the bridge must look into them, so whatever it
//! does not know passes through unharmed.

pub mod body;
pub mod canonical;
pub mod capabilities;
pub mod client;
pub mod era;
pub mod input_required;
pub mod json;
pub mod keep_alive;
pub mod log_level;
pub mod message;
pub mod mirrored;
pub mod priority;
pub mod replay;
pub mod revision;
pub mod seal;
pub mod session_id;
pub mod session_table;
pub mod sse;
pub mod subscription;
pub mod tool_result;
pub mod trace_context;

/// Error codes of JSON-RPC and MCP that the bridge itself answers with.
pub mod code {
    /// The body is not JSON (JSON-RPC 2.0, section 5.1).
    pub const PARSE_ERROR: i32 = -32700;
    /// The JSON is no request (JSON-RPC 2.0, section 5.1).
    pub const INVALID_REQUEST: i32 = -32600;
    /// No such method (JSON-RPC 2.0, section 5.1).
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// The params do not fit the method (JSON-RPC 2.0, section 5.1).
    pub const INVALID_PARAMS: i32 = -32602;
    /// Something inside failed (JSON-RPC 2.0, section 5.1).
    pub const INTERNAL_ERROR: i32 = -32603;
    /// A resource is unknown (MCP up to 2025-11-25).
    pub const RESOURCE_NOT_FOUND: i32 = -32002;
    /// What Home Assistant's MCP server makes of any exception, most often an unknown name.
    pub const EXCEPTION: i32 = 0;
    /// Header and body differ (MCP 2026-07-28).
    pub const HEADER_MISMATCH: i32 = -32020;
    /// The client did not declare what the request needs (MCP 2026-07-28).
    pub const MISSING_CAPABILITY: i32 = -32021;
    /// The version is not spoken here (MCP 2026-07-28).
    pub const UNSUPPORTED_VERSION: i32 = -32022;
}
