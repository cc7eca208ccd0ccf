//! Sessions of legacy clients.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::Watching;
use crate::protocol::client::ClientProfile;
use crate::protocol::log_level::{LogFilter, LogLevel};
use crate::protocol::message::{Notification, Payload, Request, Response};
use crate::protocol::revision::Revision;
use crate::protocol::seal::Seal;
use crate::protocol::session_id::SessionId;
use crate::protocol::session_table::{Bounds, SessionTable};
use crate::protocol::subscription::{self, Filter};
use crate::upstream::Hearing;

const BOUNDS: Bounds = Bounds {
    sessions: 10_000,
    idle: Duration::from_hours(1),
};

/// Which legacy clients over Streamable HTTP have sessions.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LegacySessions {
    /// Those of an upstream that has sessions itself.
    Auto,
    /// All of them.
    Always,
}

/// What is known of a legacy client from its handshake to the end of its session or connection.
#[derive(Debug)]
pub(super) struct Session {
    /// Tells sessions apart, for the upstream.
    pub key: Arc<str>,
    /// The revision that was agreed on.
    pub revision: Revision,
    /// What the client said about itself.
    pub profile: ClientProfile,
    /// The resources of the bridge that it watches.
    pub watching: Arc<Watching>,
    wishes: Mutex<Wishes>,
}

/// What the client said once, for all that comes later.
#[derive(Debug)]
struct Wishes {
    level: LogFilter,
    filter: Filter,
    /// Listens to the upstream for the resources that are watched.
    hearing: Option<Hearing>,
}

impl Session {
    /// As it is after the handshake.
    pub(super) fn new(number: u128, revision: Revision, profile: ClientProfile) -> Self {
        let wishes = Wishes {
            level: LogFilter::All,
            filter: Filter::lists(),
            hearing: None,
        };
        Self {
            key: format!("{number:032x}").into(),
            revision,
            profile,
            watching: Arc::default(),
            wishes: Mutex::new(wishes),
        }
    }

    /// Of a client that sends this handshake.
    pub(super) fn of_handshake(request: &Request) -> Self {
        let profile = ClientProfile::of_handshake(request);
        Self::new(rand::random(), Revision::negotiated(request), profile)
    }

    /// Which log messages the client wants.
    pub(super) fn level(&self) -> LogFilter {
        self.lock().level
    }

    /// Whether the client wants to hear an announcement.
    pub(super) fn admits(&self, notification: &Notification) -> bool {
        let wishes = self.lock();
        wishes.level.admits(notification)
            && (wishes.filter.admits(notification)
                || notification.method == "notifications/message")
    }

    /// All that the client wants to hear of, if it may have missed any of it.
    pub(super) fn everything(&self) -> Vec<Notification> {
        self.lock().filter.everything()
    }

    /// Remembers what a request wishes for later, now that it was granted. `watch` watches a resource
    /// if it is one of the bridge's own, and says whether it is; `listen` gives an ear at the
    /// upstream, where one is needed.
    pub(super) async fn granted(
        &self,
        request: &Request,
        response: &Response,
        watch: impl FnOnce(&Watching, &str) -> bool,
        listen: impl FnOnce() -> Hearing,
    ) {
        if !matches!(response.payload, Payload::Result(_)) {
            return;
        }
        let params = request.param_members();
        match request.method.as_str() {
            "logging/setLevel" => {
                let level = params.get_str("level");
                if let Some(level) = level.and_then(|name| LogLevel::parse(&name)) {
                    self.lock().level = LogFilter::From(level);
                }
            }
            subscription::SUBSCRIBE => {
                if let Some(uri) = params.get_str("uri") {
                    if !self.lock().filter.watch(&uri) {
                        tracing::warn!(uri = &*uri, "the session watches too many resources");
                    } else if !watch(&self.watching, &uri) {
                        let settled = self.listen_for(&uri, listen);
                        settled.await;
                    }
                }
            }
            subscription::UNSUBSCRIBE => {
                if let Some(uri) = params.get_str("uri") {
                    self.watching.unwatch(&uri);
                    let mut wishes = self.lock();
                    wishes.filter.unwatch(&uri);
                    if let Some(hearing) = &mut wishes.hearing {
                        hearing.unwatch(&uri);
                    }
                }
            }
            _ => {}
        }
    }

    /// Wants to hear of a resource of the upstream; gives what to wait for until the upstream knows.
    fn listen_for<L>(&self, uri: &str, listen: L) -> impl Future<Output = ()> + use<L>
    where
        L: FnOnce() -> Hearing,
    {
        let mut wishes = self.lock();
        let hearing = wishes.hearing.get_or_insert_with(listen);
        if !hearing.watch(uri) {
            tracing::warn!(uri, "too many resources are watched already");
        }
        hearing.settled()
    }

    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sessions over Streamable HTTP. Their ids say themselves what they are, so that they survive a
/// restart; what clients said since the handshake does not.
#[derive(Debug)]
pub(super) struct Sessions {
    seal: Seal,
    table: Mutex<SessionTable<Arc<Session>>>,
}

impl Sessions {
    /// None yet; ids are signed with the bridge's secret.
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self {
            seal: Seal::new(secret, "session"),
            table: Mutex::new(SessionTable::new(BOUNDS)),
        }
    }

