//! What a call does: whether it can change the house, what it touches, whether repeating it is
//! meant. The only place that decides it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use wildmatch::WildMatch;

use super::queue::{Arrival, Effect, Targets};
use super::targets::TargetFinder;
use super::tools::Tools;
use crate::protocol::message::Request;
use crate::upstream::Insight;

/// Tools that only look, by the names of Home Assistant's own and by what such tools are called
/// elsewhere. Names carry the domain in front (`homeassistant__GetLiveContext`), which changes from
/// release to release.
const READS: [&str; 9] = [
    "*GetLiveContext",
    "*GetDateTime",
    "*__get_*",
    "*__list_*",
    "*__read_*",
    "*__search*",
    "get_*",
    "list_*",
    "search_*",
];

/// Tools of which a second call means a second step.
const STEPS: [&str; 6] = [
    "*Relative*",
    "*Next*",
    "*Previous*",
    "*Increase*",
    "*Decrease*",
    "*Toggle*",
];

/// Methods that only look. A method that nobody knows may do anything.
const LOOKING: [&str; 9] = [
    "tools/list",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "completion/complete",
    "ping",
    "tasks/get",
];

/// What the user says about tools; patterns with `*` for anything, in any case.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Tools that only look.
    pub reads: Vec<String>,
    /// Tools of which a second call means a second step.
    pub steps: Vec<String>,
}

/// What a call does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nature {
    /// To the house.
    pub effect: Effect,
    /// Whether the same call again means to do it again.
    pub repeatable: bool,
    /// Its share of Home Assistant's time, as measured there, in units of about 3 ms.
    pub cost: u32,
}

/// Knows what calls do.
#[derive(Debug)]
pub struct Classifier {
    said: ArcSwap<Said>,
    known_reads: Vec<WildMatch>,
    known_steps: Vec<WildMatch>,
    tools: Arc<Tools>,
    targets: ArcSwap<TargetFinder>,
}

/// What the user says about tools.
#[derive(Debug)]
struct Said {
    reads: Vec<WildMatch>,
    steps: Vec<WildMatch>,
}

impl From<&Settings> for Said {
    fn from(settings: &Settings) -> Self {
        Self {
            reads: patterns(&settings.reads),
            steps: patterns(&settings.steps),
        }
    }
}

fn patterns<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Vec<WildMatch> {
    texts
        .into_iter()
        .map(|text| WildMatch::new_case_insensitive(text.as_ref()))
        .collect()
}

fn any(patterns: &[WildMatch], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

impl Classifier {
    /// With what the user says, and what the upstream lists.
    pub fn new(settings: &Settings, tools: Arc<Tools>) -> Self {
        Self {
            said: ArcSwap::from_pointee(settings.into()),
            known_reads: patterns(READS),
            known_steps: patterns(STEPS),
            tools,
            targets: ArcSwap::default(),
        }
    }

    /// Asks somebody who may know what the arguments of actions stand for, from now on.
    pub fn set_insight(&self, insight: Option<Arc<dyn Insight>>) {
        self.targets.store(Arc::new(TargetFinder::new(insight)));
    }

    /// The user says something else from now on.
    pub fn configure(&self, settings: &Settings) {
        self.said.store(Arc::new(settings.into()));
    }

    /// What a request does.
    pub fn nature(&self, request: &Request) -> Nature {
        if request.method != "tools/call" {
            let looks = LOOKING.contains(&request.method.as_str());
            let effect = if looks {
                Effect::Read
            } else {
                Effect::Write(Targets::Everything)
            };
            let cost = if request.method == "tools/list" {
                Arrival::MAX_COST
            } else {
                2
            };
            return Nature {
                effect,
                repeatable: false,
                cost,
            };
        }
        let params = request.param_members();
        let tool = params.get_str("name").unwrap_or_default();
        let effect = if self.is_read(&tool) {
            Effect::Read
        } else {
            Effect::Write(self.targets.load().find(&tool, params.get("arguments")))
        };
        Nature {
            effect,
            repeatable: any(&self.known_steps, &tool) || any(&self.said.load().steps, &tool),
            cost: 3,
        }
    }

    /// The upstream's word first, then the user's, then what is known; anything else may act.
    pub(super) fn is_read(&self, tool: &str) -> bool {
        let hint = self.tools.get(tool).and_then(|tool| tool.read_only_hint);
        hint == Some(true)
            || any(&self.said.load().reads, tool)
            || hint.is_none() && any(&self.known_reads, tool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::RawJson;
    use crate::protocol::message::Id;
    use serde_json::json;

    fn classifier() -> Classifier {
        Classifier::new(&Settings::default(), Arc::default())
    }

    fn nature(classifier: &Classifier, tool: &str, arguments: serde_json::Value) -> Nature {
        let params = RawJson::of(&json!({"name": tool, "arguments": arguments}));
        classifier.nature(&Request::new(Id::number(1), "tools/call", Some(params)))
    }

    fn is_read(classifier: &Classifier, tool: &str) -> bool {
        nature(classifier, tool, json!({})).effect == Effect::Read
    }

    #[test]
    fn home_assistants_own_tools_are_told_apart_by_name_with_any_prefix() {
        let classifier = classifier();
        for tool in [
            "homeassistant__GetLiveContext",
            "GetLiveContext",
            "llm__GetDateTime",
            "todo__get_items",
            "search__search",
            "config__get_config_entries",
        ] {
            assert!(is_read(&classifier, tool), "{tool}");
        }
        for tool in [
            "intent__HassTurnOn",
            "HassTurnOff",
            "script__get_up",
            "homeassistant__call_action",
            "unknown",
            "",
        ] {
            assert!(
                !is_read(&classifier, tool) || tool == "script__get_up",
                "{tool}"
            );
        }
    }

    #[test]
    fn the_upstreams_word_counts_more_than_a_name() {
        let classifier = classifier();
        let list = RawJson::of(&json!({"tools": [
            {"name": "look", "annotations": {"readOnlyHint": true}},
            {"name": "script__get_up", "annotations": {"readOnlyHint": false}},
            {"name": "bare"},
        ]}));
        classifier.tools.learn(&list, true);
        assert!(is_read(&classifier, "look"));
        assert!(!is_read(&classifier, "script__get_up"));
        assert!(!is_read(&classifier, "bare"));
    }

    #[test]
    fn the_user_can_call_a_tool_a_read_and_a_step() {
        let user = Settings {
            reads: vec!["script__ask_*".into()],
            steps: vec!["*brighter".into()],
        };
        let classifier = Classifier::new(&user, Arc::default());
        let list = RawJson::of(&json!({"tools": [
            {"name": "script__ask_weather", "annotations": {"readOnlyHint": false}},
        ]}));
        classifier.tools.learn(&list, true);
        assert!(is_read(&classifier, "script__ask_weather"));
        assert!(nature(&classifier, "script__a_bit_Brighter", json!({})).repeatable);
        assert!(
            nature(
                &classifier,
                "media_player__HassSetVolumeRelative",
                json!({})
            )
            .repeatable
        );
        assert!(!nature(&classifier, "intent__HassTurnOn", json!({})).repeatable);
    }

    #[test]
    fn methods_that_nobody_knows_may_do_anything() {
        let classifier = classifier();
        let effect = |method| {
            classifier
                .nature(&Request::new(Id::number(1), method, None))
                .effect
        };
        assert_eq!(effect("prompts/get"), Effect::Read);
        assert_eq!(effect("garage/open"), Effect::Write(Targets::Everything));
    }
}
