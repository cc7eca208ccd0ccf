//! What a call may lay hands on, told from its tool and arguments alone.
//!
//! Home Assistant finds out by itself which devices a name or an area means, and the bridge cannot
//! look over its shoulder. But it takes only devices that fulfil everything that was said: a call
//! that names a `domain` touches nothing outside of it. What says too little may touch anything.

use serde_json::{Map, Value};
use wildmatch::WildMatch;

/// Something that not everybody should move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A lock.
    Lock,
    /// An alarm system.
    Alarm,
    /// A garage door, a gate or a door that opens by itself.
    Garage,
    /// A script, a scene or an automation.
    Script,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lock, Self::Alarm, Self::Garage, Self::Script];

    /// Its name in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Alarm => "alarm",
            Self::Garage => "garage",
            Self::Script => "script",
        }
    }
}

/// How sure it is that a call touches something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Touch {
    /// It does not, as far as that can be seen from here.
    #[default]
    No,
    /// It says too little to tell.
    Perhaps,
    /// It says so.
    Surely,
}

/// What is touched, for each class in the order of [`Class::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Touches([Touch; 4]);

impl Touches {
    const PERHAPS_ANYTHING: Self = Self([Touch::Perhaps; 4]);
    /// What Home Assistant's own tools for on and off reach: alarm systems know neither.
    const PERHAPS_SWITCHED: Self =
        Self([Touch::Perhaps, Touch::No, Touch::Perhaps, Touch::Perhaps]);

    pub(super) const fn of(self, class: Class) -> Touch {
        self.0[class as usize]
    }

    fn add(&mut self, class: Class, touch: Touch) {
        let known = &mut self.0[class as usize];
        *known = touch.max(*known);
    }

    fn also(&mut self, other: Self) {
        for class in Class::ALL {
            self.add(class, other.of(class));
        }
    }
}

/// Tools that switch things of any kind, by their names in any release of Home Assistant.
const SWITCHES: &[&str] = &["*HassTurnOn", "*HassTurnOff", "*HassToggle"];

/// Tools that move covers and valves.
const MOVES: &[&str] = &[
    "*HassSetPosition",
    "*HassStopMoving",
    "*HassOpenCover",
    "*HassCloseCover",
];

/// Domains that only pass on what they are told, to devices of any kind.
const PASSING_ON: &[&str] = &["group", "homeassistant", "intent"];

/// Domains of which it is known that they move nothing sensitive. Others, of which `mqtt` is one,
/// reach devices past their entities.
const HARMLESS: &[&str] = &[
    "button",
    "calendar",
    "camera",
    "climate",
    "counter",
    "fan",
    "humidifier",
    "image",
    "input_boolean",
    "input_button",
    "input_datetime",
    "input_number",
    "input_select",
    "input_text",
    "light",
    "media_player",
    "notify",
    "number",
    "persistent_notification",
    "select",
    "switch",
    "text",
    "timer",
    "todo",
    "tts",
    "vacuum",
    "water_heater",
];

/// Covers through which somebody can come in.
const WAYS_IN: &[&str] = &["door", "garage", "garage_door", "gate"];

/// How deeply targets are looked for.
const MAX_DEPTH: usize = 8;

fn is_one_of(patterns: &[&str], tool: &str) -> bool {
    let fits = |pattern: &&str| WildMatch::new_case_insensitive(pattern).matches(tool);
    patterns.iter().any(fits)
}

/// What a tool touches by its name alone.
pub(super) fn by_name(tool: &str) -> Touches {
    let mut touches = Touches::default();
    for word in words(tool) {
        let class = match word.as_str() {
            "lock" | "locks" | "unlock" => Class::Lock,
            "alarm" | "alarms" | "arm" | "disarm" => Class::Alarm,
            "garage" | "gate" => Class::Garage,
            "automation" | "automations" | "scene" | "scenes" | "script" | "scripts" => {
                Class::Script
            }
            _ => continue,
        };
        touches.add(class, Touch::Surely);
    }
    touches
}

/// What a call touches. `takes` says whether the tool takes an argument of that name: what it does
/// not take narrows nothing.
pub(super) fn by_call(
    tool: &str,
    arguments: &Map<String, Value>,
    takes: impl Fn(&str) -> bool,
) -> Touches {
    let said = Said::by(arguments, takes);
    let domain = tool.split_once("__").map(|(domain, _)| domain);
    let mut touches = by_name(tool);
    touches.also(said.touches());
    if domain == Some("cover") {
        said.add_domain("cover", &mut touches);
    }
    let of_any_kind = if is_one_of(SWITCHES, tool) {
        Touches::PERHAPS_SWITCHED
    } else if is_one_of(MOVES, tool) {
        let mut covers = Touches::default();
        covers.add(Class::Garage, Touch::Perhaps);
        covers
    } else if said.has_target
        && said.actions.is_empty()
        && domain.is_some_and(|domain| PASSING_ON.contains(&domain))
    {
        Touches::PERHAPS_ANYTHING
    } else {
        Touches::default()
    };
    if !said.is_narrow() {
        touches.also(of_any_kind);
    }
    touches
}

