//! An MCP server behind the bridge: reaches it, greets it, remembers how it is.
//!
//! ```text
//! Upstream            one call: which session, once more or not
//!   sessions          the pool at work: tasks, waiting, time
//!     pool            which session a call takes, when one is checked, closed, replaced; sans-IO
//!   streamable_http   one address: the messages of a session as POST and DELETE
//!     http_client     connections
//!   acquaintance      what is remembered while it is away
//! ```

mod acquaintance;
mod downstream;
pub mod http_client;
pub mod pool;
mod sessions;
mod streamable_http;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use url::{Position, Url};

use crate::protocol::capabilities::Introduction;
use crate::protocol::message::{Request, Response};
pub use acquaintance::Health;
pub use downstream::{Downstream, Reply};
use http_client::HttpClient;
use sessions::Sessions;
use streamable_http::StreamableHttp;
pub use trouble::Trouble;

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
}

/// One MCP server, or several that are the same.
#[derive(Debug)]
pub struct Upstream {
    url: Url,
    sessions: Arc<Sessions>,
}

/// Figures of an upstream, for the status.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Figures {
    /// Its sessions, or what stands in their place where the server has none.
    #[serde(flatten)]
    pub pool: pool::Figures,
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
        let address = |url| {
            let token = settings.token.clone();
            StreamableHttp::new(client.clone(), url, token, settings.max_answer)
        };
        let addresses = urls.into_iter().map(address).collect();
        Ok(Self {
            url: settings.url,
            sessions: Sessions::new(settings.pool, addresses),
        })
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
        let mut tried = Vec::new();
        let _ = tokio::time::timeout(patience, self.sessions.lease(&mut tried)).await;
        acquaintance.introduction()
    }

    /// Sends a request and waits for its answer. Never sends it twice, but for one case: a server
    /// that has forgotten the session (404) has not looked at the request, so it gets it once more
    /// in a new session. Where no connection can be made nothing was sent, so the next address is
    /// tried.
    ///
    /// Nothing is sent after `deadline`, when nobody waits for it any more; what has been sent may
    /// take longer.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn exchange(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, Trouble> {
        let answer = self.send(request, deadline).await;
        self.sessions.acquaintance().remember(&answer);
        answer
    }

    async fn send(&self, request: &Request, deadline: Instant) -> Result<Response, Trouble> {
        let late = || Trouble::Greeting(Trouble::Timeout.into());
        let mut tried = Vec::new();
        let mut was_forgotten = false;
        loop {
            let lease = timeout_at(deadline, self.sessions.lease(&mut tried)).await;
            let mut lease = lease.map_err(|_| late())??;
            if Instant::now() >= deadline {
                return Err(late());
            }
            let answer = lease.call(request).await;
            if lease.is_forgotten() && !was_forgotten {
                was_forgotten = true;
                continue;
            }
            if matches!(answer, Err(Trouble::Connect(_) | Trouble::Tls(_))) {
                tried.push(lease.address());
                if tried.len() < self.sessions.addresses().len() {
                    continue;
                }
            }
            return answer;
        }
    }

    /// Keeps its sessions in order until told to stop, and closes them then. A long-lived task;
    /// calls find their way without it, but nothing is checked, nothing grows, and nothing is
    /// closed.
    pub async fn keep(&self, stop: CancellationToken) {
        self.sessions.keep(stop).await;
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        let (pool, figures) = self.sessions.figures();
        let addresses = self.sessions.addresses().iter().zip(figures);
        let addresses = addresses.map(|(address, pool)| AddressFigures {
            url: shown(address.url()),
            pool,
        });
        Figures {
            pool,
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
