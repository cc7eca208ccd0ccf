//! An MCP server behind the bridge: reaches it, greets it, remembers how it is.
//!
//! ```text
//! Upstream            an upstream, whole
//!   exchange          one request: which wire, which session, once more or not
//!     wires           which eras the server speaks
//!     sessions        the pool at work: tasks, waiting, time
//!       pool          which session a call takes, when one is checked, closed, replaced; sans-IO
//!     own_sessions    sessions for clients that the server may ask something
//!     held            calls of modern clients that wait at a legacy server for an answer of theirs
//!   listening         what the server says that belongs to no call
//!     stream          the event stream on which it says so
//!     hearing         who wants to hear it
//!     announcements   from there to all of them
//!   streamable_http   one address: the messages of a session as POST and DELETE
//!     modern          the same without sessions
//!     reading         from the head of an HTTP answer to the response, and what comes in between
//!     http_client     connections
//!   downstream        the client, as far as the server reaches it
//!   acquaintance      what is remembered while it is away
//! ```

mod acquaintance;
mod announcements;
mod downstream;
mod exchange;
mod hearing;
mod held;
pub mod http_client;
mod insight;
mod listening;
mod modern;
mod own_sessions;
pub mod pool;
mod reading;
mod sessions;
mod stream;
mod streamable_http;
mod trouble;
mod wires;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::{Position, Url};

use crate::protocol::capabilities::Introduction;
use crate::protocol::revision::Revision;
pub use acquaintance::Health;
pub use announcements::{Announcements, Ear, Heard, News};
pub use downstream::{Downstream, Reply};
pub use exchange::Context;
pub use hearing::Hearing;
use held::HeldCalls;
use http_client::HttpClient;
pub use insight::{Description, Insight, Meant, Presence, Thing, Told};
use listening::Listening;
use own_sessions::OwnSessions;
use sessions::Sessions;
use streamable_http::StreamableHttp;
pub use trouble::Trouble;
use wires::Wires;

/// How long a client waits to learn whether an upstream has more to say in the modern way.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// How an upstream is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address of its MCP endpoint.
    pub url: Url,
    /// Further addresses of the same upstream, over which calls are spread. One without a path has
    /// the path of `url`.
    pub further_urls: Vec<Url>,
    /// The bearer token to show, if it wants one.
    pub token: Option<SecretString>,
    /// Bytes of an answer; larger ones are refused.
    pub max_answer: usize,
    /// Time limits and trust.
    pub http: http_client::Settings,
    /// Bounds of the sessions.
    pub pool: pool::Settings,
    /// Somebody who knows more of it than its answers say.
    pub insight: Option<Arc<dyn Insight>>,
}

/// One MCP server, or several that are the same.
#[derive(Debug)]
pub struct Upstream {
    url: Url,
    sessions: Arc<Sessions>,
    /// Sessions for clients that can be asked. All of them at the first address.
    own: Arc<OwnSessions>,
    held: Arc<HeldCalls>,
    /// At the first address.
    listening: Listening,
    announcements: Announcements,
    wires: Wires,
    /// Whose turn it is among the addresses, where there are no sessions.
    turn: AtomicUsize,
    insight: Option<Arc<dyn Insight>>,
}

/// Whose requests an upstream may answer differently.
#[derive(Debug, Clone, Copy)]
pub struct Distinctions {
    /// Those of the modern era: in their own way, each by what its client declared.
    pub eras: bool,
    /// Those of clients that it can ask something while it answers.
    pub clients: bool,
}

/// Figures of an upstream, for the status.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Figures {
    /// Its sessions, or what stands in their place where the server has none.
    #[serde(flatten)]
    pub pool: pool::Figures,
    /// Sessions for clients that can be asked something.
    pub own: usize,
    /// Its addresses.
    pub addresses: Vec<AddressFigures>,
}

/// Figures of one address of an upstream.
#[derive(Debug, Clone, serde::Serialize)]
pub struct AddressFigures {
    /// The address.
    pub url: String,
    /// What the pool knows of it.
    #[serde(flatten)]
    pub pool: pool::AddressFigures,
}

impl Upstream {
    /// An upstream that was not yet spoken to.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(settings: Settings) -> Result<Self, Trouble> {
        let client = HttpClient::new(&settings.http)?;
        let mut urls = vec![settings.url.clone()];
        for mut url in settings.further_urls {
            if matches!(url.path(), "" | "/") {
                url.set_path(settings.url.path());
            }
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        let announcements = Announcements::default();
        let server = |client: &HttpClient, url| StreamableHttp {
            client: client.clone(),
            url,
            token: settings.token.clone(),
            max_answer: settings.max_answer,
            announcements: announcements.clone(),
        };
        let address = |url| server(&client, url);
        let patient = HttpClient::for_streams(&settings.http)?;
        let listening = Listening::new(server(&patient, settings.url.clone()));
        let own = OwnSessions::new(address(settings.url.clone()), settings.pool.idle_timeout);
        let addresses = urls.into_iter().map(address).collect();
        Ok(Self {
            url: settings.url,
            sessions: Sessions::new(settings.pool, addresses),
            own,
            held: HeldCalls::new(),
            listening,
            announcements,
            wires: Wires::default(),
            turn: AtomicUsize::new(0),
            insight: settings.insight,
        })
    }

