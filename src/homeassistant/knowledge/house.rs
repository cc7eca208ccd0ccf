//! The house as Home Assistant describes it: exposed entities with their names, areas and states,
//! and the areas, floors and devices that they belong to. Nothing of entities that are not exposed.

mod told;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::attributes::{Attributes, Gone, Told};
use super::records::{self, Area, Device, Entry, Floor, State};
use crate::upstream::Description;

/// Entities that one description may mean before it counts as everything.
const MOST_MEANT: usize = 200;
/// Domains of entities that are things, whose switching touches nothing but themselves and their
/// members. A script, a scene, an automation or a button may do anything.
const THINGS: [&str; 23] = [
    "alarm_control_panel",
    "climate",
    "cover",
    "fan",
    "group",
    "humidifier",
    "input_boolean",
    "input_number",
    "input_select",
    "input_text",
    "lawn_mower",
    "light",
    "lock",
    "media_player",
    "number",
    "select",
    "siren",
    "switch",
    "timer",
    "todo",
    "vacuum",
    "valve",
    "water_heater",
];

/// What is known of one exposed entity.
#[derive(Debug, Default)]
struct Entity {
    /// As the registry has it; nothing for one without a unique id, or not asked for yet.
    entry: Option<Registered>,
    friendly_name: Option<Box<str>>,
    /// Entities that it stands for.
    members: Vec<Arc<str>>,
    state: Option<Box<str>>,
    /// Since when it is in that state, in seconds of Unix time.
    last_changed: Option<f64>,
    told: Told,
}

#[derive(Debug)]
struct Registered {
    names: Vec<Box<str>>,
    area: Option<Box<str>>,
    device: Option<Box<str>>,
}

#[derive(Debug)]
struct Place {
    /// As people write it.
    name: Box<str>,
    /// Folded, its id among them.
    names: Vec<Box<str>>,
    floor: Option<Box<str>>,
}

/// The house.
#[derive(Debug, Default)]
pub(super) struct House {
    entities: BTreeMap<Arc<str>, Entity>,
    /// Entities by their folded names and by their ids.
    by_name: HashMap<Box<str>, Vec<Arc<str>>>,
    /// Areas of those devices that have one.
    device_areas: HashMap<Box<str>, Box<str>>,
    areas: HashMap<Box<str>, Place>,
    floors: HashMap<Box<str>, Vec<Box<str>>>,
}

/// How many of everything there are, for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub(in crate::homeassistant) struct Counts {
    /// Entities that are exposed to the assistant.
    pub exposed: usize,
    /// Those of them that cannot be used now: unavailable, or not there yet.
    pub unavailable: usize,
    /// Areas.
    pub areas: usize,
    /// Floors.
    pub floors: usize,
    /// Devices with an area.
    pub placed_devices: usize,
}

/// What a new state makes different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Difference {
    /// The entity has another name.
    pub name: bool,
    /// Clients that read it are told something else than before.
    pub told: bool,
}

/// Texts that Home Assistant takes for the same name: it compares them by case folding.
fn folded(name: &str) -> Box<str> {
    // Both ways, since some letters fold into two: "Straße" and "STRASSE" are the same.
    name.trim().to_uppercase().to_lowercase().into()
}

/// The part of an entity's id before the point.
fn domain_of(id: &str) -> &str {
    id.split_once('.').map_or(id, |(domain, _)| domain)
}

fn boxed(text: Option<Cow<'_, str>>) -> Option<Box<str>> {
    text.map(|text| text.into_owned().into_boxed_str())
}

impl House {
    /// Takes over which entities are exposed; gives those that were not before. Nothing if these
    /// are the same as before.
    pub(super) fn expose(&mut self, ids: &HashSet<&str>) -> Option<Vec<Arc<str>>> {
        let hidden: Vec<Arc<str>> = self
            .entities
            .keys()
            .filter(|id| !ids.contains(&***id))
            .cloned()
            .collect();
        let new: Vec<Arc<str>> = ids
            .iter()
            .filter(|id| !self.entities.contains_key(**id))
            .map(|id| Arc::from(*id))
            .collect();
        if hidden.is_empty() && new.is_empty() {
            return None;
        }
        for id in &hidden {
            self.forget_names(id);
            self.entities.remove(id);
        }
        for id in &new {
            self.entities.insert(id.clone(), Entity::default());
            self.learn_names(id);
        }
        Some(new)
    }

    /// The exposed entities.
    pub(super) fn exposed(&self) -> impl Iterator<Item = &Arc<str>> {
        self.entities.keys()
    }

