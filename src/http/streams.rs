//! Answers of calls as streams that a client can take up again when its connection breaks.
//!
//! The call goes on without a connection, but not for long without a reader: then it is given up as
//! if its client had left.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::conversation::{Conversation, Said};
use super::outlet::KEEP_ALIVE;
use super::reply;
use crate::protocol::replay::{self, EventId, Replay};
use crate::protocol::revision::Revision;
use crate::protocol::sse;

/// How long a call, or an answer that was not read, waits for its client to come back.
const GRACE: Duration = Duration::from_mins(1);
/// When a client should come back.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// How much of one stream is kept.
const KEPT: replay::Bounds = replay::Bounds {
    messages: 256,
    bytes: 1 << 20,
};
/// Bytes of all streams that nobody reads.
const UNREAD_BYTES: usize = 32 << 20;
/// Streams that nobody reads.
const UNREAD: usize = 1000;

/// All streams that can be taken up.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<HashMap<u64, Arc<Stream>>>);

#[derive(Debug)]
struct Stream {
    id: u64,
    owner: Arc<str>,
    state: watch::Sender<State>,
}

#[derive(Debug)]
struct State {
    replay: Replay,
    /// Whether the answer is the last message.
    is_over: bool,
    /// Who reads; a client that comes back may be faster than the end of its old connection.
    reader: u64,
    /// Since when nobody reads.
    unread: Option<Instant>,
    /// Given up, to make room.
    is_dropped: bool,
}

impl Streams {
    /// Tells the rest of a conversation as a stream of `owner`, which begins with `first`.
    pub(super) fn tell(
        self: &Arc<Self>,
        owner: &Arc<str>,
        revision: Revision,
        first: Option<Bytes>,
        conversation: Conversation,
    ) -> HttpResponse {
        let state = State {
            replay: Replay::new(KEPT),
            is_over: false,
            reader: 0,
            unread: None,
            is_dropped: false,
        };
        let stream = Arc::new(Stream {
            id: rand::random(),
            owner: owner.clone(),
            state: watch::Sender::new(state),
        });
        if let Some(first) = first {
            stream.push(first, false);
        }
        self.lock().insert(stream.id, stream.clone());
        let reply = stream.clone().read(self, 0, primes(revision));
        tokio::spawn(self.clone().follow(stream, conversation));
        reply
    }

    /// Takes a stream up behind an event; nothing if this client has no such stream (any more).
    pub(super) fn resume(self: &Arc<Self>, owner: &str, last: EventId) -> Option<HttpResponse> {
        let stream = self.lock().get(&last.stream).cloned();
        let stream = stream.filter(|stream| *stream.owner == *owner)?;
        Some(stream.read(self, last.place, false))
    }

    /// Brings a conversation to its end, and keeps the stream until it was read.
    async fn follow(self: Arc<Self>, stream: Arc<Stream>, mut conversation: Conversation) {
        loop {
            let said = tokio::select! {
                said = conversation.next() => said,
                () = stream.abandoned() => break,
            };
            let (message, is_last) = match said {
                Said::Message(message) => (message, false),
                Said::Answer(_, body) => (body, true),
            };
            stream.push(message, is_last);
            self.make_room();
            if is_last {
                stream.abandoned().await;
                break;
            }
        }
        self.lock().remove(&stream.id);
    }

    /// Gives up streams that nobody reads, the longest unread first, until the rest is not too much.
    fn make_room(&self) {
        let mut unread: Vec<(Instant, usize, Arc<Stream>)> = Vec::new();
        for stream in self.lock().values() {
            let state = stream.state.borrow();
            if let Some(since) = state.unread {
                unread.push((since, state.replay.bytes(), stream.clone()));
            }
        }
        unread.sort_by_key(|(since, ..)| *since);
        let mut bytes: usize = unread.iter().map(|(_, bytes, _)| bytes).sum();
        let mut left = unread.len();
        for (_, size, stream) in unread {
            if left <= UNREAD && bytes <= UNREAD_BYTES {
                break;
            }
            stream.state.send_modify(|state| state.is_dropped = true);
            (left, bytes) = (left - 1, bytes - size);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Stream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether clients of this revision understand an event without data, which tells them where the
/// stream begins.
fn primes(revision: Revision) -> bool {
    revision >= Revision::V2025_11_25
}

impl Stream {
    fn push(&self, message: Bytes, is_last: bool) {
        self.state.send_modify(|state| {
            state.replay.push(message);
            state.is_over = is_last;
        });
    }

    /// Waits until nobody has read for so long that nobody will, or all was read.
    async fn abandoned(&self) {
        let mut state = self.state.subscribe();
        loop {
            let unread = {
                let state = state.borrow_and_update();
                if state.is_dropped {
                    return;
                }
                state.unread
            };
            let over = async {
                match unread {
                    Some(since) => tokio::time::sleep_until(since + GRACE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                _ = state.changed() => {}
            }
        }
    }

    /// The events behind a place, for whoever reads them now; the reader before ends.
    fn read(self: Arc<Self>, streams: &Arc<Streams>, place: u64, primes: bool) -> HttpResponse {
        let mut number = 0;
        self.state.send_modify(|state| {
            state.reader += 1;
            state.unread = None;
            number = state.reader;
        });
        let reader = Reader {
            changes: self.state.subscribe(),
            stream: self,
            streams: streams.clone(),
            number,
            place,
            primes,
        };
        let events = stream::unfold(reader, |mut reader| async {
            let event = reader.next().await?;
            Some((Ok::<_, Infallible>(event), reader))
        });
        reply::events(Body::from_stream(events))
    }
}

/// One connection that reads a stream.
struct Reader {
    stream: Arc<Stream>,
    streams: Arc<Streams>,
    changes: watch::Receiver<State>,
    number: u64,
    /// Of the last message that was sent.
    place: u64,
    /// Whether the beginning of the stream is still to be told.
    primes: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        let id = |place| EventId {
            stream: self.stream.id,
            place,
        };
        if std::mem::take(&mut self.primes) {
            return Some(sse::encode_beginning(&id(self.place).to_string(), RETRY));
        }
        loop {
            {
                let state = self.changes.borrow_and_update();
                if state.reader != self.number || state.is_dropped {
                    return None;
                }
                if let Some((place, message)) = state.replay.after(self.place) {
                    self.place = place;
                    return Some(sse::encode_event(&id(place).to_string(), message));
                }
                if state.is_over {
                    drop(state);
                    // Read to its end, so nobody comes back for it.
                    self.stream
                        .state
                        .send_modify(|state| state.is_dropped = true);
                    return None;
                }
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = sleep(KEEP_ALIVE) => return Some(sse::COMMENT),
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stream.state.send_if_modified(|state| {
            let is_mine = state.reader == self.number;
            if is_mine {
                state.unread = Some(Instant::now());
            }
            is_mine
        });
        self.streams.make_room();
    }
}
