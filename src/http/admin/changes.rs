//! What operators change, for the audit.

use axum::extract::Request;
use axum::response::Response;
use http::header::LOCATION;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Operator;
use super::gate::changes;
use crate::http::{reply, request_id::RequestId};
use crate::telemetry::audit::{Audit, Decision, Entry, OPERATOR};

/// A change that an operator asks for.
pub(super) struct Change {
    operator: String,
    what: String,
    came: Timestamp,
    since: Instant,
    request_id: String,
}

impl Change {
    /// Nothing for a request that only looks.
    pub(super) fn of(request: &Request, operator: &Operator) -> Option<Self> {
        let id = request.extensions().get::<RequestId>();
        changes(request.method()).then(|| Self {
            operator: operator.to_string(),
            what: format!("{} {}", request.method(), request.uri().path()),
            came: Timestamp::now(),
            since: Instant::now(),
            request_id: id.map_or_else(String::new, |RequestId(id)| id.to_string()),
        })
    }

    /// It is over.
    pub(super) fn write_down(self, audit: &Audit, reply: &Response) {
        if !audit.wants(false) {
            return;
        }
        // What was made has a name only now.
        let made = reply.headers().get(LOCATION);
        let made = made.and_then(|place| place.to_str().ok());
        let refused = reply.extensions().get::<reply::Refused>();
        let entry = Entry {
            time: self.came,
            client: self.operator,
            tool: made.map_or(self.what.clone(), |made| format!("{} ({made})", self.what)),
            decision: Decision::Allowed,
            outcome: match refused {
                Some(reply::Refused(code)) => code.entry().name.to_owned(),
                None => "answered".to_owned(),
            },
            source: OPERATOR.to_owned(),
            total_ms: (self.since.elapsed().as_secs_f64() * 10_000.0).round() / 10.0,
            request_id: self.request_id,
            ..Entry::default()
        };
        audit.record(entry, None);
    }
}
