//! The files under test, compiled with another runtime.

use mcp_bridge::dispatch::{deduplication, queue};

#[expect(dead_code, reason = "the library uses all of it")]
#[path = "../../src/dispatch/flights.rs"]
mod flights;
mod queueing;
#[path = "../../src/dispatch/refusals.rs"]
mod refusals;
mod runtime;
#[expect(dead_code, unreachable_pub, reason = "the library uses all of it")]
#[path = "../../src/dispatch/scheduler.rs"]
mod scheduler;
mod sharing;
