//! The clients as the status page lists them: who holds a token, and what they did lately.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::access::{Client, Rights};
use crate::http::Bridge;
use crate::telemetry::ClientFigures;

/// One client.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http::admin) struct ClientState {
    /// Its name.
    #[schemars(with = "String")]
    pub name: Arc<str>,
    /// Whether it is in the register, where it can be changed; nobody is who comes through an open
    /// front door, or whom the configuration declares.
    registered: bool,
    /// Whether the configuration declares it.
    declared: bool,
    /// Whether it may come in for the time being.
    enabled: bool,
    /// How much it may do.
    rights: Extent,
    /// When it was last there, in milliseconds since 1970.
    seen: Option<u64>,
    /// The program, as it calls itself (`User-Agent`).
    program: Option<String>,
    /// Calls that ended in the last hour.
    pub calls: u32,
    /// Those of them that went wrong.
    pub errors: u32,
    /// The 95th percentile of the time that its calls took, in milliseconds.
    p95_ms: Option<f64>,
}

/// How much a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Extent {
    /// Everything.
    Full,
    /// Some tools, some arguments, or some things only if a person agrees.
    Limited,
    /// It may look, and change nothing.
    ReadOnly,
}

impl Extent {
    fn of(rights: &Rights) -> Self {
        if rights.read_only {
            Self::ReadOnly
        } else if rights.are_unlimited() {
            Self::Full
        } else {
            Self::Limited
        }
    }
}

impl ClientState {
    /// All that are not revoked, in the order in which they were made, and whoever came without a
    /// token.
    pub(super) fn all(bridge: &Bridge) -> Vec<Self> {
        let journal = bridge.dispatcher.journal();
        let figures = journal.clients().into_iter();
        let mut figures: HashMap<_, _> = figures.map(|one| (one.name.clone(), one)).collect();
        let last_seen = bridge.access.last_seen();
        let registered = bridge.access.clients();
        let active = registered.iter().filter(|client| client.is_active());
        let mut all: Vec<_> = active
            .map(|client| {
                let earlier = last_seen.get(&client.name);
                let earlier = earlier.and_then(|at| u64::try_from(at.as_millisecond()).ok());
                Self::of(
                    client,
                    !client.declared,
                    earlier,
                    figures.remove(&*client.name),
                )
            })
            .collect();
        let anyone = Client::anyone();
        let uninvited = figures.remove(&*anyone.name);
        all.extend(
            uninvited
                .filter(|_| bridge.access.is_open())
                .map(|figures| Self::of(&anyone, false, None, Some(figures))),
        );
        all
    }

    fn of(
        client: &Client,
        registered: bool,
        earlier: Option<u64>,
        figures: Option<ClientFigures>,
    ) -> Self {
        let seen = figures.as_ref().map(|figures| figures.seen);
        Self {
            name: client.name.as_str().into(),
            registered,
            declared: client.declared,
            enabled: client.enabled,
            rights: Extent::of(&client.terms.rights),
            // Whole seconds: it must not change with every request of a busy client.
            seen: seen.max(earlier).map(|at| at / 1000 * 1000),
            calls: figures.as_ref().map_or(0, |figures| figures.calls),
            errors: figures.as_ref().map_or(0, |figures| figures.errors),
            p95_ms: figures.as_ref().and_then(|figures| figures.p95_ms),
            program: figures.and_then(|figures| figures.program),
        }
    }
}
