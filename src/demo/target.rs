//! Which entities a call means: by name, area, floor, domain and device class, as Home Assistant
//! combines them.

use serde_json::{Value, json};

use super::floorplan::{Area, Floor, same};
use super::house::{Entity, House};
use super::slots::{Slots, ToolError};

/// What a call says about its targets.
#[derive(Debug, Default, Clone)]
pub(super) struct Target {
    pub(super) name: Option<String>,
    pub(super) area: Option<String>,
    pub(super) floor: Option<String>,
    pub(super) domains: Vec<String>,
    pub(super) device_classes: Vec<String>,
}

/// The first constraint that nothing in the house fulfils.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoMatch {
    UnknownArea,
    UnknownFloor,
    Name,
    Domain,
    DeviceClass,
    Floor,
    Area,
}

impl Target {
    /// Reads the slots that all intents share. `domain` is the one that the tool is for, if it is
    /// for one.
    pub(super) fn from_slots(slots: &Slots<'_>, domain: Option<&str>) -> Result<Self, ToolError> {
        let mut target = Self {
            // "all" is no name, but neither does it lift the other constraints.
            name: slots.text("name")?.filter(|name| !same(name, "all")),
            area: slots.text("area")?,
            floor: slots.text("floor")?,
            domains: slots.texts("domain")?,
            device_classes: slots.texts("device_class")?,
        };
        if let Some(domain) = domain {
            if target.domains.iter().any(|given| given != domain) {
                return Err(slots.invalid());
            }
            target.domains = vec![domain.to_owned()];
        }
        let nothing_given = target.name.is_none()
            && target.area.is_none()
            && target.floor.is_none()
            && target.domains.is_empty()
            && target.device_classes.is_empty();
        if nothing_given {
            let refusal = "Service handler cannot target all devices";
            return Err(ToolError::Raised(refusal.to_owned()));
        }
        Ok(target)
    }

    /// The entities that fulfil every constraint; never an empty list.
    pub(super) fn find<'a>(&self, house: &'a House) -> Result<Vec<&'a Entity>, NoMatch> {
        let area = self.known_area()?;
        let floor = self.known_floor()?;
        let mut found: Vec<&Entity> = house.entities.iter().collect();
        let mut keep = |reason, given: bool, test: &dyn Fn(&Entity) -> bool| {
            if given {
                found.retain(|entity| test(entity));
            }
            if found.is_empty() {
                Err(reason)
            } else {
                Ok(())
            }
        };
        keep(NoMatch::Name, self.name.is_some(), &|entity| {
            self.names(entity)
        })?;
        keep(NoMatch::Domain, !self.domains.is_empty(), &|entity| {
            self.domains
                .iter()
                .any(|domain| same(domain, entity.domain()))
        })?;
        keep(
            NoMatch::DeviceClass,
            !self.device_classes.is_empty(),
            &|entity| {
                self.device_classes
                    .iter()
                    .any(|class| Some(class.as_str()) == entity.device_class)
            },
        )?;
        keep(NoMatch::Floor, floor.is_some(), &|entity| {
            floor.is_some_and(|floor| entity.on_floor(floor))
        })?;
        keep(NoMatch::Area, area.is_some(), &|entity| entity.area == area)?;
        Ok(found)
    }

    /// Like [`Target::find`], for changing them; the failure is worded as the intents word it.
    pub(super) fn find_mut<'a>(
        &self,
        house: &'a mut House,
    ) -> Result<Vec<&'a mut Entity>, ToolError> {
        let found = self
            .find(house)
            .map_err(|reason| self.no_match(reason.text()))?;
        let ids: Vec<_> = found.iter().map(|entity| entity.id).collect();
        let entities = house.entities.iter_mut();
        Ok(entities.filter(|entity| ids.contains(&entity.id)).collect())
    }

    /// "No entities matched ..., (given ...)".
    pub(super) fn no_match(&self, reason: &str) -> ToolError {
        let mut given = Vec::new();
        for (word, value) in [
            ("name", &self.name),
            ("area", &self.area),
            ("floor", &self.floor),
        ] {
            given.extend(value.as_ref().map(|value| format!("{word} '{value}'")));
        }
        for (word, values) in [
            ("domains", &self.domains),
            ("device classes", &self.device_classes),
        ] {
            if !values.is_empty() {
                given.push(format!("{word} {}", values.join(", ")));
            }
        }
        ToolError::Raised(format!("{reason} (given {})", given.join(", ")))
    }

    /// The place that a result names before its entities.
    pub(super) fn place(&self) -> Option<Value> {
        let area = self.known_area().ok().flatten();
        let floor = self.known_floor().ok().flatten();
        area.map(|area| json!({"name": area.name, "type": "area", "id": area.id}))
            .or_else(|| {
                floor.map(|floor| json!({"name": floor.name, "type": "floor", "id": floor.id}))
            })
    }

    fn names(&self, entity: &Entity) -> bool {
        let given = |name: &String| same(name, entity.name) || same(name, entity.id);
        self.name.as_ref().is_some_and(given)
    }

    fn known_area(&self) -> Result<Option<&'static Area>, NoMatch> {
        let known = |given: &String| Area::called(given).ok_or(NoMatch::UnknownArea);
        self.area.as_ref().map(known).transpose()
    }

    fn known_floor(&self) -> Result<Option<&'static Floor>, NoMatch> {
        let known = |given: &String| Floor::called(given).ok_or(NoMatch::UnknownFloor);
        self.floor.as_ref().map(known).transpose()
    }
}

