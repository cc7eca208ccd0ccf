//! The client of a call, as far as the upstream reaches it while the call runs.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use crate::protocol::json::RawJson;
use crate::protocol::message::{Notification, Request, Response};

/// A client's answer to a question of the server, when it comes; nothing if the client has left.
pub type Reply<'a> = Pin<Box<dyn Future<Output = Option<Response>> + Send + 'a>>;

/// What an MCP server may say to the client of a call besides the answer. Every transport towards
/// clients implements it once; upstreams and the queue speak into it.
pub trait Downstream: Debug + Send + Sync {
    /// What the client can be asked for: its `capabilities`, as it declared them. Nothing if it
    /// cannot be asked at all, because nothing would bring its answer back.
    fn capabilities(&self) -> Option<&RawJson>;

    /// The client's session, where the revision has them and one was opened.
    fn session(&self) -> Option<&str>;

    /// Passes a notification on. It is a hint: a client that reads too slowly misses some.
    fn notify(&self, notification: Notification);

    /// Passes a request of the server on, under an id of the bridge, and waits for its answer. To
    /// drop the future is to take the request back.
    fn ask(&self, request: Request) -> Reply<'_>;
}
