//! The gate of the admin listener: only operators get through, and only with changes of their own.
//!
//! Under the Supervisor, Home Assistant's ingress has let people in, and the listener takes its
//! connections alone. Everywhere else, also on the same machine, the admin token is needed: with each
//! request of a program, once in a browser, which gets a cookie for it.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, COOKIE as COOKIE_HEADER};
use http::{HeaderMap, Method};

use super::changes::Change;
use crate::error::{Code, Failure};
use crate::http::{Bridge, Person, admission, network, reply};

/// The header that the page sends with every change. No foreign page can: a browser asks before it
/// sends a header of a page's own to another origin, and nobody here says yes.
const CHANGE_HEADER: &str = "x-mcp-bridge-page";
/// The cookie of a browser that is signed in.
pub(super) const COOKIE: &str = "mcp_bridge_session";

/// Who operates the bridge; an extension of each request that got through.
#[derive(Debug, Clone)]
pub(in crate::http) enum Operator {
    /// A person whom Home Assistant has let in.
    Person(Person),
    /// The holder of the admin token.
    Admin,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(person) => person.fmt(f),
            Self::Admin => f.write_str("admin"),
        }
    }
}

/// Lets operators through, and refuses changes that a foreign page may have made their browser send.
pub(super) async fn operators_only(
    State(bridge): State<Arc<Bridge>>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&bridge, &request) {
        Ok(operator) => {
            let change = Change::of(&request, &operator);
            request.extensions_mut().insert(operator);
            let reply = next.run(request).await;
            if let Some(change) = change {
                change.write_down(bridge.dispatcher.audit(), &reply);
            }
            reply
        }
        Err(failure) => reply::problem(&failure),
    }
}

/// Who sent the request.
///
/// # Errors
/// [`Code::AdminTokenMissing`], [`Code::ChangeRefused`], and those of
/// [`crate::access::Access::check_source`] and [`crate::access::Admin::check_token`].
pub(super) fn admit(bridge: &Bridge, request: &Request) -> Result<Operator, Failure> {
    let headers = request.headers();
    if let Some(person) = request.extensions().get::<Person>() {
        let host = admission::text(headers, "x-forwarded-host");
        let host = host.or_else(|| admission::host(request));
        let access = &bridge.access;
        access.check_proxied(host, &admission::origins(request))?;
        check_change(request)?;
        return Ok(Operator::Person(person.clone()));
    }
    admission::check_source(bridge, request)?;
    if let Some(token) = token(headers) {
        bridge.admin.check_token(token, network::sender(request)?)?;
        return Ok(Operator::Admin);
    }
    if !cookies(headers, COOKIE).any(|key| bridge.admin.is_signed_in(key)) {
        return Err(Failure::new(Code::AdminTokenMissing));
    }
    check_change(request)?;
    Ok(Operator::Admin)
}

/// The values of all cookies of that name: a browser sends those of longer paths, too.
pub(super) fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(COOKIE_HEADER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(move |pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then_some(value)
        })
}

/// What a browser sends by itself must carry the page's own header to change anything.
fn check_change(request: &Request) -> Result<(), Failure> {
    if changes(request.method()) && !request.headers().contains_key(CHANGE_HEADER) {
        return Err(Failure::new(Code::ChangeRefused));
    }
    Ok(())
}

/// Whether a request of this method changes something.
pub(super) const fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// The token of a program.
fn token(headers: &HeaderMap) -> Option<&str> {
    let Some(text) = admission::text(headers, AUTHORIZATION.as_str()) else {
        return admission::text(headers, "x-api-key");
    };
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token),
        _ => Some(text),
    }
}
