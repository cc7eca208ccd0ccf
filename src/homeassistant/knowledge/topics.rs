//! What the bridge asks Home Assistant for, and what it wants to hear of.

use std::sync::Arc;

use serde_json::Value;

use crate::cache::Change;
use crate::upstream::Presence;

/// The events that are subscribed to.
pub(super) const EVENTS: [(Bus, &str); 8] = [
    (Bus::Entities, "entity_registry_updated"),
    (Bus::Devices, "device_registry_updated"),
    (Bus::Areas, "area_registry_updated"),
    (Bus::Floors, "floor_registry_updated"),
    (Bus::Services, "service_registered"),
    (Bus::Services, "service_removed"),
    (Bus::Components, "component_loaded"),
    (Bus::CoreConfig, "core_config_updated"),
];
/// The event that is for administrators only.
pub(super) const STARTED: (Bus, &str) = (Bus::Started, "homeassistant_started");

/// What an event of Home Assistant's bus is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bus {
    /// The registry of entities.
    Entities,
    /// The registry of devices.
    Devices,
    /// The registry of areas.
    Areas,
    /// The registry of floors.
    Floors,
    /// Services that come and go.
    Services,
    /// Integrations that are loaded.
    Components,
    /// The settings of the home.
    CoreConfig,
    /// The end of a start.
    Started,
}

/// What a command or subscription is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// How Home Assistant is.
    Config,
    /// Whose token it is.
    User,
    /// Events of the bus.
    Bus(Bus),
    /// Integrations that are set up.
    ConfigEntries,
    /// Sets of tools.
    Apis,
    /// What is exposed.
    Exposed,
    /// What the registry has of exposed entities.
    Entries,
    /// All devices.
    Devices,
    /// All areas.
    Areas,
    /// All floors.
    Floors,
    /// States of exposed entities.
    States,
}

impl Topic {
    /// What is listed whenever everything is.
    pub(super) const LISTS: [Self; 3] = [Self::Areas, Self::Floors, Self::Devices];
    /// What is listed besides, but to administrators only. Home Assistant logs an error where
    /// somebody else asks.
    pub(super) const ADMIN_LISTS: [Self; 2] = [Self::Exposed, Self::Apis];

    /// The command that lists everything of this topic, where there is one without arguments.
    pub(super) const fn list(self) -> Option<&'static str> {
        match self {
            Self::Config => Some("get_config"),
            Self::User => Some("auth/current_user"),
            Self::Apis => Some("llm/api/list"),
            Self::Exposed => Some("homeassistant/expose_entity/list"),
            Self::Devices => Some("config/device_registry/list"),
            Self::Areas => Some("config/area_registry/list"),
            Self::Floors => Some("config/floor_registry/list"),
            Self::Bus(_) | Self::ConfigEntries | Self::Entries | Self::States => None,
        }
    }

    /// Whether this is a subscription without which changes cannot be relied on to be told. For the
    /// end of a start it is asked as well; what becomes of integrations shows in other events, too.
    pub(super) fn is_vital(self) -> bool {
        match self {
            Self::Bus(bus) => bus != Bus::Started,
            other => other == Self::States,
        }
    }
}

/// Something to send to Home Assistant.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// A command with its arguments.
    Command(Topic, &'static str, Value),
    /// A command with its arguments, of which events are to come.
    Subscribe(Topic, &'static str, Value),
    /// No more events of these.
    Unsubscribe(Topic),
}

/// Something that the rest of the bridge has to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Home Assistant comes, goes, or is there.
    Presence(Presence),
    /// Something in it is different.
    Change(Change),
    /// Clients that read this entity are told something else than before.
    Told(Arc<str>),
}
