//! How metrics are written: OpenMetrics 1.0, and the older text format of Prometheus for those that
//! do not ask for it.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::readings::Sample;
use super::{Kind, Meters, Metric, Readings, process};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
    Text,
}

impl Format {
    /// The form that an `Accept` header asks for.
    pub fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Text,
        }
    }

    /// The content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Everything that was counted, and what is read now; `age` is how long the process has been
/// running.
pub fn write(meters: Arc<Meters>, mut readings: Readings, age: Duration, format: Format) -> String {
    process::read(&mut readings, age);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page { meters, readings }));
    let mut page = String::new();
    // Writing to a text cannot fail, and nothing else here does.
    let _ = text::encode(&mut page, &registry);
    match format {
        Format::OpenMetrics => page,
        Format::Text => older(&page),
    }
}

#[derive(Debug)]
struct Page {
    meters: Arc<Meters>,
    readings: Readings,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for &metric in Metric::ALL {
            let definition = metric.definition();
            let kind = match definition.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let unit = definition.unit.map(|unit| Unit::Other(unit.to_owned()));
            let stem = definition.stem();
            let mut encoder =
                encoder.encode_descriptor(stem, definition.help, unit.as_ref(), kind)?;
            if let Some(counted) = self.meters.of(metric) {
                counted.encode(encoder)?;
            } else {
                for sample in self.readings.of(metric) {
                    encode(sample, definition.kind, &mut encoder)?;
                }
            }
        }
        Ok(())
    }
}

fn encode(sample: &Sample, kind: Kind, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    let value = |encoder: MetricEncoder<'_>| match kind {
        Kind::Counter => ConstCounter::new(sample.value).encode(encoder),
        Kind::Gauge | Kind::Histogram => ConstGauge::new(sample.value).encode(encoder),
    };
    value(encoder.encode_family(&sample.labels)?)
}

/// The same in the older format. There, a counter is named like its samples, units have no line of
/// their own, and nothing marks the end.
fn older(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let total = if rest.ends_with(" counter") {
                "_total"
            } else {
                ""
            };
            if let (Some((name, meaning)), Some((_, kind))) = (help, rest.split_once(' ')) {
                // Writing to a text cannot fail.
                let _ = writeln!(text, "# HELP {name}{total} {meaning}");
                let _ = writeln!(text, "# TYPE {name}{total} {kind}");
            }
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}
