//! An answer that takes its time, told while it waits: progress as events, then the answer.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::reply::{self, Form};
use crate::protocol::json::{Members, RawJson};
use crate::protocol::message::Request;
use crate::protocol::sse;

/// A comment this often keeps proxies from closing a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type Answer = Pin<Box<dyn Future<Output = (StatusCode, Bytes)> + Send>>;

/// The token under which a request wants to hear of its progress, as it was written.
pub(super) fn token(request: &Request) -> Option<RawJson> {
    let params = request.param_members();
    let meta = Members::parse(params.get("_meta")?.as_bytes()).ok()?;
    RawJson::parse(Bytes::from(meta.get("progressToken")?.to_owned())).ok()
}

/// The answer as JSON if it comes before there is progress to tell, otherwise as a stream.
pub(super) async fn answer(
    token: RawJson,
    mut progress: watch::Receiver<Option<usize>>,
    mut answer: Answer,
) -> HttpResponse {
    tokio::select! {
        (status, body) = &mut answer => return reply::message(status, body, Form::Json),
        Ok(()) = progress.changed() => {}
    }
    progress.mark_changed();
    let telling = Telling {
        token,
        progress,
        answer,
        told: 0,
    };
    let events = stream::unfold(Some(telling), |telling| async {
        let mut telling = telling?;
        let (event, is_last) = telling.next().await;
        Some((
            Ok::<_, std::convert::Infallible>(event),
            (!is_last).then_some(telling),
        ))
    });
    reply::events(Body::from_stream(events))
}

struct Telling {
    token: RawJson,
    progress: watch::Receiver<Option<usize>>,
    answer: Answer,
    told: u64,
}

impl Telling {
    /// The next event, and whether it is the last one.
    async fn next(&mut self) -> (Bytes, bool) {
        tokio::select! {
            biased;
            (_, body) = &mut self.answer => (sse::encode_message(&body), true),
            Ok(()) = self.progress.changed() => {
                let position = *self.progress.borrow_and_update();
                (self.tell(position.unwrap_or_default()), false)
            }
            () = sleep_until(Instant::now() + KEEP_ALIVE) => (Bytes::from_static(b":\n\n"), false),
        }
    }

    /// `progress` has to rise with every notification (MCP, basic/utilities/progress), which a
    /// place in a queue does not; so it counts them, and the place stands in the text.
    fn tell(&mut self, position: usize) -> Bytes {
        self.told += 1;
        let message = match position {
            0 => "This call is the next one".to_owned(),
            1 => "One call goes before this one".to_owned(),
            n => format!("{n} calls go before this one"),
        };
        let notification = json!({
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": {"progressToken": self.token, "progress": self.told, "message": message},
        });
        sse::encode_message(notification.to_string().as_bytes())
    }
}
