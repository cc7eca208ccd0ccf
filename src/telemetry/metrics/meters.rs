//! What is counted as it happens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelValue, EncodeMetric, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;

use super::Metric;
use super::names::Names;
use crate::telemetry::history::{Outcome, Source};

/// Upper bounds of the buckets, in seconds: from an answer out of memory to the minute after which
/// most clients give up.
const BUCKETS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Clients, methods and tools with figures of their own.
const MAX_CLIENTS: usize = 200;
const MAX_METHODS: usize = 50;
const MAX_TOOLS: usize = 100;

/// The value of a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Value {
    /// One of the program's own words.
    Word(&'static str),
    /// A name from outside.
    Name(Arc<str>),
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<Arc<str>> for Value {
    fn from(name: Arc<str>) -> Self {
        Self::Name(name)
    }
}

impl EncodeLabelValue for Value {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => word.encode(encoder),
            Self::Name(name) => name.encode(encoder),
        }
    }
}

/// The labels of one series, each with its value, in the order of the catalogue.
type Labels<const N: usize> = [(&'static str, Value); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram, Buckets>;

#[derive(Debug, Clone)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// What is measured of a call that is over.
#[derive(Debug, Clone, Copy)]
pub struct CallMeasures<'a> {
    /// Who called.
    pub client: &'a str,
    /// The MCP method.
    pub method: &'a str,
    /// The tool that was called, if one was.
    pub tool: Option<&'a str>,
    /// How urgent it was.
    pub priority: &'static str,
    /// Where its answer came from.
    pub source: Source,
    /// How it ended.
    pub outcome: Outcome,
    /// Stage and code of the failure, if it ended with one, as the catalogue of errors names them.
    pub failure: Option<(&'static str, &'static str)>,
    /// How long it waited for its turn; nothing if it needed none.
    pub waited: Option<Duration>,
    /// How long the upstream had it; nothing if it never got there.
    pub at_upstream: Option<Duration>,
    /// From its arrival to its end.
    pub total: Duration,
}

/// All counters and histograms. The memory for them is bounded: names that come from outside get a
/// series of their own only while there is room, and those of methods and tools only once one of
/// them was answered.
#[derive(Debug)]
pub struct Meters {
    clients: Names,
    methods: Names,
    tools: Names,
    calls: Counters<3>,
    tool_calls: Counters<2>,
    failures: Counters<2>,
    rights_refusals: Counters<1>,
    rate_refusals: Counters<1>,
    duration: Histograms<2>,
    waiting: Histograms<1>,
    at_upstream: Histograms<2>,
    http_requests: Counters<3>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            clients: Names::up_to(MAX_CLIENTS),
            methods: Names::up_to(MAX_METHODS),
            tools: Names::up_to(MAX_TOOLS),
            calls: Family::default(),
            tool_calls: Family::default(),
            failures: Family::default(),
            rights_refusals: Family::default(),
            rate_refusals: Family::default(),
            duration: Family::new_with_constructor(Buckets),
            waiting: Family::new_with_constructor(Buckets),
            at_upstream: Family::new_with_constructor(Buckets),
            http_requests: Family::default(),
        }
    }
}

impl Meters {
    /// A call is over.
    pub fn call(&self, call: &CallMeasures<'_>) {
        let exists = call.outcome == Outcome::Answered;
        let among = |names: &Names, name| {
            Value::Name(if exists {
                names.keep(name)
            } else {
                names.find(name)
            })
        };
        let client = Value::Name(self.clients.keep(call.client));
        let method = among(&self.methods, call.method);
        let tool = call.tool.filter(|tool| !tool.is_empty());
        let tool = tool.map_or(Value::Word(""), |tool| among(&self.tools, tool));
        let outcome = Value::Word(call.outcome.name());
        if let Some((stage, code)) = call.failure {
            self.failure(Some(call.client), stage, code);
        }
        let source = ("source", call.source.name().into());
        observe(
            &self.duration,
            [("client", client.clone()), source],
            call.total,
        );
        if let Some(waited) = call.waited {
            observe(&self.waiting, [("priority", call.priority.into())], waited);
        }
        if let Some(took) = call.at_upstream {
            let labels = [("method", method.clone()), ("tool", tool.clone())];
            observe(&self.at_upstream, labels, took);
        }
        if call.tool.is_some() {
            let labels = [("tool", tool), ("outcome", outcome.clone())];
            count(&self.tool_calls, labels);
        }
        let labels = [("client", client), ("method", method), ("outcome", outcome)];
        count(&self.calls, labels);
    }

    /// A client was told of a failure. `stage` and `code` are those of the catalogue of errors.
    pub fn failure(&self, client: Option<&str>, stage: &'static str, code: &'static str) {
        let labels = [("stage", stage.into()), ("code", code.into())];
        count(&self.failures, labels);
        let refusals = match code {
            "denied" | "approval_refused" => &self.rights_refusals,
            "rate_limited" => &self.rate_refusals,
            _ => return,
        };
        if let Some(client) = client {
            count(refusals, [("client", self.clients.keep(client).into())]);
        }
    }

    /// An HTTP request was answered. `route` is the pattern of the router, not the address.
    pub fn http(&self, listener: &'static str, route: &str, status: u16) {
        let labels = [
            ("listener", listener.into()),
            ("route", Value::Name(route.into())),
            ("status", Value::Name(status.to_string().into())),
        ];
        count(&self.http_requests, labels);
    }

    /// What is counted under this name; nothing if it is read when it is asked for.
    pub(super) fn of(&self, metric: Metric) -> Option<&dyn EncodeMetric> {
        Some(match metric {
            Metric::Calls => &self.calls,
            Metric::ToolCalls => &self.tool_calls,
            Metric::Failures => &self.failures,
            Metric::RightsRefusals => &self.rights_refusals,
            Metric::RateRefusals => &self.rate_refusals,
            Metric::CallDuration => &self.duration,
            Metric::CallWaiting => &self.waiting,
            Metric::CallAtUpstream => &self.at_upstream,
            Metric::HttpRequests => &self.http_requests,
            _ => return None,
        })
    }
}

fn count<const N: usize>(counters: &Counters<N>, labels: Labels<N>) {
    counters.get_or_create(&labels).inc();
}

fn observe<const N: usize>(histograms: &Histograms<N>, labels: Labels<N>, took: Duration) {
    histograms
        .get_or_create(&labels)
        .observe(took.as_secs_f64());
}
