//! Hears what the upstream says that belongs to no call, as long as somebody wants to hear it: over
//! one `subscriptions/listen` where the server is modern, over the GET stream of a session of its
//! own where it is not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Upstream;
use super::exchange::Context;
use super::hearing::{Audience, Wants};
use super::stream::Stream;
use super::streamable_http::{Session, StreamableHttp};
use super::trouble::Trouble;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Message, Payload, Request, Response};
use crate::protocol::subscription::{self, Filter};
use crate::protocol::{code, era};
use crate::resilience::backoff::Backoff;

/// Between two attempts to hear an upstream.
const BACKOFF: Backoff = Backoff {
    base: Duration::from_secs(1),
    cap: Duration::from_mins(1),
};
/// How long an upstream that has nothing to say is left alone, unless somebody new listens.
const SILENCE: Duration = Duration::from_mins(10);
/// How long the upstream may take to say what it is, or that it listens.
const PATIENCE: Duration = Duration::from_secs(10);
/// When to take up a stream again, if the server does not say.
const RESUME_AFTER: Duration = Duration::from_secs(1);
/// The longest that a server may want to be left alone.
const MAX_RETRY: Duration = Duration::from_secs(30);

/// How it goes with hearing it.
#[derive(Debug, Default)]
struct Attempts {
    /// In vain, since it was last heard.
    failures: u32,
    /// Those who listen may have missed something.
    has_gap: bool,
}

/// What is heard from one upstream.
#[derive(Debug)]
pub(super) struct Listening {
    server: StreamableHttp,
    audience: Arc<Audience>,
    /// The session in which it is listened to, where that is a matter of sessions.
    session: ArcSwapOption<Session>,
}

impl Listening {
    /// To the server at one address; nobody listens yet.
    pub(super) fn new(server: StreamableHttp) -> Self {
        Self {
            server,
            audience: Arc::default(),
            session: ArcSwapOption::empty(),
        }
    }

    /// Those who listen.
    pub(super) const fn audience(&self) -> &Arc<Audience> {
        &self.audience
    }

    /// Asks a legacy server about a resource that somebody wants to watch, or does not want to watch
    /// any more, in the session in which it is listened to; nothing if there is none. That nobody
    /// watches it is told by [`Listening::watch`].
    pub(super) async fn watch_for(&self, request: &Request) -> Option<Result<Response, Trouble>> {
        // The session is there at the latest when somebody listens.
        let hearing = self.audience.join();
        hearing.settled().await;
        let session = self.session.load_full()?;
        if request.method == subscription::UNSUBSCRIBE {
            return Some(Ok(subscription::watched(request)));
        }
        let answer = timeout(
            PATIENCE,
            self.server.call(request, &session, &Context::own()),
        )
        .await;
        Some(answer.unwrap_or(Err(Trouble::Timeout)))
    }

    /// Those who listened while the upstream was not heard may have missed something.
    fn heard_again(&self, state: &mut Attempts) {
        state.failures = 0;
        if std::mem::take(&mut state.has_gap) {
            self.server.announcements.missed();
        }
    }

