//! An event stream of a server without an end of its own, read message by message.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::http_client::Answer;
use super::trouble::Trouble;
use crate::protocol::message::Message;
use crate::protocol::sse::Decoder;

/// The stream while it is read.
#[derive(Debug)]
pub(super) struct Stream {
    answer: Answer,
    decoder: Decoder,
    waiting: VecDeque<Message>,
    max_message: usize,
}

impl Stream {
    /// The events of an answer, of which none may be larger than `max_message` bytes.
    pub(super) fn of(answer: Answer, max_message: usize) -> Result<Self, Trouble> {
        Ok(Self {
            answer: events(answer)?,
            decoder: Decoder::default(),
            waiting: VecDeque::new(),
            max_message,
        })
    }

    /// Goes on with another answer where this one broke off.
    pub(super) fn go_on(&mut self, answer: Answer) -> Result<(), Trouble> {
        self.answer = events(answer)?;
        self.decoder.reconnect();
        Ok(())
    }

    /// The next message; what is none is passed over. Nothing is lost when it is not waited for.
    ///
    /// # Errors
    /// The end of the stream.
    pub(super) async fn next(&mut self) -> Result<Message, Trouble> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Ok(message);
            }
            let Some(piece) = self.answer.piece().await? else {
                return Err(Trouble::Truncated("the stream ended".into()));
            };
            for event in self.decoder.push(&piece) {
                // The event that primes a stream has no data.
                self.waiting
                    .extend(Message::parse(&Bytes::from(event.data)));
            }
            if self.decoder.buffered() > self.max_message {
                return Err(Trouble::TooLarge {
                    limit: self.max_message,
                });
            }
        }
    }

    /// The id of the last event that had one.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.decoder.last_id()
    }

    /// When the server wants to be asked again.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.decoder.retry()
    }
}

/// The answer, if it is a stream.
fn events(answer: Answer) -> Result<Answer, Trouble> {
    let kind = answer.header("content-type").unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with("text/event-stream") {
        return Ok(answer);
    }
    let why = format!("it answers with {kind:?} where a stream is due");
    Err(Trouble::NotAnAnswer(why))
}
