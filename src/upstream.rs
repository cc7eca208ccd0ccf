//! An MCP server behind the bridge: reaches it, greets it, remembers how it is.

pub mod http_client;
mod streamable_http;
mod trouble;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use secrecy::SecretString;
use tokio::time::Instant;
use url::Url;

use crate::protocol::capabilities::Introduction;
use crate::protocol::message::{Request, Response};
use http_client::HttpClient;
use streamable_http::{Session, StreamableHttp};
pub use trouble::Trouble;

/// How an upstream is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address of its MCP endpoint.
    pub url: Url,
    /// The bearer token to show, if it wants one.
    pub token: Option<SecretString>,
    /// Bytes of an answer; larger ones are refused.
    pub max_answer: usize,
    /// Time limits and trust.
    pub http: http_client::Settings,
}

/// One MCP server.
#[derive(Debug)]
pub struct Upstream {
    transport: StreamableHttp,
    acquaintance: ArcSwapOption<Acquaintance>,
    /// One greeting at a time; those who come meanwhile wait for it and use its outcome.
    greeting: tokio::sync::Mutex<()>,
    health: Mutex<Health>,
}

/// What is known since the last greeting.
#[derive(Debug)]
struct Acquaintance {
    session: Session,
    introduction: Arc<Introduction>,
    /// False once the connection was lost: the server may be another one, or have forgotten us.
    current: bool,
}

/// How the upstream was when it was last used, for the status.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The last answer of any kind.
    pub last_answer: Option<Instant>,
    /// The last trouble, and when; gone after the next answer.
    pub trouble: Option<(Trouble, Instant)>,
}

impl Upstream {
    /// An upstream that was not yet spoken to.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(settings: Settings) -> Result<Self, Trouble> {
        let client = HttpClient::new(&settings.http)?;
        Ok(Self {
            transport: StreamableHttp::new(
                client,
                settings.url,
                settings.token,
                settings.max_answer,
            ),
            acquaintance: ArcSwapOption::empty(),
            greeting: tokio::sync::Mutex::new(()),
            health: Mutex::new(Health::default()),
        })
    }

    /// Its address.
    pub const fn url(&self) -> &Url {
        self.transport.url()
    }

    /// How it was when it was last used.
    pub fn health(&self) -> Health {
        self.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What it said about itself. Asked for once, then from memory, also while it is away; nothing
    /// if it could not be asked within `patience`.
    pub async fn introduction(&self, patience: Duration) -> Option<Arc<Introduction>> {
        if let Some(known) = self.acquaintance.load_full() {
            return Some(known.introduction.clone());
        }
        let known = tokio::time::timeout(patience, self.acquainted()).await;
        known.ok()?.ok().map(|known| known.introduction.clone())
    }

    /// Sends a request and waits for its answer. Never sends it twice, but for one case: a server
    /// that has forgotten the session (404) has not looked at the request, so it gets it once more
    /// in a new session.
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
        let known = self.acquainted_by(deadline).await?;
        let answer = self.transport.call(request, &known.session).await;
        let has_session = known.session.id.is_some();
        let answer = match answer {
            Err(Trouble::Status { status: 404, .. }) if has_session => {
                self.forget(&known);
                let known = self.acquainted_by(deadline).await?;
                self.transport.call(request, &known.session).await
            }
            other => other,
        };
        if matches!(
            answer,
            Err(Trouble::Connect(_) | Trouble::Lost(_) | Trouble::Truncated(_))
        ) {
            self.forget(&known);
        }
        self.remember(&answer);
        answer
    }

    async fn acquainted_by(&self, deadline: Instant) -> Result<Arc<Acquaintance>, Trouble> {
        let late = |_| Trouble::Greeting(Trouble::Timeout.into());
        tokio::time::timeout_at(deadline, self.acquainted())
            .await
            .map_err(late)?
    }

    async fn acquainted(&self) -> Result<Arc<Acquaintance>, Trouble> {
        let current = || self.acquaintance.load_full().filter(|known| known.current);
        if let Some(known) = current() {
            return Ok(known);
        }
        let _greeting = self.greeting.lock().await;
        if let Some(known) = current() {
            return Ok(known);
        }
        let greeted = self.transport.greet().await;
        self.remember(&greeted);
        let (session, result) = greeted.map_err(|trouble| Trouble::Greeting(trouble.into()))?;
        let introduction = Introduction::of_result(&result).ok_or_else(|| {
            Trouble::Greeting(Trouble::NotAnAnswer("its introduction is incomplete".into()).into())
        })?;
        let known = Arc::new(Acquaintance {
            session,
            introduction: Arc::new(introduction),
            current: true,
        });
        self.acquaintance.store(Some(known.clone()));
        Ok(known)
    }

    /// Greets again before the next request, unless somebody else has already.
    fn forget(&self, known: &Arc<Acquaintance>) {
        if self
            .acquaintance
            .load()
            .as_ref()
            .is_none_or(|latest| !Arc::ptr_eq(latest, known))
        {
            return;
        }
        self.acquaintance.store(Some(Arc::new(Acquaintance {
            session: known.session.clone(),
            introduction: known.introduction.clone(),
            current: false,
        })));
    }

    fn remember<T>(&self, outcome: &Result<T, Trouble>) {
        let now = Instant::now();
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(_) => {
                *health = Health {
                    last_answer: Some(now),
                    trouble: None,
                }
            }
            Err(trouble) => health.trouble = Some((trouble.clone(), now)),
        }
    }
}