    /// Lets nobody wait who begins to listen while nothing is heard, for so long.
    async fn rest(&self, pause: Duration) {
        let mut wants = self.audience.wants();
        let answer_all = async {
            loop {
                self.audience.told(wants.borrow_and_update().version);
                if wants.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = answer_all => {}
        }
    }

    /// What is wanted of a server with these capabilities.
    fn wanted(wants: &Wants, offered: &RawJson) -> Filter {
        Filter::lists().watching(wants.uris()).honoured(offered)
    }

    /// Hears a modern server until nobody wants to, or the stream ends.
    async fn hear_modern(&self, offered: &RawJson, state: &mut Attempts) -> Result<(), Trouble> {
        let mut wants = self.audience.wants();
        let (mut now, mut stream) = self.subscribe(&mut wants, offered).await?;
        self.heard_again(state);
        self.audience.told(now.version);
        loop {
            tokio::select! {
                message = stream.next() => match message? {
                    Message::Notification(notification) => {
                        self.server.announcements.announce(subscription::untagged(&notification));
                    }
                    Message::Response(_) => {
                        return Err(Trouble::Truncated("it ended the stream".into()));
                    }
                    Message::Request(_) => {}
                },
                changed = wants.changed() => {
                    if changed.is_err() || !wants.borrow().is_anything() {
                        return Ok(());
                    }
                    // The new stream hears before the old one goes; what comes on both is told twice.
                    if wants.borrow().uris() != now.uris() {
                        (now, stream) = self.subscribe(&mut wants, offered).await?;
                    }
                    self.audience.told(wants.borrow().version);
                }
            }
        }
    }

    /// Opens a stream of all that is wanted now.
    async fn subscribe(
        &self,
        wants: &mut watch::Receiver<Wants>,
        offered: &RawJson,
    ) -> Result<(Wants, Stream), Trouble> {
        let now = wants.borrow_and_update().clone();
        let filter = Self::wanted(&now, offered);
        let request = era::from_legacy(&filter.request(Id::text("mcp-bridge")), None);
        let opening = async {
            let mut stream = self.server.listen_modern(&request).await?;
            match stream.next().await? {
                Message::Notification(_) => Ok((now, stream)),
                _ => Err(Trouble::NotAnAnswer(
                    "it does not say that it listens".into(),
                )),
            }
        };
        timeout(PATIENCE, opening)
            .await
            .unwrap_or(Err(Trouble::Timeout))
    }

    /// Hears a legacy server in a session of its own, until nobody wants to, or it forgets the
    /// session. Says whether it can be heard at all.
    async fn hear_legacy(
        &self,
        offered: &RawJson,
        state: &mut Attempts,
        stop: &CancellationToken,
    ) -> Result<bool, Trouble> {
        let nothing = RawJson::of(&json!({}));
        let greeting = timeout(PATIENCE, self.server.greet(&nothing)).await;
        let (session, _) = greeting.unwrap_or(Err(Trouble::Timeout))?;
        let session = Arc::new(session);
        let hearing = self.hear_session(&session, offered, state);
        let heard = stop.run_until_cancelled(hearing).await.unwrap_or(Ok(true));
        self.session.store(None);
        let is_forgotten = matches!(heard, Err(Trouble::Status { status: 404, .. }));
        if session.is_stateful() && !is_forgotten {
            self.server.close(&session).await;
        }
        heard
    }

    async fn hear_session(
        &self,
        session: &Arc<Session>,
        offered: &RawJson,
        state: &mut Attempts,
    ) -> Result<bool, Trouble> {
        let opened = timeout(PATIENCE, self.server.listen(session, None)).await;
        let mut stream = match opened.unwrap_or(Err(Trouble::Timeout)) {
            Ok(answer) => Stream::of(answer, self.server.max_answer)?,
            Err(Trouble::Status { status: 405, .. }) => return Ok(false),
            Err(trouble) => return Err(trouble),
        };
        if session.is_stateful() {
            self.session.store(Some(session.clone()));
        }
        let mut wants = self.audience.wants();
        let mut watched = BTreeSet::new();
        self.watch(session, offered, &mut wants, &mut watched).await;
        self.heard_again(state);
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    Ok(Message::Notification(notification)) => {
                        self.server.announcements.announce(notification);
                    }
                    Ok(Message::Request(question)) => self.answer(session, question).await,
                    Ok(Message::Response(_)) => {}
                    Err(trouble @ Trouble::TooLarge { .. }) => return Err(trouble),
                    Err(_) => self.resume(session, &mut stream).await?,
                },
                changed = wants.changed() => {
                    if changed.is_err() || !wants.borrow().is_anything() {
                        return Ok(true);
                    }
                    self.watch(session, offered, &mut wants, &mut watched).await;
                }
            }
        }
    }

    /// Tells a server which resources are watched now, so far as it knew of others.
    async fn watch(
        &self,
        session: &Session,
        offered: &RawJson,
        wants: &mut watch::Receiver<Wants>,
        watched: &mut BTreeSet<String>,
    ) {
        let now = wants.borrow_and_update().clone();
        let wanted = Self::wanted(&now, offered);
        let wanted: BTreeSet<String> = wanted.uris().map(Into::into).collect();
        let begun = wanted
            .difference(watched)
            .map(|uri| (subscription::SUBSCRIBE, uri));
        let over = watched
            .difference(&wanted)
            .map(|uri| (subscription::UNSUBSCRIBE, uri));
        for (method, uri) in begun.chain(over) {
            let params = RawJson::of(&json!({"uri": uri}));
            let request = Request::new(Id::number(0), method, Some(params));
            let answer = timeout(
                PATIENCE,
                self.server.call(&request, session, &Context::own()),
            )
            .await;
            if let Err(trouble) = answer.unwrap_or(Err(Trouble::Timeout)) {
                tracing::debug!(%trouble, method, "a resource is not watched as it should be");
            }
        }
        *watched = wanted;
        self.audience.told(now.version);
    }

    /// Takes up a stream that broke off. Where the server does not say what came meanwhile, anything
    /// may have.
    async fn resume(&self, session: &Session, stream: &mut Stream) -> Result<(), Trouble> {
        let pause = stream.retry().unwrap_or(RESUME_AFTER).min(MAX_RETRY);
        sleep(pause).await;
        let last = stream.last_id();
        let opened = timeout(PATIENCE, self.server.listen(session, last)).await;
        let answer = opened.unwrap_or(Err(Trouble::Timeout))?;
        if last.is_none() {
            self.server.announcements.missed();
        }
        stream.go_on(answer)
    }

    /// Nobody can be asked here.
    async fn answer(&self, session: &Session, question: Request) {
        let payload = if question.method == "ping" {
            Payload::Result(RawJson::of(&json!({})))
        } else {
            let why = "nobody can be asked outside of a call";
            let error = json!({"code": code::METHOD_NOT_FOUND, "message": why});
            Payload::Error(RawJson::of(&error))
        };
        let response = Response::new(Some(question.id), payload);
        if let Err(trouble) = self.server.tell(response.to_bytes(), Some(session)).await {
            tracing::debug!(%trouble, "an answer did not reach the server");
        }
    }
}

