//! Streamable HTTP towards a legacy MCP server: one POST a request, answered as JSON or as events.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::http_client::{Answer, HttpClient};
use super::trouble::Trouble;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Message, Payload, Request, Response};
use crate::protocol::revision::Revision;
use crate::protocol::sse::Decoder;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// What the server and the bridge agreed on.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// The session id that the server gave, if it has sessions. Home Assistant has none.
    pub id: Option<HeaderValue>,
    /// The revision.
    pub revision: Revision,
}

/// One MCP server behind one address.
#[derive(Debug)]
pub(super) struct StreamableHttp {
    client: HttpClient,
    url: Url,
    token: Option<SecretString>,
    max_answer: usize,
}

impl StreamableHttp {
    pub(super) const fn new(
        client: HttpClient,
        url: Url,
        token: Option<SecretString>,
        max_answer: usize,
    ) -> Self {
        Self {
            client,
            url,
            token,
            max_answer,
        }
    }

    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    /// Greets the server: the handshake of the legacy revisions, with nothing offered, since
    /// nothing that needs the server to call back can be carried.
    pub(super) async fn greet(&self) -> Result<(Session, RawJson), Trouble> {
        let params = serde_json::json!({
            "protocolVersion": Revision::NEWEST_LEGACY.as_str(),
            "capabilities": {},
            "clientInfo": {"name": "mcp-bridge", "version": env!("CARGO_PKG_VERSION")},
        });
        let request = Request::new(Id::number(0), "initialize", Some(RawJson::of(&params)));
        let answer = self.post(request.to_bytes(), None).await?;
        let id = answer
            .header(SESSION.as_str())
            .and_then(|id| HeaderValue::from_str(id).ok());
        let result = match self.read(answer, &request.id).await?.payload {
            Payload::Result(result) => result,
            Payload::Error(error) => {
                return Err(Trouble::NotAnAnswer(format!(
                    "it refused the handshake: {error:?}"
                )));
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
        let session = Session { id, revision };
        if session.id.is_some() {
            let ready = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
            self.post(Bytes::from_static(ready), Some(&session)).await?;
        }
        Ok((session, result))
    }

    /// Sends one request and gives its answer, under the request's own id.
    pub(super) async fn call(
        &self,
        request: &Request,
        session: &Session,
    ) -> Result<Response, Trouble> {
        // Some servers, Home Assistant among them, answer nothing to an id beyond 64 bits.
        let portable = (!request.id.is_portable()).then(|| request.with_id(Id::number(0)));
        let sent = portable.as_ref().unwrap_or(request);
        let answer = self.post(sent.to_bytes(), Some(session)).await?;
        Ok(self.read(answer, &sent.id).await?.with_id(&request.id))
    }

    async fn post(&self, body: Bytes, session: Option<&Session>) -> Result<Answer, Trouble> {
        let mut headers = HeaderMap::with_capacity(5);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
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
        let answer = self.client.post(&self.url, headers, body).await?;
        match answer.status() {
            200..=299 => Ok(answer),
            300..=399 => Err(Trouble::Redirect(
                answer.header("location").unwrap_or("nowhere").to_owned(),
            )),
            status => {
                let body = answer.body(self.max_answer).await.unwrap_or_default();
                Err(Trouble::Status {
                    status,
                    text: beginning(&body),
                })
            }
        }
    }

    async fn read(&self, answer: Answer, id: &Id) -> Result<Response, Trouble> {
        let kind = answer
            .header("content-type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        if kind.starts_with("text/event-stream") {
            return self.read_events(answer, id).await;
        }
        let status = answer.status();
        let body = answer.body(self.max_answer).await?;
        if body.is_empty() {
            return Err(Trouble::NotAnAnswer(format!(
                "HTTP {status} without a body"
            )));
        }
        match Message::parse(&body) {
            Ok(Message::Response(response)) if response.id.as_ref() == Some(id) => Ok(response),
            Ok(Message::Response(_)) => {
                Err(Trouble::NotAnAnswer("it answers another request".into()))
            }
            Ok(_) => Err(Trouble::NotAnAnswer(
                "it is a message, but no answer".into(),
            )),
            Err(why) => Err(Trouble::NotAnAnswer(format!(
                "{why}; it begins {:?}",
                beginning(&body)
            ))),
        }
    }

    /// Waits for the answer among the events of the stream. Nothing else on it concerns a client
    /// that offered nothing.
    async fn read_events(&self, mut answer: Answer, id: &Id) -> Result<Response, Trouble> {
        let mut decoder = Decoder::default();
        while let Some(piece) = answer.piece().await? {
            for event in decoder.push(&piece) {
                let message = Message::parse(&Bytes::from(event.data));
                if let Ok(Message::Response(response)) = message
                    && response.id.as_ref() == Some(id)
                {
                    return Ok(response);
                }
            }
            if decoder.buffered() > self.max_answer {
                return Err(Trouble::TooLarge {
                    limit: self.max_answer,
                });
            }
        }
        Err(Trouble::Truncated(
            "the stream ended without the answer".into(),
        ))
    }
}

/// The first line's worth of a body, fit for a log line.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}
