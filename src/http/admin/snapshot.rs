//! What the status page shows, as one typed value.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::dispatch::BreakerState;
use crate::dispatch::queue::Mode;
use crate::http::Bridge;

use crate::telemetry::{self, Call, ClientFigures, Hour, Level, Line, Refusal};

/// The version of the whole API below `/api/`; it grows when something is taken away or changes its
/// meaning.
const API: u32 = 1;
/// Calls in one snapshot; who missed more asks `/api/calls`.
const MAX_CALLS: usize = 100;
/// Log lines in one snapshot.
const MAX_LINES: usize = 200;

/// What the asking side knows already.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Cursor {
    /// The number of the newest call that it has.
    #[serde(default)]
    pub calls: u64,
    /// The number of the newest log line that it has; nothing if it wants none.
    pub lines: Option<u64>,
}

/// Everything that the page shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Snapshot {
    /// The version of the API.
    api: u32,
    bridge: BridgeState,
    home_assistant: HomeAssistant,
    queue: QueueState,
    hour: Hour,
    /// The clients that were seen since the start.
    clients: Vec<ClientFigures>,
    /// The requests that were not let in during the last day, the latest first.
    refused: Vec<Refusal>,
    /// The newest calls after the cursor, oldest first.
    calls: Vec<Arc<Call>>,
    /// The newest log lines after the cursor, oldest first.
    lines: Vec<Arc<Line>>,
    /// What to ask with the next time.
    cursor: Cursor,
}

/// The bridge itself.
#[derive(Debug, Serialize, JsonSchema)]
struct BridgeState {
    version: &'static str,
    state: State,
    /// When it started, in milliseconds since 1970.
    started: u64,
    /// Clients that hold a valid token.
    clients: usize,
    /// Whether everybody may come in, without a token.
    front_door_open: bool,
    /// Where clients reach it.
    listen: Listen,
    /// How much is logged.
    log_level: Option<Level>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Running,
    Stopping,
}

/// Where clients reach the bridge.
#[derive(Debug, Serialize, JsonSchema)]
struct Listen {
    port: u16,
    /// Addresses of this machine, the likeliest first.
    #[schemars(with = "Vec<String>")]
    hosts: Vec<IpAddr>,
}

/// Home Assistant, or whatever else is behind the bridge.
#[derive(Debug, Serialize, JsonSchema)]
struct HomeAssistant {
    url: String,
    /// How it was found: `direct`, `supervisor`, `configured` or `demo`.
    way: &'static str,
    /// Nothing until it was spoken to for the first time.
    reachable: Option<bool>,
    /// When it answered last, in milliseconds since 1970.
    last_answer: Option<u64>,
    trouble: Option<Trouble>,
    breaker: Breaker,
}

/// The last trouble with it; gone after the next answer.
#[derive(Debug, Serialize, JsonSchema)]
struct Trouble {
    /// The code of the catalogue.
    code: &'static str,
    /// What happened, in English.
    title: &'static str,
    /// What can be done about it, in English.
    fix: &'static str,
    detail: String,
    /// When it was, in milliseconds since 1970.
    at: u64,
}

/// What keeps calls from Home Assistant while it is not well.
#[derive(Debug, Serialize, JsonSchema)]
struct Breaker {
    /// `closed`: calls pass. `open`: none do. `half_open`: single ones do, to see how it is.
    #[schemars(with = "String")]
    state: BreakerState,
    /// Since when, in milliseconds since 1970.
    since: u64,
    /// How often it opened.
    opened: u64,
}

/// The queue in front of it.
#[derive(Debug, Serialize, JsonSchema)]
struct QueueState {
    /// `open`, `paused` (calls wait) or `draining` (new calls are refused).
    #[schemars(with = "String")]
    mode: Mode,
    waiting: usize,
    most_waiting: usize,
    max_waiting: usize,
    running: usize,
    /// Calls that may run now.
    limit: usize,
    /// Calls that may ever run at once.
    max_limit: usize,
    /// Calls that were answered without asking Home Assistant once more.
    spared: u64,
    waiting_by_client: BTreeMap<String, usize>,
}

impl Snapshot {
    /// The state now, with what came after `cursor`.
    pub(super) fn take(bridge: &Bridge, cursor: Cursor) -> Self {
        let journal = bridge.dispatcher.journal();
        let (calls, last_call) = journal.calls(cursor.calls, MAX_CALLS);
        let kept = telemetry::lines();
        let lines = cursor.lines.map(|after| kept.after(after, MAX_LINES));
        let last_line = lines.as_ref().map(|lines| {
            let newest = lines.last();
            newest.map_or_else(|| kept.last(), |line| line.id)
        });
        Self {
            api: API,
            bridge: BridgeState::of(bridge),
            home_assistant: HomeAssistant::of(bridge),
            queue: QueueState::of(bridge),
            hour: journal.hour(),
            clients: journal.clients(),
            refused: journal.refusals(),
            calls,
            lines: lines.unwrap_or_default(),
            cursor: Cursor {
                calls: last_call,
                lines: last_line,
            },
        }
    }

