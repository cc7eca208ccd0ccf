//! A connection that carries everything both ways: a WebSocket, or HTTP+SSE of 2024-11-05. Its
//! messages have no headers of their own; what its client said in the handshake holds until the
//! connection ends.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::listen::Listener;
use super::messages::Sender;
use super::outbox::{Outbox, Outgoing, Room};
use super::session::Session;
use super::{Bridge, messages};
use crate::error::{Code, Failure};
use crate::protocol::body::Body;
use crate::protocol::message::{Message, Notification, Request};
use crate::protocol::subscription::LISTEN;

/// Messages of one connection that are worked on at the same time. No more are read meanwhile.
const AT_ONCE: usize = 64;

/// One client's connection. It is over when its reader is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    bridge: Arc<Bridge>,
    outbox: Outbox,
    session: OnceLock<Arc<Session>>,
    places: Arc<Semaphore>,
    /// Those who listen by `subscriptions/listen`, by the id of their request.
    listeners: Mutex<HashMap<Vec<u8>, CancellationToken>>,
    /// The client does not read what it is sent.
    too_slow: CancellationToken,
    over: CancellationToken,
}

impl Connection {
    /// A new connection, and where its messages come out.
    pub(super) fn new(bridge: &Arc<Bridge>) -> (Arc<Self>, Outgoing) {
        let (outbox, outgoing) = Outbox::new(Room::OF_A_CONNECTION);
        let connection = Self {
            bridge: bridge.clone(),
            outbox,
            session: OnceLock::new(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            listeners: Mutex::default(),
            too_slow: CancellationToken::new(),
            over: CancellationToken::new(),
        };
        (Arc::new(connection), outgoing)
    }

    /// The bridge that it leads to.
    pub(super) fn bridge(&self) -> &Bridge {
        &self.bridge
    }

    /// Whether no other message can be worked on now.
    pub(super) fn is_busy(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Waits until another message can be worked on.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().acquire_owned().await.ok()
    }

    /// Takes a message of its client; whatever is to be said about it comes out of the connection.
    ///
    /// # Errors
    /// What makes the text unreadable, or why the client is not let in any more.
    pub(super) fn take(
        self: &Arc<Self>,
        sender: Sender,
        text: &Bytes,
        place: OwnedSemaphorePermit,
    ) -> Result<(), Failure> {
        let sender = sender.on_connection(self.session.get().cloned())?;
        let settings = self.bridge.settings();
        match Body::parse(text, settings.max_depth)? {
            Body::One(Message::Request(request)) => self.request(sender, request, place),
            Body::One(Message::Notification(notification)) => {
                self.notice(&notification);
                sender.notice(&notification);
            }
            Body::One(Message::Response(response)) => sender.hear(response),
            Body::Batch(batch) => {
                if !sender.revision()?.has_batches() {
                    let why = "only revision 2025-03-26 has batches; send one message at a time";
                    return Err(Failure::with(Code::InvalidMessage, why));
                }
                let messages = batch.messages(settings.max_batch)?;
                self.work(place, async move { sender.answer_all(messages).await });
            }
        }
        Ok(())
    }

    fn request(self: &Arc<Self>, sender: Sender, request: Request, place: OwnedSemaphorePermit) {
        let revision = match sender.revision_of(&request) {
            Ok(revision) => revision,
            Err(failure) => {
                return self.say(messages::refused(&self.bridge, &failure, Some(request.id)).1);
            }
        };
        if revision.is_modern() && request.method == LISTEN {
            // It takes no place: it lasts.
            drop(place);
            return self.listen(sender, request);
        }
        let opens = !revision.is_modern() && request.method == "initialize";
        let connection = self.clone();
        let outlet = sender.outlet(&request, revision, self.outbox.clone());
        self.work(place, async move {
            let outcome = sender
                .converse(request.clone(), revision, Some(outlet), None)
                .await;
            if opens && outcome.is_ok() {
                connection.open(&request);
            }
            Some(super::reply::to_request(&request, revision, outcome).1)
        });
    }

    /// The handshake is over: from now on the client hears what belongs to no call.
    fn open(self: &Arc<Self>, handshake: &Request) {
        let session = Arc::new(Session::of_handshake(handshake));
        if self.session.set(session.clone()).is_ok() {
            let listener = Listener::legacy(&self.bridge, Some(session));
            self.tell(listener, CancellationToken::new());
        }
    }

    fn listen(self: &Arc<Self>, sender: Sender, request: Request) {
        let connection = self.clone();
        let ended = CancellationToken::new();
        let key = request.id.json().as_bytes().to_vec();
        self.listeners().insert(key.clone(), ended.clone());
        self.spawn(async move {
            match Listener::modern(&connection.bridge, &sender, &request).await {
                Ok(listener) => connection.clone().relay(listener, ended).await,
                Err(failure) => {
                    let bridge = &connection.bridge;
                    connection.say(messages::refused(bridge, &failure, Some(request.id)).1);
                }
            }
            connection.listeners().remove(&key);
        });
    }

    fn tell(self: &Arc<Self>, listener: Listener, ended: CancellationToken) {
        self.spawn(self.clone().relay(listener, ended));
    }

    /// Says what somebody hears until one of them ends.
    async fn relay(self: Arc<Self>, mut listener: Listener, ended: CancellationToken) {
        while let Some(Some(heard)) = ended.run_until_cancelled(listener.next()).await {
            self.say(heard);
        }
    }

    /// A modern client ends a subscription as it gives up a call.
    fn notice(&self, notification: &Notification) {
        if notification.method == "notifications/cancelled"
            && let Some(id) = notification.param_members().get("requestId")
            && let Some(listener) = self.listeners().get(id.as_bytes())
        {
            listener.cancel();
        }
    }

    /// Works on a message until the connection ends, and says what comes of it.
    fn work(
        self: &Arc<Self>,
        place: OwnedSemaphorePermit,
        answer: impl Future<Output = Option<Bytes>> + Send + 'static,
    ) {
        let connection = self.clone();
        self.spawn(async move {
            if let Some(answer) = answer.await {
                connection.say(answer);
            }
            drop(place);
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let over = self.over.clone();
        tokio::spawn(async move { over.run_until_cancelled(task).await });
    }

    /// Says something that must not get lost. A client that does not read it is too slow.
    pub(super) fn say(&self, message: Bytes) {
        if !self.outbox.push(message) {
            self.too_slow.cancel();
        }
    }

    /// Whether the client has turned out not to read.
    pub(super) fn is_too_slow(&self) -> bool {
        self.too_slow.is_cancelled()
    }

    /// Waits until it is clear that the client does not read.
    pub(super) async fn too_slow(&self) {
        self.too_slow.cancelled().await;
    }

    /// Ends it: nobody is there any more. What has begun to write is finished all the same.
    pub(super) fn end(&self) {
        self.over.cancel();
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, CancellationToken>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
