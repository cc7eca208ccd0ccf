//! Which trace a request belongs to (W3C Trace Context, <https://www.w3.org/TR/trace-context/>), as
//! it stands in HTTP headers and, for MCP, in `_meta` (SEP-414).

use std::fmt;
use std::sync::Arc;

use super::json::Members;
use super::message::Request;

/// Bytes of `tracestate` that are passed on; the specification asks for 512 at least.
const MAX_STATE: usize = 1024;

/// The place of a request in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace: u128,
    /// The span in which the request was made; never 0.
    pub span: u64,
    /// Whether the trace is recorded, in the lowest bit.
    pub flags: u8,
    /// What the systems on the way say about it, as it came.
    pub state: Option<Arc<str>>,
}

impl TraceContext {
    /// The context that these headers tell; nothing if they are not what the specification wants.
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let mut fields = parent.trim().split('-');
        let version = hex(fields.next()?, 2)?;
        let trace = hex(fields.next()?, 32)?;
        let span = u64::try_from(hex(fields.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(fields.next()?, 2)?).ok()?;
        // Later versions may add fields; this one has none, and 255 is none.
        let is_known = version != 0xff && (version != 0 || fields.next().is_none());
        let state = state.map(str::trim).filter(|state| {
            let is_text = state.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            !state.is_empty() && state.len() <= MAX_STATE && is_text
        });
        (is_known && trace != 0 && span != 0).then(|| Self {
            trace,
            span,
            flags,
            state: state.map(Arc::from),
        })
    }

    /// The context in a request's own `_meta`. It says more than the headers: several requests may
    /// share those.
    pub fn of_metadata(request: &Request) -> Option<Self> {
        let params = request.param_members();
        let meta = Members::parse(params.get("_meta")?.as_bytes()).ok()?;
        let parent = meta.get_str("traceparent")?;
        Self::parse(&parent, meta.get_str("tracestate").as_deref())
    }

    /// The same place in the trace, for what `span` asks of others.
    #[must_use]
    pub fn within(&self, span: u64) -> Self {
        Self {
            span,
            ..self.clone()
        }
    }
}

/// As the header `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace, span, flags, ..
        } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

/// A number of exactly so many digits, in lower case as the specification wants them.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(is_hex))
        .then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::RawJson;
    use crate::protocol::message::Id;
    use serde_json::json;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_was_read_is_written_the_same() {
        let context = TraceContext::parse(PARENT, Some("vendor=1")).unwrap();
        assert_eq!(context.to_string(), PARENT);
        assert_eq!(context.state.as_deref(), Some("vendor=1"));
        assert_eq!((context.span, context.flags), (0x00f0_67aa_0ba9_02b7, 1));
        let child = context.within(7).to_string();
        assert_eq!(
            child,
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01"
        );
    }

    #[test]
    fn what_is_no_context_is_none() {
        for parent in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
        ] {
            assert_eq!(TraceContext::parse(parent, None), None, "{parent}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(TraceContext::parse(later, None).is_some());
        let long = "x".repeat(MAX_STATE + 1);
        for state in ["", "a\nb", "ü", &long] {
            let context = TraceContext::parse(PARENT, Some(state)).unwrap();
            assert_eq!(context.state, None);
        }
    }

    #[test]
    fn a_request_carries_it_in_its_metadata() {
        let request = |meta| {
            let params = RawJson::of(&json!({"name": "x", "_meta": meta}));
            Request::new(Id::number(1), "tools/call", Some(params))
        };
        let found = TraceContext::of_metadata(&request(json!({"traceparent": PARENT}))).unwrap();
        assert_eq!(found.to_string(), PARENT);
        for meta in [json!({}), json!(5), json!({"traceparent": 7})] {
            assert_eq!(TraceContext::of_metadata(&request(meta)), None);
        }
    }
}