/// What a call says about its targets.
#[derive(Default)]
struct Said {
    /// The kinds of devices among which Home Assistant looks; anything else is out of reach.
    domains: Vec<String>,
    device_classes: Vec<String>,
    /// The kinds of devices that are named by their ids.
    entities: Vec<String>,
    /// Whether there are targets beside those, of kinds that are not said.
    is_vague: bool,
    has_target: bool,
    /// The domains of actions such as `lock.unlock`; empty where it cannot be told.
    actions: Vec<String>,
}

impl Said {
    fn by(arguments: &Map<String, Value>, takes: impl Fn(&str) -> bool) -> Self {
        let mut said = Self::default();
        for (key, value) in arguments {
            match key.as_str() {
                "domain" if takes(key) => said.domains.extend(texts(value)),
                "device_class" if takes(key) => said.device_classes.extend(texts(value)),
                "name" => said.add_name(value),
                "area" | "floor" => said.has_target = true,
                _ => said.read(key, value, 0),
            }
        }
        said
    }

    /// Takes what a member says, wherever it stands.
    fn read(&mut self, key: &str, value: &Value, depth: usize) {
        match key {
            "entity_id" | "entity_ids" => self.add_entities(value),
            "action" | "service" => self.add_action(value),
            "area_id" | "device_id" | "floor_id" | "label_id" => {
                self.has_target = true;
                self.is_vague = true;
            }
            _ => match value {
                Value::Object(_) | Value::Array(_) if depth > MAX_DEPTH => self.is_vague = true,
                Value::Object(members) => {
                    for (key, value) in members {
                        self.read(key, value, depth + 1);
                    }
                }
                Value::Array(values) => {
                    for value in values {
                        self.read("", value, depth + 1);
                    }
                }
                _ => {}
            },
        }
    }

    /// A name may be an entity's id. Any other says nothing of the kind.
    fn add_name(&mut self, value: &Value) {
        self.has_target = true;
        if let Some(domain) = value.as_str().and_then(domain_of_id) {
            self.entities.push(domain);
        }
    }

    fn add_entities(&mut self, value: &Value) {
        self.has_target = true;
        for text in texts(value) {
            // Home Assistant takes a list with commas, too.
            for id in text.split(',') {
                match domain_of_id(id) {
                    Some(domain) => self.entities.push(domain),
                    None => self.is_vague = true,
                }
            }
        }
    }

    fn add_action(&mut self, value: &Value) {
        for text in texts(value) {
            let is_bare = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_bare {
                self.actions.push(domain_of_id(&text).unwrap_or_default());
            }
        }
    }

    /// Whether everything that it may touch is among the kinds that it says.
    fn is_narrow(&self) -> bool {
        let kinds = self.domains.iter().chain(&self.entities);
        let passes_on = kinds
            .clone()
            .any(|kind| PASSING_ON.contains(&kind.as_str()));
        let is_said = kinds.count() > 0 || !self.device_classes.is_empty();
        is_said && !passes_on && !self.is_vague
    }

    fn touches(&self) -> Touches {
        let mut touches = Touches::default();
        for domain in self.domains.iter().chain(&self.entities) {
            self.add_domain(domain, &mut touches);
        }
        if self
            .device_classes
            .iter()
            .any(|class| WAYS_IN.contains(&class.as_str()))
        {
            touches.add(Class::Garage, Touch::Surely);
        }
        for action in self.actions.iter().map(String::as_str) {
            let entities_only = !self.entities.is_empty() && !self.is_vague;
            let is_clear =
                HARMLESS.contains(&action) || PASSING_ON.contains(&action) && entities_only;
            let mut by_action = Touches::default();
            self.add_domain(action, &mut by_action);
            if !is_clear && by_action == Touches::default() {
                by_action = Touches::PERHAPS_ANYTHING;
            }
            touches.also(by_action);
        }
        touches
    }

    fn add_domain(&self, domain: &str, touches: &mut Touches) {
        let (class, touch) = match domain {
            "lock" => (Class::Lock, Touch::Surely),
            "alarm_control_panel" => (Class::Alarm, Touch::Surely),
            "cover" if self.device_classes.is_empty() => (Class::Garage, Touch::Perhaps),
            "automation" | "pyscript" | "python_script" | "scene" | "script" | "shell_command" => {
                (Class::Script, Touch::Surely)
            }
            _ => return,
        };
        touches.add(class, touch);
    }
}

/// A text, or the texts of a list, in lower case. What is no text is taken as it is written.
fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.trim().to_lowercase(),
        other => other.to_string(),
    };
    let values = match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values
            .iter()
            .filter(|value| !value.is_null())
            .map(text)
            .collect(),
        other => vec![text(other)],
    };
    values.into_iter().filter(|text| !text.is_empty()).collect()
}

/// The domain of something that looks like `light.kitchen`.
fn domain_of_id(text: &str) -> Option<String> {
    let (domain, object) = text.trim().split_once('.')?;
    let is_plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    (is_plain(domain) && is_plain(object)).then(|| domain.to_ascii_lowercase())
}

/// The words of a name such as `HassTurnOn` or `unlock_front-door`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() && before.is_lowercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words
}
