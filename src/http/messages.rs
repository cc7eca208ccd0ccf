//! The messages of one HTTP request, brought to their answers.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use axum::body::Body as HttpBody;
use axum::extract::Request as HttpRequest;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use super::outbox::Outbox;
use super::outlet::Outlet;
use super::request_id::RequestId;
use super::session::Session;
use super::{Bridge, LegacySessions, admission, reply};
use crate::access::Client;
use crate::dispatch::{Call, Caller, Origin, WishHeaders, Wishes};
use crate::error::{Code, Failure};
use crate::protocol::era::{self, EraFault, RoutingHeaders};
use crate::protocol::json::RawJson;
use crate::protocol::log_level::{LogFilter, LogLevel};
use crate::protocol::message::{Id, Malformed, Message, Notification, Request, Response};
use crate::protocol::mirrored;
use crate::protocol::revision::Revision;
use crate::protocol::trace_context::TraceContext;
use crate::resilience::rate::Standing;
use crate::upstream::Downstream;

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        let code = match malformed {
            Malformed::Invalid(_) | Malformed::TooMany(_) => Code::InvalidMessage,
            Malformed::Empty
            | Malformed::NotUtf8(_)
            | Malformed::TooDeep { .. }
            | Malformed::Syntax(_) => Code::MalformedJson,
        };
        Self::with(code, malformed)
    }
}

impl From<EraFault> for Failure {
    fn from(fault: EraFault) -> Self {
        match &fault {
            EraFault::HeaderMismatch(_) => Self::with(Code::HeaderMismatch, fault),
            EraFault::MissingMeta(_) => Self::with(Code::InvalidParams, fault),
            EraFault::UnsupportedVersion { asked, supported } => {
                let supported: Vec<_> = supported.iter().map(|r| r.as_str()).collect();
                Self {
                    data: Some(json!({"supported": supported, "requested": asked})),
                    ..Self::with(Code::UnsupportedVersion, &fault)
                }
            }
        }
    }
}

/// A message that is refused before it is a call.
pub(super) fn refused(bridge: &Bridge, failure: &Failure, id: Option<Id>) -> (StatusCode, Bytes) {
    bridge.count(None, failure);
    (StatusCode::BAD_REQUEST, reply::error_message(failure, id))
}

/// The header that names a session, in requests and in the answer to `initialize`.
pub(super) const SESSION: &str = "mcp-session-id";

/// Bytes that the answers of one batch may have together.
const BATCH_ANSWERS: usize = 64 << 20;

/// The room that is left for the answers of a batch.
struct Room(AtomicUsize);

impl Room {
    const fn of(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// Takes this much of it, if there is so much left.
    fn take(&self, bytes: usize) -> bool {
        let rest = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Relaxed, Relaxed, rest).is_ok()
    }
}

/// Who sent the messages, when, and with which headers.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    bridge: Arc<Bridge>,
    client: Arc<Client>,
    headers: Arc<HeaderMap>,
    request_id: Arc<str>,
    received: Instant,
    /// The session in which the message was sent, if its client has one.
    session: Option<Arc<Session>>,
    /// Whether it came over a connection that carries messages and no headers of theirs.
    is_bare: bool,
}

impl Sender {
    /// Lets the sender of a request in; gives the body that is still to be read.
    ///
    /// # Errors
    /// The codes of [`admission::admit`].
    pub(super) fn admit(
        bridge: &Arc<Bridge>,
        request: HttpRequest,
    ) -> Result<(Self, HttpBody), Failure> {
        let received = Instant::now();
        let client = admission::admit(bridge, &request)?;
        let (head, body) = request.into_parts();
        let request_id = head.extensions.get::<RequestId>();
        let request_id = request_id.map(|id| id.0.clone()).unwrap_or_default();
        let headers = Arc::new(head.headers);
        Ok((
            Self {
                bridge: bridge.clone(),
                client,
                headers,
                request_id,
                received,
                session: None,
                is_bare: false,
            },
            body,
        ))
    }

