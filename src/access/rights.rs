//! What a client may do: which tools, with which arguments, and what a person has to agree to.
//!
//! The rules as they are written down. [`decide`] holds a call against them, [`touch`] tells what a
//! call may lay hands on.

mod decide;
mod touch;

use std::fmt;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use wildmatch::WildMatch;

pub use decide::{Decision, Rule, decide, shows};
pub use touch::Class;

/// More than any sensible set of rules; keeps a damaged register from costing time at every call.
const MAX_RULES: usize = 200;
const MAX_PATTERN: usize = 200;

/// The rights of one client. Without any rule it may do everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rights {
    /// It may look, and change nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// The tools that it may call; every one if there are none.
    #[serde(deserialize_with = "bounded", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Pattern>")]
    pub allow: Vec<Pattern>,
    /// Tools that it may not call, whatever else is allowed.
    #[serde(deserialize_with = "bounded", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Pattern>")]
    pub deny: Vec<Pattern>,
    /// What arguments must be like. Every rule that fits a tool must hold.
    #[serde(deserialize_with = "rules", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<ArgumentRule>")]
    pub arguments: Vec<ArgumentRule>,
    /// What becomes of calls that touch what is sensitive.
    #[serde(skip_serializing_if = "is_default")]
    pub sensitive: Sensitive,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads a list of rules, and no endless one.
fn bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    let rules = Vec::deserialize(d)?;
    if rules.len() > MAX_RULES {
        return Err(D::Error::custom(format_args!(
            "there are more than {MAX_RULES} rules"
        )));
    }
    Ok(rules)
}

/// Reads rules for arguments, each of which must make sense.
fn rules<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<ArgumentRule>, D::Error> {
    let rules: Vec<ArgumentRule> = bounded(d)?;
    rules
        .iter()
        .try_for_each(ArgumentRule::check)
        .map_err(D::Error::custom)?;
    Ok(rules)
}

impl Rights {
    /// Whether there is no rule at all.
    pub fn are_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// A pattern for names, in any case: `*` stands for any text, `?` for one character.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Pattern {
    text: String,
    matcher: WildMatch,
}

impl Pattern {
    /// The pattern that fits everything.
    fn any() -> Self {
        Self {
            text: "*".to_owned(),
            matcher: WildMatch::new("*"),
        }
    }

    /// Whether `name` is one of those that are meant.
    pub fn matches(&self, name: &str) -> bool {
        self.matcher.matches(name)
    }

    fn is_any(&self) -> bool {
        self.text == "*"
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = !text.trim().is_empty()
            && text.len() <= MAX_PATTERN
            && !text.chars().any(char::is_control);
        if !fits {
            return Err(format!(
                "{text:?} is no pattern: 1 to {MAX_PATTERN} characters, such as `light__*`"
            ));
        }
        let matcher = WildMatch::new_case_insensitive(&text);
        Ok(Self { text, matcher })
    }
}

impl std::str::FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What one argument must be like, for the tools that are meant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArgumentRule {
    /// The tools.
    #[serde(default = "Pattern::any", skip_serializing_if = "Pattern::is_any")]
    pub tools: Pattern,
    /// The argument; dots lead into objects (`data.temperature`).
    pub argument: String,
    /// The texts that it may be, in any case; of a list, each entry.
    #[serde(
        rename = "in",
        default,
        deserialize_with = "bounded",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(with = "Vec<String>")]
    pub one_of: Vec<String>,
    /// Patterns of which it must fit one; of a list, each entry.
    #[serde(
        default,
        deserialize_with = "bounded",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(with = "Vec<Pattern>")]
    pub matching: Vec<Pattern>,
    /// The least number that it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The greatest number that it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Whether it may be left out. A number may; a text may not, unless this is said: what is left
    /// out narrows nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
    /// Whether tools that only look are bound by it, too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reads: bool,
}

/// JSON has no number that differs from itself.
impl Eq for ArgumentRule {}

impl ArgumentRule {
    /// # Errors
    /// Why it makes no sense.
    fn check(&self) -> Result<(), String> {
        let name = &self.argument;
        if name.split('.').any(|part| part.trim().is_empty()) {
            return Err(format!("{name:?} is no name of an argument"));
        }
        match (self.is_about_text(), self.is_about_number()) {
            (false, false) => Err(format!(
                "the rule for {name:?} demands nothing; say `in`, `matching`, `at_least` or \
                 `at_most`"
            )),
            (true, true) => Err(format!(
                "the rule for {name:?} demands a text and a number; make two rules"
            )),
            _ => Ok(()),
        }
    }

    const fn is_about_text(&self) -> bool {
        !self.one_of.is_empty() || !self.matching.is_empty()
    }

    const fn is_about_number(&self) -> bool {
        self.at_least.is_some() || self.at_most.is_some()
    }

    fn may_be_left_out(&self) -> bool {
        self.optional.unwrap_or(self.is_about_number())
    }
}

impl fmt::Display for ArgumentRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.argument)?;
        let listed = |entries: Vec<String>| entries.join(", ");
        if !self.one_of.is_empty() {
            write!(f, " in {}", listed(self.one_of.clone()))?;
        }
        if !self.matching.is_empty() {
            let patterns = self.matching.iter().map(ToString::to_string).collect();
            write!(f, " like {}", listed(patterns))?;
        }
        if let Some(least) = self.at_least {
            write!(f, " at least {least}")?;
        }
        if let Some(most) = self.at_most {
            write!(f, " at most {most}")?;
        }
        if !self.tools.is_any() {
            write!(f, " for tools like {}", self.tools)?;
        }
        Ok(())
    }
}

/// What becomes of a call that touches something sensitive.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// It is like any other.
    #[default]
    Allow,
    /// A person has to agree each time.
    Confirm,
    /// It is refused.
    Deny,
}

/// A policy for each sensitive class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sensitive {
    /// Locks.
    #[serde(skip_serializing_if = "is_default")]
    pub lock: Policy,
    /// Alarm systems.
    #[serde(skip_serializing_if = "is_default")]
    pub alarm: Policy,
    /// Garage doors, gates and doors that open by themselves.
    #[serde(skip_serializing_if = "is_default")]
    pub garage: Policy,
    /// Scripts, scenes and automations: what they do is known to their authors only.
    #[serde(skip_serializing_if = "is_default")]
    pub script: Policy,
}

impl Sensitive {
    /// The policy for a class.
    const fn policy(self, class: Class) -> Policy {
        match class {
            Class::Lock => self.lock,
            Class::Alarm => self.alarm,
            Class::Garage => self.garage,
            Class::Script => self.script,
        }
    }
}

#[cfg(test)]
mod tests;
