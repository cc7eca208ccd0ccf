//! Follows the configuration while the bridge runs: files that change, options of the app that are
//! saved, and people who ask for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::live::Live;
use crate::access::Stamp;
use crate::config::{self, Environment, Flags, Loaded, changes, needs_restart};
use crate::homeassistant::OwnApp;
use crate::http::{Configuration, Refused, Wanted};
use crate::upstream::http_client::HttpClient;

/// How often files are looked at. One counts once it has stayed the same from one look to the next:
/// then nobody is still writing it.
const FILE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the Supervisor is asked for the options. It tells nobody when they change.
const OPTIONS_INTERVAL: Duration = Duration::from_secs(10);

/// Where the configuration comes from, and what is in force.
#[derive(Debug)]
pub(super) struct Follower {
    live: Arc<Live>,
    flags: Flags,
    environment: Environment,
    /// As the bridge started.
    first: Loaded,
    /// As it is in force.
    current: Loaded,
    /// The options as the Supervisor told them last; nothing for those in the file.
    options: Option<Value>,
    told: watch::Sender<Configuration>,
    /// Whether what was read last could not be put in force, and may be in a while.
    again: bool,
}

impl Follower {
    /// Follows what was loaded from there and is in force in `live`.
    pub(super) fn new(
        live: Arc<Live>,
        flags: Flags,
        environment: Environment,
        loaded: Loaded,
        told: watch::Sender<Configuration>,
    ) -> Self {
        Self {
            live,
            flags,
            environment,
            first: loaded.clone(),
            current: loaded,
            options: None,
            told,
            again: false,
        }
    }

    /// Follows until told to stop.
    pub(super) async fn run(mut self, mut wanted: mpsc::Receiver<Wanted>, stop: CancellationToken) {
        let mut files = interval(FILE_INTERVAL);
        let mut options = interval(OPTIONS_INTERVAL);
        for ticks in [&mut files, &mut options] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut seen = self.stamps();
        let mut read = seen.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(done) = wanted.recv() => {
                    self.ask_for_options().await;
                    self.reload().await;
                    let _ = done.send(self.told.borrow().clone());
                }
                _ = files.tick() => {
                    let before = std::mem::replace(&mut seen, self.stamps());
                    if before == seen && seen != read {
                        read.clone_from(&seen);
                        self.reload().await;
                    }
                }
                _ = options.tick() => {
                    if self.ask_for_options().await || self.again {
                        self.reload().await;
                    }
                }
            }
        }
    }

    /// Asks the Supervisor, if there is one, for the options; says whether they are others than
    /// before.
    async fn ask_for_options(&mut self) -> bool {
        let upstream = &self.current.settings.upstream;
        let Some(supervisor) = &upstream.wish.supervisor else {
            return false;
        };
        let told = match HttpClient::new(&upstream.http) {
            Ok(client) => OwnApp::new(supervisor.clone(), client).options().await,
            Err(trouble) => Err(trouble),
        };
        match told {
            Ok(options) => {
                let changed = self.options.as_ref() != Some(&options);
                self.options = Some(options);
                changed
            }
            Err(trouble) => {
                // It restarts by itself now and then.
                tracing::debug!(%trouble, "the Supervisor does not tell the options");
                false
            }
        }
    }

    /// Reads all sources, and puts in force what they say, or nothing of it.
    async fn reload(&mut self) {
        let loaded = config::reload(&self.flags, &self.environment, self.options.as_ref());
        let outcome = match loaded {
            Ok(loaded) => self.put_in_force(loaded).await,
            Err(error) => Err(error.0.iter().map(ToString::to_string).collect()),
        };
        let Err(faults) = outcome else { return };
        let known = |told: &Configuration| {
            let refused = told.refused.as_ref();
            refused.is_some_and(|refused| refused.faults == faults)
        };
        if !known(&self.told.borrow()) {
            for fault in &faults {
                tracing::error!(fault, "the new configuration is refused, the old one stays");
            }
        }
        let at = Timestamp::now();
        self.told
            .send_modify(|told| told.refused = Some(Refused { at, faults }));
    }

    async fn put_in_force(&mut self, loaded: Loaded) -> Result<(), Vec<String>> {
        let keys = changes(&self.current, &loaded);
        let (at_start, at_once): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| needs_restart(key));
        let settings = loaded.settings.clone();
        let applied = self.live.apply(settings).await;
        self.again = applied.is_err();
        applied.map_err(|error| vec![error.to_string()])?;
        let restart_needed = changes(&self.first, &loaded);
        let restart_needed = restart_needed.into_iter().filter(|key| needs_restart(key));
        let restart_needed: Vec<_> = restart_needed.collect();
        self.current = loaded;
        if !at_once.is_empty() {
            tracing::info!(
                changed = at_once.join(", "),
                "the new configuration is in force"
            );
        }
        if !at_start.is_empty() {
            tracing::warn!(
                changed = at_start.join(", "),
                "this counts after a restart only"
            );
        }
        self.told.send_modify(|told| {
            told.refused = None;
            told.restart_needed = restart_needed;
            if !at_once.is_empty() {
                told.since = Timestamp::now();
                told.changed = at_once;
            }
        });
        Ok(())
    }

    /// How the files are that have a say.
    fn stamps(&self) -> Vec<(PathBuf, Option<Stamp>)> {
        let files = self.current.files.iter();
        files.map(|path| (path.clone(), Stamp::of(path))).collect()
    }
}
