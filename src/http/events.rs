//! What happens, as a stream: lists that changed, and how the bridge is.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Bridge, admission, reply};
use crate::dispatch::queue::Mode;
use crate::dispatch::{BreakerState, List};
use crate::error::{Code, Failure};
use crate::protocol::message::Notification;
use crate::protocol::sse;
use crate::upstream::{Heard, News, Presence};

/// Streams at the same time.
const MAX_STREAMS: usize = 64;
/// How often the condition of the bridge is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Looks after which a silent stream gets a comment, which keeps proxies from closing it.
const KEEP_ALIVE: u32 = 15;

/// The number of open streams.
#[derive(Debug, Default)]
pub(super) struct Streams(AtomicUsize);

/// The place of one stream.
struct Place(Arc<Bridge>);

impl Place {
    fn in_(bridge: &Arc<Bridge>) -> Option<Self> {
        let more = |open: usize| (open < MAX_STREAMS).then_some(open + 1);
        let taken = bridge
            .watched
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Self(bridge.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.watched.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What of the status changes seldom and matters at once.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Condition {
    state: &'static str,
    queue: Mode,
    breaker: BreakerState,
    /// Whether the upstream answered when it was last asked; nothing if it never was.
    reachable: Option<bool>,
    /// How Home Assistant itself is, as far as it tells; nothing if the upstream is none.
    home_assistant: Option<Presence>,
}

impl Condition {
    fn of(bridge: &Bridge) -> Self {
        let queue = bridge.dispatcher.queue_figures();
        let upstream = bridge.dispatcher.upstream();
        let health = upstream.health();
        let known = health.last_answer.is_some() || health.trouble.is_some();
        Self {
            state: bridge.state(),
            queue: queue.queue.mode,
            breaker: queue.breaker.state,
            reachable: known.then_some(health.trouble.is_none()),
            home_assistant: upstream.insight().map(|insight| insight.presence()),
        }
    }
}

/// `GET /mcp/events`: notifications of MCP as events `message`, the condition as events `status`,
/// the first of them at once.
pub(super) async fn get(State(bridge): State<Arc<Bridge>>, request: Request) -> Response {
    let place = admission::admit(&bridge, &request).and_then(|_| {
        let full = || Failure::with(Code::QueueFull, format_args!("{MAX_STREAMS} streams"));
        Place::in_(&bridge).ok_or_else(full)
    });
    let place = match place {
        Ok(place) => place,
        Err(failure) => return reply::problem(&failure),
    };
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch {
        news: bridge.dispatcher.news(),
        bridge,
        looks,
        told: None,
        silent: 0,
        _place: place,
    };
    let events = stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        let event = watch.next().await;
        let is_last = watch.is_over();
        Some((Ok::<_, Infallible>(event), (!is_last).then_some(watch)))
    });
    reply::events(Body::from_stream(events))
}

struct Watch {
    bridge: Arc<Bridge>,
    news: News,
    looks: Interval,
    told: Option<Condition>,
    silent: u32,
    _place: Place,
}

impl Watch {
    /// The next event, or a comment.
    async fn next(&mut self) -> Bytes {
        loop {
            tokio::select! {
                heard = self.news.next() => return match heard {
                    Heard::One(notification) => sse::encode_message(&notification.to_bytes()),
                    // What was missed may have been any of them.
                    Heard::Missed => changed(&List::ALL),
                },
                _ = self.looks.tick() => {}
            }
            let condition = Condition::of(&self.bridge);
            if self.told.as_ref() != Some(&condition) {
                let text = serde_json::to_string(&condition).unwrap_or_default();
                self.told = Some(condition);
                return sse::encode_named("status", &text);
            }
            self.silent += 1;
            if self.silent >= KEEP_ALIVE {
                self.silent = 0;
                return sse::COMMENT;
            }
        }
    }

    /// Whether the bridge has said that it stops: nothing comes after that.
    fn is_over(&self) -> bool {
        let told = self.told.as_ref();
        told.is_some_and(|told| told.state != "running")
    }
}

fn changed(lists: &[List]) -> Bytes {
    let events = lists.iter().map(|list| {
        let notification = Notification::new(list.notification(), None);
        sse::encode_message(&notification.to_bytes())
    });
    events.collect::<Vec<_>>().concat().into()
}
