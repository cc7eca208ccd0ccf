//! A client that listens to what belongs to no call: by `subscriptions/listen`, by GET, or over a
//! connection that carries everything.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures_util::stream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::messages::Sender;
use super::outlet::KEEP_ALIVE;
use super::session::Session;
use super::{Bridge, reply};
use crate::dispatch::{Updates, Watching};
use crate::error::{Code, Failure};
use crate::protocol::message::{Id, Notification, Request};
use crate::protocol::sse;
use crate::protocol::subscription::{self, Filter};
use crate::upstream::{Heard, News};

/// One who listens. It is over when it is dropped, or when the bridge stops.
pub(super) struct Listener {
    ear: Ear,
    news: News,
    updates: Updates,
    /// What was heard and not yet said.
    waiting: VecDeque<Bytes>,
    stop: CancellationToken,
    is_over: bool,
}

/// What is heard.
enum Ear {
    /// What a `subscriptions/listen` with this id asked for.
    Modern { id: Id, filter: Filter },
    /// What a session wants to hear.
    Session(Arc<Session>),
    /// Changed lists: all that a legacy client without a session can hear of.
    Lists(Filter),
}

impl Listener {
    /// Begins to listen to what a `subscriptions/listen` asks for, as far as it can be heard.
    ///
    /// # Errors
    /// [`Code::InvalidParams`].
    pub(super) async fn modern(
        bridge: &Bridge,
        sender: &Sender,
        request: &Request,
    ) -> Result<Self, Failure> {
        let filter = Filter::of_request(request);
        let filter = filter.map_err(|why| Failure::with(Code::InvalidParams, why))?;
        let guard = bridge.access.guard(sender.client());
        let (filter, news, watching) = bridge.dispatcher.hear(filter, &guard).await;
        let id = request.id.clone();
        let acknowledgement = filter.acknowledgement(&id).to_bytes();
        let ear = Ear::Modern { id, filter };
        let mut listener = Self::new(bridge, news, watching.into(), ear);
        listener.waiting.push_back(acknowledgement);
        Ok(listener)
    }

    /// Begins to listen for a legacy client, in its session if it has one.
    pub(super) fn legacy(bridge: &Bridge, session: Option<Arc<Session>>) -> Self {
        let watching = session.as_ref().map(|session| session.watching.clone());
        let ear = session.map_or_else(|| Ear::Lists(Filter::lists()), Ear::Session);
        let news = bridge.dispatcher.news();
        Self::new(bridge, news, watching.unwrap_or_default(), ear)
    }

    fn new(bridge: &Bridge, news: News, watching: Arc<Watching>, ear: Ear) -> Self {
        Self {
            ear,
            news,
            updates: Updates::of(watching),
            waiting: VecDeque::new(),
            stop: bridge.stopping.clone(),
            is_over: false,
        }
    }

    /// The client may have missed anything: tells it all that it listens to.
    pub(super) fn catch_up(&mut self) {
        self.hear(Heard::Missed);
    }

    /// The next message; nothing at the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                () = self.stop.cancelled() => {
                    self.is_over = true;
                    if let Ear::Modern { id, .. } = &self.ear {
                        self.waiting.push_back(subscription::end(id).to_bytes());
                    }
                }
                heard = self.news.next() => self.hear(heard),
                uris = self.updates.next() => {
                    let updated = uris.iter().map(|uri| subscription::updated(uri));
                    let said: Vec<_> = updated.map(|updated| self.ear.said(&updated)).collect();
                    self.waiting.extend(said);
                }
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        let notifications = match heard {
            Heard::One(notification) if self.ear.admits(&notification) => vec![notification],
            Heard::One(_) => Vec::new(),
            Heard::Missed => self.ear.everything(),
        };
        let said = notifications.iter().map(|heard| self.ear.said(heard));
        self.waiting.extend(said);
    }
}

impl Ear {
    fn admits(&self, notification: &Notification) -> bool {
        match self {
            Self::Modern { filter, .. } | Self::Lists(filter) => filter.admits(notification),
            Self::Session(session) => session.admits(notification),
        }
    }

    fn everything(&self) -> Vec<Notification> {
        match self {
            Self::Modern { filter, .. } | Self::Lists(filter) => filter.everything(),
            Self::Session(session) => session.everything(),
        }
    }

    /// The notification as it goes out.
    fn said(&self, notification: &Notification) -> Bytes {
        match self {
            Self::Modern { id, .. } => subscription::tagged(notification, id).to_bytes(),
            Self::Session(_) | Self::Lists(_) => notification.to_bytes(),
        }
    }
}

/// The stream of one who listens over HTTP, which begins with `beginning`.
pub(super) fn answer(beginning: Bytes, listener: Listener, sender: Sender) -> HttpResponse {
    let state = (Some(beginning), listener, sender);
    let events = stream::unfold(state, |(beginning, mut listener, sender)| async {
        let event = if let Some(beginning) = beginning {
            beginning
        } else {
            tokio::select! {
                message = listener.next() => sse::encode_message(&message?),
                () = sender.dismissed() => return None,
                () = sleep(KEEP_ALIVE) => sse::COMMENT,
            }
        };
        Some((Ok::<_, Infallible>(event), (None, listener, sender)))
    });
    reply::events(Body::from_stream(events))
}
