//! The tools of the house: one table of name, title, description, effect, schema and function.

use jiff::Zoned;
use serde_json::{Value, json};

use super::house::House;
use super::slots::{Arguments, Slots, ToolError};
use super::{actions, json, schema};

/// What a tool does to the house; each kind has its hints for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Reads; Home Assistant leaves the hint for destruction at its default here.
    Look,
    /// Reads.
    Query,
    /// Changes to a given value.
    Set,
    /// Changes relative to what was before.
    Step,
    /// Changes nothing that was there before.
    Add,
    /// Changes what its author wished.
    Script,
}

impl Effect {
    fn annotations(self) -> Value {
        let (read_only, destructive, idempotent, open_world) = match self {
            Self::Look => (true, true, false, false),
            Self::Query => (true, false, true, false),
            Self::Set => (false, true, true, false),
            Self::Step => (false, true, false, false),
            Self::Add => (false, false, false, false),
            Self::Script => (false, true, false, true),
        };
        json!({
            "destructiveHint": destructive,
            "idempotentHint": idempotent,
            "openWorldHint": open_world,
            "readOnlyHint": read_only,
        })
    }
}

type Run = fn(&mut House, &Slots<'_>, &Zoned) -> Result<Value, ToolError>;

/// One row of the table.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    title: &'static str,
    description: &'static str,
    effect: Effect,
    schema: fn() -> Value,
    run: Run,
}

const fn tool(
    name: &'static str,
    title: &'static str,
    description: &'static str,
    effect: Effect,
    schema: fn() -> Value,
    run: Run,
) -> Tool {
    Tool {
        name,
        title,
        description,
        effect,
        schema,
        run,
    }
}

pub(super) static TOOLS: [Tool; 16] = [
    tool(
        "climate__HassClimateSetTemperature",
        "Set temperature",
        "Gives a thermostat the temperature that it shall reach, in degrees Celsius.",
        Effect::Set,
        schema::temperature,
        actions::set_temperature,
    ),
    tool(
        "homeassistant__GetLiveContext",
        "Get live context",
        "Tells the present state of the devices and sensors: what is on, open, locked or playing, how warm it is. \
         Call it before answering a question about the house. Can be narrowed by name, domain and area.",
        Effect::Look,
        schema::live_context,
        actions::live_context,
    ),
    tool(
        "intent__HassTurnOn",
        "Turn on",
        "Switches devices on. A cover opens, a lock is locked, a media player starts, a script runs. \
         Say which by name, area, floor, domain or device class.",
        Effect::Step,
        schema::any_target,
        actions::turn_on,
    ),
    tool(
        "intent__HassTurnOff",
        "Turn off",
        "Switches devices off. A cover closes, a lock is unlocked, a media player stops. \
         Say which by name, area, floor, domain or device class.",
        Effect::Set,
        schema::any_target,
        actions::turn_off,
    ),
    tool(
        "intent__HassSetPosition",
        "Set position",
        "Moves blinds and curtains to a position in percent: 0 is closed, 100 is open.",
        Effect::Set,
        schema::position,
        actions::set_position,
    ),
    tool(
        "light__HassLightSet",
        "Set light",
        "Makes lights as bright as asked, and switches them on for it.",
        Effect::Set,
        schema::light,
        actions::set_light,
    ),
    tool(
        "llm__GetDateTime",
        "Get date and time",
        "Tells the date, the time of day and the day of the week at the house.",
        Effect::Look,
        schema::nothing,
        actions::date_time,
    ),
    tool(
        "media_player__HassMediaUnpause",
        "Resume media",
        "Lets a media player go on playing.",
        Effect::Step,
        schema::player,
        actions::unpause,
    ),
    tool(
        "media_player__HassMediaPause",
        "Pause media",
        "Halts a media player that is playing.",
        Effect::Set,
        schema::player,
        actions::pause,
    ),
    tool(
        "media_player__HassMediaNext",
        "Next track",
        "Goes on to the next title of a media player that is playing.",
        Effect::Step,
        schema::player,
        actions::next,
    ),
    tool(
        "media_player__HassSetVolume",
        "Set volume",
        "Makes a media player as loud as asked, in percent.",
        Effect::Set,
        schema::volume,
        actions::set_volume,
    ),
    tool(
        "media_player__HassSetVolumeRelative",
        "Change volume",
        "Makes a media player louder or quieter, by a step or by a number of percent.",
        Effect::Step,
        schema::volume_step,
        actions::change_volume,
    ),
    tool(
        "script__movie_night",
        "Movie Night",
        "Readies the living room for a film: dims the lights, closes the blinds, starts the TV, pauses the radio.. \
         Aliases: ['Movie Night']",
        Effect::Script,
        schema::movie_night,
        actions::movie_night,
    ),
    tool(
        "todo__get_items",
        "Get to-do list items",
        "Reads a to-do list out: what is left to do, what is done, or both.",
        Effect::Query,
        || schema::items(&[actions::SHOPPING_LIST]),
        actions::list_items,
    ),
    tool(
        "todo__HassListAddItem",
        "Add to-do list item",
        "Puts one more item on a to-do list.",
        Effect::Add,
        schema::item,
        actions::add_item,
    ),
    tool(
        "todo__HassListCompleteItem",
        "Complete to-do list item",
        "Ticks an item off a to-do list.",
        Effect::Step,
        schema::item,
        actions::complete_item,
    ),
];

