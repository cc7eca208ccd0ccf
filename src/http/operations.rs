//! What an operator can do to the running bridge.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::{Bridge, admission, reply, status};
use crate::error::{Code, Failure};

/// `POST /api/queue/{pause,resume,drain}`; answers with the status.
pub(super) async fn queue(
    State(bridge): State<Arc<Bridge>>,
    Path(operation): Path<String>,
    request: Request,
) -> Response {
    let operator = match admission::admit_operator(&bridge, &request) {
        Ok(operator) => operator,
        Err(failure) => return reply::problem(&failure),
    };
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
