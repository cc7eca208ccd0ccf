//! HTTP in front of the dispatcher: bytes become calls, answers become bytes. It decides nothing.

mod address_token;
mod admin;
mod admission;
mod approvals;
mod asked;
mod body;
mod cors;
mod health;
mod ingress;
mod mcp;
mod messages;
mod network;
mod operations;
mod outlet;
mod reply;
mod rest;
mod router;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::access::{Access, Admin};
use crate::dispatch::Dispatcher;
use crate::homeassistant::HomeAssistant;
pub use ingress::{Guard, Person};
pub use network::Peer;
pub use router::{admin, lan, without_tls};

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
}

/// What every request needs.
#[derive(Debug)]
pub struct Bridge {
    settings: Settings,
    access: Arc<Access>,
    admin: Admin,
    dispatcher: Arc<Dispatcher>,
    way: &'static str,
    home_assistant: Option<Arc<HomeAssistant>>,
    started: Instant,
    draining: AtomicBool,
    asked: Arc<asked::Asked>,
}

impl Bridge {
    /// Puts the parts together; `way` is how the upstream was found, for the status, and
    /// `home_assistant` what it is a part of, if that is known.
    pub fn new(
        settings: Settings,
        access: Arc<Access>,
        admin: Admin,
        dispatcher: Arc<Dispatcher>,
        way: &'static str,
        home_assistant: Option<Arc<HomeAssistant>>,
    ) -> Self {
        let (started, draining) = (Instant::now(), AtomicBool::new(false));
        Self {
            settings,
            access,
            admin,
            dispatcher,
            way,
            home_assistant,
            started,
            draining,
            asked: Arc::default(),
        }
    }

    /// Says that the bridge is about to stop: readiness goes down before anything else happens.
    pub fn announce_stop(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
