//! Calls that wait for a person's word, and the word.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::admin::Operator;
use super::{Bridge, reply};
use crate::dispatch::Approval;
use crate::error::{Code, Failure};
use crate::protocol::json::RawJson;

/// The calls that wait.
#[derive(Serialize, JsonSchema)]
pub(super) struct Approvals {
    approvals: Vec<Entry>,
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    id: u64,
    client: String,
    tool: String,
    #[schemars(with = "Option<serde_json::Value>")]
    arguments: Option<RawJson>,
    reason: String,
    /// For how long the question has been waiting, in seconds.
    waiting_s: u64,
    /// For how long it can still be answered, unless it is asked again.
    expires_s: u64,
}

impl Entry {
    fn of(approval: Approval) -> Self {
        let now = Instant::now().into_std();
        let question = approval.question;
        Self {
            id: approval.id,
            client: question.client.to_string(),
            tool: question.tool,
            arguments: question.arguments,
            reason: question.reason,
            waiting_s: now.saturating_duration_since(approval.since).as_secs(),
            expires_s: approval.until.saturating_duration_since(now).as_secs(),
        }
    }
}

/// `GET /api/approvals`.
pub(super) async fn get(State(bridge): State<Arc<Bridge>>) -> Response {
    let approvals = bridge.dispatcher.approvals().into_iter();
    let approvals = approvals.map(Entry::of).collect();
    Json(Approvals { approvals }).into_response()
}

/// What a person says.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Word {
    approve: bool,
}

/// What was said.
#[derive(Serialize, JsonSchema)]
pub(super) struct Said {
    id: u64,
    approved: bool,
}

/// `POST /api/approvals/{id}` with `{"approve": true}` or `false`.
pub(super) async fn post(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
    id: Result<Path<u64>, PathRejection>,
    word: Result<Json<Word>, JsonRejection>,
) -> Response {
    let Ok(Path(id)) = id else {
        return reply::problem(&Failure::with(Code::NotFound, "an approval has a number"));
    };
    let approved = match word {
        Ok(Json(word)) => word.approve,
        Err(wrong) => {
            return reply::problem(&Failure::with(Code::InvalidParams, wrong.body_text()));
        }
    };
    let by = operator.to_string();
    let Some(question) = bridge.dispatcher.approve(id, approved, &by) else {
        let why =
            format_args!("no call waits for approval {id}; it was answered, or its time is over");
        return reply::problem(&Failure::with(Code::NotFound, why));
    };
    tracing::info!(
        id,
        client = &*question.client,
        tool = question.tool,
        approved,
        by,
        "approval"
    );
    Json(Said { id, approved }).into_response()
}