    /// The entity's id, if it is exposed.
    pub(super) fn exposed_as(&self, id: &str) -> Option<Arc<str>> {
        self.entities.get_key_value(id).map(|(id, _)| id.clone())
    }

    /// The state of an exposed entity.
    #[cfg(test)]
    pub(super) fn state(&self, id: &str) -> Option<&str> {
        self.entities.get(id)?.state.as_deref()
    }

    /// Takes over what the registry has of an exposed entity; `None` if it has nothing.
    pub(super) fn register(&mut self, id: &str, entry: Option<Entry<'_>>) {
        let Some(id) = self.exposed_as(id) else {
            return;
        };
        self.forget_names(&id);
        if let Some(entity) = self.entities.get_mut(&id) {
            entity.entry = entry.map(|entry| Registered {
                names: [entry.name, entry.original_name]
                    .into_iter()
                    .chain(entry.aliases)
                    .flatten()
                    .map(|name| folded(&name))
                    .collect(),
                area: boxed(entry.area_id),
                device: boxed(entry.device_id),
            });
        }
        self.learn_names(&id);
    }

    /// Takes over the whole state of an exposed entity.
    pub(super) fn set_state(&mut self, id: &Arc<str>, state: &State<'_>) -> Difference {
        self.update(id, Gone::All, state)
    }

    /// Takes over what is different in the state of an exposed entity.
    pub(super) fn change_state(
        &mut self,
        id: &Arc<str>,
        difference: &records::Difference<'_>,
    ) -> Difference {
        let gone = difference.minus.as_ref();
        let gone = Gone::These(gone.map_or(&[], |gone| &gone.a));
        let nothing = State::default();
        self.update(id, gone, difference.plus.as_ref().unwrap_or(&nothing))
    }

    fn update(&mut self, id: &Arc<str>, gone: Gone<'_>, state: &State<'_>) -> Difference {
        let mut difference = Difference::default();
        let Some(entity) = self.entities.get_mut(id) else {
            return difference;
        };
        if let Some(state) = state.s.as_deref()
            && entity.state.as_deref() != Some(state)
        {
            entity.state = Some(state.into());
            difference.told = true;
        }
        entity.last_changed = state.lc.or(entity.last_changed);
        let attributes = state.a.as_ref();
        let told = entity.told.after(gone, attributes);
        if entity.told != told {
            entity.told = told;
            difference.told = true;
        }
        if let Some(members) = attributes.and_then(Attributes::members) {
            entity.members = members.iter().map(|member| Arc::from(&**member)).collect();
        }
        let name = attributes.and_then(Attributes::friendly_name);
        let name = name.filter(|name| entity.friendly_name.as_deref() != Some(name));
        if let Some(name) = name {
            self.forget_names(id);
            if let Some(entity) = self.entities.get_mut(id) {
                entity.friendly_name = Some(name.into_owned().into_boxed_str());
            }
            self.learn_names(id);
            difference = Difference {
                name: true,
                told: true,
            };
        }
        difference
    }

    /// An exposed entity is not there (any more).
    pub(super) fn remove_state(&mut self, id: &str) {
        if let Some(entity) = self.entities.get_mut(id) {
            entity.state = None;
        }
    }

    /// Takes over all devices. One without an area has that of the device that it is a part of.
    pub(super) fn set_devices(&mut self, devices: &[Device<'_>]) {
        let own: HashMap<&str, &str> = devices
            .iter()
            .filter_map(|device| Some((&*device.id, device.area_id.as_deref()?)))
            .collect();
        let area = |device: &Device<'_>| {
            let inherited = || own.get(device.parent_device_id.as_deref()?).copied();
            let area = own.get(&*device.id).copied().or_else(inherited)?;
            Some((device.id.as_ref().into(), area.into()))
        };
        self.device_areas = devices.iter().filter_map(area).collect();
    }

