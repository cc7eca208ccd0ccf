//! What is known of Home Assistant, kept up to date from its events: how it is, what it exposes,
//! where that is. A state machine: answers and events come in; commands to send, and reports of
//! what has changed, come out.
//!
//! It asks for lists only where an event says that they are different, for one of each kind at a
//! time however many events there are, and for entities only as far as they are exposed. Memory is
//! bounded by what Home Assistant exposes.

mod attributes;
mod core;
mod events;
mod house;
mod integrations;
mod lists;
mod records;
mod topics;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::core::Core;
use super::Condition;
pub use super::websocket::CommandError;
use super::websocket::Loss;
use crate::cache::Change;
use crate::upstream::{Description, Meant, Presence, Thing, Told};
use house::{Counts, House};
use integrations::Integrations;
pub(super) use integrations::{Entry, McpServer};
use records::Api;
use topics::EVENTS;
pub use topics::{Bus, Report, Request, Topic};

/// While Home Assistant is not ready it is asked so often whether it is. Its own word comes only to
/// administrators.
const READY_INTERVAL: Duration = Duration::from_secs(2);
/// After so long without a connection nobody knows whether Home Assistant is there: the websocket
/// alone may be out of reach.
const CREDIBLE: Duration = Duration::from_mins(5);
/// How often the exposed entities are listed anew: hiding one without a unique id causes no event.
const EXPOSED_INTERVAL: Duration = Duration::from_mins(1);

/// Whether a list is asked for right now, and whether it has to be again after that.
#[derive(Debug, Default, Clone, Copy)]
struct Refresh {
    underway: bool,
    again: bool,
}

/// Whether the states of what is exposed are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// They are not.
    Off,
    /// Those that come next were there already.
    Beginning,
    /// Those that come are new.
    Following,
}

/// Everything that is known.
#[derive(Debug)]
pub struct Knowledge {
    house: House,
    core: Core,
    integrations: Integrations,
    apis: Vec<Api>,
    refreshes: HashMap<Topic, Refresh>,
    /// Subscriptions that are not answered yet.
    unanswered: usize,
    /// Why changes cannot be relied on to be told, although there is a connection.
    refused: Option<CommandError>,
    /// Whether changes are told.
    told: bool,
    /// Since when they are not, if they were before.
    untold_since: Option<Instant>,
    /// Entities whose registry entries are to be asked for.
    unregistered: BTreeSet<Arc<str>>,
    /// Whether the token may not list what is exposed. Every entity counts as exposed then, and
    /// none is known.
    blind: bool,
    states: Watch,
    next_look: Option<Instant>,
    events: u64,
    requests: Vec<Request>,
    reports: Vec<Report>,
}

/// What is known, for the status.
#[derive(Debug, serde::Serialize)]
pub(super) struct Figures {
    /// Home Assistant itself.
    #[serde(flatten)]
    pub core: self::core::Figures,
    /// Whether changes in it are told.
    pub events_told: bool,
    /// Why they are not, although there is a connection.
    pub events_refused: Option<String>,
    /// Events that came, ever.
    pub events: u64,
    /// What is known of the house.
    pub house: Counts,
    /// Whether the token may list what is exposed.
    pub may_see_exposed: bool,
    /// Sets of tools that Home Assistant offers.
    pub llm_apis: Vec<Api>,
    /// The integration that is the MCP server; nothing if there is none or if that is not known.
    pub mcp_server: Option<McpServer>,
    /// Whether it is known that there is none.
    pub mcp_server_missing: bool,
}

/// Reads what Home Assistant says; nothing if it is not what was expected.
fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    let read = serde_json::from_str(raw.get());
    read.inspect_err(|error| tracing::debug!(%error, "Home Assistant says something unexpected"))
        .ok()
}

