//! What is asked for as a whole: when, and what is made of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::core::Core;
use super::records::{Apis, Area, Config, Device, Entry, Exposed, Floor, User};
use super::topics::STARTED;
use super::{CommandError, Knowledge, Request, Topic, Watch, read};
use crate::cache::Change;
use crate::upstream::Presence;

/// Entities whose registry entries are asked for at once.
pub(super) const ENTRIES_AT_ONCE: usize = 500;

impl Knowledge {
    pub(super) fn take_list(&mut self, now: Instant, topic: Topic, list: &RawValue) {
        match topic {
            Topic::Config => {
                if let Some(config) = read::<Config<'_>>(list) {
                    self.core.met(&config.version);
                    let was = self.core.presence();
                    self.set_presence(now, Core::presence_of(&config.state));
                    if was == Presence::Starting && self.core.presence() == Presence::Running {
                        self.started();
                    }
                }
            }
            Topic::User => match read::<User>(list) {
                Some(User { is_admin: false }) => self.see_nothing(),
                _ => self.see_everything(),
            },
            Topic::Apis => {
                if let Some(list) = read::<Apis>(list) {
                    self.apis = list.apis;
                }
            }
            Topic::Exposed => {
                if let Some(list) = read::<Exposed<'_>>(list) {
                    self.take_exposed(&list);
                }
            }
            Topic::Entries => {
                let entries: HashMap<String, Option<Entry<'_>>> = read(list).unwrap_or_default();
                for (id, entry) in entries {
                    self.house.register(&id, entry);
                }
            }
            Topic::Devices => {
                let devices: Vec<Device<'_>> = read(list).unwrap_or_default();
                self.house.set_devices(&devices);
            }
            Topic::Areas => {
                let areas: Vec<Area<'_>> = read(list).unwrap_or_default();
                self.house.set_areas(areas);
            }
            Topic::Floors => {
                let floors: Vec<Floor<'_>> = read(list).unwrap_or_default();
                self.house.set_floors(floors);
            }
            Topic::Bus(_) | Topic::ConfigEntries | Topic::States => {}
        }
    }

    pub(super) fn list_refused(&mut self, topic: Topic, error: &CommandError) {
        tracing::debug!(?topic, %error, "Home Assistant does not tell");
        match topic {
            Topic::User => self.see_everything(),
            Topic::Exposed if !self.blind => self.see_nothing(),
            _ => {}
        }
    }

    /// The token is an administrator's.
    fn see_everything(&mut self) {
        let (bus, event) = STARTED;
        let arguments = json!({"event_type": event});
        self.subscribe(Topic::Bus(bus), "subscribe_events", arguments);
        for topic in Topic::ADMIN_LISTS {
            self.refresh(topic);
        }
    }

    /// The token may not know what is exposed: any entity may be.
    fn see_nothing(&mut self) {
        self.blind = true;
        self.house.expose(&HashSet::new());
        self.unregistered.clear();
        self.watch_states();
    }

    fn take_exposed(&mut self, list: &Exposed<'_>) {
        let exposed: HashSet<&str> = list.conversation().collect();
        let new = self.house.expose(&exposed);
        if new.is_some() {
            self.changed(Change::Exposure);
        }
        if self.states == Watch::Off {
            // The first list of this connection: whatever is known may be old.
            let all: Vec<Arc<str>> = self.house.exposed().cloned().collect();
            self.unregistered.extend(all);
            self.watch_states();
        } else if let Some(new) = new {
            self.unregistered.extend(new);
            self.watch_states();
        }
    }

    /// Wants to hear of the states of exactly what is exposed now.
    fn watch_states(&mut self) {
        if self.states != Watch::Off {
            self.requests.push(Request::Unsubscribe(Topic::States));
        }
        let ids: Vec<Value> = self.house.exposed().map(|id| json!(**id)).collect();
        // An empty list would stand for everything.
        self.states = Watch::Following;
        if !ids.is_empty() || self.blind {
            let arguments = if self.blind {
                json!({})
            } else {
                json!({"entity_ids": ids})
            };
            self.states = Watch::Beginning;
            self.subscribe(Topic::States, "subscribe_entities", arguments);
        }
    }

    pub(super) fn refresh_lists(&mut self) {
        for topic in Topic::LISTS {
            self.refresh(topic);
        }
    }

    pub(super) fn refresh_exposed(&mut self) {
        if !self.blind {
            self.refresh(Topic::Exposed);
        }
    }

    /// Asks for a list; once more after the answer if it is asked for already, which may have been
    /// before what happened now.
    pub(super) fn refresh(&mut self, topic: Topic) {
        let Some(command) = topic.list() else {
            return;
        };
        let refresh = self.refreshes.entry(topic).or_default();
        if refresh.underway {
            refresh.again = true;
            return;
        }
        refresh.underway = true;
        self.requests
            .push(Request::Command(topic, command, json!({})));
    }

    /// Asks for what the registry has of entities, some at a time.
    pub(super) fn ask_for_entries(&mut self) {
        let refresh = self.refreshes.entry(Topic::Entries).or_default();
        if refresh.underway || self.unregistered.is_empty() {
            return;
        }
        refresh.underway = true;
        let rest = self.unregistered.iter().nth(ENTRIES_AT_ONCE).cloned();
        let later = rest.map(|first| self.unregistered.split_off(&first));
        let ids = std::mem::replace(&mut self.unregistered, later.unwrap_or_default());
        let ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
        self.requests.push(Request::Command(
            Topic::Entries,
            "config/entity_registry/get_entries",
            json!({"entity_ids": ids}),
        ));
    }
}
