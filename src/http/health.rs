//! Health for probes: open to everybody, and silent about everything but the state.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::Bridge;
use crate::dispatch::queue::Mode;

/// Why no calls are taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Obstacle {
    /// The process is about to end.
    Stopping,
    /// An operator lets the queue run empty.
    Draining,
    /// As many calls as may wait do.
    QueueFull,
}

/// Everything that keeps calls from being taken. Home Assistant being away does not: they wait for
/// it.
pub(super) fn obstacles(bridge: &Bridge) -> Vec<Obstacle> {
    if bridge.is_draining() {
        // Whatever else there may be is a part of it.
        return vec![Obstacle::Stopping];
    }
    let queue = bridge.dispatcher.figures().queue.queue;
    let full = queue.waiting > 0 && queue.waiting >= queue.max_waiting;
    [
        (queue.mode == Mode::Draining, Obstacle::Draining),
        (full, Obstacle::QueueFull),
    ]
    .into_iter()
    .filter_map(|(stands, obstacle)| stands.then_some(obstacle))
    .collect()
}

/// The process turns: whoever reads this was served by its event loop. Never depends on Home
/// Assistant, since restarting the bridge would not help there.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

/// Everything is set up: nothing is served before.
pub(super) async fn startup() -> Json<Value> {
    Json(json!({"status": "started"}))
}

/// Calls are taken, or why not.
pub(super) async fn ready(State(bridge): State<Arc<Bridge>>) -> (StatusCode, Json<Value>) {
    let obstacles = obstacles(&bridge);
    if obstacles.is_empty() {
        (StatusCode::OK, Json(json!({"status": "ready"})))
    } else {
        let told = json!({"status": "not_ready", "reasons": obstacles});
        (StatusCode::SERVICE_UNAVAILABLE, Json(told))
    }
}
