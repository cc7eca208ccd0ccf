//! The calls that wait for a person's word, as the status page shows them.

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use super::since_1970;
use crate::dispatch::Approval;
use crate::http::Bridge;
use crate::protocol::json::RawJson;

/// A call to which a person has to agree.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ApprovalState {
    /// What to answer under.
    id: u64,
    /// Who wants to make it.
    client: String,
    tool: String,
    #[schemars(with = "Option<serde_json::Value>")]
    arguments: Option<RawJson>,
    /// Why a person is asked, in English.
    reason: String,
    /// Since when it waits, in milliseconds since 1970.
    since: u64,
    /// Until when it can be answered, unless it is asked again.
    until: u64,
}

impl ApprovalState {
    /// All of them, the longest waiting first.
    pub(super) fn all(bridge: &Bridge) -> Vec<Self> {
        let approvals = bridge.dispatcher.approvals().into_iter();
        approvals.map(Self::of).collect()
    }

    fn of(approval: Approval) -> Self {
        let question = approval.question;
        Self {
            id: approval.id,
            client: question.client.to_string(),
            tool: question.tool,
            arguments: question.arguments,
            reason: question.reason,
            since: since_1970(Instant::from_std(approval.since)),
            until: since_1970(Instant::from_std(approval.until)),
        }
    }
}
