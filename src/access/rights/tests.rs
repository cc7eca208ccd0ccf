//! The table of cases: rights, call, decision.

use serde_json::{Value, json};

use super::*;
use crate::dispatch::guard::Tool;

const READ: &str = "homeassistant__GetLiveContext";
const ON: &str = "intent__HassTurnOn";
const OFF: &str = "intent__HassTurnOff";
const POSITION: &str = "intent__HassSetPosition";
const HEAT: &str = "climate__HassClimateSetTemperature";
const ACT: &str = "homeassistant__call_action";

/// Rights, tool, arguments, and how what is decided begins.
type Case = (&'static str, &'static str, &'static str, &'static str);

/// What Home Assistant's tools take; nothing of a tool that nobody knows.
fn takes(tool: &str) -> Option<Vec<String>> {
    let names = match tool {
        READ => "name domain area",
        ON | OFF => "name area floor domain device_class",
        POSITION => "name area floor domain device_class position",
        HEAT => "temperature name area floor",
        ACT => "action target data",
        _ => return None,
    };
    Some(names.split(' ').map(str::to_owned).collect())
}

/// `allowed`, `confirm` or what is said.
fn decided(rules: &str, tool: &str, arguments: &str) -> String {
    let rights: Rights = serde_json::from_str(rules).unwrap_or_else(|e| panic!("{rules}: {e}"));
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    let takes = takes(tool);
    let tool = Tool {
        name: tool,
        looks: tool == READ,
        takes: takes.as_deref(),
    };
    match decide(&rights, false, &tool, arguments.as_object()) {
        Decision::Allowed => "allowed".to_owned(),
        Decision::Confirm(_) => "confirm".to_owned(),
        Decision::Denied(rule) => rule.to_string(),
    }
}

fn check(cases: &[Case]) {
    for (rules, tool, arguments, expected) in cases {
        let decided = decided(rules, tool, arguments);
        assert!(
            decided.starts_with(expected),
            "{rules}\n{tool} {arguments}\nexpected: {expected}\ndecided: {decided}"
        );
    }
}

