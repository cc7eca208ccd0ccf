//! Who it is: from the token that a request shows to the client that holds it.

use std::sync::Arc;

use jiff::Timestamp;

use super::certificate::Certificate;
use super::client::{Client, Credential};
use super::token::{Token, TokenHash};
use crate::error::{Code, Failure};

/// The places of a request in which a token may stand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// `Authorization: Bearer`.
    pub authorization: Option<&'a str>,
    /// `X-API-Key`.
    pub api_key: Option<&'a str>,
    /// `Sec-WebSocket-Protocol: bearer.`, for web pages, which cannot send headers of their own
    /// with a WebSocket.
    pub subprotocol: Option<&'a str>,
    /// `/c/TOKEN/`, for clients that cannot send headers, and which allow it for themselves.
    pub address: Option<&'a str>,
    /// The certificate that the connection has shown. A token goes first.
    pub certificate: Option<&'a Certificate>,
}

impl<'a> Credentials<'a> {
    /// The one that counts; an `Authorization` of another kind is somebody else's, if there is
    /// another token.
    fn token(&self) -> Result<Option<&'a str>, Failure> {
        let bearer = self.authorization.map(bearer).transpose();
        let others = [self.api_key, self.subprotocol, self.address];
        let other = others.into_iter().flatten().next().map(str::trim);
        match (bearer, other) {
            (Ok(Some(Some(token))), _) | (_, Some(token)) => Ok(Some(token)),
            (Ok(_), None) => Ok(None),
            (Err(failure), None) => Err(failure),
        }
    }

    /// Whether the token stands nowhere but in the address.
    const fn is_in_address(&self) -> bool {
        self.authorization.is_none() && self.api_key.is_none() && self.subprotocol.is_none()
    }
}

/// The client that holds the token; nothing if there is no token.
///
/// # Errors
/// Which mistake it was, as a code of the catalogue. The token is never part of it.
pub(super) fn identify(
    clients: &[Arc<Client>],
    credentials: &Credentials<'_>,
) -> Result<Option<Arc<Client>>, Failure> {
    let Some(text) = credentials.token()? else {
        let shown = credentials.certificate;
        return shown.map(|shown| owner(clients, shown)).transpose();
    };
    let Some(token) = Token::parse(text) else {
        let code = if text.starts_with("eyJ") {
            Code::TokenOfHomeAssistant
        } else {
            Code::TokenMalformed
        };
        return Err(Failure::new(code));
    };
    let client = holder(clients, &token.hash()).map_err(Failure::new)?;
    if credentials.is_in_address() && !client.terms.path_token {
        return Err(Failure::new(Code::TokenInAddress));
    }
    Ok(Some(client.clone()))
}

fn holder<'a>(clients: &'a [Arc<Client>], hash: &TokenHash) -> Result<&'a Arc<Client>, Code> {
    // No early end: the time must not tell at which client it matched.
    let mut found = None;
    for client in clients {
        for kept in &client.tokens {
            if kept.sha256.matches(hash) {
                found = Some((client, kept));
            }
        }
    }
    let (client, kept) = found.ok_or(Code::TokenUnknown)?;
    if !client.is_active() {
        Err(Code::TokenRevoked)
    } else if kept.expires.is_some_and(|end| end <= Timestamp::now()) {
        Err(Code::TokenReplaced)
    } else if !client.enabled {
        Err(Code::ClientDisabled)
    } else {
        Ok(client)
    }
}

/// Who a client is now that came in earlier; nothing if none of its tokens and certificates opens any
/// more.
pub(super) fn renewed(clients: &[Arc<Client>], earlier: &Client) -> Option<Arc<Client>> {
    let is_same = |client: &&Arc<Client>| {
        client.name == earlier.name && client.created == earlier.created && client.is_active()
    };
    let client = clients.iter().find(is_same)?;
    let is_kept = |token: &Credential| {
        let is_over = token.expires.is_some_and(|end| end <= Timestamp::now());
        !is_over && earlier.tokens.iter().any(|old| old.sha256 == token.sha256)
    };
    let mut certificates = client.terms.certificates.iter();
    let opens = client.tokens.iter().any(is_kept)
        || certificates.any(|kept| earlier.terms.certificates.contains(kept));
    (client.enabled && opens).then(|| client.clone())
}

/// The client that a certificate stands for.
fn owner(clients: &[Arc<Client>], shown: &Certificate) -> Result<Arc<Client>, Failure> {
    let is_its = |client: &&Arc<Client>| {
        let mut certificates = client.terms.certificates.iter();
        client.is_active() && certificates.any(|id| shown.is(id))
    };
    match clients.iter().find(is_its) {
        Some(client) if client.enabled => Ok(client.clone()),
        Some(_) => Err(Failure::new(Code::ClientDisabled)),
        None => Err(Failure::new(Code::CertificateUnknown)),
    }
}

/// Whether this refusal means that somebody tried a token that opens nothing.
pub(super) const fn is_wrong_token(code: Code) -> bool {
    matches!(
        code,
        Code::TokenWithoutBearer
            | Code::TokenMalformed
            | Code::TokenOfHomeAssistant
            | Code::TokenUnknown
            | Code::TokenRevoked
            | Code::TokenReplaced
    )
}

/// The token behind `Bearer`, if there is one; the scheme's case does not matter (RFC 9110, section
/// 11.1).
fn bearer(authorization: &str) -> Result<Option<&str>, Failure> {
    let authorization = authorization.trim();
    match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        None if authorization.is_empty() || authorization.eq_ignore_ascii_case("bearer") => {
            Ok(None)
        }
        _ => Err(Failure::new(Code::TokenWithoutBearer)),
    }
}