    /// Somebody who knows more of it than its answers say.
    pub const fn insight(&self) -> Option<&Arc<dyn Insight>> {
        self.insight.as_ref()
    }

    /// What it makes of different clients, as far as is known.
    pub fn distinctions(&self) -> Distinctions {
        Distinctions {
            eras: !self.wires.is_legacy_only(),
            clients: self.sessions.has_sessions() || self.wires.is_modern_only(),
        }
    }

    /// Its address, the first one if there are several. Not to be shown: secrets may stand in it.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Its address as it may be shown and logged, the first one if there are several.
    pub fn address(&self) -> String {
        shown(&self.url)
    }

    /// How it was when it was last used.
    pub fn health(&self) -> Health {
        self.sessions.acquaintance().health()
    }

    /// What it said about itself. Asked for once, then from memory, also while it is away; nothing
    /// if it could not be asked within `patience`.
    pub async fn introduction(&self, patience: Duration) -> Option<Arc<Introduction>> {
        let acquaintance = self.sessions.acquaintance();
        let known = acquaintance.introduction();
        if known.is_some() {
            return known;
        }
        let get_acquainted = async {
            let mut tried = Vec::new();
            if let Err(Trouble::Greeting(refused)) = self.sessions.lease(&mut tried).await {
                self.is_modern_only(&refused).await;
            }
        };
        let _ = tokio::time::timeout(patience, get_acquainted).await;
        acquaintance.introduction()
    }

    /// What it said about itself to clients of this revision: a server of both eras may offer more in
    /// one of them. Otherwise as [`Upstream::introduction`].
    pub async fn introduction_to(
        &self,
        revision: Revision,
        patience: Duration,
    ) -> Option<Arc<Introduction>> {
        let known = self.introduction(patience).await;
        if !revision.is_modern() {
            return known;
        }
        let modern = self.wires.modern(self.discover());
        let modern = tokio::time::timeout(patience.min(PROBE_PATIENCE), modern).await;
        // One that cannot be asked now may be known from before.
        modern.ok().and_then(Result::ok).flatten().or(known)
    }

    /// What it says of itself on the modern wire, at the first address that can be reached.
    async fn discover(&self) -> Result<Option<Introduction>, Trouble> {
        let mut last = Trouble::Connect("no address is left".into());
        for address in self.sessions.addresses() {
            match address.discover().await {
                Err(trouble @ (Trouble::Connect(_) | Trouble::Tls(_))) => last = trouble,
                other => return other,
            }
        }
        Err(last)
    }

    /// Whether the server has sessions, as far as it was greeted.
    pub fn has_sessions(&self) -> bool {
        self.sessions.has_sessions()
    }

    /// What it says from now on that belongs to no call, as long as somebody wants to hear it.
    pub fn ear(&self) -> Ear {
        self.announcements.ear()
    }

    /// Listens to the upstream for as long as this lives.
    pub fn hearing(&self) -> Hearing {
        self.listening.audience().join()
    }

    /// Keeps its sessions in order until told to stop, and closes them then. A long-lived task;
    /// calls find their way without it, but nothing is checked, nothing grows, nothing is closed, and
    /// nothing is heard that belongs to no call.
    pub async fn keep(&self, stop: CancellationToken) {
        tokio::join!(
            self.sessions.keep(stop.clone()),
            self.own.keep(stop.clone()),
            Box::pin(self.keep_listening(stop))
        );
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        let (pool, figures) = self.sessions.figures();
        let addresses = self.sessions.addresses().iter().zip(figures);
        let addresses = addresses.map(|(address, pool)| AddressFigures {
            url: shown(&address.url),
            pool,
        });
        Figures {
            pool,
            own: self.own.len(),
            addresses: addresses.collect(),
        }
    }
}

/// An address as it may be shown and logged: without name, password, query and fragment, since that
/// is where secrets stand.
fn shown(url: &Url) -> String {
    let scheme = &url[..Position::BeforeUsername];
    format!(
        "{scheme}{}",
        &url[Position::BeforeHost..Position::AfterPath]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        for (url, text) in [
            ("http://ha:8123/api/mcp", "http://ha:8123/api/mcp"),
            (
                "https://user:secret@ha/mcp?key=secret#secret",
                "https://ha/mcp",
            ),
            ("http://secret@[::1]:81/", "http://[::1]:81/"),
        ] {
            assert_eq!(shown(&url.parse().unwrap()), text);
        }
    }
}
