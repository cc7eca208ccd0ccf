//! What is made of each event.

use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;

use super::house::Difference;
use super::records::{BusEvent, DeviceNews, EntityNews, EntryNews, ServiceNews, States};
use super::topics::Bus;
use super::{Knowledge, Report, Topic, Watch, read};
use crate::cache::Change;
use crate::upstream::Presence;

impl Knowledge {
    /// What a subscription is for.
    pub fn event(&mut self, now: Instant, topic: Topic, event: &RawValue) {
        self.events += 1;
        match topic {
            Topic::Bus(bus) => self.take_bus_event(now, bus, event),
            Topic::ConfigEntries => {
                let news: Vec<EntryNews<'_>> = read(event).unwrap_or_default();
                if self.integrations.hear(&news) {
                    self.changed(Change::ConfigEntries);
                    if !self.blind {
                        self.refresh(Topic::Apis);
                    }
                }
            }
            Topic::States => self.take_states(event),
            _ => {}
        }
    }

    fn take_bus_event(&mut self, now: Instant, bus: Bus, event: &RawValue) {
        let data = read::<BusEvent<'_>>(event).and_then(|event| event.data);
        match bus {
            Bus::Entities => {
                self.changed(Change::EntityRegistry);
                self.take_entity_news(data.and_then(read));
            }
            Bus::Devices => {
                // Integrations tell of new firmware and the like in the same way.
                let matters = data
                    .and_then(read)
                    .is_none_or(|news| DeviceNews::moves(&news));
                if matters {
                    self.changed(Change::DeviceRegistry);
                    self.refresh(Topic::Devices);
                }
            }
            Bus::Areas => {
                self.changed(Change::AreaRegistry);
                self.refresh(Topic::Areas);
            }
            Bus::Floors => {
                self.changed(Change::FloorRegistry);
                self.refresh(Topic::Floors);
            }
            Bus::Services => {
                let service: Option<ServiceNews<'_>> = data.and_then(read);
                let is_script = service.is_none_or(|service| service.domain == "script");
                self.changed(if is_script {
                    Change::Scripts
                } else {
                    Change::Services
                });
            }
            Bus::Components => self.changed(Change::Components),
            Bus::CoreConfig => {
                self.changed(Change::CoreConfig);
                // It is also the word that comes with the end of a start.
                if self.core.presence() != Presence::Running {
                    self.refresh(Topic::Config);
                }
            }
            Bus::Started => {
                self.set_presence(now, Presence::Running);
                self.started();
            }
        }
    }

    fn take_entity_news(&mut self, news: Option<EntityNews<'_>>) {
        // What cannot be read may be anything.
        let Some(news) = news else {
            self.refresh_exposed();
            return;
        };
        if news.may_expose() {
            self.refresh_exposed();
        }
        let exposed = self.house.exposed_as(&news.entity_id);
        self.unregistered.extend(exposed);
        self.ask_for_entries();
    }

    fn take_states(&mut self, event: &RawValue) {
        let Some(states) = read::<States<'_>>(event) else {
            return;
        };
        let are_old = self.states == Watch::Beginning;
        self.states = Watch::Following;
        for (id, state) in &states.a {
            if let Some(entity_id) = self.heeded(id) {
                let difference = self.house.set_state(&entity_id, state);
                self.tell(&entity_id, difference);
                if !are_old {
                    self.changed(Change::Entity { entity_id });
                }
            }
        }
        for (id, difference) in &states.c {
            if let Some(entity_id) = self.heeded(id) {
                let difference = self.house.change_state(&entity_id, difference);
                self.tell(&entity_id, difference);
                self.changed(if difference.name {
                    Change::Entity { entity_id }
                } else {
                    Change::State { entity_id }
                });
            }
        }
        for id in &states.r {
            if let Some(entity_id) = self.heeded(id) {
                self.house.remove_state(id);
                self.changed(Change::Entity { entity_id });
            }
        }
    }

    /// Tells of a difference those who watch the entity.
    fn tell(&mut self, entity_id: &Arc<str>, difference: Difference) {
        if difference.told {
            self.reports.push(Report::Told(entity_id.clone()));
        }
    }

    /// The id of an entity that is exposed, or of which that is not known.
    fn heeded(&self, id: &str) -> Option<Arc<str>> {
        let exposed = self.house.exposed_as(id);
        exposed.or_else(|| self.blind.then(|| Arc::from(id)))
    }
}
