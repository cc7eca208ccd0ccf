//! The queue and the executions at work under many schedules: whatever comes, ends, leaves or shuts
//! down at the same time. Shuttle decides at each lock and each wait who goes on; a caller that is
//! never woken again is a deadlock, which it reports.
//!
//! `SCHEDULES=100000 cargo nextest run --test schedules` tries that many of each test.

#![expect(clippy::unwrap_used, clippy::panic, reason = "so tests fail")]

mod dispatch;

use mcp_bridge::{cache, error, protocol, resilience, upstream};