#[test]
fn tools_are_allowed_and_denied_by_name() {
    check(&[
        ("{}", ON, "{}", "allowed"),
        (r#"{"allow":["*"]}"#, ON, "{}", "allowed"),
        (r#"{"allow":["intent__*"]}"#, ON, "{}", "allowed"),
        (r#"{"allow":["x","*hassturnon"]}"#, ON, "{}", "allowed"),
        (
            r#"{"allow":["light__*"]}"#,
            ON,
            "{}",
            "the tool is not among those",
        ),
        (
            r#"{"deny":["*TurnOn"]}"#,
            ON,
            "{}",
            "this client may not call tools like *TurnOn",
        ),
        (
            r#"{"allow":["*"],"deny":["intent__*"]}"#,
            ON,
            "{}",
            "this client may not call",
        ),
        (r#"{"deny":["*TurnOn"]}"#, OFF, "{}", "allowed"),
        (r#"{"deny":["*"]}"#, READ, "[]", "this client may not call"),
    ]);
}

#[test]
fn whoever_is_read_only_may_look() {
    let rules = r#"{"read_only":true}"#;
    check(&[
        (rules, READ, "{}", "allowed"),
        (rules, ON, "{}", "this client is read-only"),
        (rules, "nobody__knows", "{}", "this client is read-only"),
    ]);
}

#[test]
fn the_switch_for_all_stands_above_every_right() {
    let everything = Rights::default();
    for (name, looks) in [(ON, false), (READ, true)] {
        let tool = Tool {
            name,
            looks,
            takes: None,
        };
        let expected = if looks {
            Decision::Allowed
        } else {
            Decision::Denied(Rule::AllReadOnly)
        };
        let arguments = serde_json::Map::new();
        assert_eq!(decide(&everything, true, &tool, Some(&arguments)), expected);
        assert_eq!(shows(&everything, true, &tool), looks);
    }
}

#[test]
fn texts_of_arguments_must_be_listed_or_fit_a_pattern() {
    let lights = r#"{"arguments":[{"argument":"domain","in":["light","Switch"]}]}"#;
    let kitchen = r#"{"arguments":[{"argument":"name","matching":["Kitchen *"],"in":["Kettle"]}]}"#;
    let attic = r#"{"arguments":[{"argument":"area","in":["Attic"],"reads":true}]}"#;
    let maybe = r#"{"arguments":[{"argument":"area","in":["Attic"],"optional":true}]}"#;
    let other = r#"{"arguments":[{"tools":"light__*","argument":"domain","in":["light"]}]}"#;
    let broken = "the rule `domain` in light, Switch does not hold: ";
    check(&[
        (lights, ON, r#"{"domain":["light"]}"#, "allowed"),
        (lights, ON, r#"{"domain":"LIGHT "}"#, "allowed"),
        (lights, ON, r#"{"domain":["switch","light"]}"#, "allowed"),
        (lights, ON, r#"{"domain":["light","lock"]}"#, broken),
        (lights, ON, r#"{"name":"Lamp"}"#, broken),
        (lights, ON, r#"{"domain":[]}"#, broken),
        (lights, ON, r#"{"domain":" "}"#, broken),
        (lights, ON, r#"{"domain":null}"#, broken),
        (lights, ON, r#"{"domain":[5]}"#, broken),
        (lights, ON, r#"{"domain":{"light":1}}"#, broken),
        (lights, ON, "[]", "the arguments must be one object"),
        // What a tool does not take, it passes over.
        (lights, HEAT, r#"{"domain":"light"}"#, broken),
        // Tools that only look are bound where that is said.
        (lights, READ, "{}", "allowed"),
        (attic, READ, r#"{"area":"Cellar"}"#, "the rule `area`"),
        (kitchen, ON, r#"{"name":"kitchen lamp"}"#, "allowed"),
        (kitchen, ON, r#"{"name":"kettle"}"#, "allowed"),
        (kitchen, ON, r#"{"name":"Front Door"}"#, "the rule `name`"),
        (
            kitchen,
            ON,
            r#"{"name":"Kitchen {{x}}"}"#,
            "the rule `name`",
        ),
        (maybe, ON, r#"{"name":"Lamp"}"#, "allowed"),
        (maybe, ON, r#"{"area":"Cellar"}"#, "the rule `area`"),
        (other, ON, "{}", "allowed"),
    ]);
}

#[test]
fn arguments_inside_of_others_are_reached_with_dots() {
    let rules = r#"{"arguments":[
        {"tools":"*call_action","argument":"target.entity_id","matching":["light.*"]}]}"#;
    check(&[
        (
            rules,
            ACT,
            r#"{"target":{"entity_id":"light.a"}}"#,
            "allowed",
        ),
        (
            rules,
            ACT,
            r#"{"target":{"entity_id":["light.a"]}}"#,
            "allowed",
        ),
        (
            rules,
            ACT,
            r#"{"target":{"entity_id":"light.a,light.b"}}"#,
            "allowed",
        ),
        (
            rules,
            ACT,
            r#"{"target":{"entity_id":"light.a, lock.b"}}"#,
            "the rule",
        ),
        (
            rules,
            ACT,
            r#"{"target":{"entity_id":"light.{{x}}"}}"#,
            "the rule",
        ),
        (rules, ACT, r#"{"target":{}}"#, "the rule"),
        (rules, ACT, r#"{"target":5}"#, "the rule"),
    ]);
}

#[test]
fn numbers_have_limits_and_may_be_left_out() {
    let rules = r#"{"arguments":[{"argument":"temperature","at_least":16,"at_most":24.5}]}"#;
    let needed = r#"{"arguments":[{"argument":"temperature","at_most":24,"optional":false}]}"#;
    let broken = "the rule `temperature` at least 16 at most 24.5 does not hold: ";
    check(&[
        (rules, HEAT, r#"{"temperature":24.5}"#, "allowed"),
        (rules, HEAT, r#"{"temperature":16}"#, "allowed"),
        (rules, HEAT, r#"{"temperature":"21"}"#, "allowed"),
        (rules, HEAT, r#"{"temperature":25}"#, broken),
        (rules, HEAT, r#"{"temperature":"30"}"#, broken),
        (rules, HEAT, r#"{"temperature":15.9}"#, broken),
        (rules, HEAT, r#"{"temperature":[20,30]}"#, broken),
        (rules, HEAT, r#"{"temperature":"NaN"}"#, broken),
        (rules, HEAT, r#"{"temperature":"warm"}"#, broken),
        (rules, HEAT, r#"{"temperature":{}}"#, broken),
        (rules, HEAT, r#"{"temperature":true}"#, broken),
        (rules, HEAT, r#"{"temperature":null}"#, "allowed"),
        (rules, ON, r#"{"name":"Lamp"}"#, "allowed"),
        (needed, HEAT, "{}", "the rule `temperature` at most 24"),
    ]);
}

const TOUCHES: &str = "it touches something of the class";
const MAY_TOUCH: &str = "it may touch something of the class";

#[test]
fn what_home_assistants_own_tools_touch_is_told_by_domain_class_and_id() {
    for (tool, arguments, expected) in [
        (ON, r#"{"domain":["light"],"area":"Hall"}"#, "allowed"),
        (ON, r#"{"domain":["lock"]}"#, TOUCHES),
        (OFF, r#"{"domain":["light","lock"]}"#, TOUCHES),
        (OFF, r#"{"domain":"Lock"}"#, TOUCHES),
        (OFF, r#"{"name":"Front Door"}"#, MAY_TOUCH),
        (OFF, r#"{"area":"Hall"}"#, MAY_TOUCH),
        (OFF, r#"{"floor":"Ground"}"#, MAY_TOUCH),
        (OFF, "{}", MAY_TOUCH),
        (
            OFF,
            r#"{"name":"Front Door","domain":["light"]}"#,
            "allowed",
        ),
        (OFF, r#"{"name":"Front Door","domain":[]}"#, MAY_TOUCH),
        (OFF, r#"{"name":"light.kitchen","area":"Hall"}"#, "allowed"),
        (OFF, r#"{"name":"lock.front"}"#, TOUCHES),
        (
            OFF,
            r#"{"name":"all","device_class":["outlet"]}"#,
            "allowed",
        ),
        (ON, r#"{"domain":["script"]}"#, TOUCHES),
        (ON, r#"{"domain":["scene"]}"#, TOUCHES),
        (ON, r#"{"domain":["group"]}"#, MAY_TOUCH),
        (
            ON,
            r#"{"domain":["cover"],"device_class":["garage"]}"#,
            TOUCHES,
        ),
        (
            ON,
            r#"{"domain":["cover"],"device_class":["blind"]}"#,
            "allowed",
        ),
        (ON, r#"{"domain":["cover"]}"#, MAY_TOUCH),
        (POSITION, r#"{"position":50,"area":"Hall"}"#, MAY_TOUCH),
        (POSITION, r#"{"position":50,"domain":["valve"]}"#, "allowed"),
        (READ, r#"{"domain":["lock"]}"#, "allowed"),
        (HEAT, r#"{"temperature":20,"area":"Hall"}"#, "allowed"),
        ("light__HassLightSet", r#"{"name":"Lamp"}"#, "allowed"),
        (
            "todo__HassListAddItem",
            r#"{"item":"lock","name":"x"}"#,
            "allowed",
        ),
        ("script__good_night", "{}", TOUCHES),
        ("lock__HassLock", r#"{"name":"x"}"#, TOUCHES),
        ("cover__HassOpenCover", r#"{"name":"x"}"#, MAY_TOUCH),
        ("HassTurnOff", r#"{"name":"Front Door"}"#, MAY_TOUCH),
        ("intent__Unknown", r#"{"name":"x"}"#, MAY_TOUCH),
        ("intent__HassCancelAllTimers", "{}", "allowed"),
    ] {
        check(&[(DENY_ALL, tool, arguments, expected)]);
    }
}

const DENY_ALL: &str =
    r#"{"sensitive":{"lock":"deny","alarm":"deny","garage":"deny","script":"deny"}}"#;

#[test]
fn what_actions_and_foreign_tools_touch_is_told_by_action_and_target() {
    for (tool, arguments, expected) in [
        ("unlock_front_door", "{}", TOUCHES),
        (
            "control",
            r#"{"domain":"lock","service":"unlock"}"#,
            TOUCHES,
        ),
        ("control", r#"{"entity_id":"lock.front"}"#, TOUCHES),
        ("control", r#"{"entity_id":"light.front"}"#, "allowed"),
        (
            "control",
            r#"{"steps":[{"action":"lock.unlock"}]}"#,
            TOUCHES,
        ),
        (
            ACT,
            r#"{"action":"light.turn_on","target":{"area_id":"x"}}"#,
            "allowed",
        ),
        (ACT, r#"{"action":"lock.unlock"}"#, TOUCHES),
        (
            ACT,
            r#"{"action":"alarm_control_panel.alarm_disarm"}"#,
            TOUCHES,
        ),
        (ACT, r#"{"action":"cover.open_cover"}"#, MAY_TOUCH),
        (ACT, r#"{"action":"scene.apply"}"#, TOUCHES),
        (ACT, r#"{"action":"mqtt.publish"}"#, MAY_TOUCH),
        (ACT, r#"{"action":"{{ 'lock.unlock' }}"}"#, MAY_TOUCH),
        (ACT, &off(r#"{"entity_id":"light.a"}"#), "allowed"),
        (ACT, &off(r#"{"entity_id":"light.a,lock.b"}"#), TOUCHES),
        (ACT, &off(r#"{"entity_id":["light.a","lock.b"]}"#), TOUCHES),
        (ACT, &off(r#"{"entity_id":"all"}"#), MAY_TOUCH),
        (ACT, &off(r#"{"area_id":"hall"}"#), MAY_TOUCH),
        (
            ACT,
            &off(r#"{"entity_id":"light.a","label_id":"x"}"#),
            MAY_TOUCH,
        ),
        // Not an argument of this tool: it narrows nothing.
        (ACT, &off(r#"{"area_id":"x"},"domain":"light""#), MAY_TOUCH),
    ] {
        let decided = decided(DENY_ALL, tool, arguments);
        assert!(
            decided.starts_with(expected),
            "{tool} {arguments}: {decided}"
        );
    }
}

fn off(target: &str) -> String {
    format!(r#"{{"action":"homeassistant.turn_off","target":{target}}}"#)
}

#[test]
fn each_class_has_its_own_policy_and_the_strictest_one_counts() {
    let confirm = r#"{"sensitive":{"lock":"confirm"}}"#;
    let mixed = r#"{"sensitive":{"lock":"confirm","script":"deny"}}"#;
    let unclear = "it may touch something of the class `lock`";
    check(&[
        (confirm, OFF, r#"{"domain":["lock"]}"#, "confirm"),
        (confirm, OFF, r#"{"domain":["script"]}"#, "allowed"),
        (confirm, OFF, r#"{"name":"x"}"#, unclear),
        (
            r#"{"sensitive":{"lock":"allow"}}"#,
            OFF,
            r#"{"domain":["lock"]}"#,
            "allowed",
        ),
        (
            mixed,
            OFF,
            r#"{"domain":["lock","script"]}"#,
            "it touches something of the class `script`",
        ),
    ]);
}

#[test]
fn only_what_may_be_called_is_shown() {
    for (rules, tool, shown) in [
        ("{}", ON, true),
        (r#"{"read_only":true}"#, ON, false),
        (r#"{"read_only":true}"#, READ, true),
        (r#"{"allow":["light__*"]}"#, ON, false),
        (r#"{"deny":["*TurnOn"]}"#, ON, false),
        (r#"{"sensitive":{"lock":"deny"}}"#, "lock__HassLock", false),
        (
            r#"{"sensitive":{"lock":"confirm"}}"#,
            "lock__HassLock",
            true,
        ),
        (r#"{"sensitive":{"lock":"deny"}}"#, ON, true),
        (
            r#"{"arguments":[{"argument":"domain","in":["light"]}]}"#,
            ON,
            true,
        ),
        (
            r#"{"arguments":[{"argument":"domain","in":["light"]}]}"#,
            HEAT,
            false,
        ),
        (
            r#"{"arguments":[{"argument":"temperature","at_most":24}]}"#,
            ON,
            true,
        ),
    ] {
        let rights: Rights = serde_json::from_str(rules).unwrap();
        let takes = takes(tool);
        let tool = Tool {
            name: tool,
            looks: tool == READ,
            takes: takes.as_deref(),
        };
        assert_eq!(shows(&rights, false, &tool), shown, "{rules} {tool:?}");
    }
}

#[test]
fn rules_are_written_back_as_they_were() {
    for text in [
        "{}",
        r#"{"read_only":true}"#,
        r#"{"allow":["light__*"],"deny":["*Off"]}"#,
        r#"{"arguments":[{"argument":"domain","in":["light"]}]}"#,
        r#"{"arguments":[{"tools":"x*","argument":"a.b","at_least":1.0,"at_most":2.5,"optional":false,"reads":true}]}"#,
        r#"{"sensitive":{"lock":"confirm","garage":"deny"}}"#,
    ] {
        let rights: Rights = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&rights).unwrap(), text);
        assert_eq!(rights.are_unlimited(), text == "{}");
    }
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    for text in [
        r#"{"readonly":true}"#,
        r#"{"allow":[""]}"#,
        r#"{"allow":["a\nb"]}"#,
        r#"{"arguments":[{"argument":"domain"}]}"#,
        r#"{"arguments":[{"argument":"","in":["x"]}]}"#,
        r#"{"arguments":[{"argument":"a..b","in":["x"]}]}"#,
        r#"{"arguments":[{"argument":"a","in":["x"],"at_most":1}]}"#,
        r#"{"arguments":[{"argument":"a","in":["x"],"below":1}]}"#,
        r#"{"sensitive":{"lock":"ask"}}"#,
        r#"{"sensitive":{"window":"deny"}}"#,
    ] {
        assert!(serde_json::from_str::<Rights>(text).is_err(), "{text}");
    }
    let many = json!({"deny": vec!["x"; MAX_RULES + 1]});
    assert!(serde_json::from_value::<Rights>(many).is_err());
}
