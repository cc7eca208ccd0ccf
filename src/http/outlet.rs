//! What a client hears of its call before the answer: a stream of messages, whatever carries it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::asked::{Asked, Waiting};
use super::reply::{self, Form};
use crate::protocol::json::RawJson;
use crate::protocol::message::{Notification, Request};
use crate::protocol::sse;
use crate::upstream::{Downstream, Reply};

/// A comment this often keeps proxies from closing a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Messages that wait for a slow reader. More notifications than that are dropped.
const BACKLOG: usize = 256;

/// The way to one client, for one call or for one connection.
#[derive(Debug)]
pub(super) struct Outlet {
    asked: Arc<Asked>,
    client: Arc<str>,
    capabilities: Option<RawJson>,
    session: Option<Arc<str>>,
    messages: mpsc::Sender<Bytes>,
}

impl Outlet {
    /// An outlet towards a client, and where its messages come out. `capabilities` are those of a
    /// client that can be asked.
    pub(super) fn new(
        asked: &Arc<Asked>,
        client: &str,
        capabilities: Option<RawJson>,
        session: Option<Arc<str>>,
    ) -> (Self, mpsc::Receiver<Bytes>) {
        let (messages, receiver) = mpsc::channel(BACKLOG);
        let outlet = Self {
            asked: asked.clone(),
            client: client.into(),
            capabilities,
            session,
            messages,
        };
        (outlet, receiver)
    }
}

impl Downstream for Outlet {
    fn capabilities(&self) -> Option<&RawJson> {
        self.capabilities.as_ref()
    }

    fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    fn notify(&self, notification: Notification) {
        if self.messages.try_send(notification.to_bytes()).is_err() {
            tracing::debug!(
                client = &*self.client,
                method = notification.method,
                "a notification was dropped: its reader is gone or too slow"
            );
        }
    }

    fn ask(&self, request: Request) -> Reply<'_> {
        Box::pin(async move {
            let mut question = Question {
                outlet: self,
                waiting: self.asked.ask(&self.client),
                is_open: true,
            };
            let request = request.with_id(question.waiting.id().clone());
            let sent = self.messages.send(request.to_bytes()).await;
            let answer = match sent {
                // A client that has left answers nothing any more.
                Ok(()) => tokio::select! {
                    answer = question.waiting.answer() => answer,
                    () = self.messages.closed() => None,
                },
                Err(_) => None,
            };
            question.is_open = false;
            answer
        })
    }
}

