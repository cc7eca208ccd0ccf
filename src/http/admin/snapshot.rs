//! What the status page shows, as one typed value.

mod approvals;
mod clients;
mod house;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::dispatch::queue::Mode;
use crate::http::Bridge;
use crate::http::configuration::Configuration;
use crate::telemetry::{self, Call, Hour, Level, Line, Refusal};
use approvals::ApprovalState;
pub(super) use clients::ClientState;
use house::HomeAssistant;

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
    /// Calls that wait for a person's word.
    approvals: Vec<ApprovalState>,
    /// The clients.
    clients: Vec<ClientState>,
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
    /// What became of the configuration since the start.
    configuration: Configuration,
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
    /// Whether TLS is spoken there.
    tls: bool,
    /// Addresses of this machine, the likeliest first.
    #[schemars(with = "Vec<String>")]
    hosts: Vec<IpAddr>,
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
            approvals: ApprovalState::all(bridge),
            clients: ClientState::all(bridge),
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
        match self.queue.mode {
            _ if self.bridge.state == State::Stopping => "verdict.stopping",
            Mode::Paused => "verdict.paused",
            Mode::Draining => "verdict.draining",
            Mode::Open => self.home_assistant.verdict().unwrap_or("verdict.ready"),
        }
    }

    /// The clients.
    pub(super) fn clients(&self) -> &[ClientState] {
        &self.clients
    }

    /// How many clients there are, and how many calls wait.
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.bridge.clients, self.queue.waiting)
    }

    /// The addresses of the MCP endpoint.
    pub(super) fn addresses(&self) -> impl Iterator<Item = String> {
        let Listen { port, tls, hosts } = &self.bridge.listen;
        let scheme = if *tls { "https" } else { "http" };
        hosts
            .iter()
            .map(move |host| format!("{scheme}://{}/mcp", SocketAddr::new(*host, *port)))
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
                port: bridge.lan.address.port(),
                tls: bridge.lan.tls,
                hosts: hosts(bridge.lan.address.ip()),
            },
            log_level: telemetry::levels().map(|levels| levels.level),
            configuration: bridge.reloading.state(),
        }
    }
}

impl QueueState {
    fn of(bridge: &Bridge) -> Self {
        let figures = bridge.dispatcher.figures();
        let queue = figures.queue;
        let remembered = figures.cache.map_or(0, |answers| answers.cache.hits);
        Self {
            mode: queue.queue.mode,
            waiting: queue.queue.waiting,
            most_waiting: queue.queue.most_waiting,
            max_waiting: queue.queue.max_waiting,
            running: queue.queue.running,
            limit: queue.queue.limit,
            max_limit: queue.adaptive_limit.max,
            spared: figures.joined + figures.replayed + remembered,
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