    /// The same sender within the session that the headers name.
    ///
    /// # Errors
    /// [`Code::SessionUnknown`], where clients have sessions at all. Where they have none, any id is
    /// as good as no id: clients are known not to recover from its refusal.
    pub(super) fn in_session(mut self) -> Result<Self, Failure> {
        if let Some(id) = admission::text(&self.headers, SESSION)
            && self.bridge.has_sessions()
        {
            let session = self.bridge.sessions.find(&self.client.name, id);
            self.session = Some(session.ok_or_else(|| Failure::new(Code::SessionUnknown))?);
        }
        Ok(self)
    }

    /// The same sender on a connection in which this session was opened, now.
    ///
    /// # Errors
    /// [`Code::TokenRevoked`], if the client would not come in any more.
    pub(super) fn on_connection(self, session: Option<Arc<Session>>) -> Result<Self, Failure> {
        let client = self.bridge.access.renewed(&self.client);
        Ok(Self {
            client: client.ok_or_else(|| Failure::new(Code::TokenRevoked))?,
            received: Instant::now(),
            session,
            is_bare: true,
            ..self
        })
    }

    /// Waits until the client would not come in any more.
    pub(super) async fn dismissed(&self) {
        self.bridge.access.dismissed(&self.client).await;
    }

    /// The client.
    pub(super) const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The session.
    pub(super) const fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// The headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What the headers say about the message.
    pub(super) fn routing(&self) -> RoutingHeaders<'_> {
        RoutingHeaders {
            version: admission::text(&self.headers, "mcp-protocol-version"),
            method: admission::text(&self.headers, "mcp-method"),
            name: admission::text(&self.headers, "mcp-name"),
        }
    }

    /// The revision that the headers name.
    ///
    /// # Errors
    /// [`Code::UnsupportedVersion`].
    pub(super) fn revision(&self) -> Result<Revision, Failure> {
        let headers = self.routing();
        match &self.session {
            Some(session) if self.is_bare || headers.version.is_none() => Ok(session.revision),
            _ if self.is_bare => Ok(Revision::ASSUMED),
            _ => Ok(era::revision_of_headers(headers)?),
        }
    }

    /// The revision that a request speaks, held against the headers that repeat it.
    ///
    /// # Errors
    /// [`Code::UnsupportedVersion`], [`Code::HeaderMismatch`] and [`Code::InvalidParams`].
    pub(super) fn revision_of(&self, request: &Request) -> Result<Revision, Failure> {
        let revision = if self.is_bare {
            era::revision_without_headers(request)?
        } else {
            Some(era::revision_of(request, self.routing())?)
        };
        let revision = match revision {
            Some(revision) if revision.is_modern() => revision,
            _ => self.revision()?,
        };
        if self.is_bare {
            return Ok(revision);
        }
        if revision.is_modern() && request.method == "tools/call" {
            self.check_mirrored(request)?;
        }
        Ok(revision)
    }

    /// Holds the arguments of a tool against the headers that repeat them.
    fn check_mirrored(&self, request: &Request) -> Result<(), EraFault> {
        let params = request.param_members();
        let tool = params.get_str("name").unwrap_or_default();
        let Some(mirrored) = self.bridge.dispatcher.mirrored(&tool) else {
            return Ok(());
        };
        let arguments = params.get("arguments").unwrap_or("{}");
        let arguments = serde_json::from_str(arguments).unwrap_or_default();
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().ok()));
        let headers: Vec<_> = headers
            .filter(|(name, _)| name.starts_with(mirrored::PREFIX))
            .collect();
        mirrored.check(&arguments, &headers)
    }

    /// A way to the sender of a request for this one call.
    pub(super) fn outlet(&self, request: &Request, revision: Revision, outbox: Outbox) -> Outlet {
        let session = self.session.as_ref().filter(|_| !revision.is_modern());
        let level = if revision.is_modern() {
            LogLevel::of_metadata(request).map_or(LogFilter::None, LogFilter::From)
        } else {
            session.map_or(LogFilter::All, |session| session.level())
        };
        Outlet {
            asked: self.bridge.asked.clone(),
            client: self.client.name.as_str().into(),
            capabilities: session.map(|session| session.profile.capabilities.clone()),
            session: session.map(|session| session.key.clone()),
            level,
            outbox,
        }
    }

    /// The answer to one message, with its HTTP status; nothing for those that get none.
    pub(super) async fn answer(
        &self,
        message: Result<Message, Malformed>,
    ) -> Option<(StatusCode, Bytes)> {
        let refused = match message {
            Ok(Message::Request(request)) => {
                return Some(match self.revision_of(&request) {
                    Ok(revision) => self.answer_request(request, revision, None).await,
                    Err(failure) => refused(&self.bridge, &failure, Some(request.id)),
                });
            }
            Ok(Message::Notification(notification)) => {
                self.revision().map(|_| self.notice(&notification))
            }
            Ok(Message::Response(response)) => self.revision().map(|_| self.hear(response)),
            Err(malformed) => Err(malformed.into()),
        };
        let failure = refused.err()?;
        Some(self::refused(&self.bridge, &failure, None))
    }

    /// The answer to one request, with its HTTP status.
    pub(super) async fn answer_request(
        &self,
        request: Request,
        revision: Revision,
        outlet: Option<Outlet>,
    ) -> (StatusCode, Bytes) {
        let outcome = self.converse(request.clone(), revision, outlet, None).await;
        reply::to_request(&request, revision, outcome)
    }

    /// Brings one request, or a member of a batch, to its answer, and remembers what was granted for
    /// later.
    ///
    /// # Errors
    /// As [`Sender::dispatch`].
    pub(super) async fn converse(
        &self,
        request: Request,
        revision: Revision,
        outlet: Option<Outlet>,
        member: Option<usize>,
    ) -> Result<Response, Failure> {
        let outcome = self
            .dispatch(request.clone(), revision, outlet, member)
            .await;
        if let (Some(session), Ok(response)) = (&self.session, &outcome) {
            let dispatcher = &self.bridge.dispatcher;
            let watch = |watching: &_, uri: &_| dispatcher.watch(watching, uri);
            let listen = || dispatcher.upstream().hearing();
            session.granted(&request, response, watch, listen).await;
        }
        outcome
    }

    /// Brings one request to its answer.
    ///
    /// # Errors
    /// Why there is none; see the catalogue.
    pub(super) async fn dispatch(
        &self,
        request: Request,
        revision: Revision,
        outlet: Option<Outlet>,
        member: Option<usize>,
    ) -> Result<Response, Failure> {
        let call = self.call(request, revision, outlet, member);
        let call =
            call.inspect_err(|failure| self.bridge.count(Some(&self.client.name), failure))?;
        self.bridge.dispatcher.handle(call).await
    }

    /// What has to be done for a request, and for whom.
    fn call(
        &self,
        request: Request,
        revision: Revision,
        outlet: Option<Outlet>,
        member: Option<usize>,
    ) -> Result<Call, Failure> {
        let tool = self.limited_tool(&request);
        let access = &self.bridge.access;
        access.count(&self.client, &request.method, tool.as_deref())?;
        let header = |name| admission::text(&self.headers, name);
        let wishes = WishHeaders {
            priority: header("priority"),
            timeout: header("x-request-timeout"),
            idempotency_key: header("idempotency-key"),
        };
        let mut wishes = Wishes::of(&request, wishes)?;
        if let (Some(key), Some(member)) = (&mut wishes.idempotency_key, member) {
            // One header for a whole batch makes each of its members a call of its own.
            *key = format!("{key}#{member}");
        }
        let client = Caller {
            name: self.client.name.as_str().into(),
            priority: self.client.terms.priority,
            timeout: self.client.terms.timeout(),
            guard: self.bridge.access.guard(&self.client),
        };
        let received = self.received;
        let begins_session = request.method == "initialize"
            && (self.is_bare || self.bridge.settings().legacy_sessions == LegacySessions::Always);
        let downstream = outlet.map(|outlet| Arc::new(outlet) as Arc<dyn Downstream>);
        let origin = self.origin(&request);
        Ok(Call {
            client,
            request,
            revision,
            received,
            wishes,
            in_session: self.session.is_some() || begins_session,
            downstream,
            mirrored: self.mirrored(),
            origin,
        })
    }

    /// What the request is known by elsewhere.
    fn origin(&self, request: &Request) -> Origin {
        let header = |name| admission::text(&self.headers, name);
        let of_headers = || TraceContext::parse(header("traceparent")?, header("tracestate"));
        Origin {
            request_id: self.request_id.clone(),
            trace: TraceContext::of_metadata(request).or_else(of_headers),
        }
    }

    /// The headers that a modern client makes of arguments, for a server that asked for them.
    fn mirrored(&self) -> HeaderMap {
        let headers = self.headers.iter();
        headers
            .filter(|(name, _)| name.as_str().starts_with(mirrored::PREFIX))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The tool that a request calls, if that makes a difference.
    fn limited_tool(&self, request: &Request) -> Option<String> {
        let matters = self.bridge.access.limits_tools() && request.method == "tools/call";
        let params = matters.then(|| request.param_members())?;
        params.get_str("name").map(Cow::into_owned)
    }

    /// What is left to the sender for such a request, if it is counted.
    pub(super) fn standing(&self, request: &Request) -> Option<Standing> {
        let access = &self.bridge.access;
        let tool = self.limited_tool(request);
        access.standing(&self.client, &request.method, tool.as_deref())
    }

    /// The answers to a batch, in the order of its requests; nothing if it had none.
    ///
    /// Each member is a call of its own; all of them enter the queue at once and in their order,
    /// and the queue sees to it that no two writes overlap. An answer that finds no room beside
    /// those that came before it is not kept; its member fails.
    pub(super) async fn answer_all(
        &self,
        messages: Vec<Result<Message, Malformed>>,
    ) -> Option<Bytes> {
        let room = &Room::of(BATCH_ANSWERS);
        let answers = messages
            .into_iter()
            .enumerate()
            .map(|(member, message)| async move {
                match message {
                    Ok(Message::Request(request)) => {
                        Some(self.answer_member(request, member, room).await)
                    }
                    other => self.answer(other).await.map(|(_, body)| body),
                }
            });
        let mut all = BytesMut::new();
        for answer in join_all(answers).await.into_iter().flatten() {
            all.put_u8(if all.is_empty() { b'[' } else { b',' });
            all.put_slice(&answer);
        }
        if all.is_empty() {
            return None;
        }
        all.put_u8(b']');
        Some(all.freeze())
    }

    async fn answer_member(&self, request: Request, member: usize, room: &Room) -> Bytes {
        let refused = if request.method == "initialize" {
            let why = "initialize cannot be part of a batch";
            Err(Failure::with(Code::InvalidMessage, why))
        } else {
            self.revision_of(&request)
        };
        match refused {
            Ok(revision) => {
                let outcome = self
                    .converse(request.clone(), revision, None, Some(member))
                    .await;
                let (_, answer) = reply::to_request(&request, revision, outcome);
                if room.take(answer.len()) {
                    return answer;
                }
                let failure = Failure {
                    outcome_unknown: request.method == "tools/call",
                    ..Failure::with(Code::AnswerTooLarge, "there is no room for it in the batch")
                };
                reply::to_request(&request, revision, Err(failure)).1
            }
            Err(failure) => self::refused(&self.bridge, &failure, Some(request.id)).1,
        }
    }

    /// An answer of the client to what it was asked.
    pub(super) fn hear(&self, response: Response) {
        if !self.bridge.asked.answer(&self.client.name, response) {
            tracing::debug!(client = %self.client.name, "an answer that nobody waits for");
        }
    }

    /// Notifications stay in the bridge; one of them means something to it.
    pub(super) fn notice(&self, notification: &Notification) {
        if notification.method != "notifications/cancelled" {
            return;
        }
        let params = notification.params.as_ref().and_then(RawJson::members);
        let id = params.as_ref().and_then(|members| members.get("requestId"));
        let id = id.and_then(|text| RawJson::parse(Bytes::from(text.to_owned())).ok());
        if let Some(id) = id.and_then(Id::of_json) {
            self.bridge.dispatcher.cancel(&self.client.name, &id);
        }
    }
}
