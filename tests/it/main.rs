//! Black-box tests: the real program, started as its users start it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "so tests fail"
)]

use std::alloc::System;

use cap::Cap;

/// Counts what tests take of memory.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

mod access;
mod admin;
mod announcing;
mod approvals;
mod arguments;
mod asking;
mod audit;
mod brevity;
mod caching;
mod clients_api;
mod commands;
mod compression;
mod configuration;
mod conformance;
mod crash;
mod dashboard;
mod declared;
mod documentation;
mod eras;
mod events;
mod exactly_once;
mod health;
mod hostile_input;
mod http_sse;
mod https;
mod ingress;
mod layering;
mod live_resources;
mod logs;
mod loops;
mod mcp_http;
mod memory;
mod metrics;
mod modern;
mod operators_api;
mod outages;
mod packaging;
mod page_origins;
mod page_visits;
mod plain_http;
mod pool;
mod queueing;
mod real_cache;
mod real_events;
mod real_first_steps;
mod real_home_assistant;
mod real_logbook;
mod real_resources;
mod real_restart;
mod real_setup;
mod reload;
mod replacement;
mod restarts;
mod rights;
mod sdk_clients;
mod sessions;
mod sharing;
mod shutdown;
mod streams;
mod supervisor;
mod support;
mod tls;
#[cfg(feature = "otlp")]
mod traces;
mod websocket;
