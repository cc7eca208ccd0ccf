//! What an operator can do to the running bridge.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;

use super::admin::Operator;
use super::{Bridge, reply, status};
use crate::error::{Code, Failure};

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
    status::snapshot(&bridge)
}

/// `POST /api/cache/flush`; answers with the status.
pub(super) async fn flush(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
) -> Response {
    let answers = bridge.dispatcher.flush_cache();
    tracing::info!(by = %operator, answers, "cache flushed");
    status::snapshot(&bridge)
}
