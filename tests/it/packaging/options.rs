//! The options of the app: form, program, translations and documentation say the same.

use std::collections::BTreeMap;
use std::fmt::Write;

use mcp_bridge::config::{Environment, Flags, Options, load};
use serde_json::{Map, Value, json};

use super::app_files::yaml;
use super::option_types::{Element, Scalar};
use crate::documentation::{assert_section_up_to_date, leaves, read};

/// Every language of the app.
const LANGUAGES: [&str; 7] = ["de", "en", "es", "fr", "it", "nl", "pl"];

/// What has to be done for a new option, for whoever meets a failure here.
const HOW: &str = "an option stands in four places: src/config/options.rs (with its bounds); \
    config.yaml, `schema` with its type, and `options` with its default if the form shall show it \
    at first; translations/*.yaml, name and description in every language; DOCS.md, written by \
    UPDATE_DOCS=1";

fn schema() -> Element {
    Element::parse(&yaml("config.yaml")["schema"])
        .unwrap_or_else(|why| panic!("config.yaml: schema: {why}"))
}

/// The single values and lists of the form, by their keys with dots.
fn fields<'a>(element: &'a Element, prefix: &str, found: &mut BTreeMap<String, &'a Element>) {
    let Element::Group(members) = element else {
        found.insert(prefix.trim_end_matches('.').to_owned(), element);
        return;
    };
    for (key, member) in members {
        fields(member, &format!("{prefix}{key}."), found);
    }
}

/// What the program makes of these options.
fn configuration(options: &Value) -> Result<Value, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("options.json"), options.to_string()).unwrap();
    let environment = Environment {
        supervisor_token: Some("t".into()),
        ..Environment::default()
    };
    let flags = Flags {
        data: Some(folder.path().into()),
        ..Flags::default()
    };
    let loaded = load(&flags, &environment).map_err(|error| error.to_string())?;
    let mut config = serde_json::to_value(loaded.config).unwrap();
    config["data"] = Value::Null;
    Ok(config)
}

/// `a.b` with its value as nested objects.
fn nested(key: &str, value: Value) -> Value {
    key.rsplit('.')
        .fold(value, |inner, name| json!({name: inner}))
}

#[test]
fn the_form_and_the_program_have_the_same_options() {
    let schema = schema();
    let mut form = BTreeMap::new();
    fields(&schema, "", &mut form);
    let program = serde_json::to_value(schemars::schema_for!(Options)).unwrap();
    let program: BTreeMap<_, _> = leaves(&program).into_iter().collect();
    let (form, program): (Vec<_>, Vec<_>) = (form.keys().collect(), program.keys().collect());
    assert_eq!(
        form, program,
        "config.yaml is left, the program right; {HOW}"
    );
}

#[test]
fn the_defaults_fit_the_form_and_are_the_programs_own() {
    let defaults = &yaml("config.yaml")["options"];
    schema()
        .check(defaults)
        .unwrap_or_else(|why| panic!("config.yaml: options: {why}; {HOW}"));
    assert_eq!(
        configuration(defaults).unwrap(),
        configuration(&json!({})).unwrap(),
        "what the form shows at first (left) is not what the program does by itself; {HOW}"
    );
}

#[test]
fn the_program_takes_what_the_form_takes_and_has_its_bounds() {
    let schema = schema();
    let mut form = BTreeMap::new();
    fields(&schema, "", &mut form);
    for (key, element) in form {
        let (good, bad) = match key.as_str() {
            "allowed_networks" => (vec![json!(["10.1.0.0/16"])], vec![json!(["nonsense"])]),
            _ => samples(element),
        };
        for value in good {
            let taken = configuration(&nested(&key, value.clone()));
            assert!(taken.is_ok(), "{key}: {value}: {taken:?}; {HOW}");
        }
        for value in bad {
            let taken = configuration(&nested(&key, value.clone()));
            assert!(
                taken.is_err(),
                "the form refuses {key}: {value}, the program does not; {HOW}"
            );
        }
    }
}

/// Values that the form takes, and others that it refuses.
fn samples(element: &Element) -> (Vec<Value>, Vec<Value>) {
    let texts = |texts: &[&str]| texts.iter().map(|text| json!(text)).collect::<Vec<_>>();
    match element {
        Element::List(entry) => {
            let (good, bad) = samples(entry);
            (
                vec![json!(good), json!([])],
                bad.iter().map(|bad| json!([bad])).collect(),
            )
        }
        Element::Group(_) => panic!("a list of groups: teach this test how to fill one"),
        Element::Scalar { scalar, .. } => match scalar {
            Scalar::Bool => (vec![json!(true), json!(false)], texts(&["maybe"])),
            Scalar::Port => (vec![json!(1), json!(65535)], vec![json!(0), json!(65536)]),
            Scalar::OneOf(choices) => {
                let choices: Vec<_> = choices.iter().map(String::as_str).collect();
                (texts(&choices), texts(&["none of them"]))
            }
            Scalar::Int { min, max } => {
                let (Some(min), Some(max)) = (*min, *max) else {
                    panic!("a number without bounds");
                };
                (
                    vec![json!(min), json!(max)],
                    vec![json!(min - 1), json!(max + 1)],
                )
            }
            Scalar::Text { kind, .. } => match kind.as_str() {
                "url" => (texts(&["https://chat.example.org"]), texts(&["nonsense"])),
                _ => (texts(&["name.example.org"]), vec![json!({})]),
            },
        },
    }
}

