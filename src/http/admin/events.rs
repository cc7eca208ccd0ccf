//! The page's data, asked for once or as a stream of what changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Map, Value};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::snapshot::{Cursor, Snapshot};
use crate::http::{Bridge, reply};
use crate::protocol::sse;

/// How often a stream looks for changes.
const PACE: Duration = Duration::from_millis(250);
/// How long a stream may be silent before proxies and browsers take it for dead.
const SILENCE: Duration = Duration::from_secs(15);

/// `GET /api/snapshot`: for those to whom events do not come through.
pub(super) async fn snapshot(
    State(bridge): State<Arc<Bridge>>,
    Query(cursor): Query<Cursor>,
) -> Json<Snapshot> {
    Json(Snapshot::take(&bridge, cursor))
}

/// `GET /api/events`: first a whole snapshot, then what of it has changed, four times a second at
/// most.
pub(super) async fn events(
    State(bridge): State<Arc<Bridge>>,
    Query(cursor): Query<Cursor>,
) -> Response {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watcher = Watcher {
        bridge,
        pace,
        cursor,
        known: Map::new(),
        spoke: Instant::now(),
        over: false,
    };
    let events = stream::unfold(watcher, async |mut watcher| {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    reply::events(Body::from_stream(events))
}

/// One stream.
struct Watcher {
    bridge: Arc<Bridge>,
    pace: Interval,
    cursor: Cursor,
    /// What the other side knows.
    known: Map<String, Value>,
    spoke: Instant,
    over: bool,
}

impl Watcher {
    /// The next event; nothing when the bridge stops, so that it need not wait for its watchers.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.over {
            self.pace.tick().await;
            self.over = self.bridge.is_draining();
            if let Some(changes) = self.changes() {
                self.spoke = Instant::now();
                let text = Value::Object(changes).to_string();
                return Some(sse::encode_message(&Bytes::from(text)));
            }
            if self.spoke.elapsed() >= SILENCE {
                self.spoke = Instant::now();
                return Some(Bytes::from_static(b": \n\n"));
            }
        }
        None
    }

    /// What has changed since the last time.
    fn changes(&mut self) -> Option<Map<String, Value>> {
        let snapshot = Snapshot::take(&self.bridge, self.cursor);
        self.cursor = snapshot.cursor();
        let Ok(Value::Object(mut sections)) = serde_json::to_value(&snapshot) else {
            return None;
        };
        let news = ["calls", "lines"].map(|name| (name, sections.remove(name)));
        let mut changes = Map::new();
        for (name, value) in &sections {
            if name != "cursor" && self.known.get(name) != Some(value) {
                changes.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in news {
            let value = value.filter(|value| value.as_array().is_some_and(|list| !list.is_empty()));
            changes.extend(value.map(|value| (name.to_owned(), value)));
        }
        if changes.is_empty() {
            return None;
        }
        changes.extend(
            sections
                .get("cursor")
                .map(|cursor| ("cursor".to_owned(), cursor.clone())),
        );
        self.known = sections;
        Some(changes)
    }
}