/// A question under way. Whoever asked may lose interest; the client is told then.
struct Question<'a> {
    outlet: &'a Outlet,
    waiting: Waiting,
    is_open: bool,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if self.is_open {
            let params = self.waiting.withdrawal();
            let taken_back = Notification::new("notifications/cancelled", Some(params));
            self.outlet.notify(taken_back);
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = (StatusCode, Bytes)> + Send>>;

/// The answer in the form that the client reads if it comes before any other message, otherwise as
/// a stream.
pub(super) async fn answer(
    messages: mpsc::Receiver<Bytes>,
    answer: Answer,
    form: Form,
) -> HttpResponse {
    let mut conversation = Conversation {
        messages,
        answer,
        answered: None,
    };
    let first = match conversation.next().await {
        Said::Answer(status, body) => return reply::message(status, body, form),
        Said::Message(message) => sse::encode_message(&message),
    };
    let first = stream::once(std::future::ready(Ok::<_, Infallible>(first)));
    let rest = stream::unfold(Some(conversation), |conversation| async {
        let mut conversation = conversation?;
        let (event, is_last) = conversation.next_event().await;
        Some((Ok(event), (!is_last).then_some(conversation)))
    });
    reply::events(Body::from_stream(first.chain(rest)))
}

/// What the bridge says to one request, in its order.
struct Conversation {
    messages: mpsc::Receiver<Bytes>,
    answer: Answer,
    answered: Option<(StatusCode, Bytes)>,
}

enum Said {
    Message(Bytes),
    Answer(StatusCode, Bytes),
}

impl Conversation {
    /// What is said next; all that was said before the answer comes before it.
    async fn next(&mut self) -> Said {
        let (status, body) = if let Some(answered) = self.answered.take() {
            answered
        } else {
            tokio::select! {
                biased;
                Some(message) = self.messages.recv() => return Said::Message(message),
                answered = &mut self.answer => answered,
            }
        };
        match self.messages.try_recv() {
            Ok(message) => {
                self.answered = Some((status, body));
                Said::Message(message)
            }
            Err(_) => Said::Answer(status, body),
        }
    }

    /// The next event, and whether it is the last one.
    async fn next_event(&mut self) -> (Bytes, bool) {
        tokio::select! {
            said = self.next() => match said {
                Said::Message(message) => (sse::encode_message(&message), false),
                Said::Answer(_, body) => (sse::encode_message(&body), true),
            },
            () = sleep(KEEP_ALIVE) => (Bytes::from_static(b":\n\n"), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::{Id, Message, Payload, Response};
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    fn outlet() -> (Arc<Asked>, Outlet, mpsc::Receiver<Bytes>) {
        let asked = Arc::default();
        let capabilities = RawJson::of(&serde_json::json!({"sampling": {}}));
        let (outlet, messages) = Outlet::new(&asked, "n8n", Some(capabilities), None);
        (asked, outlet, messages)
    }

    fn note(method: &str) -> Notification {
        Notification::new(method, None)
    }

    fn question() -> Request {
        Request::new(Id::number(7), "sampling/createMessage", None)
    }

    async fn text(reply: HttpResponse) -> String {
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_that_comes_alone_is_plain_json() {
        let (_, _outlet, messages) = outlet();
        let said = std::future::ready((StatusCode::OK, Bytes::from_static(b"{}")));
        let reply = answer(messages, Box::pin(said), Form::Either).await;
        assert_eq!(reply.headers()["content-type"], "application/json");
        assert_eq!(text(reply).await, "{}");
    }

    #[tokio::test]
    async fn what_was_said_before_the_answer_comes_before_it() {
        let (_, outlet, messages) = outlet();
        let said = async move {
            outlet.notify(note("first"));
            outlet.notify(note("second"));
            (StatusCode::OK, Bytes::from_static(b"{\"last\":1}"))
        };
        let reply = answer(messages, Box::pin(said), Form::Either).await;
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        let text = text(reply).await;
        let place = |word| text.find(word).unwrap();
        assert!(place("first") < place("second") && place("second") < place("last"));
    }

    #[tokio::test]
    async fn a_question_is_asked_under_an_id_of_its_own_and_its_answer_comes_back() {
        let (asked, outlet, mut messages) = outlet();
        let answering = async {
            let Ok(Message::Request(request)) = Message::parse(&messages.recv().await.unwrap())
            else {
                panic!()
            };
            assert_ne!(request.id, Id::number(7));
            let result = Payload::Result(RawJson::of(&5));
            assert!(asked.answer("n8n", Response::new(Some(request.id), result)));
        };
        let (reply, ()) = tokio::join!(outlet.ask(question()), answering);
        assert!(matches!(reply.unwrap().payload, Payload::Result(_)));
    }

    #[tokio::test]
    async fn a_question_that_nobody_waits_for_any_more_is_taken_back() {
        let (_, outlet, mut messages) = outlet();
        assert!(outlet.ask(question()).now_or_never().is_none());
        let (asked, taken_back) = (
            messages.recv().await.unwrap(),
            messages.recv().await.unwrap(),
        );
        let (Ok(Message::Request(asked)), Ok(Message::Notification(taken_back))) =
            (Message::parse(&asked), Message::parse(&taken_back))
        else {
            panic!()
        };
        assert_eq!(taken_back.method, "notifications/cancelled");
        let params = taken_back.param_members();
        assert_eq!(
            params.get("requestId").unwrap().as_bytes(),
            asked.id.json().as_bytes()
        );
    }

    #[tokio::test]
    async fn a_client_that_leaves_answers_nothing() {
        let (_, outlet, messages) = outlet();
        drop(messages);
        assert!(outlet.ask(question()).await.is_none());
    }

    #[test]
    fn a_reader_that_is_too_slow_misses_notifications_and_holds_nothing_up() {
        let (_, outlet, mut messages) = outlet();
        for _ in 0..BACKLOG + 10 {
            outlet.notify(note("x"));
        }
        let mut arrived = 0;
        while messages.try_recv().is_ok() {
            arrived += 1;
        }
        assert_eq!(arrived, BACKLOG);
    }
}