impl Upstream {
    /// Hears the upstream as long as somebody wants to, until told to stop.
    pub(super) async fn keep_listening(&self, stop: CancellationToken) {
        let mut wants = self.listening.audience.wants();
        let mut state = Attempts::default();
        while !stop.is_cancelled() {
            let somebody = async { wants.wait_for(Wants::is_anything).await.map(drop) };
            if !matches!(stop.run_until_cancelled(somebody).await, Some(Ok(()))) {
                return;
            }
            let pause = match self.listen(&mut state, &stop).await {
                Ok(true) => continue,
                Ok(false) => SILENCE,
                Err(trouble) => {
                    tracing::debug!(%trouble, "the upstream is not heard");
                    state.failures += 1;
                    BACKOFF.pause_at_least_half(state.failures - 1, rand::random())
                }
            };
            state.has_gap = wants.borrow().is_anything();
            stop.run_until_cancelled(self.listening.rest(pause)).await;
        }
    }

    /// Hears the upstream until nobody wants to, or it ends. Says whether it can be heard at all.
    async fn listen(
        &self,
        state: &mut Attempts,
        stop: &CancellationToken,
    ) -> Result<bool, Trouble> {
        let modern = stop.run_until_cancelled(self.wires.modern(self.discover()));
        let Some(modern) = modern.await else {
            return Ok(true);
        };
        if let Some(introduction) = modern? {
            let offered = &introduction.capabilities;
            if !subscription::can_be_heard(offered) {
                return Ok(false);
            }
            let hearing = self.listening.hear_modern(offered, state);
            stop.run_until_cancelled(hearing).await.unwrap_or(Ok(()))?;
            return Ok(true);
        }
        let introduction = stop.run_until_cancelled(self.introduction(PATIENCE)).await;
        let introduction = introduction.flatten();
        let introduction =
            introduction.ok_or_else(|| Trouble::Connect("it does not say what it is".into()))?;
        let offered = &introduction.capabilities;
        if subscription::can_be_heard(offered) {
            self.listening.hear_legacy(offered, state, stop).await
        } else {
            Ok(false)
        }
    }
}
