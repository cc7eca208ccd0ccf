//! What the bridge says to one request, in its order: messages that belong to it, then the answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use axum::body::Body;
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use tokio::time::sleep;

use super::outbox::Outgoing;
use super::outlet::KEEP_ALIVE;
use super::reply::{self, Form};
use crate::protocol::sse;

type Answer = Pin<Box<dyn Future<Output = (StatusCode, Bytes)> + Send>>;

/// What the bridge says to one request.
pub(super) struct Conversation {
    messages: Outgoing,
    answer: Answer,
    answered: Option<(StatusCode, Bytes)>,
}

/// What is said next.
pub(super) enum Said {
    /// A message that belongs to the request.
    Message(Bytes),
    /// The answer, after which nothing is said.
    Answer(StatusCode, Bytes),
}

/// How a conversation begins, which decides on the form of the answer.
pub(super) enum Beginning {
    /// The answer came before anything else.
    Answered(HttpResponse),
    /// There is more to say; nothing yet if it only takes its time.
    Told(Option<Bytes>),
}

impl Conversation {
    /// About a request whose messages come out there.
    pub(super) fn new(
        messages: Outgoing,
        answer: impl Future<Output = (StatusCode, Bytes)> + Send + 'static,
    ) -> Self {
        Self {
            messages,
            answer: Box::pin(answer),
            answered: None,
        }
    }

    /// What is said next; all that was said before the answer comes before it.
    pub(super) async fn next(&mut self) -> Said {
        let (status, body) = if let Some(answered) = self.answered.take() {
            answered
        } else {
            tokio::select! {
                biased;
                Some(message) = self.messages.next() => return Said::Message(message),
                answered = &mut self.answer => answered,
            }
        };
        match self.messages.take() {
            Some(message) => {
                self.answered = Some((status, body));
                Said::Message(message)
            }
            None => Said::Answer(status, body),
        }
    }

    /// Waits until it is known whether the answer is all there is. An answer that takes its time is
    /// told as a stream, too, so that nothing on the way takes the silence for an end.
    pub(super) async fn begin(&mut self, form: Form) -> Beginning {
        tokio::select! {
            said = self.next() => match said {
                Said::Answer(status, body) => Beginning::Answered(reply::message(status, body, form)),
                Said::Message(message) => Beginning::Told(Some(message)),
            },
            () = sleep(KEEP_ALIVE) => Beginning::Told(None),
        }
    }

    /// The rest as a stream that ends with its connection.
    pub(super) fn tell(self, first: Option<Bytes>) -> HttpResponse {
        let first = first.map_or(sse::COMMENT, |message| sse::encode_message(&message));
        let first = stream::once(std::future::ready(Ok::<_, Infallible>(first)));
        let rest = stream::unfold(Some(self), |conversation| async {
            let mut conversation = conversation?;
            let (event, is_last) = conversation.next_event().await;
            Some((Ok(event), (!is_last).then_some(conversation)))
        });
        reply::events(Body::from_stream(first.chain(rest)))
    }

    /// The next event, and whether it is the last one.
    async fn next_event(&mut self) -> (Bytes, bool) {
        tokio::select! {
            said = self.next() => match said {
                Said::Message(message) => (sse::encode_message(&message), false),
                Said::Answer(_, body) => (sse::encode_message(&body), true),
            },
            () = sleep(KEEP_ALIVE) => (sse::COMMENT, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::outbox::{Outbox, Room};
    use super::*;
    use http_body_util::BodyExt as _;

    async fn text(reply: HttpResponse) -> String {
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    async fn tell(mut conversation: Conversation) -> HttpResponse {
        match conversation.begin(Form::Either).await {
            Beginning::Answered(reply) => reply,
            Beginning::Told(first) => conversation.tell(first),
        }
    }

    #[tokio::test]
    async fn an_answer_that_comes_alone_is_plain_json() {
        let (_outbox, messages) = Outbox::new(Room::OF_A_CALL);
        let said = std::future::ready((StatusCode::OK, Bytes::from_static(b"{}")));
        let reply = tell(Conversation::new(messages, said)).await;
        assert_eq!(reply.headers()["content-type"], "application/json");
        assert_eq!(text(reply).await, "{}");
    }

    #[tokio::test]
    async fn what_was_said_before_the_answer_comes_before_it() {
        let (outbox, messages) = Outbox::new(Room::OF_A_CALL);
        let said = async move {
            assert!(outbox.push(Bytes::from_static(b"{\"first\":1}")));
            assert!(outbox.push(Bytes::from_static(b"{\"second\":1}")));
            (StatusCode::OK, Bytes::from_static(b"{\"last\":1}"))
        };
        let reply = tell(Conversation::new(messages, said)).await;
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        let text = text(reply).await;
        let place = |word| text.find(word).unwrap();
        assert!(place("first") < place("second") && place("second") < place("last"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_takes_its_time_becomes_a_stream() {
        let (_outbox, messages) = Outbox::new(Room::OF_A_CALL);
        let said = async {
            sleep(KEEP_ALIVE * 5 / 2).await;
            (StatusCode::OK, Bytes::from_static(b"{\"last\":1}"))
        };
        let reply = tell(Conversation::new(messages, said)).await;
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        let text = text(reply).await;
        assert!(
            text.starts_with(":\n\n:\n\n") && text.ends_with("data: {\"last\":1}\n\n"),
            "{text}"
        );
    }
}
