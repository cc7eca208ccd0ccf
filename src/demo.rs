//! A small house built in, for `--demo` and for tests: an MCP server that behaves like Home
//! Assistant's.
//!
//! [`DemoHouse`] is a real HTTP server, so that whoever visits it uses the same code as for a real
//! house. What it says follows Home Assistant's MCP server closely: addresses, statuses, tool
//! names, the shape of results and errors, even the spaces in its JSON. What it leaves out are
//! users, the REST and websocket APIs, and the limit of 60 seconds. What it adds are [`Fault`]s,
//! and a memory of what really ran.
//!
//! ```text
//! server      sockets, connections, restart
//!   endpoint  one POST: fault, token, headers, latency, record
//!     mcp     JSON-RPC message -> answer
//!       tools   the table; `schema` and `actions` are its columns, `slots` and `target` read the arguments
//!         house   floors, rooms, devices; `overview` puts them into words
//! ```
//!
//! Everything from `mcp` down is free of I/O and is given the time.

mod actions;
#[cfg(test)]
mod client;
mod devices;
mod endpoint;
mod fault;
mod floorplan;
mod house;
mod json;
mod mcp;
mod overview;
mod record;
mod reply;
mod schema;
mod server;
mod session;
mod slots;
mod target;
mod tools;

pub use fault::Fault;
pub use record::{Execution, SeenRequest};
pub use server::{DemoHouse, Settings};
