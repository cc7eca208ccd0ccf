//! Which change in Home Assistant touches which answers: the one table of invalidation.
//!
//! It says what the answers of Home Assistant 2026.11 are made of (`homeassistant/helpers/llm.py`,
//! the `llm.py` of its integrations, `mcp_server/server.py`): the tools depend on what is loaded,
//! on the domains of the exposed entities and on the exposed scripts; the prompt names the exposed
//! entities with their areas; the live context adds their states.

use std::sync::Arc;

/// A kind of answers that are kept alike and outdated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `prompts/get`.
    Prompt,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    ResourceTemplates,
    /// `resources/read`.
    Resource,
    /// `tools/call` of a tool whose answer is made of the states of exposed entities.
    Live,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Tools,
        Self::Prompts,
        Self::Prompt,
        Self::Resources,
        Self::ResourceTemplates,
        Self::Resource,
        Self::Live,
    ];

    /// Whether such an answer tells how things are at this moment. What does not only tells what
    /// there is.
    pub const fn tells_states(self) -> bool {
        matches!(self, Self::Resource | Self::Live)
    }

    /// The member of the result under which a list of this kind has its items; nothing for what is
    /// no list.
    pub const fn items(self) -> Option<&'static str> {
        match self {
            Self::Tools => Some("tools"),
            Self::Prompts => Some("prompts"),
            Self::Resources => Some("resources"),
            Self::ResourceTemplates => Some("resourceTemplates"),
            Self::Prompt | Self::Resource | Self::Live => None,
        }
    }
}

/// Something that happened in Home Assistant, or to the connection that tells of it.
///
/// Each comes after what it tells of: whoever asks Home Assistant from then on gets the new answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `entity_registry_updated`: an entity was created, removed, renamed, moved to another area,
    /// given an alias, or shown to or hidden from the assistant (`options.conversation`).
    EntityRegistry,
    /// `device_registry_updated`: a device has another area, and its entities with it.
    DeviceRegistry,
    /// `area_registry_updated`.
    AreaRegistry,
    /// `floor_registry_updated`.
    FloorRegistry,
    /// Other entities are exposed than before, found in some other way than through
    /// [`Change::EntityRegistry`]: entities without a unique id cause no event.
    Exposure,
    /// `state_changed`: an entity that is exposed, or of which that is not known, has another state
    /// or other attributes.
    State {
        /// Which one, such as `light.kitchen`.
        entity_id: Arc<str>,
    },
    /// `state_changed` without an old or without a new state, or with another `friendly_name`: an
    /// entity, exposed or not, appeared, is gone, or is called differently.
    Entity {
        /// Which one, such as `script.good_night`.
        entity_id: Arc<str>,
    },
    /// `service_registered` or `service_removed`.
    Services,
    /// `component_loaded`: an integration is there, perhaps with tools of its own.
    Components,
    /// A script was loaded again, perhaps with other fields or another description:
    /// `service_registered` or `service_removed` in the domain `script`, or `call_service` of
    /// `script.reload`.
    Scripts,
    /// `config_entries/subscribe`: the MCP server's own entry, or that of another integration, was
    /// set up, changed, reloaded or removed.
    ConfigEntries,
    /// `core_config_updated`: time zone, units, language, name of the home.
    CoreConfig,
    /// The upstream itself says that a list of its own changed (`notifications/tools/list_changed`
    /// and the like).
    Announced(Kind),
    /// Changes are told from now on; what happened before is not known.
    Connected,
    /// Changes are no longer told.
    Disconnected,
    /// Home Assistant was found starting: integrations come one by one.
    Starting,
    /// `homeassistant_started`, or Home Assistant was found running: everything that is set up is
    /// there now.
    Started,
    /// `homeassistant_stop`, or another sign that Home Assistant goes down: integrations leave one
    /// by one, and answers may lack what they offered.
    Stopping,
    /// A call through the bridge may have changed the house. What it did is told by other changes,
    /// but those may come a little later than its answer.
    Written,
}

