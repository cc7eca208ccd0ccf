//! Streamable HTTP towards an MCP server at one address: one POST a message, and the sessions of the
//! legacy revisions.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::announcements::Announcements;
use super::exchange::Context;
use super::http_client::{Answer, HttpClient};
use super::reading::Reading;
use super::shown;
use super::trouble::Trouble;
use crate::protocol::capabilities::Introduction;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Payload, Request, Response};
use crate::protocol::revision::Revision;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// Bytes of an error page; only its beginning is told.
const MAX_REFUSAL: usize = 64 << 10;
/// For the DELETE of a session, which nobody waits for but a bridge that stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the server and the bridge agreed on.
#[derive(Debug)]
pub(super) struct Session {
    /// The session id that the server gave, if it has sessions. Home Assistant has none.
    id: Option<HeaderValue>,
    revision: Revision,
    /// The id of the next request in this session; 0 was the greeting.
    next: AtomicU64,
}

impl Session {
    const fn new(id: Option<HeaderValue>, revision: Revision) -> Self {
        Self {
            id,
            revision,
            next: AtomicU64::new(1),
        }
    }

    /// Whether the server remembers it.
    pub(super) const fn is_stateful(&self) -> bool {
        self.id.is_some()
    }

    /// The id under which a request is sent, if it cannot be its own. Clients that share a session
    /// may use the same ids, and a server finds an answer's way by its id. Without a session there
    /// is only one thing to mind: some servers, Home Assistant among them, answer nothing to an id
    /// beyond 64 bits.
    fn other_id(&self, own: &Id) -> Option<Id> {
        if self.is_stateful() {
            return Some(Id::number(self.next.fetch_add(1, Ordering::Relaxed)));
        }
        (!own.is_portable()).then(|| Id::number(0))
    }
}

/// One MCP server behind one address.
#[derive(Debug, Clone)]
pub(super) struct StreamableHttp {
    /// Connections.
    pub client: HttpClient,
    /// The address.
    pub url: Url,
    /// The bearer token to show, if it wants one.
    pub token: Option<SecretString>,
    /// Bytes of an answer; larger ones are refused.
    pub max_answer: usize,
    /// Where it is told what the server says that belongs to no call.
    pub announcements: Announcements,
}

impl StreamableHttp {
    /// Greets the server: the handshake of the legacy revisions, on behalf of clients that declared
    /// these `capabilities`.
    pub(super) async fn greet(
        &self,
        capabilities: &RawJson,
    ) -> Result<(Session, Introduction), Trouble> {
        let params = serde_json::json!({
            "protocolVersion": Revision::NEWEST_LEGACY.as_str(),
            "capabilities": capabilities,
            "clientInfo": {"name": "mcp-bridge", "version": env!("CARGO_PKG_VERSION")},
        });
        let request = Request::new(Id::number(0), "initialize", Some(RawJson::of(&params)));
        let answer = self
            .accepted(self.post(request.to_bytes(), None).await?)
            .await?;
        let id = answer
            .header(SESSION.as_str())
            .and_then(|id| HeaderValue::from_str(id).ok());
        let reading = Reading {
            server: self,
            session: None,
            id: &request.id,
            downstream: None,
        };
        let greeted = match reading.response(answer).await {
            Ok(response) => agreement(response),
            Err(trouble) => Err(trouble),
        };
        let (revision, introduction) = match greeted {
            Ok(agreed) => agreed,
            Err(trouble) => {
                // There is a session already, although it is of no use.
                if id.is_some() {
                    self.close(&Session::new(id, Revision::NEWEST_LEGACY)).await;
                }
                return Err(trouble);
            }
        };
        let session = Session::new(id, revision);
        if session.is_stateful() {
            let ready = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
            let told = self.tell(Bytes::from_static(ready), Some(&session)).await;
            if let Err(trouble) = told {
                self.close(&session).await;
                return Err(trouble);
            }
        }
        Ok((session, introduction))
    }

