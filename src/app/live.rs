//! The parts that take new settings while they run, and the one place that gives them any.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, watch};

use super::StartError;
use super::reach::{self, Reached};
use crate::access::{Access, Admin, Registry};
use crate::config::{self, Settings};
use crate::dispatch::Dispatcher;
use crate::homeassistant::{Located, Way};
use crate::http::{Bridge, Current};
use crate::telemetry::audit::Audit;
use crate::upstream::Upstream;
use crate::{server, telemetry};

/// The parts of a running bridge.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) access: Arc<Access>,
    pub(super) admin: Arc<Admin>,
    pub(super) registry: Registry,
    pub(super) bridge: Arc<Bridge>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) audit: Arc<Audit>,
    pub(super) reached: watch::Sender<Reached>,
    pub(super) server: watch::Sender<server::Settings>,
    pub(super) drain_timeout: ArcSwap<Duration>,
    /// Where the built-in house is, if it takes the place of Home Assistant.
    pub(super) demo: Option<Located>,
    /// What the upstream in force was made of.
    pub(super) wanted: Mutex<config::Upstream>,
}

impl Live {
    /// Puts settings in force. What can fail comes first, so that they are refused as a whole.
    ///
    /// # Errors
    /// When there is no upstream, or no admin token can be made; everything is as it was then.
    pub(super) async fn apply(&self, settings: Settings) -> Result<(), StartError> {
        // All of them are named here, so that a new one cannot be forgotten.
        let Settings {
            upstream,
            admin_token,
            server,
            drain_timeout,
            http,
            access,
            dispatch,
            telemetry,
            audit,
            in_force,
            // These are read at the start only: `config::AT_START`.
            tls: _,
            metrics_listen: _,
            listen: _,
            admin_listen: _,
            ingress_peer: _,
            data: _,
            demo: _,
        } = settings;
        let admin_token = Admin::choose(admin_token, &self.registry)?;
        let reached = self.reach(upstream).await?;
        self.admin.configure(admin_token, access.brake);
        self.server.send_replace(server);
        self.drain_timeout.store(Arc::new(drain_timeout));
        self.bridge.configure(Current {
            in_force,
            settings: http,
            way: reached.way.name(),
            home_assistant: reached.home_assistant,
        });
        self.access.configure(access);
        self.dispatcher.configure(&dispatch);
        self.audit.configure(audit);
        telemetry::set_levels(telemetry.levels);
        Ok(())
    }

    /// The upstream in force, and the way there.
    pub(super) fn reached(&self) -> (Arc<Upstream>, Way) {
        let reached = self.reached.borrow();
        (reached.upstream.clone(), reached.way)
    }

    /// Goes over to another upstream, if it is another one.
    async fn reach(&self, wanted: config::Upstream) -> Result<Reached, StartError> {
        let mut in_force = self.wanted.lock().await;
        if *in_force == wanted {
            return Ok(self.reached.borrow().clone());
        }
        let reached = match &self.demo {
            Some(house) => reach::at(house.clone(), &wanted)?,
            None => reach::find(&wanted).await?,
        };
        *in_force = wanted;
        self.dispatcher.replace_upstream(reached.upstream.clone());
        self.reached.send_replace(reached.clone());
        let (upstream, way) = (reached.upstream.address(), reached.way.name());
        tracing::info!(upstream, way, "the upstream was replaced");
        Ok(reached)
    }
}
