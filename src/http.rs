//! HTTP in front of the dispatcher: bytes become calls, answers become bytes. It decides nothing.

mod address_token;
mod admin;
mod admission;
mod approvals;
mod asked;
mod body;
mod configuration;
mod connection;
mod conversation;
mod cors;
mod door;
mod events;
mod health;
mod ingress;
mod legacy_sse;
mod listen;
mod mcp;
mod messages;
mod metrics;
mod network;
mod operations;
mod outbox;
mod outlet;
mod reply;
mod request_id;
mod rest;
mod router;
mod session;
mod status;
mod streams;
mod websocket;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Admin};
use crate::dispatch::Dispatcher;
use crate::error::Failure;
use crate::homeassistant::{HomeAssistant, OwnApp};
pub use admin::InForce;
pub use configuration::{Configuration, Refused, Reloading, Wanted};
pub use ingress::{Guard, Person};
pub use network::Peer;
pub use router::{Routes, admin, for_metrics, lan, without_tls};
pub use session::LegacySessions;
pub use websocket::Place;

/// Bounds of what is read from clients.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Bytes of a body.
    pub max_body: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// Levels of nesting in a body.
    pub max_depth: usize,
    /// Messages in a batch.
    pub max_batch: usize,
    /// Which legacy clients over Streamable HTTP have sessions.
    pub legacy_sessions: LegacySessions,
    /// Whether `/metrics` wants a token.
    pub metrics_need_token: bool,
    /// Whether `/metrics` has a listener of its own.
    pub metrics_apart: bool,
}

/// The listener for clients, as they see it.
#[derive(Debug, Clone, Copy)]
pub struct Lan {
    /// Its address.
    pub address: SocketAddr,
    /// Whether TLS is spoken there.
    pub tls: bool,
}

/// What a bridge is put together from.
pub struct Parts {
    /// What can change while the bridge runs.
    pub current: Current,
    /// The guard of the listener for clients.
    pub access: Arc<Access>,
    /// The guard of the listener for operators.
    pub admin: Arc<Admin>,
    /// The way of a call.
    pub dispatcher: Arc<Dispatcher>,
    /// What becomes of the configuration while the bridge runs.
    pub reloading: Reloading,
    /// Where clients reach the bridge, for the status.
    pub lan: Lan,
    /// What the Supervisor knows of the bridge, and does for it, where there is one.
    pub own_app: Option<OwnApp>,
    /// The data folder, in which the audit is.
    pub data: PathBuf,
    /// Signs session ids.
    pub secret: [u8; 32],
}

/// What can change while the bridge runs.
#[derive(Debug)]
pub struct Current {
    /// The settings in force, for the status.
    pub in_force: Vec<InForce>,
    /// Bounds of what is read from clients.
    pub settings: Settings,
    /// How the upstream is reached, in one word.
    pub way: &'static str,
    /// The Home Assistant that it is a part of, if its events are listened to.
    pub home_assistant: Option<Arc<HomeAssistant>>,
}

/// What every request needs.
#[derive(Debug)]
pub struct Bridge {
    current: ArcSwap<Current>,
    access: Arc<Access>,
    admin: Arc<Admin>,
    dispatcher: Arc<Dispatcher>,
    lan: Lan,
    reloading: Reloading,
    own_app: Option<OwnApp>,
    data: PathBuf,
    started: Instant,
    stopping: CancellationToken,
    asked: Arc<asked::Asked>,
    sessions: session::Sessions,
    streams: Arc<streams::Streams>,
    connections: legacy_sse::Connections,
    drained: CancellationToken,
    watched: events::Streams,
}

impl Bridge {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            current,
            access,
            admin,
            dispatcher,
            reloading,
            lan,
            own_app,
            data,
            secret,
        } = parts;
        let (started, stopping) = (Instant::now(), CancellationToken::new());
        Self {
            current: ArcSwap::from_pointee(current),
            access,
            admin,
            dispatcher,
            reloading,
            lan,
            own_app,
            data,
            started,
            stopping,
            asked: Arc::default(),
            sessions: session::Sessions::new(&secret),
            streams: Arc::default(),
            connections: legacy_sse::Connections::default(),
            drained: CancellationToken::new(),
            watched: events::Streams::default(),
        }
    }

    /// Other settings, and another upstream to tell about, from now on.
    pub fn configure(&self, current: Current) {
        self.current.store(Arc::new(current));
    }

    fn settings(&self) -> Settings {
        self.current.load().settings
    }

    fn way(&self) -> &'static str {
        self.current.load().way
    }

    fn home_assistant(&self) -> Option<Arc<HomeAssistant>> {
        self.current.load().home_assistant.clone()
    }

    /// Says that the bridge is about to stop: readiness goes down before anything else happens, and
    /// streams without an end of their own end.
    pub fn announce_stop(&self) {
        self.stopping.cancel();
    }

    /// Says that all calls are over: connections that carry everything end now.
    pub fn announce_end(&self) {
        self.drained.cancel();
    }

    /// Whether legacy clients over Streamable HTTP have sessions now.
    fn has_sessions(&self) -> bool {
        self.settings().legacy_sessions == LegacySessions::Always
            || self.dispatcher.upstream().has_sessions()
    }

    /// How the bridge is, in one word.
    fn state(&self) -> &'static str {
        if self.is_draining() {
            "stopping"
        } else {
            "running"
        }
    }

    /// Counts a failure of what became no call.
    fn count(&self, client: Option<&str>, failure: &Failure) {
        let entry = failure.code.entry();
        let meters = self.dispatcher.meters();
        meters.failure(client, entry.kind.name(), entry.name);
    }

    fn is_draining(&self) -> bool {
        self.stopping.is_cancelled()
    }
}
