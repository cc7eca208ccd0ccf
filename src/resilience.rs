//! How to bear an upstream in trouble: generic state machines, which know neither HTTP nor MCP.
//!
//! None of them owns a clock, a task or a random number; time and chance come in as arguments.

pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod limit;
pub mod rate;
