//! Home Assistant as more than an MCP server: where it is, how it is, what it knows.

mod care;
mod errands;
mod hints;
pub mod knowledge;
mod locate;
mod logbook;
mod notices;
mod options;
mod own_app;
mod setup;
mod survey;
mod websocket;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use secrecy::SecretString;
use serde_json::json;
use tokio::time::Instant;

use crate::upstream::http_client::{self, HttpClient};
use crate::upstream::{Description, Insight, Meant, Presence, Thing, Told, Trouble};
use errands::Errands;
pub use hints::Hint;
use hints::hints;
pub use knowledge::Report;
use knowledge::{Entry, Knowledge};
pub use locate::{Address, LocateError, Located, Supervisor, Way, Wish, locate};
use options::Options;
pub use own_app::{OwnApp, Place};
use setup::Setup;
use websocket::Listener;

/// What the bridge does with Home Assistant beyond calling its MCP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether to listen to its events.
    pub events: bool,
    /// Whether clients are told of its exposed entities one by one.
    pub resources: bool,
    /// How it is looked after.
    pub care: Care,
}

/// What the bridge may do in Home Assistant by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Care {
    /// Add the MCP server if there is none.
    pub auto_setup: bool,
    /// Show a notice there when a person must see to something.
    pub notify: bool,
}

/// The Home Assistant behind the upstream.
#[derive(Debug)]
pub struct HomeAssistant {
    websocket: websocket::Address,
    knowledge: Mutex<Knowledge>,
    errands: Errands,
    setup: Setup,
    care: Care,
    tells_of_things: bool,
    /// How the MCP server is set, and of which edition of its entry that was read.
    options: Mutex<Option<(Entry, Option<Options>)>>,
    /// Whether the MCP endpoint is the one that the integration adds.
    needs_integration: bool,
}

impl HomeAssistant {
    /// The Home Assistant at this place; nothing if there is none, or if nobody wants to know.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn at(
        located: &Located,
        settings: Settings,
        http: &http_client::Settings,
    ) -> Result<Option<Arc<Self>>, Trouble> {
        let token: Option<SecretString> = located.token.clone();
        let flows = located.beside("/api/config/config_entries/flow");
        let (Some(url), Some(flows), Some(token), true) =
            (located.websocket(), flows, token, settings.events)
        else {
            return Ok(None);
        };
        let client = HttpClient::for_upgrades(http)?;
        let setup = Setup {
            client: client.clone(),
            flows,
            token: token.clone(),
        };
        Ok(Some(Arc::new(Self {
            setup,
            care: settings.care,
            tells_of_things: settings.resources,
            options: Mutex::default(),
            needs_integration: located.needs_integration(),
            websocket: websocket::Address { client, url, token },
            knowledge: Mutex::new(Knowledge::new(Instant::now().into_std())),
            errands: Errands::default(),
        })))
    }

    /// Listens to its events until it is dropped. A long-lived task. `tell` is told of everything
    /// that happens, in its order; it must not take long.
    pub async fn listen(&self, tell: impl Fn(Report)) {
        Listener::new(&self.websocket, &self.knowledge, &self.errands, tell)
            .run()
            .await;
    }

    /// Nobody listens any more, so that from now on nothing is known: what it still answers is
    /// believed.
    pub fn forget(&self) {
        *self.knowledge() = Knowledge::new(Instant::now().into_std());
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        let known = self.knowledge().figures(Instant::now().into_std());
        let hints = self.hints();
        Figures { known, hints }
    }

    /// How it is, in short.
    pub fn condition(&self) -> Condition {
        self.knowledge().condition()
    }

    fn knowledge(&self) -> MutexGuard<'_, Knowledge> {
        self.knowledge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Insight for HomeAssistant {
    fn presence(&self) -> Presence {
        self.knowledge().presence()
    }

    fn is_heard_again(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            // Once its websocket is closed, nothing comes any more, whatever it still answers.
            match self.presence() {
                Presence::Unknown => true,
                Presence::Running => self.errands.run("ping", json!({})).await.is_ok(),
                Presence::Starting | Presence::Stopping | Presence::Gone => false,
            }
        })
    }

    fn meant(&self, description: &Description) -> Meant {
        self.knowledge().meant(description)
    }

    fn tells_of_things(&self) -> bool {
        self.tells_of_things
    }

    fn things_after(&self, after: Option<&str>, most: usize) -> Vec<Thing> {
        if !self.tells_of_things {
            return Vec::new();
        }
        self.knowledge().things_after(after, most)
    }

    fn told(&self, id: &str) -> Option<Told> {
        if !self.tells_of_things {
            return None;
        }
        self.knowledge().told(Instant::now().into_std(), id)
    }
}

/// How Home Assistant is.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Whether it is there.
    pub presence: Presence,
    /// Since when that has been so.
    pub since: std::time::Instant,
    /// Its version, as it last said.
    pub version: Option<String>,
    /// Whether it is known that it has no MCP server.
    pub mcp_server_missing: bool,
}

/// What is known of Home Assistant, for the status.
#[derive(Debug, serde::Serialize)]
pub struct Figures {
    #[serde(flatten)]
    known: knowledge::Figures,
    /// What a person may have meant otherwise.
    hints: Vec<Hint>,
}

impl Figures {
    /// How it is.
    pub const fn state(&self) -> Presence {
        self.known.core.state
    }

    /// Whether there is a connection to it.
    pub fn is_connected(&self) -> bool {
        self.known.core.trouble.is_none() && self.known.core.state != Presence::Unknown
    }

    /// Events that came, ever.
    pub const fn events(&self) -> u64 {
        self.known.events
    }
}
