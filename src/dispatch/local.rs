//! What the bridge answers by itself: the handshake of both eras, and `ping`. None of it queues,
//! and all of it works while the upstream is away.

use std::sync::Arc;
use std::time::Duration;

use super::Call;
use crate::error::{Code, Failure};
use crate::protocol::capabilities::{Introduction, Reach};
use crate::protocol::json::RawJson;
use crate::protocol::revision::Revision;
use crate::upstream::Upstream;

/// How long a handshake waits for an upstream that was never asked. Clients give up on a handshake
/// sooner than on a call.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The result of a request that needs no upstream; nothing if it needs one.
pub(super) async fn answer(
    call: &Call,
    upstream: &Upstream,
    reach: Reach,
) -> Option<Result<RawJson, Failure>> {
    let (request, revision) = (&call.request, call.revision);
    let gone = revision.is_modern() && legacy_only(&request.method);
    match request.method.as_str() {
        method if gone => {
            let why = format_args!("{method} does not exist in {revision}");
            Some(Err(Failure::with(Code::MethodNotFound, why)))
        }
        // It would hold the turn of an action for as long as somebody listens.
        "subscriptions/listen" => {
            let why = "it is answered as a stream, to clients of revision 2026-07-28, at /mcp or over a \
                       WebSocket";
            Some(Err(Failure::with(Code::MethodNotFound, why)))
        }
        "ping" => Some(Ok(RawJson::of(&serde_json::json!({})))),
        "initialize" => {
            let params = request.param_members();
            if params.get("protocolVersion").is_some()
                && params.get_str("protocolVersion").is_none()
            {
                let why = "protocolVersion must be a string";
                return Some(Err(Failure::with(Code::InvalidParams, why)));
            }
            let revision = Revision::negotiated(request);
            Some(Ok(introduction(upstream, revision, PATIENCE)
                .await
                .initialize_result(revision, reach)))
        }
        "server/discover" => Some(Ok(introduction(upstream, call.revision, PATIENCE)
            .await
            .discover_result(reach))),
        _ => None,
    }
}

/// What the upstream said about itself to clients of this revision, or what is assumed of one that
/// could not be asked yet.
pub(super) async fn introduction(
    upstream: &Upstream,
    revision: Revision,
    patience: Duration,
) -> Arc<Introduction> {
    let known = upstream.introduction_to(revision, patience).await;
    known.unwrap_or_else(|| Arc::new(Introduction::assumed()))
}

/// Methods that revision 2026-07-28 removed.
fn legacy_only(method: &str) -> bool {
    matches!(
        method,
        "initialize"
            | "ping"
            | "logging/setLevel"
            | "resources/subscribe"
            | "resources/unsubscribe"
    )
}
