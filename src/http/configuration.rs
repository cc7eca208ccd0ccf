//! The configuration while the bridge runs: what became of changes, and the wish to read it anew.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use super::admin::Operator;
use super::{Bridge, reply, status};
use crate::error::{Code, Failure};

/// What became of the configuration since the start, for the status.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Configuration {
    /// When what is in force was put in force.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// The keys that changed then; none at the start.
    pub changed: Vec<String>,
    /// Keys that have changed since the start and count after a restart only.
    pub restart_needed: Vec<String>,
    /// The latest attempt, if it was refused: then what was in force before still is.
    pub refused: Option<Refused>,
}

impl Configuration {
    /// As the bridge starts.
    pub fn at_start() -> Self {
        Self {
            since: Timestamp::now(),
            changed: Vec::new(),
            restart_needed: Vec::new(),
            refused: None,
        }
    }
}

/// A configuration that was not put in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refused {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Everything that is wrong in it, each with its place.
    pub faults: Vec<String>,
}

/// The configuration as those see it who do not follow it themselves.
#[derive(Debug, Clone)]
pub struct Reloading {
    state: watch::Receiver<Configuration>,
    wanted: mpsc::Sender<Wanted>,
}

/// Somebody wants the configuration read anew; answered when that is done.
pub type Wanted = oneshot::Sender<Configuration>;

impl Reloading {
    /// `state` tells what became of it, `wanted` reaches whoever follows it.
    pub const fn new(state: watch::Receiver<Configuration>, wanted: mpsc::Sender<Wanted>) -> Self {
        Self { state, wanted }
    }

    /// The state now.
    pub fn state(&self) -> Configuration {
        self.state.borrow().clone()
    }

    /// Reads all sources anew, and gives what became of it. Nothing while the bridge stops.
    pub async fn reload(&self) -> Option<Configuration> {
        let (done, outcome) = oneshot::channel();
        self.wanted.send(done).await.ok()?;
        outcome.await.ok()
    }
}

/// `POST /api/reload`; answers with the status.
pub(super) async fn reload(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
) -> Response {
    tracing::info!(by = %operator, "the configuration is to be read anew");
    let failure = match bridge.reloading.reload().await {
        Some(Configuration { refused: None, .. }) => return status::snapshot_for_operator(&bridge),
        Some(Configuration {
            refused: Some(refused),
            ..
        }) => Failure::with(Code::ConfigurationRefused, refused.faults.join("; ")),
        None => Failure::new(Code::ShuttingDown),
    };
    reply::problem(&failure)
}
