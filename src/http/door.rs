//! What every request passes before it comes to its route, and its answer on the way back: its name,
//! the figures, the rules for web pages, the network it comes from, and what becomes of a panic.
//!
//! One layer for all of them: each layer of a router costs every request several allocations.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;

use super::{Bridge, cors, metrics, network, reply, request_id};

/// The door of one listener.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub bridge: Arc<Bridge>,
    /// The listener's name in the figures.
    pub listener: &'static str,
    /// Whether web pages may use what is behind it.
    pub shares: bool,
    /// Whether it matters from which network a request comes.
    pub checks_network: bool,
}

impl Door {
    /// The same for what everybody may ask.
    pub(super) fn for_everybody(&self) -> Self {
        Self {
            checks_network: false,
            ..self.clone()
        }
    }

    async fn answer(&self, mut request: Request, next: Next) -> Response {
        if self.checks_network
            && let Err(failure) = network::check(&self.bridge, &mut request)
        {
            return reply::refuse(request.uri().path(), &failure);
        }
        let in_rpc = reply::speaks_rpc(request.uri().path());
        caught(in_rpc, next.run(request)).await
    }
}

/// Lets a request through.
pub(super) async fn pass(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let name = request_id::give(&mut request);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut reply = if door.shares {
        match cors::ask(&door.bridge, &request) {
            Ok(page) => page.sign(door.answer(request, next).await),
            Err(answer) => *answer,
        }
    } else {
        door.answer(request, next).await
    };
    metrics::count(&door.bridge, door.listener, route.as_ref(), &reply);
    request_id::tell(&mut reply, &name);
    reply
}

/// The answer; if there is none for a defect of ours, what is said then.
async fn caught(in_rpc: bool, answer: impl Future<Output = Response>) -> Response {
    // What a request leaves behind half done is nobody else's.
    let answer = AssertUnwindSafe(answer).catch_unwind();
    answer.await.unwrap_or_else(|_| reply::panicked(in_rpc))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use serde_json::Value;

    #[tokio::test]
    async fn a_panic_is_answered_in_the_language_of_the_address() {
        for (path, place) in [
            ("/mcp", "/error/data/code"),
            ("/mcp/", "/error/data/code"),
            ("/api/mcp", "/error/data/code"),
            ("/mcp/x", "/code"),
        ] {
            let broken = async { panic!("a defect") };
            let reply = caught(reply::speaks_rpc(path), broken).await;
            assert_eq!(reply.status(), 500, "{path}");
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let code = body.pointer(place).and_then(Value::as_str);
            assert_eq!(code, Some("internal"), "{path}: {body}");
        }
    }
}