    /// The id of a new session of this client, which sent this handshake.
    pub(super) fn open(&self, client: &str, handshake: &Request) -> String {
        let profile = ClientProfile::of_handshake(handshake);
        let id = SessionId::new(rand::random(), Revision::negotiated(handshake), profile);
        id.write(&self.seal, client)
    }

    /// The session of this client that has that id; nothing if there is none, or not any more.
    pub(super) fn find(&self, client: &str, id: &str) -> Option<Arc<Session>> {
        let id = SessionId::read(id, &self.seal, client)?;
        let number = id.number;
        let new = || Arc::new(Session::new(number, id.revision, id.profile));
        let now = Instant::now().into_std();
        self.lock().use_or(number, now, new).ok()
    }

    /// Ends the session; says whether there was one.
    pub(super) fn end(&self, client: &str, id: &str) -> bool {
        let Some(id) = SessionId::read(id, &self.seal, client) else {
            return false;
        };
        self.lock().end(id.number);
        true
    }

    /// How many are remembered now.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, SessionTable<Arc<Session>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::RawJson;
    use crate::protocol::message::Id;
    use serde_json::{Value, json};

    fn request(method: &str, params: Value) -> Request {
        Request::new(Id::number(1), method, Some(RawJson::of(&params)))
    }

    fn handshake() -> Request {
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {"roots": {}}});
        request("initialize", params)
    }

    async fn grant(session: &Session, method: &str, params: Value, result: Payload) {
        let response = Response::new(Some(Id::number(1)), result);
        let request = request(method, params);
        session
            .granted(&request, &response, |_, _| false, Hearing::of_nobody)
            .await;
    }

    fn granted() -> Payload {
        Payload::Result(RawJson::of(&json!({})))
    }

    #[test]
    fn a_session_is_found_by_its_client_until_it_ends() {
        let sessions = Sessions::new(&[7; 32]);
        let id = sessions.open("n8n", &handshake());
        let session = sessions.find("n8n", &id).unwrap();
        assert_eq!(session.revision, Revision::V2025_06_18);
        assert_eq!(session.profile.capabilities.as_bytes(), br#"{"roots":{}}"#);
        assert!(Arc::ptr_eq(&session, &sessions.find("n8n", &id).unwrap()));
        assert!(sessions.find("other", &id).is_none() && !sessions.end("other", &id));
        assert!(sessions.end("n8n", &id));
        assert!(sessions.find("n8n", &id).is_none());
    }

    #[test]
    fn an_id_is_good_at_every_bridge_with_the_same_secret() {
        let id = Sessions::new(&[7; 32]).open("n8n", &handshake());
        let found = Sessions::new(&[7; 32]).find("n8n", &id).unwrap();
        assert_eq!(
            *found.key,
            *Sessions::new(&[7; 32]).find("n8n", &id).unwrap().key
        );
        assert!(Sessions::new(&[8; 32]).find("n8n", &id).is_none());
    }

    #[tokio::test]
    async fn what_a_client_wished_for_once_holds_for_all_that_comes_later() {
        let session = Session::of_handshake(&handshake());
        let log = |level| {
            Notification::new(
                "notifications/message",
                Some(RawJson::of(&json!({"level": level}))),
            )
        };
        let updated = |uri| {
            let params = RawJson::of(&json!({"uri": uri}));
            Notification::new("notifications/resources/updated", Some(params))
        };
        assert!(session.admits(&log("debug")) && !session.admits(&updated("a://1")));
        grant(
            &session,
            "logging/setLevel",
            json!({"level": "error"}),
            granted(),
        )
        .await;
        grant(
            &session,
            "resources/subscribe",
            json!({"uri": "a://1"}),
            granted(),
        )
        .await;
        assert!(!session.admits(&log("info")) && session.admits(&log("error")));
        assert!(session.admits(&updated("a://1")) && !session.admits(&updated("a://2")));
        assert_eq!(session.everything().len(), 4);
        grant(
            &session,
            "resources/unsubscribe",
            json!({"uri": "a://1"}),
            granted(),
        )
        .await;
        grant(
            &session,
            "logging/setLevel",
            json!({"level": "odd"}),
            granted(),
        )
        .await;
        assert!(!session.admits(&updated("a://1")) && !session.admits(&log("info")));
        assert!(session.admits(&Notification::new("notifications/tools/list_changed", None)));
        assert!(!session.admits(&Notification::new("notifications/progress", None)));
    }

    #[tokio::test]
    async fn what_was_refused_is_not_remembered() {
        let session = Session::of_handshake(&handshake());
        let refused = Payload::Error(RawJson::of(&json!({"code": -32601, "message": "no"})));
        grant(
            &session,
            "resources/subscribe",
            json!({"uri": "a://1"}),
            refused,
        )
        .await;
        assert_eq!(session.everything().len(), 3);
    }
}
