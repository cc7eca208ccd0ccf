//! Spans of OpenTelemetry, sent over HTTP.

use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};
use url::Url;

use super::{Side, TraceError};
use crate::protocol::trace_context::TraceContext;

/// The one of this process.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends spans from a thread of its own.
#[derive(Debug)]
pub(super) struct Sender(SdkTracerProvider);

impl Sender {
    /// Sends to a collector; the usual path is added to an address that has none.
    pub(super) fn to(collector: &Url) -> Result<Self, TraceError> {
        let mut endpoint = collector.clone();
        if matches!(endpoint.path(), "" | "/") {
            endpoint.set_path("/v1/traces");
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(endpoint.as_str())
            .build()
            .map_err(|error| TraceError(error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name("mcp-bridge")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        // The first one counts; a process has only one.
        let _ = TRACER.set(provider.tracer("mcp-bridge"));
        Ok(Self(provider))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// A span under way. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Recording(Span);

impl Recording {
    pub(super) fn begin(
        side: Side,
        parent: Option<&TraceContext>,
        ago: Duration,
        name: impl FnOnce() -> String,
    ) -> Option<Self> {
        let tracer = TRACER.get()?;
        let parent = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(remote(parent, side == Side::Server))
        });
        let now = SystemTime::now();
        let span = SpanBuilder::from_name(name())
            .with_kind(match side {
                Side::Server => SpanKind::Server,
                Side::Internal => SpanKind::Internal,
                Side::Client => SpanKind::Client,
            })
            .with_start_time(now.checked_sub(ago).unwrap_or(now));
        Some(Self(tracer.build_with_context(span, &parent)))
    }

    pub(super) fn describe(&mut self, attributes: Vec<(&'static str, String)>) {
        let attributes = attributes.into_iter();
        self.0
            .set_attributes(attributes.map(|(name, value)| KeyValue::new(name, value)));
    }

    pub(super) fn fail(&mut self, kind: &str) {
        self.0
            .set_attribute(KeyValue::new("error.type", kind.to_owned()));
        self.0.set_status(Status::error(""));
    }

    pub(super) fn place(&self) -> TraceContext {
        let context = self.0.span_context();
        let state = context.trace_state().header();
        TraceContext {
            trace: u128::from_be_bytes(context.trace_id().to_bytes()),
            span: u64::from_be_bytes(context.span_id().to_bytes()),
            flags: context.trace_flags().to_u8(),
            state: (!state.is_empty()).then(|| state.into()),
        }
    }
}

fn remote(place: &TraceContext, is_remote: bool) -> SpanContext {
    let state = place.state.as_deref().map(TraceState::from_str);
    SpanContext::new(
        TraceId::from_bytes(place.trace.to_be_bytes()),
        SpanId::from_bytes(place.span.to_be_bytes()),
        TraceFlags::new(place.flags),
        is_remote,
        state.and_then(Result::ok).unwrap_or_default(),
    )
}
