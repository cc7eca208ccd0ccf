//! From where a request comes: finds the sender behind proxies, and refuses strange networks.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;

use super::{Bridge, admission};
use crate::access::Certificate;
use crate::error::{Code, Failure};

/// Who is at the other end of the connection; an extension of each request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The certificate that it has shown.
    pub certificate: Option<Arc<Certificate>>,
}

/// Who sent the request, proxies left out; an extension of each request that was let through.
#[derive(Debug, Clone, Copy)]
struct Sender(IpAddr);

/// Lets requests through that come from where they may come from.
///
/// # Errors
/// [`Code::NetworkRefused`] and the like, for others.
pub(super) fn check(bridge: &Bridge, request: &mut Request) -> Result<(), Failure> {
    let sender = find(bridge, request)
        .inspect_err(|failure| admission::note_refused(bridge, request, failure))?;
    request.extensions_mut().insert(Sender(sender));
    Ok(())
}

fn find(bridge: &Bridge, request: &Request) -> Result<IpAddr, Failure> {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.ok_or_else(|| Failure::with(Code::NetworkRefused, "it is not known"))?;
    let forwarded = request.headers().get_all("x-forwarded-for").iter();
    // An address that cannot be read is nobody's.
    let forwarded: Vec<_> = forwarded.map(|hops| hops.to_str().unwrap_or("?")).collect();
    bridge.access.check_sender(peer.address, &forwarded)
}

/// Who sent a request that was let through.
///
/// # Errors
/// [`Code::NetworkRefused`] for one that never passed [`check`].
pub(super) fn sender(request: &Request) -> Result<IpAddr, Failure> {
    let sender = request.extensions().get::<Sender>();
    sender
        .map(|sender| sender.0)
        .ok_or_else(|| Failure::new(Code::NetworkRefused))
}
