//! What every request shows at the door: where it comes from, and its token.

use std::sync::Arc;

use axum::extract::Request;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};

use super::Bridge;
use crate::access::Client;
use crate::error::Failure;

/// Checks source and token of a request.
///
/// # Errors
/// The codes of [`crate::access::Access::check_source`] and [`crate::access::Access::identify`].
pub(super) fn admit(bridge: &Bridge, request: &Request) -> Result<Arc<Client>, Failure> {
    check_source(bridge, request)?;
    let headers = request.headers();
    bridge.access.identify(
        text(headers, AUTHORIZATION.as_str()),
        text(headers, "x-api-key"),
    )
}

/// Checks the source alone.
///
/// # Errors
/// The codes of [`crate::access::Access::check_source`].
pub(super) fn check_source(bridge: &Bridge, request: &Request) -> Result<(), Failure> {
    // HTTP/2 has the host in its address instead of a header.
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let host = text(request.headers(), HOST.as_str()).or(authority);
    let origins: Vec<&str> = request
        .headers()
        .get_all(ORIGIN)
        .iter()
        .map(|o| o.to_str().unwrap_or("?"))
        .collect();
    bridge.access.check_source(host, &origins)
}

/// A header as text. What is there but unreadable is as wrong as it can be, not absent.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}
