//! The modern wire: each request by itself, with headers that say what it is (2026-07-28).

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::exchange::Context;
use super::http_client::Answer;
use super::reading::Reading;
use super::stream::Stream;
use super::streamable_http::{StreamableHttp, refusal};
use super::trouble::Trouble;
use crate::protocol::capabilities::Introduction;
use crate::protocol::era::{self, meta};
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Payload, Request, Response};
use crate::protocol::revision::Revision;
use crate::protocol::{code, message::Message};

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// A version that no server speaks.
const NO_VERSION: &str = "1999-12-31";

impl StreamableHttp {
    /// Sends one modern request, with the headers that its client mirrored from its arguments, and
    /// gives the answer.
    pub(super) async fn call_modern(
        &self,
        request: &Request,
        context: &Context,
    ) -> Result<Response, Trouble> {
        self.exchange_modern(request, Revision::V2026_07_28.as_str(), context)
            .await
    }

    /// Asks the server what it is. Nothing if it does not speak the modern wire.
    ///
    /// A server that answers the question but does not mind a version that nobody knows has not
    /// understood either: Home Assistant serves half of this era by accident, and none of its rules.
    pub(super) async fn discover(&self) -> Result<Option<Introduction>, Trouble> {
        let version = Revision::V2026_07_28.as_str();
        let result = match self.ask_about(version).await {
            Ok(Response {
                payload: Payload::Result(result),
                ..
            }) => result,
            Ok(_) => return Ok(None),
            // Whatever it says over HTTP instead of an answer, it is no modern server.
            Err(
                Trouble::Status {
                    status: 400..=499, ..
                }
                | Trouble::NotAnAnswer(_),
            ) => {
                return Ok(None);
            }
            Err(trouble) => return Err(trouble),
        };
        let speaks = result.read::<Value>().is_ok_and(|result| {
            let versions = result["supportedVersions"].as_array();
            versions.is_some_and(|versions| versions.iter().any(|known| known == version))
        });
        if !speaks {
            return Ok(None);
        }
        let refused = self.ask_about(NO_VERSION).await?.error_code();
        if refused != Some(code::UNSUPPORTED_VERSION.into()) {
            return Ok(None);
        }
        Ok(Introduction::of_discovery(&result))
    }

    async fn ask_about(&self, version: &str) -> Result<Response, Trouble> {
        let params = json!({"_meta": {
            meta::PROTOCOL_VERSION: version,
            meta::CLIENT_CAPABILITIES: {},
            meta::CLIENT_INFO: {"name": "mcp-bridge", "version": env!("CARGO_PKG_VERSION")},
        }});
        let request = Request::new(Id::number(1), "server/discover", Some(RawJson::of(&params)));
        self.exchange_modern(&request, version, &Context::own())
            .await
    }

    /// Sends a request whose answer is a stream without an end of its own.
    pub(super) async fn listen_modern(&self, request: &Request) -> Result<Stream, Trouble> {
        let version = Revision::V2026_07_28.as_str();
        let answer = self.post_modern(request, version, &Context::own()).await?;
        Stream::of(self.accepted(answer).await?, self.max_answer)
    }

    async fn post_modern(
        &self,
        request: &Request,
        version: &str,
        context: &Context,
    ) -> Result<Answer, Trouble> {
        let mut headers = self.headers(None)?;
        headers.extend(context.mirrored.clone());
        context.tell_trace(&mut headers);
        let mut say = |name, text: &str| {
            if let Ok(value) = HeaderValue::from_str(&era::header_value(text)) {
                headers.insert(name, value);
            }
        };
        say(VERSION, version);
        say(METHOD, &request.method);
        if let Some(name) = era::routing_name(request) {
            say(NAME, &name);
        }
        self.post_with(headers, request.to_bytes()).await
    }

    async fn exchange_modern(
        &self,
        request: &Request,
        version: &str,
        context: &Context,
    ) -> Result<Response, Trouble> {
        let portable = (!request.id.is_portable()).then(|| request.with_id(Id::number(1)));
        let sent = portable.as_ref().unwrap_or(request);
        let answer = self.post_modern(sent, version, context).await?;
        let reading = Reading {
            server: self,
            session: None,
            id: &sent.id,
            downstream: context.downstream(),
        };
        let status = answer.status();
        if !(400..500).contains(&status) {
            let answer = self.accepted(answer).await?;
            return Ok(reading.response(answer).await?.with_id(&request.id));
        }
        // Errors of the protocol come with a status of their own.
        let body = answer.body(self.max_answer).await?;
        if !answers(&body) {
            return Err(refusal(status, &body));
        }
        Ok(reading.message(status, &body)?.with_id(&request.id))
    }
}

/// Whether a body is a JSON-RPC answer to something.
fn answers(body: &Bytes) -> bool {
    matches!(Message::parse(body), Ok(Message::Response(response)) if response.id.is_some())
}
