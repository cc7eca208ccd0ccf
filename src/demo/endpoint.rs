//! `POST /api/mcp`: from an HTTP request to its answer, with the statuses and texts of Home
//! Assistant.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::Incoming;
use jiff::Zoned;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::fault::{Abort, Faults};
use super::house::House;
use super::mcp::{self, Environment, Message};
use super::record::{Execution, Record};
use super::reply::Reply;
use super::server::Settings;
use super::session::Sessions;

pub(super) const PATH: &str = "/api/mcp";
const MOST_BYTES: usize = 16 * 1024 * 1024;
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// What all connections share.
pub(super) struct Endpoint {
    settings: Settings,
    house: Mutex<House>,
    pub(super) record: Mutex<Record>,
    pub(super) faults: Mutex<Faults>,
    pub(super) sessions: Mutex<Sessions>,
    workers: Semaphore,
    /// Told whenever the record changes.
    pub(super) changed: watch::Sender<()>,
}

impl Endpoint {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            workers: Semaphore::new(settings.workers),
            settings,
            house: Mutex::new(House::furnished()),
            record: Mutex::default(),
            faults: Mutex::default(),
            sessions: Mutex::default(),
            changed: watch::Sender::default(),
        }
    }

    /// Answers a request, or asks for its connection to be reset.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Reply, Abort> {
        if request.uri().path() != PATH {
            return Ok(Reply::status(StatusCode::NOT_FOUND));
        }
        let (head, body) = request.into_parts();
        match head.method {
            Method::POST => {}
            Method::OPTIONS => return Ok(preflight(&head.headers)),
            Method::DELETE if self.settings.sessions => return Ok(self.close_session(&head)),
            _ => return Ok(Reply::status(StatusCode::METHOD_NOT_ALLOWED)),
        }
        let body = match Limited::new(body, MOST_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let text = format!("Maximum request body size {MOST_BYTES} exceeded.");
                return Ok(Reply::text(StatusCode::PAYLOAD_TOO_LARGE, text));
            }
            Err(_) => return Err(Abort),
        };
        let message = mcp::parse(&body);
        let _in_flight = InFlight::new(&self, &head.headers, &body);
        let is_call =
            matches!(&message, Some(Message::Request(request)) if request.method == "tools/call");
        let Some(fault) = lock(&self.faults).take(is_call) else {
            return Ok(self.serve(&head, message, body.len()).await);
        };
        if let Some(instead) = fault.before().await? {
            return Ok(instead);
        }
        fault
            .after(self.serve(&head, message, body.len()).await)
            .await
    }

    /// The real answer, whatever a fault makes of it afterwards.
    async fn serve(&self, head: &Parts, message: Option<Message>, size: usize) -> Reply {
        if let Some(refusal) = self.refuse(&head.headers) {
            return refusal;
        }
        let Some(message) = message else {
            return Reply::text(
                StatusCode::BAD_REQUEST,
                "Request must be a JSON-RPC message",
            );
        };
        let opens = matches!(&message, Message::Request(request) if request.method == "initialize");
        if self.settings.sessions
            && !opens
            && let Some(refusal) = self.refuse_session(&head.headers)
        {
            return refusal;
        }
        let Message::Request(request) = message else {
            return Reply::empty(StatusCode::ACCEPTED);
        };
        let started = Instant::now();
        let latency = match request.method.as_str() {
            "initialize" | "ping" => Duration::ZERO,
            _ => self.latency(),
        };
        // Even a sleep of no length lasts until the timer's next tick, a millisecond later.
        if !latency.is_zero() {
            let _worker = self.workers.acquire().await;
            tokio::time::sleep(latency).await;
        }
        let now = Zoned::now();
        let environment = Environment {
            now: &now,
            host: text(&head.headers, &HOST),
            version: text(&head.headers, &PROTOCOL_VERSION),
        };
        let answer = {
            // Recorded under the same lock, so that the record has the order in which the house
            // changed.
            let mut house = lock(&self.house);
            let answer = mcp::answer(&request, &mut house, &environment);
            if let Some(ran) = answer.ran {
                let execution = Execution {
                    tool: ran.tool.to_owned(),
                    arguments: Value::Object(ran.arguments),
                    is_error: ran.is_error,
                    started,
                    finished: Instant::now(),
                };
                lock(&self.record).executed(execution, size);
                self.changed.send_replace(());
            }
            answer.message
        };
        let reply = Reply::message(answer);
        if self.settings.sessions && opens {
            let id = lock(&self.sessions).open();
            if let Ok(id) = HeaderValue::try_from(id) {
                return reply.with(SESSION_ID, id);
            }
        }
        reply
    }

    fn refuse(&self, headers: &HeaderMap) -> Option<Reply> {
        if !self.is_authorized(headers) {
            let metadata = format!(
                "Bearer resource_metadata=\"http://{}/.well-known/oauth-protected-resource\"",
                text(headers, &HOST)
            );
            let reply = Reply::status(StatusCode::UNAUTHORIZED);
            return Some(match HeaderValue::try_from(metadata) {
                Ok(metadata) => reply.with(WWW_AUTHENTICATE, metadata),
                Err(_) => reply,
            });
        }
        if !text(headers, &ACCEPT).contains("application/json") {
            let complaint = "Client must accept application/json";
            return Some(Reply::text(StatusCode::BAD_REQUEST, complaint));
        }
        let media_type = text(headers, &CONTENT_TYPE)
            .split(';')
            .next()
            .unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case("application/json") {
            let complaint = "Content-Type must be application/json";
            return Some(Reply::text(StatusCode::BAD_REQUEST, complaint));
        }
        None
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let given = text(headers, &AUTHORIZATION).strip_prefix("Bearer ");
        self.settings
            .token
            .as_deref()
            .is_none_or(|token| given == Some(token))
    }

    fn refuse_session(&self, headers: &HeaderMap) -> Option<Reply> {
        match text(headers, &SESSION_ID) {
            "" => {
                let complaint = "Bad Request: Missing session ID";
                Some(Reply::text(StatusCode::BAD_REQUEST, complaint))
            }
            id if lock(&self.sessions).knows(id) => None,
            _ => Some(Reply::text(StatusCode::NOT_FOUND, "Session not found")),
        }
    }

    fn close_session(&self, head: &Parts) -> Reply {
        if !self.is_authorized(&head.headers) {
            return Reply::status(StatusCode::UNAUTHORIZED);
        }
        let closed = lock(&self.sessions).close(text(&head.headers, &SESSION_ID));
        self.changed.send_replace(());
        if closed {
            Reply::empty(StatusCode::OK)
        } else {
            Reply::text(StatusCode::NOT_FOUND, "Session not found")
        }
    }

    fn latency(&self) -> Duration {
        let others = lock(&self.record).in_flight.saturating_sub(1);
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        let Settings {
            service_time,
            latency_per_concurrent,
            ..
        } = &self.settings;
        service_time.saturating_add(latency_per_concurrent.saturating_mul(others))
    }
}

/// Counts a POST as long as it is being answered, also when its client leaves.
struct InFlight {
    endpoint: Arc<Endpoint>,
}

impl InFlight {
    fn new(endpoint: &Arc<Endpoint>, headers: &HeaderMap, body: &Bytes) -> Self {
        lock(&endpoint.record).arrived(headers, body);
        endpoint.changed.send_replace(());
        Self {
            endpoint: Arc::clone(endpoint),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        lock(&self.endpoint.record).left();
        self.endpoint.changed.send_replace(());
    }
}

/// Nothing that holds one of these locks can leave its data half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn preflight(headers: &HeaderMap) -> Reply {
    let reason = match text(headers, &ORIGIN) {
        "" => "origin header is not specified in the request".to_owned(),
        origin => format!("origin '{origin}' is not allowed"),
    };
    Reply::text(
        StatusCode::FORBIDDEN,
        format!("CORS preflight request failed: {reason}"),
    )
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