    /// Sends one request and gives its answer, under the request's own id.
    pub(super) async fn call(
        &self,
        request: &Request,
        session: &Session,
        context: &Context,
    ) -> Result<Response, Trouble> {
        let other = session.other_id(&request.id);
        let other = other.map(|id| request.with_id(id));
        let sent = other.as_ref().unwrap_or(request);
        let mut headers = self.headers(Some(session))?;
        context.tell_trace(&mut headers);
        let answer = self
            .accepted(self.post_with(headers, sent.to_bytes()).await?)
            .await?;
        let reading = Reading {
            server: self,
            session: Some(session),
            id: &sent.id,
            downstream: context.downstream(),
        };
        Ok(reading.response(answer).await?.with_id(&request.id))
    }

    /// Sends a message that gets no answer.
    pub(super) async fn tell(&self, body: Bytes, session: Option<&Session>) -> Result<(), Trouble> {
        self.accepted(self.post(body, session).await?)
            .await
            .map(drop)
    }

    /// Opens the stream of what the server says by itself; with `after`, the rest of one that broke
    /// off.
    pub(super) async fn listen(
        &self,
        session: &Session,
        after: Option<&str>,
    ) -> Result<Answer, Trouble> {
        let mut headers = self.headers(Some(session))?;
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("text/event-stream"),
        );
        if let Some(last) = after.and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(LAST_EVENT, last);
        }
        self.accepted(self.client.get(&self.url, headers).await?)
            .await
    }

    /// Tells the server that the session is not needed any more. A server that does not hear it
    /// forgets the session in its own time.
    pub(super) async fn close(&self, session: &Session) {
        let closing = async {
            let headers = self.headers(Some(session))?;
            self.client.delete(&self.url, headers).await
        };
        match tokio::time::timeout(CLOSE_TIMEOUT, closing).await {
            Ok(Ok(_)) => {}
            Ok(Err(trouble)) => tracing::debug!(%trouble, "a session could not be closed"),
            Err(_) => tracing::debug!("a session could not be closed in time"),
        }
    }

    async fn post(&self, body: Bytes, session: Option<&Session>) -> Result<Answer, Trouble> {
        self.post_with(self.headers(session)?, body).await
    }

    /// Sends a message with these headers, and those that every POST has.
    pub(super) async fn post_with(
        &self,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Trouble> {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        self.client.post(&self.url, headers, body).await
    }

    /// The answer of a server that took the message.
    pub(super) async fn accepted(&self, answer: Answer) -> Result<Answer, Trouble> {
        match answer.status() {
            200..=299 => Ok(answer),
            300..=399 => {
                let location = answer
                    .header("location")
                    .and_then(|location| self.url.join(location).ok());
                let location = location.as_ref().map_or_else(|| "nowhere".into(), shown);
                Err(Trouble::Redirect(location))
            }
            status => {
                let body = answer.body(MAX_REFUSAL).await.unwrap_or_default();
                Err(refusal(status, &body))
            }
        }
    }

    /// Who the bridge is, and in which session it speaks.
    pub(super) fn headers(&self, session: Option<&Session>) -> Result<HeaderMap, Trouble> {
        let mut headers = HeaderMap::with_capacity(5);
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                .map_err(|_| {
                    Trouble::Connect("the token holds characters that no header can".into())
                })?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        if let Some(session) = session {
            headers.insert(VERSION, HeaderValue::from_static(session.revision.as_str()));
            if let Some(id) = &session.id {
                headers.insert(SESSION, id.clone());
            }
        }
        Ok(headers)
    }
}

/// What a status other than success means.
pub(super) fn refusal(status: u16, body: &[u8]) -> Trouble {
    Trouble::Status {
        status,
        text: beginning(body),
    }
}

/// What an answer to the greeting says.
fn agreement(response: Response) -> Result<(Revision, Introduction), Trouble> {
    let result = match response.payload {
        Payload::Result(result) => result,
        Payload::Error(error) => {
            let why = format!("it refused the handshake: {error:?}");
            return Err(Trouble::NotAnAnswer(why));
        }
    };
    let version = result
        .members()
        .and_then(|m| m.get_str("protocolVersion").map(Cow::into_owned));
    let revision = version
        .as_deref()
        .and_then(Revision::parse)
        .ok_or_else(|| {
            Trouble::NotAnAnswer(format!("it speaks the unknown version {version:?}"))
        })?;
    let introduction = Introduction::of_result(&result)
        .ok_or_else(|| Trouble::NotAnAnswer("its introduction is incomplete".into()))?;
    Ok((revision, introduction))
}

/// The first line's worth of a body, fit for a log line.
pub(super) fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}