impl NoMatch {
    fn text(self) -> &'static str {
        match self {
            Self::UnknownArea => "The area does not exist",
            Self::UnknownFloor => "The floor does not exist",
            Self::Name => "No entities matched the name",
            Self::Domain => "No entities matched the domain",
            Self::DeviceClass => "No entities matched the device class",
            Self::Floor => "No entities matched the floor",
            Self::Area => "No entities matched the area",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(arguments: &Value) -> Result<Target, ToolError> {
        let slots = Slots::new("intent__HassTurnOn", arguments.as_object().unwrap());
        Target::from_slots(&slots, None)
    }

    fn ids(arguments: &Value) -> Vec<&'static str> {
        let house = House::furnished();
        let found = target(arguments).unwrap().find(&house).unwrap();
        found.iter().map(|entity| entity.id).collect()
    }

    fn failure(arguments: &Value) -> String {
        let failure = target(arguments)
            .unwrap()
            .find_mut(&mut House::furnished())
            .unwrap_err();
        failure.text()
    }

    #[test]
    fn names_match_without_regard_to_case_and_so_do_entity_ids() {
        assert_eq!(
            ids(&json!({"name": " reading LAMP "})),
            ["light.reading_lamp"]
        );
        assert_eq!(
            ids(&json!({"name": "light.reading_lamp"})),
            ["light.reading_lamp"]
        );
    }

    #[test]
    fn constraints_narrow_each_other() {
        assert_eq!(
            ids(&json!({"area": "Living Room", "domain": ["light"]})),
            ["light.living_room_light", "light.reading_lamp"]
        );
        assert_eq!(
            ids(&json!({"floor": "first_floor", "domain": "light"})),
            ["light.bedroom_light", "light.desk_lamp"]
        );
        assert_eq!(
            ids(&json!({"device_class": ["curtain", "blind"], "floor": "First Floor"})),
            ["cover.bedroom_curtain"]
        );
        assert_eq!(ids(&json!({"area": "kitchen"})).len(), 3);
    }

    #[test]
    fn all_is_no_name() {
        assert_eq!(
            ids(&json!({"name": "all", "domain": "lock"})),
            ["lock.front_door"]
        );
        assert!(target(&json!({"name": "all"})).is_err());
    }

    #[test]
    fn a_call_without_any_target_is_refused() {
        assert_eq!(
            target(&json!({"bogus": true})).unwrap_err().text(),
            "Error calling tool: Service handler cannot target all devices"
        );
    }

    #[test]
    fn a_failure_names_the_constraint_and_what_was_given() {
        assert_eq!(
            failure(&json!({"name": "No Such Thing"})),
            "Error calling tool: No entities matched the name (given name 'No Such Thing')"
        );
        assert_eq!(
            failure(&json!({"area": "Nowhere"})),
            "Error calling tool: The area does not exist (given area 'Nowhere')"
        );
        assert_eq!(
            failure(&json!({"floor": "Cellar"})),
            "Error calling tool: The floor does not exist (given floor 'Cellar')"
        );
        assert_eq!(
            failure(&json!({"name": "Front Door", "area": "Office", "domain": ["lock"]})),
            "Error calling tool: No entities matched the area \
             (given name 'Front Door', area 'Office', domains lock)"
        );
    }

    #[test]
    fn a_tool_of_one_domain_takes_no_other() {
        let arguments = json!({"name": "Printer", "domain": ["switch"]});
        let slots = Slots::new("light__HassLightSet", arguments.as_object().unwrap());
        assert_eq!(
            Target::from_slots(&slots, Some("light")).unwrap_err(),
            slots.invalid()
        );
    }
}
