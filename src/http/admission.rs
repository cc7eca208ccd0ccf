//! What every request shows at the door: where it comes from, and its token.

use std::sync::Arc;

use axum::extract::Request;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};

use super::address_token::AddressToken;
use super::{Bridge, Peer, network};
use crate::access::{Client, Credentials};
use crate::error::{Code, Failure};

/// Headers that decide how a message is understood.
const DECISIVE: [&str; 4] = [
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "idempotency-key",
];

/// As much of a program's name as anybody wants to read.
const MAX_PROGRAM: usize = 100;

/// Checks source, token and headers of a request, and notes who came or was refused.
///
/// # Errors
/// The codes of [`crate::access::Access::check_source`] and [`crate::access::Access::identify`],
/// and [`Code::HeaderMismatch`].
pub(super) fn admit(bridge: &Bridge, request: &Request) -> Result<Arc<Client>, Failure> {
    let admitted = identify(bridge, request);
    match &admitted {
        Ok(client) => {
            let journal = bridge.dispatcher.journal();
            journal.seen(&client.name.as_str().into(), program(request));
        }
        Err(failure) => note_refused(bridge, request, failure),
    }
    admitted
}

/// Notes that a request was not let in.
pub(super) fn note_refused(bridge: &Bridge, request: &Request, failure: &Failure) {
    let peer = request.extensions().get::<Peer>();
    let sender = network::sender(request).ok();
    let address = sender.or_else(|| peer.map(|peer| peer.address));
    let journal = bridge.dispatcher.journal();
    journal.refused(address, failure.code, program(request));
}

/// The program that sent a request, as it calls itself.
fn program(request: &Request) -> Option<&str> {
    let name = text(request.headers(), USER_AGENT.as_str())?;
    Some(&name[..name.floor_char_boundary(MAX_PROGRAM)])
}

fn identify(bridge: &Bridge, request: &Request) -> Result<Arc<Client>, Failure> {
    check_source(bridge, request)?;
    let headers = request.headers();
    for name in [AUTHORIZATION.as_str(), "x-api-key"] {
        agree(headers, name, Code::TokenMalformed)?;
    }
    let sender = network::sender(request)?;
    let client = bridge.access.identify(&credentials(request), sender)?;
    for name in DECISIVE {
        agree(headers, name, Code::HeaderMismatch)?;
    }
    Ok(client)
}

/// The places in which a token may stand.
fn credentials(request: &Request) -> Credentials<'_> {
    let headers = request.headers();
    let subprotocols = text(headers, SEC_WEBSOCKET_PROTOCOL.as_str()).unwrap_or_default();
    let address = request.extensions().get::<AddressToken>();
    let peer = request.extensions().get::<Peer>();
    Credentials {
        authorization: text(headers, AUTHORIZATION.as_str()),
        api_key: text(headers, "x-api-key"),
        subprotocol: subprotocols
            .split(',')
            .find_map(|name| name.trim().strip_prefix("bearer.")),
        address: address.map(|token| &*token.0),
        certificate: peer.and_then(|peer| peer.certificate.as_deref()),
    }
}

/// Refuses a header that is there more than once with different values: whoever looked at it
/// before, a proxy for example, may have taken another one than the bridge would.
fn agree(headers: &HeaderMap, name: &'static str, code: Code) -> Result<(), Failure> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.all(|value| Some(value) == first) {
        return Ok(());
    }
    let why = format_args!("the header `{name}` is there twice, with different values");
    Err(Failure::with(code, why))
}

/// Checks the source alone.
///
/// # Errors
/// The codes of [`crate::access::Access::check_source`].
pub(super) fn check_source(bridge: &Bridge, request: &Request) -> Result<(), Failure> {
    bridge.access.check_source(host(request), &origins(request))
}

/// Under which name the bridge was addressed. HTTP/2 has it in the address instead of a header.
pub(super) fn host(request: &Request) -> Option<&str> {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    text(request.headers(), HOST.as_str()).or(authority)
}

/// The origins that the browser names; one, if it is a browser.
pub(super) fn origins(request: &Request) -> Vec<&str> {
    let origins = request.headers().get_all(ORIGIN).iter();
    origins.map(|o| o.to_str().unwrap_or("?")).collect()
}

/// A header as text. What is there but unreadable is as wrong as it can be, not absent.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}
