//! Reads a body whole, within its bounds of size and time.

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::Settings;
use crate::error::{Code, Failure};

/// The body of a request with these headers.
///
/// # Errors
/// [`Code::UnsupportedMediaType`], [`Code::BodyTooLarge`] or [`Code::BodyTooSlow`].
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    settings: Settings,
) -> Result<Bytes, Failure> {
    let too_large = || {
        Failure::with(
            Code::BodyTooLarge,
            format_args!("at most {} bytes", settings.max_body),
        )
    };
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|n| n.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > settings.max_body) {
        linger(body, settings).await;
        return Err(too_large());
    }
    let collected = Limited::new(body, settings.max_body).collect();
    let bytes = match tokio::time::timeout(settings.body_timeout, collected).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(error)) => return Err(Failure::with(Code::BodyTooSlow, error)),
        Err(_) => {
            let seconds = settings.body_timeout.as_secs_f64();
            return Err(Failure::with(
                Code::BodyTooSlow,
                format_args!("not there after {seconds} s"),
            ));
        }
    };
    if !bytes.is_empty() {
        check_type(headers)?;
    }
    Ok(bytes)
}

/// Reads a little of what is refused: a connection that is closed on a client in mid-sentence is
/// reset, and the client never sees the answer.
async fn linger(body: Body, settings: Settings) {
    let rest = Limited::new(body, settings.max_body.saturating_mul(2)).collect();
    drop(tokio::time::timeout(settings.body_timeout, rest).await);
}

fn check_type(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("?").trim())
    };
    let unsupported = |what: String| Err(Failure::with(Code::UnsupportedMediaType, what));
    match text(CONTENT_TYPE) {
        Some(kind) => {
            let essence = kind.split(';').next().unwrap_or_default().trim();
            if !essence.eq_ignore_ascii_case("application/json") {
                return unsupported(format!("it is {essence:?}"));
            }
        }
        None => return unsupported("there is none".to_owned()),
    }
    match text(CONTENT_ENCODING) {
        None | Some("identity") => Ok(()),
        Some(encoding) => unsupported(format!(
            "the body is encoded as {encoding:?}, send it plain"
        )),
    }
}
