//! A name for each request, by which both sides find it in their logs (`X-Request-Id`).

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The header.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ones are replaced.
const MAX_LENGTH: usize = 128;

/// The name of a request; an extension of it.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// Gives the request a name, unless its sender has given it one.
pub(super) fn give(request: &mut Request) -> RequestId {
    let id = given(request.headers()).map_or_else(made_up, Arc::from);
    request.extensions_mut().insert(RequestId(id.clone()));
    RequestId(id)
}

/// Tells the name of a request with its answer.
pub(super) fn tell(reply: &mut Response, RequestId(id): &RequestId) {
    if let Ok(value) = HeaderValue::from_str(id) {
        reply.headers_mut().insert(HEADER, value);
    }
}

/// The name that the sender has given it, if it is fit for logs.
fn given(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(HEADER)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
    ((1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(is_plain)).then_some(id)
}

fn made_up() -> Arc<str> {
    format!("{:016x}", rand::random::<u64>()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        given(&headers).is_some()
    }

    #[test]
    fn only_names_that_do_no_harm_in_a_log_are_kept() {
        assert!(kept("7b1d9a44-0000-4c6e-9f5e-2d1d7f0f6a11") && kept("Root=1-67891233-abc"));
        let long = "x".repeat(MAX_LENGTH + 1);
        for id in ["", "a b", "a\"b", "ü", "{}", &long] {
            assert!(!kept(id), "{id:?}");
        }
        assert_eq!(made_up().len(), 16);
        assert_ne!(made_up(), made_up());
    }
}
