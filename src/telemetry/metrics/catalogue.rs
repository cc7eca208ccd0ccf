//! The one catalogue of metrics: every name with its unit, labels and meaning.
//!
//! What is counted, what is served at `/metrics` and `docs/metrics.md` all follow this table; tests
//! hold them together.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Counts up from the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts durations in buckets.
    Histogram,
}

impl Kind {
    /// The word of the exposition formats.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One row of the catalogue.
#[derive(Debug)]
pub struct Definition {
    /// The name of the family: with the unit at its end, but without `_total`, `_bucket` and the
    /// like, which belong to its samples.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The unit, if it has one: `seconds` or `bytes`.
    pub unit: Option<&'static str>,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, as a sentence.
    pub help: &'static str,
}

impl Definition {
    /// The name that queries use; that of a histogram still lacks `_bucket`, `_sum` or `_count`.
    pub fn query_name(&self) -> String {
        let total = if self.kind == Kind::Counter {
            "_total"
        } else {
            ""
        };
        format!("{}{total}", self.name)
    }

    /// The name without its unit.
    pub(super) fn stem(&self) -> &'static str {
        let suffix = self.unit.and_then(|unit| self.name.strip_suffix(unit));
        suffix.map_or(self.name, |stem| stem.trim_end_matches('_'))
    }
}

macro_rules! catalogue {
    ($($metric:ident = $kind:ident $name:literal $([$unit:literal])? {$($label:literal),*} $help:literal;)*) => {
        /// The name of a metric.
        #[expect(clippy::doc_markdown, reason = "the texts are shown as they are")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Metric {
            $(#[doc = $help] $metric,)*
        }

        impl Metric {
            /// Every metric, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$metric,)*];

            /// Its row of the catalogue.
            pub const fn definition(self) -> &'static Definition {
                match self {
                    $(Self::$metric => &Definition {
                        name: $name,
                        kind: Kind::$kind,
                        unit: catalogue!(@unit $($unit)?),
                        labels: &[$($label),*],
                        help: $help,
                    },)*
                }
            }
        }
    };
    (@unit $unit:literal) => { Some($unit) };
    (@unit) => { None };
}

