//! How Home Assistant itself is: there, starting, gone, and since when.

use std::time::Instant;

use crate::homeassistant::websocket::Loss;
use crate::upstream::Presence;

/// Home Assistant Core.
#[derive(Debug)]
pub(super) struct Core {
    presence: Presence,
    since: Instant,
    version: Option<String>,
    loss: Option<Loss>,
}

/// How it is, for the status.
#[derive(Debug, serde::Serialize)]
pub(in crate::homeassistant) struct Figures {
    /// Whether it is there.
    pub state: Presence,
    /// Seconds for which that has been so.
    pub since_s: u64,
    /// Its version, as it last said.
    pub version: Option<String>,
    /// Why there is no connection to it.
    pub trouble: Option<String>,
}

impl Core {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            presence: Presence::Unknown,
            since: now,
            version: None,
            loss: None,
        }
    }

    /// What Home Assistant's own word for its state means.
    pub(super) fn presence_of(state: &str) -> Presence {
        match state {
            "RUNNING" => Presence::Running,
            "STOPPING" | "FINAL_WRITE" | "STOPPED" => Presence::Stopping,
            _ => Presence::Starting,
        }
    }

    /// Whether it is there.
    pub(super) const fn presence(&self) -> Presence {
        self.presence
    }

    /// Since when that has been so.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// Its version, as it last said.
    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// There is a connection, and it said which version it is.
    pub(super) fn met(&mut self, version: &str) {
        self.loss = None;
        if !version.is_empty() && self.version.as_deref() != Some(version) {
            self.version = Some(version.to_owned());
        }
    }

    /// There is no connection (any more). Whoever is not let in, or finds no websocket, knows
    /// nothing; else a Home Assistant that was there is gone.
    pub(super) fn lost(&mut self, now: Instant, loss: Loss) {
        let presence = match (&loss, self.presence) {
            (_, Presence::Unknown) | (Loss::TokenRefused(_) | Loss::NotOffered(_), _) => {
                Presence::Unknown
            }
            _ => Presence::Gone,
        };
        self.loss = Some(loss);
        self.set(now, presence);
    }

    /// Says how it is; gives whether that is news.
    pub(super) fn set(&mut self, now: Instant, presence: Presence) -> bool {
        let news = self.presence != presence;
        if news {
            (self.presence, self.since) = (presence, now);
        }
        news
    }

    pub(super) fn figures(&self, now: Instant) -> Figures {
        Figures {
            state: self.presence,
            since_s: now.saturating_duration_since(self.since).as_secs(),
            version: self.version.clone(),
            trouble: self.loss.as_ref().map(ToString::to_string),
        }
    }
}