#[test]
fn every_language_names_and_explains_every_option_and_port() {
    let config = yaml("config.yaml");
    let mut names: Vec<_> = std::fs::read_dir(crate::support::bridge::root().join("translations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, LANGUAGES.map(|language| format!("{language}.yaml")));
    let english = yaml("translations/en.yaml");
    for language in LANGUAGES {
        let path = format!("translations/{language}.yaml");
        let texts = yaml(&path);
        let keys: Vec<_> = texts.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["configuration", "network"], "{path}");
        let same = |a: &Value, b: &Value| {
            let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            keys(a) == keys(b)
        };
        assert!(
            same(&texts["network"], &config["ports"]),
            "{path}: network; {HOW}"
        );
        let (schema, members) = (&config["schema"], &texts["configuration"]);
        assert_explained(schema, members, &english["configuration"], &path);
    }
}

/// Holds the texts of a group against its options, level by level.
fn assert_explained(schema: &Value, texts: &Value, english: &Value, place: &str) {
    let keys = |value: &Value| {
        value
            .as_object()
            .map(|v| v.keys().cloned().collect::<Vec<_>>())
    };
    let same = keys(schema) == keys(texts);
    assert!(
        same,
        "{place}: {:?} for the options {:?}; {HOW}",
        keys(texts),
        keys(schema)
    );
    for (key, element) in schema.as_object().unwrap() {
        let place = format!("{place}: {key}");
        let text = |part: &str| texts[key][part].as_str().unwrap_or_default().trim();
        assert!(
            !text("name").is_empty() && text("name").len() < 60,
            "{place}: name"
        );
        let description = text("description");
        assert!(
            description.ends_with('.'),
            "{place}: description, whole sentences"
        );
        if !place.starts_with("translations/en") {
            let copied = english[key]["description"] == texts[key]["description"];
            assert!(!copied, "{place}: still in English");
        }
        match element {
            Value::Object(_) => {
                let (inner, english) = (&texts[key]["fields"], &english[key]["fields"]);
                assert_explained(element, inner, english, &place);
            }
            Value::Array(entries) if entries[0].is_object() => {
                let (inner, english) = (&texts[key]["fields"], &english[key]["fields"]);
                assert_explained(&entries[0], inner, english, &place);
            }
            _ => assert!(
                texts[key].get("fields").is_none(),
                "{place}: it has no fields"
            ),
        }
    }
}

#[test]
fn the_documentation_of_the_app_lists_its_options() {
    let (config, english) = (yaml("config.yaml"), yaml("translations/en.yaml"));
    let mut text = String::new();
    list(
        &config["schema"],
        &config["options"],
        &english["configuration"],
        "",
        &mut text,
    );
    assert_section_up_to_date("DOCS.md", "options", &text);
    assert!(
        read("DOCS.md").lines().count() <= 200,
        "the store shows it in a narrow column"
    );
}

/// The options as a person reads them: those of the form's first sight, then the others.
fn list(schema: &Value, defaults: &Value, texts: &Value, prefix: &str, out: &mut String) {
    let empty = Map::new();
    for (key, element) in schema.as_object().unwrap_or(&empty) {
        let text = &texts[key];
        let (name, description) = (text["name"].as_str(), text["description"].as_str());
        let (name, description) = (name.unwrap_or_default(), description.unwrap_or_default());
        if element.is_object() {
            list(
                element,
                &defaults[key],
                &text["fields"],
                &format!("{prefix}{key}."),
                out,
            );
            continue;
        }
        let default = match defaults.get(key) {
            Some(default) => format!(" Default: `{default}`."),
            None => String::new(),
        };
        let values = match element {
            Value::Array(entries) => format!("list of `{}`", plain(&entries[0])),
            single => format!("`{}`", plain(single)),
        };
        writeln!(
            out,
            "* **{name}** (`{prefix}{key}`, {values}): {description}{default}"
        )
        .unwrap();
    }
}

fn plain(kind: &Value) -> String {
    kind.as_str()
        .unwrap_or_default()
        .trim_end_matches('?')
        .to_owned()
}