catalogue! {
    // Calls.
    Calls = Counter "mcp_bridge_calls" {"client", "method", "outcome"}
        "Calls that are over, by how they ended: answered, tool_failed, refused (by the upstream), failed (on the way) or left (by the client).";
    ToolCalls = Counter "mcp_bridge_tool_calls" {"tool", "outcome"}
        "Calls of tools that are over. Tools that never answered, and those beyond the first hundred, are called other.";
    Failures = Counter "mcp_bridge_failures" {"stage", "code"}
        "Failures that clients were told of, by where they come from (request, access, call, busy, upstream, bridge) and by their code in the catalogue of errors.";
    RightsRefusals = Counter "mcp_bridge_rights_refusals" {"client"}
        "Calls that the rights of the client did not allow, or that a person refused.";
    RateRefusals = Counter "mcp_bridge_rate_refusals" {"client"}
        "Calls that came too early for the rates of the client, the tool or all clients.";
    CallDuration = Histogram "mcp_bridge_call_duration_seconds" ["seconds"] {"client", "source"}
        "Time from the arrival of a call to its end, by where its answer came from: upstream, joined (an identical call in flight), repeated (an identical action just before), memory (handshakes and the cache) or stale (an old answer, while Home Assistant is away).";
    CallWaiting = Histogram "mcp_bridge_call_waiting_seconds" ["seconds"] {"priority"}
        "The part of it for which a call waited for its turn.";
    CallAtUpstream = Histogram "mcp_bridge_call_upstream_seconds" ["seconds"] {"method", "tool"}
        "The part of it for which the upstream had the call.";
    CallsInProgress = Gauge "mcp_bridge_calls_in_progress" {}
        "Calls that have not been answered yet.";
    Joined = Counter "mcp_bridge_calls_joined" {}
        "Calls that got the answer of an identical one in flight.";
    Repeated = Counter "mcp_bridge_calls_repeated" {}
        "Repetitions of an action that were caught: they got the answer of the first one.";
    Loops = Counter "mcp_bridge_calls_looping" {}
        "Calls of tools that a client made again and again: actions that were not carried out once more, and questions whose answer stays the same.";
    AuditLost = Counter "mcp_bridge_audit_lost" {}
        "Calls that could not be written down in the audit.";
    KeptAnswers = Gauge "mcp_bridge_kept_answers" {}
        "Answers of actions that are kept for repetitions.";
    CacheHits = Counter "mcp_bridge_cache_hits" {}
        "Questions that the cache answered.";
    CacheMisses = Counter "mcp_bridge_cache_misses" {}
        "Questions that the cache could not answer.";
    CacheStale = Counter "mcp_bridge_cache_stale" {}
        "Old answers that were given in the place of an upstream in trouble.";
    CacheEvicted = Counter "mcp_bridge_cache_evicted" {}
        "Answers that had to go because there was no room.";
    CacheChanges = Counter "mcp_bridge_cache_changes" {}
        "Changes that the upstream told, and that outdate answers.";
    CacheEntries = Gauge "mcp_bridge_cache_entries" {}
        "Answers in the cache.";
    CacheSize = Gauge "mcp_bridge_cache_size_bytes" ["bytes"] {}
        "Memory that they take.";
    CacheListeners = Gauge "mcp_bridge_list_listeners" {}
        "Streams that hear of changed lists.";
    RetriesGranted = Counter "mcp_bridge_retries" {}
        "Attempts to make a call again that the budget for retries granted.";
    RetriesRefused = Counter "mcp_bridge_retries_refused" {}
        "Attempts to make a call again that the budget for retries refused.";
    Approvals = Gauge "mcp_bridge_approvals_waiting" {}
        "Calls that wait for a person's word.";

    // The queue.
    QueueWaiting = Gauge "mcp_bridge_queue_waiting" {"priority"}
        "Calls that wait for their turn, by their present priority.";
    QueueWaitingOfClient = Gauge "mcp_bridge_queue_client_waiting" {"client"}
        "Calls of each client that wait for their turn.";
    QueueAge = Gauge "mcp_bridge_queue_oldest_seconds" ["seconds"] {"priority"}
        "How long the oldest waiting call of a priority has been waiting.";
    QueueAgeOfClient = Gauge "mcp_bridge_queue_client_oldest_seconds" ["seconds"] {"client"}
        "How long the oldest waiting call of a client has been waiting.";
    QueueCapacity = Gauge "mcp_bridge_queue_capacity" {}
        "Calls that may wait at the same time.";
    QueueRunning = Gauge "mcp_bridge_queue_running" {}
        "Calls that run at the upstream.";
    QueueResting = Gauge "mcp_bridge_queue_resting" {}
        "Calls that are about to be tried again.";
    QueueStarted = Counter "mcp_bridge_queue_started" {}
        "Calls that got their turn.";
    QueueTurnedAway = Counter "mcp_bridge_queue_turned_away" {"reason"}
        "Calls that got no turn: full (too many waited), hopeless (they would have waited beyond their deadline), shed (they gave way to more urgent ones) or expired (their deadline passed).";
    QueueMode = Gauge "mcp_bridge_queue_mode" {"mode"}
        "1 for what the queue does with calls: open, paused (they wait) or draining (new ones are refused).";

    // The way to the upstream.
    Limit = Gauge "mcp_bridge_limit" {}
        "Calls that may run at the upstream at once, as the bridge has found out.";
    LimitMax = Gauge "mcp_bridge_limit_max" {}
        "The most that it may be (`queue.max_parallel_calls`).";
    LimitLatency = Gauge "mcp_bridge_limit_latency_seconds" ["seconds"] {}
        "Mean time at the upstream of the calls on which the limit was last decided.";
    LimitBaseline = Gauge "mcp_bridge_limit_baseline_seconds" ["seconds"] {}
        "What those calls would have taken without company.";
    BreakerState = Gauge "mcp_bridge_breaker_state" {"state"}
        "1 for the state of the circuit breaker: closed (calls pass), open (none do) or half-open (single ones do).";
    BreakerOpened = Counter "mcp_bridge_breaker_opened" {}
        "How often the breaker went from closed to open.";
    UpstreamReachable = Gauge "mcp_bridge_upstream_reachable" {}
        "1 if the upstream answered when it was last needed, 0 if not; absent before the first time.";
    UpstreamAddressHealthy = Gauge "mcp_bridge_upstream_address_healthy" {"address"}
        "1 for an address of the upstream that answered when it was last needed.";
    PoolMembers = Gauge "mcp_bridge_pool_members" {}
        "Sessions with the upstream, or what stands in their place where it has none.";
    PoolOutstanding = Gauge "mcp_bridge_pool_outstanding" {}
        "Calls at them.";
    PoolCreated = Counter "mcp_bridge_pool_created" {}
        "Sessions that were opened.";
    PoolReplaced = Counter "mcp_bridge_pool_replaced" {}
        "Sessions that broke and were taken out.";
    PoolReaped = Counter "mcp_bridge_pool_reaped" {}
        "Sessions that were closed because they were idle.";
    OwnSessions = Gauge "mcp_bridge_pool_own_sessions" {}
        "Sessions that belong to one client, because the upstream may ask it something.";

    // Home Assistant.
    HomeAssistantState = Gauge "mcp_bridge_home_assistant_state" {"state"}
        "1 for how Home Assistant is: running, starting, stopping, gone or unknown. Absent where its events are not listened to.";
    HomeAssistantConnected = Gauge "mcp_bridge_home_assistant_connected" {}
        "1 while the bridge is connected to the websocket of Home Assistant.";
    HomeAssistantEvents = Counter "mcp_bridge_home_assistant_events" {}
        "Events of Home Assistant that came.";

    // The door.
    HttpRequests = Counter "mcp_bridge_http_requests" {"listener", "route", "status"}
        "HTTP requests that were answered.";
    Clients = Gauge "mcp_bridge_clients" {}
        "Clients that may come in.";
    Sessions = Gauge "mcp_bridge_sessions" {}
        "Sessions of clients of MCP up to 2025-11-25 that are remembered.";

    // The bridge itself.
    Ready = Gauge "mcp_bridge_ready" {}
        "1 while the bridge takes calls, as /health/ready says.";
    Build = Gauge "mcp_bridge_build_info" {"version"}
        "Always 1; which version it is.";
    StartTime = Gauge "process_start_time_seconds" ["seconds"] {}
        "When the process started, since 1970.";
    Cpu = Counter "process_cpu_seconds" ["seconds"] {}
        "Processor time of the process.";
    ResidentMemory = Gauge "process_resident_memory_bytes" ["bytes"] {}
        "Memory of the process that is really there.";
    VirtualMemory = Gauge "process_virtual_memory_bytes" ["bytes"] {}
        "Memory that the process has reserved.";
    OpenFiles = Gauge "process_open_fds" {}
        "Open file descriptors, connections included.";
    MaxFiles = Gauge "process_max_fds" {}
        "File descriptors that the process may have.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_ends_with_its_unit() {
        let mut names: Vec<_> = Metric::ALL.iter().map(|m| m.definition().name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        for metric in Metric::ALL {
            let Definition {
                name, unit, help, ..
            } = metric.definition();
            assert!(
                unit.is_none_or(|unit| name.ends_with(&format!("_{unit}"))),
                "{name}"
            );
            assert!(!name.ends_with("_total") && help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn no_label_takes_a_name_of_the_format() {
        for metric in Metric::ALL {
            for label in metric.definition().labels {
                assert!(!["le", "quantile", "job", "instance"].contains(label));
            }
        }
    }
}
