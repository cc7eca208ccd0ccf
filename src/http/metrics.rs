//! Figures for Prometheus: counts what comes through the door, reads what others count.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::ACCEPT;
use serde::Serialize;
use serde_json::Value;

use super::{Bridge, admission, health, reply};
use crate::dispatch::queue::Mode;
use crate::dispatch::{AnswerFigures, Figures, QueueFigures};
use crate::error::Failure;
use crate::protocol::priority::Priority;
use crate::resilience::breaker::State as BreakerState;
use crate::telemetry::metrics::{Format, Metric, Readings, write};
use crate::upstream::{self, Presence};

/// `GET /metrics`.
pub(super) async fn get(State(bridge): State<Arc<Bridge>>, request: Request) -> Response {
    match admit(&bridge, &request) {
        Ok(()) => page(&bridge, &request),
        Err(failure) => reply::problem(&failure),
    }
}

/// `GET /api/metrics`, behind the gate.
pub(super) async fn get_as_operator(
    State(bridge): State<Arc<Bridge>>,
    request: Request,
) -> Response {
    page(&bridge, &request)
}

/// Lets in every client, and everybody where no token is needed.
fn admit(bridge: &Bridge, request: &Request) -> Result<(), Failure> {
    if bridge.settings().metrics_need_token {
        admission::admit(bridge, request).map(drop)
    } else {
        admission::check_source(bridge, request)
    }
}

fn page(bridge: &Bridge, request: &Request) -> Response {
    let accept = admission::text(request.headers(), ACCEPT.as_str());
    let format = Format::accepted(accept);
    let meters = bridge.dispatcher.meters().clone();
    let age = bridge.started.elapsed();
    let page = write(meters, readings(bridge), age, format);
    reply::respond(StatusCode::OK, format.content_type(), page.into())
}

/// Counts a request by the pattern of its address, and the failure that refused it.
pub(super) fn count(
    bridge: &Bridge,
    listener: &'static str,
    route: Option<&MatchedPath>,
    reply: &Response,
) {
    let meters = bridge.dispatcher.meters();
    let route = route.map_or("other", MatchedPath::as_str);
    meters.http(listener, route, reply.status().as_u16());
    if let Some(reply::Refused(code)) = reply.extensions().get() {
        bridge.count(None, &Failure::new(*code));
    }
}

fn readings(bridge: &Bridge) -> Readings {
    let mut readings = Readings::default();
    let Figures {
        in_progress,
        joined,
        replayed,
        loops,
        kept_answers,
        cache,
        queue,
        retries,
        ..
    } = bridge.dispatcher.figures();
    readings.size(Metric::CallsInProgress, &[], in_progress);
    readings.number(Metric::Joined, &[], joined);
    readings.number(Metric::Repeated, &[], replayed);
    readings.number(Metric::Loops, &[], loops);
    let lost = bridge.dispatcher.audit().lost();
    readings.number(Metric::AuditLost, &[], lost);
    readings.size(Metric::KeptAnswers, &[], kept_answers);
    readings.number(Metric::RetriesGranted, &[], retries.granted);
    readings.number(Metric::RetriesRefused, &[], retries.refused);
    readings.size(Metric::Approvals, &[], bridge.dispatcher.approvals().len());
    if let Some(cache) = cache {
        read_cache(&mut readings, &cache);
    }
    read_queue(&mut readings, &queue);
    read_way(&mut readings, &queue);
    read_upstream(&mut readings, bridge);
    readings.size(Metric::Clients, &[], bridge.access.active_clients());
    readings.size(Metric::Sessions, &[], bridge.sessions.len());
    let ready = health::obstacles(bridge).is_empty();
    readings.flag(Metric::Ready, &[], ready);
    readings.flag(Metric::Build, &[env!("CARGO_PKG_VERSION")], true);
    readings
}

fn read_cache(readings: &mut Readings, figures: &AnswerFigures) {
    let cache = &figures.cache;
    readings.number(Metric::CacheHits, &[], cache.hits);
    readings.number(Metric::CacheMisses, &[], cache.misses);
    readings.number(Metric::CacheStale, &[], figures.stale);
    readings.number(Metric::CacheEvicted, &[], cache.dropped);
    readings.number(Metric::CacheChanges, &[], cache.changes);
    readings.size(Metric::CacheEntries, &[], cache.entries.len());
    readings.size(Metric::CacheSize, &[], cache.bytes);
    readings.size(Metric::CacheListeners, &[], figures.listeners);
}

