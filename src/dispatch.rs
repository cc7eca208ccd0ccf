//! The way of a call from the door to the upstream and back.

mod local;
mod pipeline;
pub mod queue;
mod scheduler;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::message::Request;
use crate::protocol::revision::Revision;
pub use pipeline::Dispatcher;

/// Bounds of the dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a call may take, from its arrival to its answer.
    pub call_timeout: Duration,
    /// Bounds of the queue.
    pub queue: queue::Settings,
}

/// One request on its way through the bridge.
#[derive(Debug)]
pub struct Call {
    /// Who sent it.
    pub client: Arc<str>,
    /// What was sent.
    pub request: Request,
    /// In which revision the client speaks.
    pub revision: Revision,
    /// When it arrived.
    pub received: Instant,
}

/// Figures of the dispatcher, for the status.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Figures {
    /// Calls that were answered with a result, ever.
    pub answered: u64,
    /// Calls that were answered with an error of the upstream, ever.
    pub refused_by_upstream: u64,
    /// Calls that failed on the way, ever.
    pub failed: u64,
    /// The queue.
    pub queue: queue::Figures,
}
