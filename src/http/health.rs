//! Health for probes: open to everybody, and silent about everything but the state.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use super::Bridge;

/// The process turns. Never depends on Home Assistant: restarting the bridge would not help there.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

/// Calls are taken. Home Assistant being away does not count: calls wait for it.
pub(super) async fn ready(State(bridge): State<Arc<Bridge>>) -> (StatusCode, Json<Value>) {
    if bridge.is_draining() {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({"status": "stopping"})),
        )
    } else {
        (StatusCode::OK, Json(json!({"status": "ready"})))
    }
}
