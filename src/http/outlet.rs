//! What a client hears of its call before the answer: a stream of messages, whatever carries it.

use std::sync::Arc;
use std::time::Duration;

use super::asked::{Asked, Waiting};
use super::outbox::Outbox;
use crate::protocol::json::RawJson;
use crate::protocol::log_level::LogFilter;
use crate::protocol::message::{Notification, Request};
use crate::upstream::{Downstream, Reply};

/// A comment this often keeps proxies from closing a silent stream.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The way to one client, for one call.
#[derive(Debug)]
pub(super) struct Outlet {
    /// Where the answers of clients come back.
    pub asked: Arc<Asked>,
    /// Who hears.
    pub client: Arc<str>,
    /// What the client can be asked for, if it can be asked.
    pub capabilities: Option<RawJson>,
    /// Its session with the bridge, if it has one.
    pub session: Option<Arc<str>>,
    /// Which log messages it wants.
    pub level: LogFilter,
    /// Where the transport takes the messages from.
    pub outbox: Outbox,
}

impl Downstream for Outlet {
    fn capabilities(&self) -> Option<&RawJson> {
        self.capabilities.as_ref()
    }

    fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    fn notify(&self, notification: Notification) {
        if !self.level.admits(&notification) {
            return;
        }
        if !self.outbox.push(notification.to_bytes()) {
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
            let answer = if self.outbox.push(request.to_bytes()) {
                // A client that has left answers nothing any more.
                tokio::select! {
                    answer = question.waiting.answer() => answer,
                    () = self.outbox.abandoned() => None,
                }
            } else {
                None
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

#[cfg(test)]
mod tests {
    use super::super::outbox::{Outgoing, Room};
    use super::*;
    use crate::protocol::message::{Id, Message, Payload, Response};
    use futures_util::FutureExt as _;
    use serde_json::json;

    fn outlet() -> (Arc<Asked>, Outlet, Outgoing) {
        let (outbox, messages) = Outbox::new(Room::OF_A_CALL);
        let outlet = Outlet {
            asked: Arc::default(),
            client: "n8n".into(),
            capabilities: Some(RawJson::of(&json!({"sampling": {}}))),
            session: None,
            level: LogFilter::All,
            outbox,
        };
        (outlet.asked.clone(), outlet, messages)
    }

    fn note(method: &str) -> Notification {
        Notification::new(method, None)
    }

    fn question() -> Request {
        Request::new(Id::number(7), "sampling/createMessage", None)
    }

    #[tokio::test]
    async fn a_question_is_asked_under_an_id_of_its_own_and_its_answer_comes_back() {
        let (asked, outlet, mut messages) = outlet();
        let answering = async {
            let Ok(Message::Request(request)) = Message::parse(&messages.next().await.unwrap())
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
            messages.next().await.unwrap(),
            messages.next().await.unwrap(),
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
        for _ in 0..Room::OF_A_CALL.messages + 10 {
            outlet.notify(note("x"));
        }
        let mut arrived = 0;
        while messages.take().is_some() {
            arrived += 1;
        }
        assert_eq!(arrived, Room::OF_A_CALL.messages);
    }

    #[test]
    fn log_messages_that_the_client_does_not_want_stay_here() {
        let (_, mut outlet, mut messages) = outlet();
        outlet.level = LogFilter::None;
        outlet.notify(note("notifications/message"));
        outlet.notify(note("notifications/progress"));
        assert!(messages.take().is_some() && messages.take().is_none());
    }
}
