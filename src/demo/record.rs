//! What the house remembers of its visitors: counters, the newest request, and every tool call that
//! ran. Bounded.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::Value;
use tokio::time::Instant;

/// Older executions are forgotten beyond this number ...
const MOST_EXECUTIONS: usize = 10_000;
/// ... and beyond this many bytes of requests.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A `tools/call` that really ran. Unknown tools do not run; known ones with wrong arguments do,
/// and fail.
#[derive(Debug, Clone)]
pub struct Execution {
    /// The tool's name.
    pub tool: String,
    /// Its arguments, always an object.
    pub arguments: Value,
    /// Whether the result was a failure.
    pub is_error: bool,
    /// When the work began: after a fault's pause, before the service time.
    pub started: Instant,
    /// When the house had changed.
    pub finished: Instant,
}

/// A POST as it arrived.
#[derive(Debug, Clone)]
pub struct SeenRequest {
    /// Its headers; the token is marked sensitive, so that no debug output shows it.
    pub headers: HeaderMap,
    /// Its body, byte for byte.
    pub body: Bytes,
}

impl SeenRequest {
    /// A header's text, if there is one.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON, `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The memory itself.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) requests: u64,
    pub(super) in_flight: usize,
    pub(super) peak_in_flight: usize,
    pub(super) last_request: Option<SeenRequest>,
    executions: VecDeque<(Execution, usize)>,
    bytes: usize,
}

impl Record {
    pub(super) fn arrived(&mut self, headers: &HeaderMap, body: &Bytes) {
        let mut headers = headers.clone();
        if let Some(token) = headers.get_mut(AUTHORIZATION) {
            token.set_sensitive(true);
        }
        self.last_request = Some(SeenRequest {
            headers,
            body: body.clone(),
        });
        self.requests += 1;
        self.in_flight += 1;
        self.peak_in_flight = self.peak_in_flight.max(self.in_flight);
    }

    pub(super) fn left(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// `size` is that of the request, which stands for the memory that its arguments take.
    pub(super) fn executed(&mut self, execution: Execution, size: usize) {
        self.executions.push_back((execution, size));
        self.bytes += size;
        while self.executions.len() > MOST_EXECUTIONS || self.bytes > MOST_BYTES {
            let Some((_, size)) = self.executions.pop_front() else {
                break;
            };
            self.bytes -= size;
        }
    }

    pub(super) fn executions(&self) -> Vec<Execution> {
        self.executions
            .iter()
            .map(|(execution, _)| execution.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn execution(tool: impl Into<String>) -> Execution {
        let now = Instant::now();
        let arguments = Value::default();
        Execution {
            tool: tool.into(),
            arguments,
            is_error: false,
            started: now,
            finished: now,
        }
    }

    #[test]
    fn the_peak_stays_when_requests_leave() {
        let mut record = Record::default();
        for _ in 0..3 {
            record.arrived(&HeaderMap::new(), &Bytes::new());
        }
        record.left();
        record.left();
        assert_eq!(
            (record.requests, record.in_flight, record.peak_in_flight),
            (3, 1, 3)
        );
    }

    #[test]
    fn the_oldest_executions_are_forgotten_first() {
        let mut record = Record::default();
        for at in 0..=MOST_EXECUTIONS {
            record.executed(execution(at.to_string()), 1);
        }
        let kept = record.executions();
        assert_eq!(kept.len(), MOST_EXECUTIONS);
        assert_eq!(kept[0].tool, "1");
    }

    #[test]
    fn large_requests_push_others_out() {
        let mut record = Record::default();
        record.executed(execution("small"), 1);
        record.executed(execution("large"), MOST_BYTES);
        let kept: Vec<_> = record
            .executions()
            .into_iter()
            .map(|kept| kept.tool)
            .collect();
        assert_eq!(kept, ["large"]);
    }

    #[test]
    fn debug_output_shows_no_token() {
        let mut record = Record::default();
        let mut headers = HeaderMap::new();
        headers.insert(
            AUTHORIZATION,
            HeaderValue::from_static("Bearer very-secret"),
        );
        record.arrived(&headers, &Bytes::new());
        assert!(!format!("{record:?}").contains("very-secret"));
        let seen = record.last_request.unwrap();
        assert_eq!(seen.header("authorization"), Some("Bearer very-secret"));
        assert_eq!(seen.json(), Value::Null);
    }
}
