//! The audit, as operators read it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Parameters, State};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Failure};
use crate::http::{Bridge, reply};
use crate::telemetry::audit::{Entry, Query, search};

/// Entries that are told at once, unless fewer are wanted.
const MOST: usize = 1000;

/// Which entries are wanted. In patterns, which are in any case, `*` stands for anything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Of clients that fit this pattern.
    client: Option<String>,
    /// Of tools that fit this pattern.
    tool: Option<String>,
    /// With an outcome or a decision that fits this pattern.
    outcome: Option<String>,
    /// Since this moment (`2026-11-22T18:00:00Z`), or for so long (`2h`, `3 days`).
    since: Option<String>,
    /// So many at most, the latest ones; 100 unless it is said, and never more than 1000.
    most: Option<usize>,
}

/// What was found, the oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Found {
    entries: Vec<Entry>,
}

/// `GET /api/audit`.
pub(super) async fn get(
    State(bridge): State<Arc<Bridge>>,
    wanted: Result<Parameters<Wanted>, QueryRejection>,
) -> Response {
    let query = match wanted {
        Ok(Parameters(wanted)) => query(wanted),
        Err(rejected) => Err(Failure::with(Code::InvalidParams, rejected.body_text())),
    };
    let found = match query {
        Ok(query) => tokio::task::spawn_blocking(move || search(&bridge.data, &query)).await,
        Err(failure) => return reply::problem(&failure),
    };
    match found {
        Ok(Ok(entries)) => Json(Found { entries }).into_response(),
        Ok(Err(error)) => reply::problem(&Failure::with(Code::Internal, error)),
        Err(_) => reply::problem(&Failure::new(Code::Internal)),
    }
}

fn query(wanted: Wanted) -> Result<Query, Failure> {
    let since = wanted.since.map(|text| text.parse()).transpose();
    let fault = |why| Failure::with(Code::InvalidParams, format_args!("since: {why}"));
    Ok(Query {
        client: wanted.client,
        tool: wanted.tool,
        outcome: wanted.outcome,
        since: since.map_err(fault)?,
        most: wanted.most.unwrap_or(100).min(MOST),
    })
}
