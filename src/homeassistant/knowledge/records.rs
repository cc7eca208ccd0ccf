//! What Home Assistant's websocket commands and events give, as far as the bridge looks at it.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::attributes::Attributes;

/// `get_config`.
#[derive(Debug, Deserialize)]
pub(super) struct Config<'a> {
    /// `RUNNING`, `STARTING`, `NOT_RUNNING` (before it starts, and after it has stopped),
    /// `STOPPING`, `FINAL_WRITE`, `STOPPED`.
    #[serde(borrow)]
    pub state: Cow<'a, str>,
    #[serde(borrow)]
    pub version: Cow<'a, str>,
}

/// `auth/current_user`.
#[derive(Debug, Deserialize)]
pub(super) struct User {
    #[serde(default)]
    pub is_admin: bool,
}

/// `homeassistant/expose_entity/list`.
#[derive(Debug, Deserialize)]
pub(super) struct Exposed<'a> {
    #[serde(borrow)]
    exposed_entities: HashMap<Cow<'a, str>, Assistants>,
}

impl Exposed<'_> {
    /// Those that Assist may see, and with it the MCP server.
    pub(super) fn conversation(&self) -> impl Iterator<Item = &str> {
        let exposed = self.exposed_entities.iter();
        exposed.filter_map(|(id, to)| to.conversation.then_some(&**id))
    }
}

/// To whom an entity is exposed.
#[derive(Debug, Deserialize)]
struct Assistants {
    #[serde(default)]
    conversation: bool,
}

/// An entry of `config/entity_registry/get_entries`.
#[derive(Debug, Deserialize)]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    pub area_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub device_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub original_name: Option<Cow<'a, str>>,
    /// `null` stands for the name that Home Assistant makes up itself.
    #[serde(borrow, default)]
    pub aliases: Vec<Option<Cow<'a, str>>>,
}

/// An entry of `config/device_registry/list`.
#[derive(Debug, Deserialize)]
pub(super) struct Device<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    #[serde(borrow)]
    pub area_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub parent_device_id: Option<Cow<'a, str>>,
}

/// An entry of `config/area_registry/list`.
#[derive(Debug, Deserialize)]
pub(super) struct Area<'a> {
    #[serde(borrow, rename = "area_id")]
    pub id: Cow<'a, str>,
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub aliases: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub floor_id: Option<Cow<'a, str>>,
}

/// An entry of `config/floor_registry/list`.
#[derive(Debug, Deserialize)]
pub(super) struct Floor<'a> {
    #[serde(borrow, rename = "floor_id")]
    pub id: Cow<'a, str>,
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub aliases: Vec<Cow<'a, str>>,
}

/// `llm/api/list`.
#[derive(Debug, Deserialize)]
pub(super) struct Apis {
    pub apis: Vec<Api>,
}

/// A set of tools that Home Assistant offers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub(in crate::homeassistant) struct Api {
    /// Its id, the last part of the address `/api/mcp/<id>`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether only administrators may use it.
    #[serde(default)]
    pub requires_admin: bool,
}

/// An event of `subscribe_entities`.
#[derive(Debug, Deserialize)]
pub(super) struct States<'a> {
    /// Entities that are there: all of them at first, new ones later.
    #[serde(borrow, default)]
    pub a: HashMap<Cow<'a, str>, State<'a>>,
    /// Entities with another state.
    #[serde(borrow, default)]
    pub c: HashMap<Cow<'a, str>, Difference<'a>>,
    /// Entities that are gone.
    #[serde(borrow, default)]
    pub r: Vec<Cow<'a, str>>,
}

/// A state, or the part of it that is different.
#[derive(Debug, Default, Deserialize)]
pub(super) struct State<'a> {
    #[serde(borrow, default)]
    pub s: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub a: Option<Attributes<'a>>,
    /// Since when it is in this state, in seconds of Unix time.
    #[serde(default)]
    pub lc: Option<f64>,
}

/// What is different.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Difference<'a> {
    #[serde(borrow, rename = "+", default)]
    pub plus: Option<State<'a>>,
    #[serde(borrow, rename = "-", default)]
    pub minus: Option<Removed<'a>>,
}

/// What is not there any more.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Removed<'a> {
    /// Names of attributes.
    #[serde(borrow, default)]
    pub a: Vec<Cow<'a, str>>,
}

/// One of the list that an event of `config_entries/subscribe` is.
#[derive(Debug, Deserialize)]
pub(super) struct EntryNews<'a> {
    /// `added`, `removed`, `updated`; nothing for what was there at first.
    #[serde(borrow, rename = "type", default)]
    pub kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub entry: ConfigEntry<'a>,
}

/// An integration that is set up.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigEntry<'a> {
    #[serde(borrow)]
    pub entry_id: Cow<'a, str>,
    #[serde(borrow)]
    pub domain: Cow<'a, str>,
    #[serde(borrow, default)]
    pub title: Cow<'a, str>,
    /// `loaded`, `not_loaded`, `setup_error` and more.
    #[serde(borrow, default)]
    pub state: Cow<'a, str>,
    #[serde(borrow, default)]
    pub disabled_by: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub reason: Option<Cow<'a, str>>,
}

/// An event of `subscribe_events`.
#[derive(Debug, Deserialize)]
pub(super) struct BusEvent<'a> {
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
}

/// `service_registered` and `service_removed`.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceNews<'a> {
    #[serde(borrow)]
    pub domain: Cow<'a, str>,
}

/// `entity_registry_updated`.
#[derive(Debug, Deserialize)]
pub(super) struct EntityNews<'a> {
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    #[serde(borrow)]
    pub entity_id: Cow<'a, str>,
    /// What it was called before.
    #[serde(borrow, default)]
    pub old_entity_id: Option<Cow<'a, str>>,
    /// What is different, by its old values.
    #[serde(borrow, default)]
    pub changes: Option<HashMap<Cow<'a, str>, &'a RawValue>>,
}

impl EntityNews<'_> {
    /// Whether it may be exposed now, or not any more.
    pub(super) fn may_expose(&self) -> bool {
        let options = |changes: &HashMap<_, _>| changes.contains_key("options");
        self.action != "update"
            || self.old_entity_id.is_some()
            || self.changes.as_ref().is_none_or(options)
    }
}

/// `device_registry_updated`.
#[derive(Debug, Deserialize)]
pub(super) struct DeviceNews<'a> {
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    #[serde(borrow, default)]
    pub changes: Option<HashMap<Cow<'a, str>, &'a RawValue>>,
}

impl DeviceNews<'_> {
    /// Whether it may be in another place now, or be called differently.
    pub(super) fn moves(&self) -> bool {
        const PLACE: [&str; 4] = ["area_id", "name", "name_by_user", "parent_device_id"];
        let moves =
            |changes: &HashMap<Cow<'_, str>, _>| PLACE.iter().any(|key| changes.contains_key(*key));
        self.action != "update" || self.changes.as_ref().is_none_or(moves)
    }
}
