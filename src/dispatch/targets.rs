//! What an action touches, by its arguments: what somebody who knows the house says is meant by
//! them, or else the thing of that name.

use std::sync::Arc;

use super::queue::Targets;
use crate::protocol::json::Members;
use crate::upstream::{Description, Insight, Meant};

/// Actions of Home Assistant for which the area is not where the things are that they act on.
const OTHER_AREAS: [&str; 2] = ["CleanArea", "Broadcast"];
/// Integrations whose actions are for things of every kind.
const GENERAL: [&str; 2] = ["intent", "homeassistant"];

/// Finds out what actions touch.
#[derive(Debug, Default)]
pub(super) struct TargetFinder {
    insight: Option<Arc<dyn Insight>>,
}

impl TargetFinder {
    /// One that may ask somebody who knows the house.
    pub(super) const fn new(insight: Option<Arc<dyn Insight>>) -> Self {
        Self { insight }
    }

    /// What a tool touches. Without a name that is known, and with a script, it may be anything.
    pub(super) fn find(&self, tool: &str, arguments: Option<&str>) -> Targets {
        if runs_script(tool) {
            return Targets::Everything;
        }
        let arguments = arguments.and_then(|text| Members::parse(text.as_bytes()).ok());
        let arguments = arguments.as_ref();
        let name = said(arguments, "name");
        let by_name = name.as_ref().map(|name| name.to_lowercase());
        let by_name = by_name.filter(|name| name != "all").map(Arc::<str>::from);
        let description = Description {
            name,
            area: said(arguments, "area"),
            floor: said(arguments, "floor"),
            domains: domains(tool, arguments),
        };
        let insight = self.insight.as_ref().filter(|_| acts_on_what_fits(tool));
        let meant = insight.map_or(Meant::Unknown, |insight| insight.meant(&description));
        match (meant, by_name) {
            (Meant::These(mut things), name) => {
                // The name as well, for calls that came while nobody knew what it stands for.
                things.extend(name);
                Targets::Only(things)
            }
            (Meant::Unknown, Some(name)) => Targets::Only(vec![name]),
            _ => Targets::Everything,
        }
    }
}

/// Whether it runs a script for as long as that takes. Of one that it stops in the middle because
/// it goes down itself, Home Assistant says that it is done.
pub(super) fn runs_script(tool: &str) -> bool {
    tool.starts_with("script__") || tool.ends_with("call_action")
}

/// Whether Home Assistant carries it out on whatever fits all of name, area, floor and kind.
fn acts_on_what_fits(tool: &str) -> bool {
    let name = tool.rsplit_once("__").map_or(tool, |(_, name)| name);
    name.starts_with("Hass") && !OTHER_AREAS.iter().any(|other| name.contains(other))
}