impl Knowledge {
    /// Nothing is known yet.
    pub fn new(now: Instant) -> Self {
        Self {
            house: House::default(),
            core: Core::new(now),
            integrations: Integrations::default(),
            apis: Vec::new(),
            refreshes: HashMap::new(),
            unanswered: 0,
            refused: None,
            told: false,
            untold_since: None,
            unregistered: BTreeSet::new(),
            blind: false,
            states: Watch::Off,
            next_look: None,
            events: 0,
            requests: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// What to send now, in this order.
    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    /// What has happened, in its order.
    pub fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    /// The figures now.
    pub(super) fn figures(&self, now: Instant) -> Figures {
        Figures {
            core: self.core.figures(now),
            events_told: self.told,
            events_refused: self.refused.as_ref().map(ToString::to_string),
            events: self.events,
            house: self.house.counts(),
            may_see_exposed: !self.blind,
            llm_apis: self.apis.clone(),
            mcp_server: self.integrations.mcp_server().cloned(),
            mcp_server_missing: self.integrations.lack_mcp_server(),
        }
    }

    /// How Home Assistant is, in short.
    pub(super) fn condition(&self) -> Condition {
        Condition {
            presence: self.core.presence(),
            since: self.core.since(),
            version: self.core.version().map(str::to_owned),
            mcp_server_missing: self.integrations.lack_mcp_server(),
        }
    }

    /// Whether Home Assistant is there.
    pub(super) const fn presence(&self) -> Presence {
        self.core.presence()
    }

    /// Whether changes are told, so that what is known is how it is.
    pub(super) const fn is_told(&self) -> bool {
        self.told
    }

    /// The integration that is the MCP server, as far as it is known.
    pub(super) fn mcp_server(&self) -> Option<&McpServer> {
        self.integrations.mcp_server()
    }

    /// The entry of the MCP server, if that runs.
    pub(super) fn running_mcp_server(&self) -> Option<Entry> {
        self.integrations.running_mcp_server()
    }

    /// Whether the token may see everything.
    pub(super) const fn sees_everything(&self) -> bool {
        !self.blind
    }

    /// Whether there are tools for administrators only.
    pub(super) fn has_tools_for_administrators(&self) -> bool {
        self.apis.iter().any(|api| api.requires_admin)
    }

    /// Whether it is known that there is none.
    pub(super) const fn lacks_mcp_server(&self) -> bool {
        self.integrations.lack_mcp_server()
    }

    /// Everything that may be meant by a description.
    pub(super) fn meant(&self, description: &Description) -> Meant {
        if !self.told || self.blind {
            return Meant::Unknown;
        }
        let things = self.house.meant(description);
        things.map_or(Meant::Anything, Meant::These)
    }

    /// Those exposed entities that clients are told of, behind `after`, `most` at a time.
    pub fn things_after(&self, after: Option<&str>, most: usize) -> Vec<Thing> {
        self.house.things_after(after, most)
    }

    /// How one of them is; nothing if clients are not told of it.
    pub fn told(&self, now: Instant, id: &str) -> Option<Told> {
        let (thing, text) = self.house.told(id)?;
        let age = self.untold_since.map(|since| now.duration_since(since));
        Some(Told { thing, text, age })
    }

    /// When [`Knowledge::look`] has something to do.
    pub(super) const fn wake(&self) -> Option<Instant> {
        self.next_look
    }

    /// Looks after what no event tells, when it is time to.
    pub(super) fn look(&mut self, now: Instant) {
        if self.next_look.is_none_or(|at| now < at) {
            return;
        }
        match self.core.presence() {
            Presence::Running => self.refresh_exposed(),
            Presence::Gone => return self.set_presence(now, Presence::Unknown),
            _ => self.refresh(Topic::Config),
        }
        self.plan_look(now);
    }

    /// There is a connection.
    pub fn connected(&mut self, version: &str) {
        self.core.met(version);
        self.integrations.forget();
        self.refreshes.clear();
        self.unanswered = 0;
        self.refused = None;
        self.blind = false;
        self.states = Watch::Off;
        for (bus, event) in EVENTS {
            let arguments = json!({"event_type": event});
            self.subscribe(Topic::Bus(bus), "subscribe_events", arguments);
        }
        self.subscribe(Topic::ConfigEntries, "config_entries/subscribe", json!({}));
        self.refresh(Topic::Config);
        self.refresh(Topic::User);
        self.refresh_lists();
    }

    /// There is no connection (any more).
    pub(super) fn lost(&mut self, now: Instant, loss: Loss) {
        let before = self.core.presence();
        self.core.lost(now, loss);
        self.requests.clear();
        let presence = self.core.presence();
        if presence != before {
            self.reports.push(Report::Presence(presence));
            self.next_look = (presence == Presence::Gone).then(|| now + CREDIBLE);
        }
        if std::mem::take(&mut self.told) {
            self.untold_since = Some(now);
            self.changed(Change::Disconnected);
        }
    }

    /// The answer to a command or subscription.
    pub fn answer(&mut self, now: Instant, topic: Topic, outcome: Result<&RawValue, CommandError>) {
        if topic.list().is_some() || topic == Topic::Entries {
            let refresh = self.refreshes.entry(topic).or_default();
            refresh.underway = false;
            let again = std::mem::take(&mut refresh.again);
            match outcome {
                Ok(list) => self.take_list(now, topic, list),
                Err(error) => self.list_refused(topic, &error),
            }
            if again {
                self.refresh(topic);
            }
            self.ask_for_entries();
        } else {
            self.unanswered = self.unanswered.saturating_sub(1);
            if topic.is_vital() && self.refused.is_none() {
                self.refused = outcome.err();
            }
        }
        let complete = self.unanswered == 0 && !self.refreshes.values().any(|r| r.underway);
        if complete && self.refused.is_none() && !std::mem::replace(&mut self.told, true) {
            self.untold_since = None;
            self.changed(Change::Connected);
            if self.core.presence() == Presence::Running {
                self.changed(Change::Started);
            }
        }
    }

    fn started(&mut self) {
        if self.told {
            self.changed(Change::Started);
        }
        self.refresh_lists();
        if !self.blind {
            for topic in Topic::ADMIN_LISTS {
                self.refresh(topic);
            }
        }
    }

    fn plan_look(&mut self, now: Instant) {
        self.next_look = match self.core.presence() {
            Presence::Running => Some(now + EXPOSED_INTERVAL),
            Presence::Starting | Presence::Stopping => Some(now + READY_INTERVAL),
            Presence::Gone | Presence::Unknown => None,
        };
    }

    fn set_presence(&mut self, now: Instant, presence: Presence) {
        if self.core.set(now, presence) {
            self.plan_look(now);
            self.reports.push(Report::Presence(presence));
            if presence == Presence::Stopping {
                self.changed(Change::Stopping);
            }
        }
    }

    fn changed(&mut self, change: Change) {
        self.reports.push(Report::Change(change));
    }

    fn subscribe(&mut self, topic: Topic, kind: &'static str, arguments: Value) {
        self.unanswered += 1;
        self.requests
            .push(Request::Subscribe(topic, kind, arguments));
    }
}

#[cfg(test)]
mod tests;