    /// Takes over all areas.
    pub(super) fn set_areas(&mut self, areas: Vec<Area<'_>>) {
        let area = |area: Area<'_>| {
            let names = [&area.id, &area.name].into_iter();
            let names = names.chain(&area.aliases).map(|name| folded(name));
            let place = Place {
                names: names.collect(),
                name: area.name.into_owned().into_boxed_str(),
                floor: boxed(area.floor_id),
            };
            (area.id.into_owned().into_boxed_str(), place)
        };
        self.areas = areas.into_iter().map(area).collect();
    }

    /// Takes over all floors.
    pub(super) fn set_floors(&mut self, floors: Vec<Floor<'_>>) {
        let floor = |floor: Floor<'_>| {
            let names = [floor.id.clone(), floor.name].into_iter();
            let names = names.chain(floor.aliases).map(|name| folded(&name));
            (floor.id.into_owned().into_boxed_str(), names.collect())
        };
        self.floors = floors.into_iter().map(floor).collect();
    }

    /// All exposed entities that Home Assistant may take this description for, and those that they
    /// stand for. Nothing if there is none, if there are more than [`MOST_MEANT`], or if one of
    /// them may touch anything.
    pub(super) fn meant(&self, description: &Description) -> Option<Vec<Arc<str>>> {
        let called = description.name.as_deref().map(folded);
        let areas = match (&description.area, &description.floor) {
            (None, None) => None,
            (area, floor) => Some(self.areas_meant(area.as_deref(), floor.as_deref())?),
        };
        let fits = |id: &&Arc<str>| {
            let domain = domain_of(id);
            let domains = &description.domains;
            (domains.is_empty() || domains.iter().any(|wanted| wanted == domain))
                && areas
                    .as_ref()
                    .is_none_or(|areas| self.area_of(id).is_some_and(|area| areas.contains(area)))
        };
        let found: Vec<&Arc<str>> = match called {
            Some(name) => self.by_name.get(&name)?.iter().filter(fits).collect(),
            None => self
                .entities
                .keys()
                .filter(fits)
                .take(MOST_MEANT + 1)
                .collect(),
        };
        let mut meant = BTreeSet::new();
        for id in &found {
            self.add_with_members(id, &mut meant)?;
        }
        let within = !meant.is_empty() && meant.len() <= MOST_MEANT;
        within.then(|| meant.into_iter().collect())
    }

    /// The areas that fit what is said of them; nothing if there is none.
    fn areas_meant(&self, area: Option<&str>, floor: Option<&str>) -> Option<HashSet<&str>> {
        let area = area.map(folded);
        let floors: Option<HashSet<&str>> = floor.map(folded).map(|floor| {
            let called = self
                .floors
                .iter()
                .filter(|(_, names)| names.contains(&floor));
            called.map(|(id, _)| &**id).collect()
        });
        let fits = |place: &Place| {
            area.as_ref().is_none_or(|area| place.names.contains(area))
                && floors.as_ref().is_none_or(|floors| {
                    place
                        .floor
                        .as_deref()
                        .is_some_and(|floor| floors.contains(floor))
                })
        };
        let found = self.areas.iter().filter(|(_, place)| fits(place));
        let found: HashSet<&str> = found.map(|(id, _)| &**id).collect();
        (!found.is_empty()).then_some(found)
    }

    /// The area that an entity is in, by itself or with its device.
    fn area_of(&self, id: &str) -> Option<&str> {
        let entry = self.entities.get(id)?.entry.as_ref()?;
        let device = || {
            self.device_areas
                .get(entry.device.as_deref()?)
                .map(|area| &**area)
        };
        entry.area.as_deref().or_else(device)
    }

    /// Adds an entity and those that it stands for, groups in groups included; nothing if that may
    /// be anything.
    fn add_with_members(&self, id: &Arc<str>, meant: &mut BTreeSet<Arc<str>>) -> Option<()> {
        if !THINGS.contains(&domain_of(id)) || meant.len() > MOST_MEANT {
            return None;
        }
        if meant.insert(id.clone())
            && let Some(entity) = self.entities.get(id)
        {
            for member in &entity.members {
                self.add_with_members(member, meant)?;
            }
        }
        Some(())
    }

    /// The figures now.
    pub(super) fn counts(&self) -> Counts {
        let unavailable = |entity: &&Entity| {
            let state = entity.state.as_deref();
            state.is_none_or(|state| state == "unavailable")
        };
        Counts {
            exposed: self.entities.len(),
            unavailable: self.entities.values().filter(unavailable).count(),
            areas: self.areas.len(),
            floors: self.floors.len(),
            placed_devices: self.device_areas.len(),
        }
    }

    fn names_of(&self, id: &str) -> HashSet<Box<str>> {
        let entity = self.entities.get(id);
        let registered = entity.and_then(|entity| entity.entry.as_ref());
        let friendly = entity.and_then(|entity| entity.friendly_name.as_deref());
        registered
            .into_iter()
            .flat_map(|entry| entry.names.iter().cloned())
            .chain(friendly.map(folded))
            .chain([folded(id)])
            .collect()
    }

    fn learn_names(&mut self, id: &Arc<str>) {
        for name in self.names_of(id) {
            self.by_name.entry(name).or_default().push(id.clone());
        }
    }

    fn forget_names(&mut self, id: &Arc<str>) {
        for name in self.names_of(id) {
            if let Some(called) = self.by_name.get_mut(&name) {
                called.retain(|other| other != id);
                if called.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
