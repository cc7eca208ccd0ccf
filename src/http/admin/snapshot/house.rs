//! Home Assistant as the status page shows it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use super::since_1970;
use crate::dispatch::BreakerState;
use crate::error::Code;
use crate::homeassistant::Condition;
use crate::http::Bridge;
use crate::upstream::Presence;

/// Home Assistant, or whatever else is behind the bridge.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct HomeAssistant {
    url: String,
    /// How it was found: `direct`, `supervisor`, `configured` or `demo`.
    way: &'static str,
    /// `running`, `starting`, `stopping`, `gone` or `unknown`, as its events tell.
    #[schemars(with = "String")]
    presence: Presence,
    /// Since when, in milliseconds since 1970; nothing where its events are not listened to.
    since: Option<u64>,
    /// Its version.
    version: Option<String>,
    /// Whether it answers; nothing until it was spoken to for the first time.
    pub(super) reachable: Option<bool>,
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
    /// What exactly was seen.
    detail: Option<String>,
    /// When it was, in milliseconds since 1970.
    at: Option<u64>,
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

impl Trouble {
    fn new(code: Code) -> Self {
        let entry = code.entry();
        Self {
            code: entry.name,
            title: entry.title,
            fix: entry.fix,
            detail: None,
            at: None,
        }
    }
}

impl HomeAssistant {
    pub(super) fn of(bridge: &Bridge) -> Self {
        let upstream = bridge.dispatcher.upstream();
        let condition = bridge.home_assistant().map(|home| home.condition());
        let missing = condition.as_ref().is_some_and(|c| c.mcp_server_missing);
        let health = upstream.health();
        let met = health.trouble.as_ref().map(|(trouble, at)| Trouble {
            detail: Some(trouble.to_string()),
            at: Some(since_1970(*at)),
            ..Trouble::new(trouble.code())
        });
        let trouble = met.or_else(|| missing.then(|| Trouble::new(Code::NotSetUp)));
        let known = health.last_answer.is_some() || trouble.is_some();
        let breaker = bridge.dispatcher.queue_figures().breaker;
        Self {
            url: upstream.address(),
            way: bridge.way(),
            presence: condition.as_ref().map_or(Presence::Unknown, |c| c.presence),
            since: condition.as_ref().and_then(known_since),
            version: condition.and_then(|condition| condition.version),
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

    /// The key of the sentence that says how it is, if there is one of its own.
    pub(super) const fn verdict(&self) -> Option<&'static str> {
        match (self.presence, self.reachable) {
            (Presence::Starting, _) => Some("verdict.starting"),
            (Presence::Stopping | Presence::Gone, _) => Some("verdict.away"),
            (_, Some(false)) => Some("verdict.trouble"),
            (_, Some(true)) | (Presence::Running, None) => Some("verdict.running"),
            (Presence::Unknown, None) => None,
        }
    }
}

/// Since when the condition has been as it is, if it is known at all.
fn known_since(condition: &Condition) -> Option<u64> {
    let known = condition.presence != Presence::Unknown;
    known.then(|| since_1970(Instant::from_std(condition.since)))
}
