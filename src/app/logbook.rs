//! Shows in Home Assistant's logbook what clients have done, where that is wished.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Reached;
use crate::telemetry::audit::{Audit, Entry, plain};

/// Bytes of a message.
const MAX_MESSAGE: usize = 500;

/// Shows every call that the audit tells, until told to stop.
pub(super) async fn show(
    audit: Arc<Audit>,
    reached: watch::Receiver<Reached>,
    stop: CancellationToken,
) {
    let mut entries = audit.follow();
    loop {
        let entry = match stop.run_until_cancelled(entries.recv()).await {
            Some(Ok(entry)) => entry,
            // Nobody reads that much.
            Some(Err(RecvError::Lagged(_))) => continue,
            Some(Err(RecvError::Closed)) | None => return,
        };
        let home_assistant = reached.borrow().home_assistant.clone();
        if let Some(home_assistant) = home_assistant {
            let message = message(&entry);
            let told = home_assistant.write_in_logbook(&entry.client, &message);
            stop.run_until_cancelled(told).await;
        }
    }
}

fn message(entry: &Entry) -> String {
    let arguments = entry.arguments.as_ref().map(plain).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments);
    let by = entry.by.as_deref().map(|person| format!(" by {person}"));
    let by = by.unwrap_or_default();
    let (decision, outcome) = (entry.decision.name(), &entry.outcome);
    let mut message = format!(
        "called {} {arguments}: {decision}{by}, {outcome}",
        entry.tool
    );
    message.truncate(message.floor_char_boundary(MAX_MESSAGE));
    message
}
