//! What an operator can do to the running bridge.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::admin::Operator;
use super::{Bridge, reply, status};
use crate::error::{Code, Failure};
use crate::telemetry::{self, Call, Level, Levels};

/// `POST /api/queue/{pause,resume,drain}`; answers with the status.
pub(super) async fn queue(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
    Path(operation): Path<String>,
) -> Response {
    let dispatcher = &bridge.dispatcher;
    match operation.as_str() {
        "pause" => dispatcher.pause(),
        "resume" => dispatcher.open(),
        "drain" => dispatcher.close(),
        _ => {
            let why = "there are pause, resume and drain";
            return reply::problem(&Failure::with(Code::NotFound, why));
        }
    }
    tracing::info!(operation, by = %operator, "queue");
    status::snapshot_for_operator(&bridge)
}

/// `POST /api/cache/flush`; answers with the status.
pub(super) async fn flush(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
) -> Response {
    let answers = bridge.dispatcher.flush_cache();
    tracing::info!(by = %operator, answers, "cache flushed");
    status::snapshot_for_operator(&bridge)
}

/// `GET /api/calls`: all calls that are kept, oldest first.
pub(super) async fn calls(State(bridge): State<Arc<Bridge>>) -> Json<Vec<Arc<Call>>> {
    Json(bridge.dispatcher.journal().calls(0, usize::MAX).0)
}

/// `POST /api/breaker/reset`: tries Home Assistant again at once.
pub(super) async fn reset_breaker(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
) -> Json<Done> {
    bridge.dispatcher.reset_breaker();
    tracing::info!(by = %operator, "Home Assistant is tried again at once");
    Json(Done::new(true))
}

/// `POST /api/refused/clear`: forgets the requests that were not let in.
pub(super) async fn forget_refused(State(bridge): State<Arc<Bridge>>) -> Json<Done> {
    bridge.dispatcher.journal().forget_refusals();
    Json(Done::new(true))
}

/// `PATCH /api/log-level`: logs more or less, until the bridge starts again.
pub(super) async fn set_log_levels(
    Extension(operator): Extension<Operator>,
    body: Result<Json<OtherLevels>, JsonRejection>,
) -> Response {
    let other = match body {
        Ok(Json(other)) => other,
        Err(error) => {
            return reply::problem(&Failure::with(Code::InvalidParams, error.body_text()));
        }
    };
    let now = telemetry::levels().unwrap_or_default();
    let levels = Levels {
        level: other.level.unwrap_or(now.level),
        modules: other.modules.unwrap_or(now.modules),
    };
    let Levels { level, modules } = &levels;
    tracing::warn!(?level, ?modules, by = %operator, "the log level was changed");
    let done = telemetry::set_levels(levels);
    Json(Done::new(done)).into_response()
}

/// `GET /api/log-level`.
pub(super) async fn log_levels() -> Json<Option<Levels>> {
    Json(telemetry::levels())
}

/// `POST /api/first-token`: the token that was made at the first start, for as long as it is kept. A
/// POST, so that nothing but the page itself gets it out of a browser.
pub(super) async fn first_token(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
) -> Response {
    match bridge.access.first_token() {
        Ok(token) => {
            tracing::info!(by = %operator, "the first token was shown");
            let token = token.reveal().to_owned();
            Json(FirstToken { token }).into_response()
        }
        Err(error) => reply::problem(&Failure::with(Code::NotFound, error)),
    }
}

/// What was asked for has been done.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Done {
    /// Whether there was anything to do it to.
    done: bool,
}

impl Done {
    pub(super) const fn new(done: bool) -> Self {
        Self { done }
    }
}

/// How much to log; what is missing stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OtherLevels {
    /// All that is not named.
    level: Option<Level>,
    /// Modules of the bridge, the lines of calls (`calls`), or libraries, instead of those before.
    modules: Option<BTreeMap<String, Level>>,
}

/// A token in clear.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FirstToken {
    token: String,
}

/// `POST /api/setup`: adds the MCP server to Home Assistant.
pub(super) async fn set_up(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
) -> Response {
    let Some(home_assistant) = bridge.home_assistant() else {
        let why = "there is no Home Assistant that the bridge listens to";
        return reply::problem(&Failure::with(Code::NotFound, why));
    };
    if let Err(trouble) = home_assistant.add_mcp_server().await {
        return reply::problem(&trouble.into());
    }
    tracing::info!(by = %operator, "set up");
    Json(Done { done: true }).into_response()
}