fn read_queue(readings: &mut Readings, figures: &QueueFigures) {
    let queue = &figures.queue;
    for (n, priority) in Priority::ALL.into_iter().enumerate() {
        let priority = priority.name();
        let waiting = queue.waiting_by_priority[n];
        readings.size(Metric::QueueWaiting, &[priority], waiting);
        let oldest = Duration::from_millis(queue.oldest_wait_ms_by_priority[n]);
        readings.note(Metric::QueueAge, &[priority], oldest.as_secs_f64());
    }
    for (client, waiting) in &queue.waiting_by_client {
        readings.size(Metric::QueueWaitingOfClient, &[client], *waiting);
    }
    for (client, ms) in &queue.oldest_wait_ms_by_client {
        let oldest = Duration::from_millis(*ms).as_secs_f64();
        readings.note(Metric::QueueAgeOfClient, &[client], oldest);
    }
    readings.size(Metric::QueueCapacity, &[], queue.max_waiting);
    readings.size(Metric::QueueRunning, &[], queue.running);
    readings.size(Metric::QueueResting, &[], queue.resting);
    readings.number(Metric::QueueStarted, &[], queue.started);
    for (reason, calls) in [
        ("full", queue.refused),
        ("hopeless", queue.hopeless),
        ("shed", queue.shed),
        ("expired", queue.expired),
    ] {
        readings.number(Metric::QueueTurnedAway, &[reason], calls);
    }
    let modes = [Mode::Open, Mode::Paused, Mode::Draining];
    choose(readings, Metric::QueueMode, &modes, queue.mode);
}

fn read_way(readings: &mut Readings, figures: &QueueFigures) {
    let limit = &figures.adaptive_limit;
    readings.size(Metric::Limit, &[], limit.current);
    readings.size(Metric::LimitMax, &[], limit.max);
    readings.note(Metric::LimitLatency, &[], limit.latency_ms / 1000.0);
    readings.note(Metric::LimitBaseline, &[], limit.baseline_ms / 1000.0);
    let states = [
        BreakerState::Closed,
        BreakerState::Open,
        BreakerState::HalfOpen,
    ];
    choose(
        readings,
        Metric::BreakerState,
        &states,
        figures.breaker.state,
    );
    readings.number(Metric::BreakerOpened, &[], figures.breaker.opened);
}

fn read_upstream(readings: &mut Readings, bridge: &Bridge) {
    let upstream = bridge.dispatcher.upstream();
    if let Some(reachable) = upstream.health().is_reachable() {
        readings.flag(Metric::UpstreamReachable, &[], reachable);
    }
    let upstream::Figures {
        pool,
        own,
        addresses,
    } = upstream.figures();
    for address in addresses {
        let healthy = address.pool.healthy;
        readings.flag(Metric::UpstreamAddressHealthy, &[&address.url], healthy);
    }
    readings.size(Metric::PoolMembers, &[], pool.members);
    readings.size(Metric::PoolOutstanding, &[], pool.outstanding);
    readings.number(Metric::PoolCreated, &[], pool.created);
    readings.number(Metric::PoolReplaced, &[], pool.replaced);
    readings.number(Metric::PoolReaped, &[], pool.reaped);
    readings.size(Metric::OwnSessions, &[], own);
    if let Some(home) = bridge.home_assistant() {
        let figures = home.figures();
        let states = [
            Presence::Unknown,
            Presence::Running,
            Presence::Starting,
            Presence::Stopping,
            Presence::Gone,
        ];
        choose(
            readings,
            Metric::HomeAssistantState,
            &states,
            figures.state(),
        );
        readings.flag(Metric::HomeAssistantConnected, &[], figures.is_connected());
        readings.number(Metric::HomeAssistantEvents, &[], figures.events());
    }
}

/// Notes 1 for the one that is the case, 0 for the others.
fn choose<T: Serialize + PartialEq + Copy>(
    readings: &mut Readings,
    metric: Metric,
    all: &[T],
    now: T,
) {
    for &one in all {
        readings.flag(metric, &[&word(one)], one == now);
    }
}

/// The word for something, as it stands in the status.
fn word(thing: impl Serialize) -> String {
    match serde_json::to_value(thing) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