/// A text among the arguments; nothing if it is empty.
fn said(arguments: Option<&Members<'_>>, key: &str) -> Option<String> {
    let text = arguments?.get_str(key)?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Kinds of things: those that the arguments name, or the one that the tool itself is for.
fn domains(tool: &str, arguments: Option<&Members<'_>>) -> Vec<String> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Domains {
        One(String),
        Several(Vec<String>),
    }
    let named = arguments.and_then(|arguments| arguments.get("domain"));
    let named = match named.and_then(|domains| serde_json::from_str(domains).ok()) {
        Some(Domains::One(domain)) => vec![domain],
        Some(Domains::Several(domains)) => domains,
        None => Vec::new(),
    };
    let own = tool.split_once("__").map(|(domain, _)| domain);
    match own.filter(|domain| !GENERAL.contains(domain)) {
        Some(domain) if named.is_empty() => vec![domain.to_owned()],
        _ => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Presence;
    use futures_util::future::BoxFuture;
    use serde_json::{Value, json};
    use std::sync::Mutex;

    fn find(finder: &TargetFinder, tool: &str, arguments: &Value) -> Targets {
        finder.find(tool, Some(&arguments.to_string()))
    }

    #[test]
    fn where_nobody_knows_the_house_a_name_is_one_thing_and_everything_else_may_be_anything() {
        let finder = TargetFinder::default();
        let lamp = Targets::Only(vec!["reading lamp".into()]);
        for arguments in [
            json!({"name": " Reading Lamp"}),
            json!({"name": "reading lamp", "area": "Study"}),
        ] {
            assert_eq!(find(&finder, "intent__HassTurnOn", &arguments), lamp);
        }
        for arguments in [
            json!({"area": "Kitchen"}),
            json!({"name": ""}),
            json!({"name": "All"}),
            json!({"name": 5}),
            json!([]),
            json!({}),
        ] {
            let targets = find(&finder, "intent__HassTurnOn", &arguments);
            assert_eq!(targets, Targets::Everything, "{arguments}");
        }
        let script = find(&finder, "script__wake_up", &json!({"name": "x"}));
        assert_eq!(script, Targets::Everything);
        assert_eq!(finder.find("t", None), Targets::Everything);
    }

    /// Knows what it is told to know, and remembers what it was asked.
    #[derive(Debug)]
    struct Knowing {
        meant: Meant,
        asked: Mutex<Vec<Description>>,
    }

    impl Insight for Knowing {
        fn presence(&self) -> Presence {
            Presence::Running
        }

        fn is_heard_again(&self) -> BoxFuture<'_, bool> {
            Box::pin(async { true })
        }

        fn meant(&self, description: &Description) -> Meant {
            self.asked.lock().unwrap().push(description.clone());
            self.meant.clone()
        }
    }

    fn asking(meant: Meant, tool: &str, arguments: &Value) -> (Targets, Vec<Description>) {
        let asked = Mutex::default();
        let insight = Arc::new(Knowing { meant, asked });
        let targets = find(&TargetFinder::new(Some(insight.clone())), tool, arguments);
        let asked = insight.asked.lock().unwrap().clone();
        (targets, asked)
    }

    #[test]
    fn where_the_house_is_known_an_action_touches_what_is_meant() {
        let things = || vec![Arc::from("light.a"), Arc::from("light.b")];
        let arguments = json!({"area": "Kitchen", "floor": " ", "domain": ["light", "switch"]});
        let (targets, asked) = asking(Meant::These(things()), "intent__HassTurnOn", &arguments);
        assert_eq!(targets, Targets::Only(things()));
        let expected = Description {
            area: Some("Kitchen".into()),
            domains: vec!["light".into(), "switch".into()],
            ..Description::default()
        };
        assert_eq!(asked, [expected]);
    }

    #[test]
    fn a_tool_for_one_kind_of_things_means_those() {
        let meant = Meant::These(vec!["fan.a".into()]);
        let (targets, asked) = asking(meant, "fan__HassFanSetSpeed", &json!({"name": "Fan"}));
        assert_eq!(asked[0].domains, ["fan"]);
        assert_eq!(asked[0].name.as_deref(), Some("Fan"));
        let both = ["fan.a", "fan"].map(Arc::from).to_vec();
        assert_eq!(targets, Targets::Only(both), "by its name as well");
    }

    #[test]
    fn what_may_be_anything_touches_everything_although_it_has_a_name() {
        let scene = json!({"name": "Movie Night"});
        let (targets, _) = asking(Meant::Anything, "intent__HassTurnOn", &scene);
        assert_eq!(targets, Targets::Everything);
        let (targets, _) = asking(Meant::Unknown, "intent__HassTurnOn", &scene);
        assert_eq!(targets, Targets::Only(vec!["movie night".into()]));
    }

    #[test]
    fn nobody_is_asked_about_tools_that_take_an_area_for_something_else() {
        for tool in [
            "script__wake_up",
            "homeassistant__call_action",
            "vacuum__HassVacuumCleanArea",
            "other__set_scene",
        ] {
            let meant = Meant::These(vec!["light.a".into()]);
            let (targets, asked) = asking(meant, tool, &json!({"area": "Kitchen"}));
            assert_eq!((targets, asked), (Targets::Everything, vec![]), "{tool}");
        }
    }
}
