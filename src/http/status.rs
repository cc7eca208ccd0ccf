//! The state of the bridge as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{Bridge, Configuration, admission, reply};
use crate::{dispatch, homeassistant, upstream};

#[derive(Serialize)]
struct Status {
    version: &'static str,
    state: &'static str,
    uptime_s: u64,
    clients: usize,
    /// Whether nobody needs a token.
    front_door_open: bool,
    /// Sessions of legacy clients that are remembered.
    sessions: usize,
    upstream: Upstream,
    /// Nothing where the upstream is no Home Assistant, or is not listened to.
    home_assistant: Option<homeassistant::Figures>,
    calls: dispatch::Figures,
    /// For operators alone: it tells about the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<Configuration>,
}

#[derive(Serialize)]
struct Upstream {
    url: String,
    way: &'static str,
    /// Nothing until it was spoken to for the first time.
    reachable: Option<bool>,
    last_answer_s_ago: Option<u64>,
    trouble: Option<Trouble>,
    pool: upstream::Figures,
}

#[derive(Serialize)]
struct Trouble {
    code: &'static str,
    title: &'static str,
    detail: String,
    fix: &'static str,
    s_ago: u64,
}

/// `GET /mcp/status`.
pub(super) async fn get(State(bridge): State<Arc<Bridge>>, request: Request) -> Response {
    match admission::admit(&bridge, &request) {
        Ok(_) => Json(snapshot(&bridge)).into_response(),
        Err(failure) => reply::problem(&failure),
    }
}

/// `GET /api/status`, behind the gate.
pub(super) async fn get_as_operator(State(bridge): State<Arc<Bridge>>) -> Response {
    snapshot_for_operator(&bridge)
}

/// The state now, with what only operators may see.
pub(super) fn snapshot_for_operator(bridge: &Bridge) -> Response {
    Json(Status {
        configuration: Some(bridge.reloading.state()),
        ..snapshot(bridge)
    })
    .into_response()
}

fn snapshot(bridge: &Bridge) -> Status {
    let upstream = bridge.dispatcher.upstream();
    let health = upstream.health();
    let trouble = health.trouble.as_ref().map(|(trouble, since)| {
        let entry = trouble.code().entry();
        Trouble {
            code: entry.name,
            title: entry.title,
            detail: trouble.to_string(),
            fix: entry.fix,
            s_ago: since.elapsed().as_secs(),
        }
    });
    Status {
        version: env!("CARGO_PKG_VERSION"),
        state: bridge.state(),
        uptime_s: bridge.started.elapsed().as_secs(),
        clients: bridge.access.active_clients(),
        front_door_open: bridge.access.is_open(),
        sessions: bridge.sessions.len(),
        upstream: Upstream {
            url: upstream.address(),
            way: bridge.way(),
            reachable: health.is_reachable(),
            last_answer_s_ago: health.last_answer.map(|at| at.elapsed().as_secs()),
            trouble,
            pool: upstream.figures(),
        },
        home_assistant: bridge.home_assistant().map(|home| home.figures()),
        calls: bridge.dispatcher.figures(),
        configuration: None,
    }
}
