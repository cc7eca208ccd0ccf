//! The types that an app's options can have: the Supervisor's grammar, and which values fit.

use serde_json::{Map, Value};

/// The type of a single value.
#[derive(Debug, PartialEq)]
pub(crate) enum Scalar {
    Bool,
    /// `str`, `email`, `url` and `password`, with bounds of the length where there are any.
    Text {
        kind: String,
        min: Option<i64>,
        max: Option<i64>,
    },
    Int {
        min: Option<i64>,
        max: Option<i64>,
    },
    Port,
    OneOf(Vec<String>),
}

/// What stands at a key of `schema`.
#[derive(Debug, PartialEq)]
pub(crate) enum Element {
    Scalar { scalar: Scalar, optional: bool },
    List(Box<Self>),
    Group(Vec<(String, Self)>),
}

impl Element {
    /// Reads a part of `schema`.
    ///
    /// # Errors
    /// What the Supervisor would refuse, and the few types that no option of ours has had so far.
    pub(crate) fn parse(schema: &Value) -> Result<Self, String> {
        match schema {
            Value::String(text) => {
                let (text, optional) = text
                    .strip_suffix('?')
                    .map_or((text.as_str(), false), |text| (text, true));
                let scalar = Scalar::parse(text)?;
                Ok(Self::Scalar { scalar, optional })
            }
            Value::Array(entries) => match entries.as_slice() {
                [Value::Array(_)] => Err("a list directly in a list".to_owned()),
                [entry] => Ok(Self::List(Box::new(Self::parse(entry)?))),
                _ => Err("only the first entry of a list counts".to_owned()),
            },
            Value::Object(members) => {
                let read = |(key, value): (&String, &Value)| {
                    let element = Self::parse(value).map_err(|why| format!("{key}: {why}"))?;
                    Ok((key.clone(), element))
                };
                members
                    .iter()
                    .map(read)
                    .collect::<Result<_, _>>()
                    .map(Self::Group)
            }
            other => Err(format!("{other} is no type")),
        }
    }

    /// Whether the key may be missing. A group, or a list of groups, never may.
    pub(crate) fn may_be_missing(&self) -> bool {
        match self {
            Self::Scalar { optional, .. } => *optional,
            Self::List(entry) => matches!(**entry, Self::Scalar { optional: true, .. }),
            Self::Group(_) => false,
        }
    }

    /// Checks a value as the Supervisor does before the app starts.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Self::Scalar { scalar, .. }, value) if scalar.fits(value) => Ok(()),
            (Self::List(entry), Value::Array(values)) => {
                values.iter().try_for_each(|value| entry.check(value))
            }
            (Self::Group(members), Value::Object(values)) => check_group(members, values),
            _ => Err(format!("{value} does not fit")),
        }
    }
}

fn check_group(members: &[(String, Element)], values: &Map<String, Value>) -> Result<(), String> {
    for key in values.keys() {
        if !members.iter().any(|(name, _)| name == key) {
            return Err(format!("{key}: there is no such option"));
        }
    }
    for (key, element) in members {
        match values.get(key) {
            Some(value) => element
                .check(value)
                .map_err(|why| format!("{key}: {why}"))?,
            None if element.may_be_missing() => {}
            None => return Err(format!("{key}: it is missing, and not optional")),
        }
    }
    Ok(())
}

impl Scalar {
    fn parse(text: &str) -> Result<Self, String> {
        let (kind, inside) = match text.split_once('(') {
            Some((kind, rest)) => {
                let inside = rest.strip_suffix(')').ok_or(format!("{text:?}: no )"))?;
                (kind, Some(inside))
            }
            None => (text, None),
        };
        match (kind, inside) {
            ("bool", None) => Ok(Self::Bool),
            ("port", None) => Ok(Self::Port),
            ("email" | "url", None) | ("str" | "password", _) => {
                let (min, max) = bounds(inside)?;
                let kind = kind.to_owned();
                Ok(Self::Text { kind, min, max })
            }
            ("int", _) => {
                let (min, max) = bounds(inside)?;
                Ok(Self::Int { min, max })
            }
            ("list", Some(choices)) => {
                Ok(Self::OneOf(choices.split('|').map(str::to_owned).collect()))
            }
            ("float" | "match" | "device", _) => Err(format!(
                "{text:?}: teach tests/it/packaging/option_types.rs this type first"
            )),
            _ => Err(format!("{text:?} is no type of an option")),
        }
    }

    fn fits(&self, value: &Value) -> bool {
        let within = |n: i64, min: &Option<i64>, max: &Option<i64>| {
            min.is_none_or(|min| n >= min) && max.is_none_or(|max| n <= max)
        };
        match self {
            Self::Bool => value.is_boolean(),
            Self::Port => value.as_u64().is_some_and(|n| (1..=65535).contains(&n)),
            Self::Int { min, max } => value.as_i64().is_some_and(|n| within(n, min, max)),
            Self::OneOf(choices) => value
                .as_str()
                .is_some_and(|v| choices.iter().any(|c| c == v)),
            Self::Text { kind, min, max } => value.as_str().is_some_and(|text| {
                let length = i64::try_from(text.chars().count()).unwrap();
                let shaped = match kind.as_str() {
                    "url" => url::Url::parse(text).is_ok_and(|url| url.has_host()),
                    "email" => text.contains('@'),
                    _ => true,
                };
                shaped && within(length, min, max)
            }),
        }
    }
}

/// `min,max`, either of which may be missing.
fn bounds(inside: Option<&str>) -> Result<(Option<i64>, Option<i64>), String> {
    let Some(inside) = inside else {
        return Ok((None, None));
    };
    let (min, max) = inside
        .split_once(',')
        .ok_or(format!("({inside}): two bounds"))?;
    let read = |text: &str| match text {
        "" => Ok(None),
        digits => digits
            .parse()
            .map(Some)
            .map_err(|_| format!("{digits:?} is no number")),
    };
    Ok((read(min)?, read(max)?))
}

#[test]
fn the_grammar_of_option_types_is_the_supervisors() {
    use serde_json::json;
    for good in [
        json!("int(1,64)"),
        json!("int(,64)?"),
        json!("str"),
        json!("password(16,)?"),
        json!("list(a|b)"),
        json!({"group": {"deeper": ["url?"]}}),
        json!([{"name": "str(1,64)"}]),
    ] {
        assert!(Element::parse(&good).is_ok(), "{good}");
    }
    for bad in [
        json!("integer(1,64)"),
        json!("int(1)"),
        json!("int(a,b)"),
        json!("list"),
        json!(""),
        json!(5),
        json!([["str"]]),
        json!(["str", "int"]),
    ] {
        assert!(Element::parse(&bad).is_err(), "{bad}");
    }
    let schema = Element::parse(&json!({"n": "int(1,3)", "g": {"x": "bool?"}, "l": ["str?"]}));
    let schema = schema.unwrap();
    for (value, fits) in [
        (json!({"n": 3, "g": {}}), true),
        (json!({"n": 1, "g": {"x": false}, "l": ["a"]}), true),
        (json!({"n": 4, "g": {}}), false),
        (json!({"n": 1}), false),
        (json!({"n": 1, "g": {}, "more": 1}), false),
        (json!({"n": 1, "g": {}, "l": [5]}), false),
    ] {
        assert_eq!(schema.check(&value).is_ok(), fits, "{value}");
    }
    let groups = Element::parse(&json!([{"x": "bool?"}])).unwrap();
    assert!(
        !groups.may_be_missing(),
        "a list of groups can never be optional"
    );
}