impl Tool {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        TOOLS.iter().find(|tool| tool.name == name)
    }

    /// The entry in `tools/list`.
    pub(super) fn listed(&self) -> Value {
        json::object([
            ("annotations", self.effect.annotations()),
            ("description", Value::from(self.description)),
            ("inputSchema", (self.schema)()),
            ("name", Value::from(self.name)),
            ("title", Value::from(self.title)),
        ])
    }

    /// The text block of the result, or that of the failure.
    pub(super) fn call(
        &self,
        house: &mut House,
        arguments: &Arguments,
        now: &Zoned,
    ) -> Result<String, String> {
        let slots = Slots::new(self.name, arguments);
        match (self.run)(house, &slots, now) {
            Ok(result) => Ok(json::text(&result)),
            Err(error) => Err(error.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(tool: &Tool) -> bool {
        tool.listed()["annotations"]["readOnlyHint"] == true
    }

    #[test]
    fn every_name_stands_once() {
        for (at, tool) in TOOLS.iter().enumerate() {
            assert!(
                TOOLS[..at].iter().all(|other| other.name != tool.name),
                "{}",
                tool.name
            );
            assert_eq!(Tool::named(tool.name).unwrap().title, tool.title);
        }
        assert!(Tool::named("HassTurnOn").is_none());
    }

    #[test]
    fn an_entry_has_the_members_of_home_assistant_and_no_others() {
        for tool in &TOOLS {
            let entry = tool.listed();
            let members: Vec<_> = entry
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(
                members,
                ["annotations", "description", "inputSchema", "name", "title"]
            );
            assert_eq!(entry["inputSchema"]["type"], "object");
        }
    }

    #[test]
    fn what_a_schema_requires_is_among_its_properties() {
        for tool in &TOOLS {
            let schema = (tool.schema)();
            for slot in schema["required"].as_array().into_iter().flatten() {
                assert!(
                    schema["properties"][slot.as_str().unwrap()].is_object(),
                    "{}",
                    tool.name
                );
            }
        }
    }

    #[test]
    fn only_what_changes_nothing_is_read_only() {
        let mut read_only: Vec<_> = TOOLS
            .iter()
            .filter(|tool| reads(tool))
            .map(|tool| tool.name)
            .collect();
        read_only.sort_unstable();
        let expected = [
            "homeassistant__GetLiveContext",
            "llm__GetDateTime",
            "todo__get_items",
        ];
        assert_eq!(read_only, expected);
    }

    #[test]
    fn read_only_tools_leave_the_house_as_it_is() {
        for tool in TOOLS.iter().filter(|tool| reads(tool)) {
            let mut house = House::furnished();
            let arguments = json!({"todo_list": "Shopping List"});
            let now = Zoned::now();
            tool.call(&mut house, arguments.as_object().unwrap(), &now)
                .unwrap();
            assert_eq!(format!("{house:?}"), format!("{:?}", House::furnished()));
        }
    }
}