    /// What to ask with the next time.
    pub(super) const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The key of the sentence that says how it is.
    pub(super) fn verdict(&self) -> &'static str {
        match (self.queue.mode, self.home_assistant.reachable) {
            _ if self.bridge.state == State::Stopping => "verdict.stopping",
            (Mode::Paused, _) => "verdict.paused",
            (Mode::Draining, _) => "verdict.draining",
            (Mode::Open, Some(false)) => "verdict.trouble",
            (Mode::Open, Some(true)) => "verdict.running",
            (Mode::Open, None) => "verdict.ready",
        }
    }

    /// How many clients there are, and how many calls wait.
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.bridge.clients, self.queue.waiting)
    }

    /// The addresses of the MCP endpoint.
    pub(super) fn addresses(&self) -> impl Iterator<Item = String> {
        let Listen { port, hosts } = &self.bridge.listen;
        hosts
            .iter()
            .map(move |host| format!("http://{}/mcp", SocketAddr::new(*host, *port)))
    }
}

impl BridgeState {
    fn of(bridge: &Bridge) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            state: if bridge.is_draining() {
                State::Stopping
            } else {
                State::Running
            },
            started: since_1970(bridge.started),
            clients: bridge.access.active_clients(),
            front_door_open: bridge.access.is_open(),
            listen: Listen {
                port: bridge.lan.port(),
                hosts: hosts(bridge.lan.ip()),
            },
            log_level: telemetry::levels().map(|levels| levels.level),
        }
    }
}

impl HomeAssistant {
    fn of(bridge: &Bridge) -> Self {
        let upstream = bridge.dispatcher.upstream();
        let health = upstream.health();
        let trouble = health.trouble.as_ref().map(|(trouble, at)| {
            let entry = trouble.code().entry();
            Trouble {
                code: entry.name,
                title: entry.title,
                fix: entry.fix,
                detail: trouble.to_string(),
                at: since_1970(*at),
            }
        });
        let known = health.last_answer.is_some() || trouble.is_some();
        let breaker = bridge.dispatcher.figures().queue.breaker;
        Self {
            url: upstream.address(),
            way: bridge.way,
            reachable: known.then_some(trouble.is_none()),
            // Whole seconds: it must not change with every call of a busy bridge.
            last_answer: health.last_answer.map(|at| since_1970(at) / 1000 * 1000),
            trouble,
            breaker: Breaker {
                state: breaker.state,
                since: since_1970(Instant::now() - Duration::from_millis(breaker.for_ms)),
                opened: breaker.opened,
            },
        }
    }
}

impl QueueState {
    fn of(bridge: &Bridge) -> Self {
        let figures = bridge.dispatcher.figures();
        let queue = figures.queue;
        Self {
            mode: queue.queue.mode,
            waiting: queue.queue.waiting,
            most_waiting: queue.queue.most_waiting,
            max_waiting: queue.queue.max_waiting,
            running: queue.queue.running,
            limit: queue.queue.limit,
            max_limit: queue.adaptive_limit.max,
            spared: figures.joined + figures.replayed,
            waiting_by_client: queue.queue.waiting_by_client,
        }
    }
}

/// A moment of this process as milliseconds since 1970, to a tenth of a second: told twice, it must
/// be the same.
fn since_1970(moment: Instant) -> u64 {
    let at = SystemTime::now().checked_sub(moment.elapsed());
    let since = at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let ms = since.map_or(0, |since| since.as_millis());
    u64::try_from((ms + 50) / 100 * 100).unwrap_or(u64::MAX)
}

/// Where a listener on this address is reached.
fn hosts(listen: IpAddr) -> Vec<IpAddr> {
    if !listen.is_unspecified() {
        return vec![listen];
    }
    // Nothing is sent: the system only looks up which way it would go.
    let towards_anywhere = UdpSocket::bind(("0.0.0.0", 0)).and_then(|socket| {
        socket.connect(("192.0.2.1", 9))?;
        socket.local_addr()
    });
    let own = towards_anywhere.map(|address| address.ip());
    let own = own.ok().filter(|ip| !ip.is_unspecified());
    own.into_iter()
        .chain([IpAddr::from([127, 0, 0, 1])])
        .collect()
}
