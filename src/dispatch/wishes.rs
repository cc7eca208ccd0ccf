//! What a request may wish for itself: urgency, patience, a key against repetition.

use std::time::Duration;

use crate::error::{Code, Failure};
use crate::protocol::json::Members;
use crate::protocol::message::Request;
use crate::protocol::priority::Priority;

/// Keys of `_meta` for clients that cannot send headers.
const META_PRIORITY: &str = "mcp-bridge/priority";
const META_TIMEOUT: &str = "mcp-bridge/timeout";
const META_KEY: &str = "mcp-bridge/idempotencyKey";
/// Longer than any sensible key; keeps the memory of kept ones bounded.
const MAX_KEY: usize = 255;

/// Headers that carry wishes, as received.
#[derive(Debug, Clone, Copy, Default)]
pub struct WishHeaders<'a> {
    /// `Priority` (RFC 9218).
    pub priority: Option<&'a str>,
    /// `X-Request-Timeout`: seconds, or a number with a unit.
    pub timeout: Option<&'a str>,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
}

/// What a request wishes for. Headers count more than `_meta`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// How urgent it is; never more than its client may be.
    pub priority: Option<Priority>,
    /// How long it may take; never more than its client may.
    pub timeout: Option<Duration>,
    /// What makes a repetition of it known.
    pub idempotency_key: Option<String>,
}

impl Wishes {
    /// The wishes of a request.
    ///
    /// # Errors
    /// [`Code::InvalidParams`] for a timeout or a key that cannot be understood. A strange priority
    /// is passed over, as RFC 9218 wants it.
    pub fn of(request: &Request, headers: WishHeaders<'_>) -> Result<Self, Failure> {
        let params = request.param_members();
        let meta = params
            .get("_meta")
            .and_then(|text| Members::parse(text.as_bytes()).ok());
        let meta = meta.unwrap_or_else(Members::empty);
        let priority = match headers.priority {
            Some(header) => Priority::of_header(header),
            None => meta
                .get(META_PRIORITY)
                .and_then(|text| serde_json::from_str(text).ok()),
        };
        let timeout = headers
            .timeout
            .or_else(|| meta.get(META_TIMEOUT))
            .map(|text| {
                let wrong = || format!("{text} is no time-out; write it like 20s, 500ms or 20");
                duration(text.trim().trim_matches('"')).ok_or_else(wrong)
            });
        let timeout = timeout
            .transpose()
            .map_err(|why| Failure::with(Code::InvalidParams, why))?;
        let key = headers
            .idempotency_key
            .map(|key| key.trim().trim_matches('"').to_owned());
        let key = key.or_else(|| meta.get_str(META_KEY).map(std::borrow::Cow::into_owned));
        if key
            .as_ref()
            .is_some_and(|key| key.is_empty() || key.len() > MAX_KEY)
        {
            let why = format_args!("an idempotency key has 1 to {MAX_KEY} bytes");
            return Err(Failure::with(Code::InvalidParams, why));
        }
        Ok(Self {
            priority,
            timeout,
            idempotency_key: key,
        })
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit.trim() {
        "" | "s" => number.checked_mul(1000)?,
        "ms" => number,
        _ => return None,
    };
    (millis > 0).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::RawJson;
    use crate::protocol::message::Id;
    use serde_json::json;

    fn wishes(meta: serde_json::Value, headers: WishHeaders<'_>) -> Result<Wishes, Failure> {
        let params = RawJson::of(&json!({"_meta": meta}));
        Wishes::of(
            &Request::new(Id::number(1), "tools/call", Some(params)),
            headers,
        )
    }

    #[test]
    fn a_client_that_cannot_send_headers_wishes_in_the_metadata() {
        let meta = json!({
            META_PRIORITY: "background", META_TIMEOUT: "500ms", META_KEY: "k", "other": {"x": 1},
        });
        let expected = Wishes {
            priority: Some(Priority::Background),
            timeout: Some(Duration::from_millis(500)),
            idempotency_key: Some("k".to_owned()),
        };
        assert_eq!(
            wishes(meta.clone(), WishHeaders::default()).unwrap(),
            expected
        );
        let headers = WishHeaders {
            timeout: Some("7"),
            ..WishHeaders::default()
        };
        assert_eq!(
            wishes(meta, headers).unwrap().timeout,
            Some(Duration::from_secs(7))
        );
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for timeout in ["", "soon", "-1", "0", "5h", "99999999999999999999"] {
            let headers = WishHeaders {
                timeout: Some(timeout),
                ..WishHeaders::default()
            };
            assert!(wishes(json!({}), headers).is_err(), "{timeout}");
        }
        let long = "x".repeat(256);
        for key in ["", " ", &long] {
            let headers = WishHeaders {
                idempotency_key: Some(key),
                ..WishHeaders::default()
            };
            assert!(wishes(json!({}), headers).is_err());
        }
    }
}
