//! From the head of an HTTP answer to the one response in it, and what the server says meanwhile.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::json;
use tokio::time::sleep;

use super::downstream::Downstream;
use super::http_client::Answer;
use super::streamable_http::{Session, StreamableHttp, beginning};
use super::trouble::Trouble;
use crate::protocol::code;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Message, Payload, Request, Response};
use crate::protocol::sse::Decoder;
use crate::protocol::subscription;

/// How often a stream that broke off is asked to go on, without a new event in between.
const RESUMPTIONS: usize = 5;
/// When to ask, if the server does not say.
const RESUME_AFTER: Duration = Duration::from_secs(1);
/// The longest that a server may want to be left alone.
const MAX_RETRY: Duration = Duration::from_secs(30);

/// The answer to one request, while it is read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// Where it comes from.
    pub server: &'a StreamableHttp,
    /// The session in which it was asked; nothing in the modern era.
    pub session: Option<&'a Session>,
    /// The id under which it was asked.
    pub id: &'a Id,
    /// Who asked, if the server can be heard by it.
    pub downstream: Option<&'a dyn Downstream>,
}

/// What an event of the stream means.
enum Heard {
    Answer(Response),
    Question(Request),
    Nothing,
}

impl Reading<'_> {
    /// Reads to the response.
    pub(super) async fn response(self, answer: Answer) -> Result<Response, Trouble> {
        let kind = answer
            .header("content-type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        if kind.starts_with("text/event-stream") {
            return self.events(answer).await;
        }
        let status = answer.status();
        let body = answer.body(self.server.max_answer).await?;
        self.message(status, &body)
    }

    /// The response that a body is.
    pub(super) fn message(self, status: u16, body: &Bytes) -> Result<Response, Trouble> {
        if body.is_empty() {
            return Err(Trouble::NotAnAnswer(format!(
                "HTTP {status} without a body"
            )));
        }
        match Message::parse(body) {
            Ok(Message::Response(response)) if response.id.as_ref() == Some(self.id) => {
                Ok(response)
            }
            Ok(Message::Response(_)) => {
                Err(Trouble::NotAnAnswer("it answers another request".into()))
            }
            Ok(_) => Err(Trouble::NotAnAnswer(
                "it is a message, but no answer".into(),
            )),
            Err(why) => Err(Trouble::NotAnAnswer(format!(
                "{why}; it begins {:?}",
                beginning(body)
            ))),
        }
    }

    /// Waits for the response among the events; what else they bring goes to the client, and its
    /// answers go back. A stream that breaks off is asked to go on where it did.
    async fn events(self, mut answer: Answer) -> Result<Response, Trouble> {
        let mut decoder = Decoder::default();
        let mut questions = FuturesUnordered::new();
        let mut attempts = RESUMPTIONS;
        loop {
            let broken = loop {
                let piece = tokio::select! {
                    piece = answer.piece() => piece,
                    Some(()) = questions.next() => continue,
                };
                let piece = match piece {
                    Ok(Some(piece)) => piece,
                    Ok(None) => {
                        break Trouble::Truncated("the stream ended without the answer".into());
                    }
                    Err(trouble) => break trouble,
                };
                for event in decoder.push(&piece) {
                    attempts = RESUMPTIONS;
                    match self.hear(event.data) {
                        Heard::Answer(response) => return Ok(response),
                        Heard::Question(request) => questions.push(self.put(request)),
                        Heard::Nothing => {}
                    }
                }
                if decoder.buffered() > self.server.max_answer {
                    return Err(Trouble::TooLarge {
                        limit: self.server.max_answer,
                    });
                }
            };
            answer = self.resume(&decoder, broken, &mut attempts).await?;
            decoder.reconnect();
        }
    }

    fn hear(self, data: String) -> Heard {
        match Message::parse(&Bytes::from(data)) {
            Ok(Message::Response(response)) if response.id.as_ref() == Some(self.id) => {
                Heard::Answer(response)
            }
            Ok(Message::Notification(notification)) => {
                if subscription::belongs_to_no_call(&notification) {
                    self.server.announcements.announce(notification);
                } else if let Some(downstream) = self.downstream {
                    downstream.notify(notification);
                }
                Heard::Nothing
            }
            Ok(Message::Request(request)) => Heard::Question(request),
            // The event that primes a stream has no data.
            Ok(Message::Response(_)) | Err(_) => Heard::Nothing,
        }
    }

    /// Puts a question of the server to the client, and brings the answer back.
    async fn put(self, question: Request) {
        let asked = self.downstream.filter(|it| it.capabilities().is_some());
        let response = match asked {
            _ if question.method == "ping" => Some(Payload::Result(RawJson::of(&json!({})))),
            Some(downstream) => downstream.ask(question.clone()).await.map(|r| r.payload),
            None => None,
        };
        let payload = response.unwrap_or_else(|| {
            let why = "the client of this call cannot be asked";
            let error = json!({"code": code::METHOD_NOT_FOUND, "message": why});
            Payload::Error(RawJson::of(&error))
        });
        let response = Response::new(Some(question.id), payload);
        if let Err(trouble) = self.server.tell(response.to_bytes(), self.session).await {
            tracing::debug!(%trouble, "an answer did not reach the server");
        }
    }

    /// The rest of a stream that broke off, if the server can go on with it (2025-11-25,
    /// basic/transports, resumability). To ask for it repeats nothing.
    async fn resume(
        self,
        decoder: &Decoder,
        broken: Trouble,
        attempts: &mut usize,
    ) -> Result<Answer, Trouble> {
        let (Some(last), Some(session)) = (decoder.last_id(), self.session) else {
            return Err(broken);
        };
        let pause = decoder.retry().unwrap_or(RESUME_AFTER).min(MAX_RETRY);
        while *attempts > 0 {
            *attempts -= 1;
            sleep(pause).await;
            match self.server.listen(session, Some(last)).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Connect(_) | Trouble::Lost(_) | Trouble::Timeout) => {}
                Err(_) => break,
            }
        }
        Err(broken)
    }
}