impl Change {
    /// The kinds of answers that may be different from now on.
    pub const fn touches(&self) -> &'static [Kind] {
        use Kind::{Live, Prompt, Resource, Tools};
        match self {
            // A script's aliases and name are in its tool's title and description.
            Self::EntityRegistry | Self::Exposure | Self::Entity { .. } => {
                &[Tools, Prompt, Resource, Live]
            }
            // Names of areas; the prompt has no floors, but a filter by floor may be asked.
            Self::DeviceRegistry | Self::AreaRegistry | Self::FloorRegistry => {
                &[Prompt, Resource, Live]
            }
            Self::State { .. } | Self::Written => &[Resource, Live],
            Self::Scripts | Self::Services => &[Tools, Prompt],
            // Times are told in the local time zone, temperatures in the units of the home.
            Self::CoreConfig => &[Tools, Prompt, Resource, Live],
            Self::Components | Self::ConfigEntries | Self::Connected | Self::Started => &Kind::ALL,
            Self::Announced(Kind::Tools) => &[Tools],
            Self::Announced(Kind::Prompts | Prompt) => &[Kind::Prompts, Prompt],
            Self::Announced(_) => &[Kind::Resources, Kind::ResourceTemplates, Resource],
            // What is known stays the best that is known.
            Self::Disconnected | Self::Starting | Self::Stopping => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(change: &Change, kind: Kind) -> bool {
        change.touches().contains(&kind)
    }

    fn state(entity_id: &str) -> Change {
        Change::State {
            entity_id: entity_id.into(),
        }
    }

    #[test]
    fn a_lamp_that_is_switched_outdates_what_tells_its_state_and_no_list() {
        let change = state("light.kitchen");
        assert_eq!(change.touches(), [Kind::Resource, Kind::Live]);
    }

    #[test]
    fn an_entity_that_is_shown_hidden_or_renamed_outdates_everything_that_may_name_it() {
        let entity_id = "script.good_night".into();
        for change in [
            Change::EntityRegistry,
            Change::Exposure,
            Change::Entity { entity_id },
        ] {
            for kind in [Kind::Tools, Kind::Prompt, Kind::Resource, Kind::Live] {
                assert!(touched(&change, kind), "{change:?} {kind:?}");
            }
        }
    }

    #[test]
    fn areas_are_in_the_prompt_and_in_the_live_context_but_in_no_tool() {
        for change in [
            Change::AreaRegistry,
            Change::FloorRegistry,
            Change::DeviceRegistry,
        ] {
            assert!(touched(&change, Kind::Prompt) && touched(&change, Kind::Live));
            assert!(!touched(&change, Kind::Tools), "{change:?}");
        }
    }

    #[test]
    fn another_description_of_a_script_is_another_tool() {
        assert!(touched(&Change::Scripts, Kind::Tools));
        assert!(touched(&Change::Services, Kind::Tools));
    }

    #[test]
    fn after_a_gap_in_the_news_nothing_counts_as_fresh() {
        for change in [
            Change::Connected,
            Change::Started,
            Change::Components,
            Change::ConfigEntries,
        ] {
            assert_eq!(change.touches(), Kind::ALL, "{change:?}");
        }
    }

    #[test]
    fn a_home_that_goes_down_says_nothing_new() {
        assert!(Change::Stopping.touches().is_empty());
        assert!(Change::Starting.touches().is_empty());
        assert!(Change::Disconnected.touches().is_empty());
    }

    #[test]
    fn every_change_of_the_lists_of_prompts_or_resources_is_one_of_what_is_set_up() {
        let all_of_the_house = [
            Change::EntityRegistry,
            Change::AreaRegistry,
            Change::Exposure,
            state("light.kitchen"),
            Change::Scripts,
            Change::CoreConfig,
            Change::Written,
        ];
        for change in all_of_the_house {
            for kind in [Kind::Prompts, Kind::Resources, Kind::ResourceTemplates] {
                assert!(!touched(&change, kind), "{change:?} {kind:?}");
            }
        }
    }
}
