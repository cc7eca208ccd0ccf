//! The tools, as operators want to know them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::dispatch::Tool;
use crate::http::{Bridge, reply};

/// Bytes of a list of tools that are one token of a model, by experience.
const BYTES_PER_TOKEN: usize = 4;

/// All tools.
#[derive(Serialize, JsonSchema)]
pub(super) struct Tools {
    tools: Vec<ToolRow>,
}

#[derive(Serialize, JsonSchema)]
struct ToolRow {
    name: String,
    description: Option<String>,
    /// Whether it cannot change the house.
    looks_only: bool,
    /// About how many tokens a model reads for it in each conversation.
    tokens: usize,
}

impl From<Tool> for ToolRow {
    fn from(tool: Tool) -> Self {
        Self {
            name: tool.name,
            description: tool.description,
            looks_only: tool.looks_only,
            tokens: tool.bytes.div_ceil(BYTES_PER_TOKEN),
        }
    }
}

/// `GET /api/tools`.
pub(super) async fn list(State(bridge): State<Arc<Bridge>>) -> Response {
    match bridge.dispatcher.tools().await {
        Ok(tools) => {
            let tools = tools.into_iter().map(ToolRow::from).collect();
            Json(Tools { tools }).into_response()
        }
        Err(failure) => reply::problem(&failure),
    }
}
