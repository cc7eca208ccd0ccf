//! The stages of a call as spans of a trace.
//!
//! Only built with the feature `otlp`, and only recorded where a collector is configured. Without
//! the feature a [`Span`] has no size, and nothing that is said to it is worked out.

#[cfg(feature = "otlp")]
mod otlp;

use std::fmt::Display;
use std::time::Duration;

use url::Url;

use crate::protocol::trace_context::TraceContext;
#[cfg(feature = "otlp")]
use otlp::Recording;

/// Whether this build can send traces anywhere.
pub const AVAILABLE: bool = cfg!(feature = "otlp");

/// Traces are not sent.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent: {0}")]
pub struct TraceError(String);

/// Sends what was recorded when it is dropped, which may take seconds.
#[derive(Debug)]
pub struct Traces {
    #[cfg(feature = "otlp")]
    _sender: otlp::Sender,
}

/// Starts to send traces to a collector that speaks OTLP over HTTP. Not to be called on a task.
///
/// # Errors
/// An address that cannot be used.
pub fn start(collector: &Url) -> Result<Traces, TraceError> {
    #[cfg(feature = "otlp")]
    return Ok(Traces {
        _sender: otlp::Sender::to(collector)?,
    });
    #[cfg(not(feature = "otlp"))]
    return Err(TraceError(format!(
        "{collector}: this program was built without the feature `otlp`"
    )));
}

/// Which end of a request a span tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It came from a client; the trace may have begun there.
    Server,
    /// A part of the work in between.
    Internal,
    /// It goes to the upstream.
    Client,
}

/// A stage of a call, until it is dropped.
#[derive(Debug, Default)]
pub struct Span {
    #[cfg(feature = "otlp")]
    recording: Option<Recording>,
}

/// What is said of a stage.
#[derive(Debug, Default)]
pub struct Attributes(Vec<(&'static str, String)>);

impl Attributes {
    /// Says one thing.
    pub fn put(&mut self, name: &'static str, value: impl Display) {
        self.0.push((name, value.to_string()));
    }
}

#[cfg_attr(
    not(feature = "otlp"),
    expect(
        unused_variables,
        reason = "there is nothing to do without the feature"
    )
)]
impl Span {
    /// Begins a stage within `parent`, or a trace of its own; it began `ago`.
    pub fn begin(
        side: Side,
        parent: Option<&TraceContext>,
        ago: Duration,
        name: impl FnOnce() -> String,
    ) -> Self {
        Self {
            #[cfg(feature = "otlp")]
            recording: Recording::begin(side, parent, ago, name),
        }
    }

    /// Begins a part of the work within `parent`.
    pub fn part(parent: Option<&TraceContext>, name: &'static str) -> Self {
        Self::begin(Side::Internal, parent, Duration::ZERO, || name.to_owned())
    }

    /// Says more about the stage, if anybody listens.
    pub fn describe(&mut self, tell: impl FnOnce(&mut Attributes)) {
        #[cfg(feature = "otlp")]
        if let Some(recording) = &mut self.recording {
            let mut attributes = Attributes::default();
            tell(&mut attributes);
            recording.describe(attributes.0);
        }
    }

    /// The stage did not succeed.
    pub fn fail(&mut self, kind: &str) {
        #[cfg(feature = "otlp")]
        if let Some(recording) = &mut self.recording {
            recording.fail(kind);
        }
    }

    /// Ends the stage, as dropping it does.
    pub fn end(self) {}

    /// Where further stages belong; nothing if this one is not recorded.
    pub fn place(&self) -> Option<TraceContext> {
        #[cfg(feature = "otlp")]
        return self.recording.as_ref().map(Recording::place);
        #[cfg(not(feature = "otlp"))]
        None
    }
}

#[cfg(all(test, not(feature = "otlp")))]
mod tests {
    use super::*;

    #[test]
    fn without_the_feature_a_span_is_nothing() {
        assert_eq!(size_of::<Span>(), 0);
        let mut span = Span::begin(Side::Server, None, Duration::ZERO, || unreachable!());
        span.describe(|_| unreachable!());
        assert_eq!(span.place(), None);
        assert!(start(&"http://localhost:4318".parse().unwrap()).is_err());
    }
}
