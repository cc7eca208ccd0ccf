//! Home Assistant as more than an MCP server: where it is and how to get in.

mod locate;

pub use locate::{Address, LocateError, Located, Supervisor, Way, Wish, locate};
