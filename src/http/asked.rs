//! Questions of MCP servers to clients, from the moment they are asked until they are answered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Response};

/// The questions that wait for an answer, of all clients. An answer may come over another
/// connection than the one that the question left by.
#[derive(Debug, Default)]
pub(super) struct Asked {
    last: AtomicU64,
    waiting: Mutex<HashMap<Question, oneshot::Sender<Response>>>,
}

/// Whose question it is, and under which id it was asked.
type Question = (Arc<str>, Id);

impl Asked {
    /// A new question to a client; it waits until it is answered or dropped.
    pub(super) fn ask(self: &Arc<Self>, client: &Arc<str>) -> Waiting {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        // A text, which no id of an upstream is mistaken for.
        let id = Id::text(&format!("mcp-bridge-{number}"));
        let question = (client.clone(), id);
        let (sender, answer) = oneshot::channel();
        self.lock().insert(question.clone(), sender);
        Waiting {
            asked: self.clone(),
            question,
            answer,
        }
    }

    /// Brings a client's answer to where it is waited for. False if it is not, or no more.
    pub(super) fn answer(&self, client: &str, response: Response) -> bool {
        let Some(id) = response.id.clone() else {
            return false;
        };
        let waiting = self.lock().remove(&(client.into(), id));
        waiting.is_some_and(|waiting| waiting.send(response).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Question, oneshot::Sender<Response>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that was asked.
#[derive(Debug)]
pub(super) struct Waiting {
    asked: Arc<Asked>,
    question: Question,
    answer: oneshot::Receiver<Response>,
}

impl Waiting {
    /// The id under which it is asked.
    pub(super) const fn id(&self) -> &Id {
        &self.question.1
    }

    /// The id, as the params of a notification that takes the question back.
    pub(super) fn withdrawal(&self) -> RawJson {
        RawJson::of(&serde_json::json!({"requestId": self.id().json()}))
    }

    /// The answer.
    pub(super) async fn answer(&mut self) -> Option<Response> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.asked.lock().remove(&self.question);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Payload;

    fn response(id: &Id) -> Response {
        Response::new(Some(id.clone()), Payload::Result(RawJson::of(&1)))
    }

    #[tokio::test]
    async fn an_answer_finds_its_question_once() {
        let asked = Arc::new(Asked::default());
        let mut waiting = asked.ask(&"n8n".into());
        assert!(asked.answer("n8n", response(waiting.id())));
        assert!(!asked.answer("n8n", response(waiting.id())));
        assert!(waiting.answer().await.is_some());
    }

    #[test]
    fn nobody_answers_for_another_client() {
        let asked = Arc::new(Asked::default());
        let waiting = asked.ask(&"n8n".into());
        assert!(!asked.answer("LM Studio", response(waiting.id())));
        assert!(asked.answer("n8n", response(waiting.id())));
    }

    #[test]
    fn a_question_that_was_taken_back_is_forgotten() {
        let asked = Arc::new(Asked::default());
        let waiting = asked.ask(&"n8n".into());
        let late = response(waiting.id());
        drop(waiting);
        assert!(!asked.answer("n8n", late));
        assert!(asked.lock().is_empty());
    }
}
