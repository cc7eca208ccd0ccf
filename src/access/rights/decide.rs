//! Whether a client may make a call: one pure function, so that it can be asked without making it.

use std::fmt;

use serde_json::{Map, Value};

use super::touch::{self, Class, Touch};
use super::{ArgumentRule, Pattern, Policy, Rights};
use crate::dispatch::guard::Tool;

/// The rule that decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Nobody may change anything now.
    AllReadOnly,
    /// This client may change nothing.
    ReadOnly,
    /// The tool is none of those that the client may call.
    NotAllowed,
    /// The tool fits a pattern of those that it may not call.
    Denied(Pattern),
    /// An argument is not as it must be, and why.
    Argument(ArgumentRule, String),
    /// The arguments cannot be read in one way only.
    Ambiguous,
    /// It touches a sensitive class.
    Sensitive(Class),
    /// It does not say enough to tell whether it touches a sensitive class.
    Unclear(Class),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllReadOnly => f.write_str(
                "the bridge is read-only (`access.read_only`): nothing can be changed through it now",
            ),
            Self::ReadOnly => f.write_str("this client is read-only: it may look and change nothing"),
            Self::NotAllowed => f.write_str("the tool is not among those that this client may call"),
            Self::Denied(pattern) => {
                write!(f, "this client may not call tools like {pattern}")
            }
            Self::Argument(rule, why) => write!(f, "the rule {rule} does not hold: {why}"),
            Self::Ambiguous => f.write_str(
                "the arguments must be one object in which no name stands twice",
            ),
            Self::Sensitive(class) => {
                write!(f, "it touches something of the class `{}`", class.name())
            }
            Self::Unclear(class) => write!(
                f,
                "it may touch something of the class `{}`; say which kind of device is meant, with \
                 `domain` (and `device_class` for covers), or use a tool for that kind",
                class.name()
            ),
        }
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It may be made.
    Allowed,
    /// It is refused, by this rule.
    Denied(Rule),
    /// A person has to agree, because of this rule.
    Confirm(Rule),
}

/// Whether a client with these rights may call the tool with these arguments; nothing for arguments
/// that cannot be read in one way only.
pub fn decide(
    rights: &Rights,
    all_read_only: bool,
    tool: &Tool<'_>,
    arguments: Option<&Map<String, Value>>,
) -> Decision {
    if let Some(rule) = refuses(rights, all_read_only, tool) {
        return Decision::Denied(rule);
    }
    let sensitive = !tool.looks && rights.sensitive != super::Sensitive::default();
    let rules = rules_for(rights, tool);
    if rules.is_empty() && !sensitive {
        return Decision::Allowed;
    }
    let Some(arguments) = arguments else {
        return Decision::Denied(Rule::Ambiguous);
    };
    for rule in rules {
        if let Err(why) = rule.holds(tool, arguments) {
            return Decision::Denied(Rule::Argument(rule.clone(), why));
        }
    }
    if !sensitive {
        return Decision::Allowed;
    }
    let touches = touch::by_call(tool.name, arguments, |argument| takes(tool, argument));
    let met = |policy: Policy, touch: Touch| {
        let met = |class: &Class| {
            rights.sensitive.policy(*class) == policy && touches.of(*class) == touch
        };
        Class::ALL.into_iter().find(met)
    };
    let unclear = || met(Policy::Deny, Touch::Perhaps).or(met(Policy::Confirm, Touch::Perhaps));
    if let Some(class) = met(Policy::Deny, Touch::Surely) {
        Decision::Denied(Rule::Sensitive(class))
    } else if let Some(class) = unclear() {
        Decision::Denied(Rule::Unclear(class))
    } else if let Some(class) = met(Policy::Confirm, Touch::Surely) {
        Decision::Confirm(Rule::Sensitive(class))
    } else {
        Decision::Allowed
    }
}

/// Whether a client with these rights sees the tool at all: whether there is a call of it that may
/// be made, as far as its name and schema tell.
pub fn shows(rights: &Rights, all_read_only: bool, tool: &Tool<'_>) -> bool {
    let cannot_hold =
        |rule: &&ArgumentRule| !rule.may_be_left_out() && !takes(tool, &rule.argument);
    let touches = touch::by_name(tool.name);
    let is_denied = |class: Class| {
        !tool.looks
            && rights.sensitive.policy(class) == Policy::Deny
            && touches.of(class) == Touch::Surely
    };
    refuses(rights, all_read_only, tool).is_none()
        && !rules_for(rights, tool).iter().any(cannot_hold)
        && !Class::ALL.into_iter().any(is_denied)
}

/// The rule that refuses the tool whatever its arguments are.
fn refuses(rights: &Rights, all_read_only: bool, tool: &Tool<'_>) -> Option<Rule> {
    let denied = rights
        .deny
        .iter()
        .find(|pattern| pattern.matches(tool.name));
    let is_allowed = || {
        rights
            .allow
            .iter()
            .any(|pattern| pattern.matches(tool.name))
    };
    if all_read_only && !tool.looks {
        Some(Rule::AllReadOnly)
    } else if rights.read_only && !tool.looks {
        Some(Rule::ReadOnly)
    } else if let Some(pattern) = denied {
        Some(Rule::Denied(pattern.clone()))
    } else if !rights.allow.is_empty() && !is_allowed() {
        Some(Rule::NotAllowed)
    } else {
        None
    }
}

fn rules_for<'a>(rights: &'a Rights, tool: &Tool<'_>) -> Vec<&'a ArgumentRule> {
    let binds = |rule: &&ArgumentRule| (rule.reads || !tool.looks) && rule.tools.matches(tool.name);
    rights.arguments.iter().filter(binds).collect()
}

impl ArgumentRule {
    /// # Errors
    /// Why the rule does not hold.
    fn holds(&self, tool: &Tool<'_>, arguments: &Map<String, Value>) -> Result<(), String> {
        let mut parts = self.argument.split('.');
        let first = parts.next().and_then(|part| arguments.get(part));
        let value = parts.fold(first, |value, part| value?.as_object()?.get(part));
        let is_left_out = |value: &&Value| match value {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            Value::Array(entries) => entries.is_empty(),
            _ => false,
        };
        let Some(value) = value.filter(|value| !is_left_out(value)) else {
            return if self.may_be_left_out() {
                Ok(())
            } else if takes(tool, &self.argument) {
                Err(format!("`{}` must be said", self.argument))
            } else {
                Err(format!("the tool does not take `{}`", self.argument))
            };
        };
        if self.is_about_text() && !takes(tool, &self.argument) {
            // Home Assistant passes over what it does not know: it would narrow nothing.
            return Err(format!("the tool does not take `{}`", self.argument));
        }
        let entries = match value {
            Value::Array(entries) => entries.as_slice(),
            one => std::slice::from_ref(one),
        };
        if self.is_about_text() {
            entries.iter().try_for_each(|entry| self.fits_text(entry))
        } else {
            entries.iter().try_for_each(|entry| self.fits_number(entry))
        }
    }

    fn fits_text(&self, value: &Value) -> Result<(), String> {
        let Some(text) = value.as_str().map(str::trim) else {
            return Err(format!("{value} is no text"));
        };
        if text.contains("{{") || text.contains("{%") {
            return Err(format!(
                "{text:?} is a template; nobody knows what it becomes"
            ));
        }
        // Home Assistant takes lists of ids with commas.
        let is_id = self.argument.ends_with("_id");
        let parts: Vec<&str> = if is_id {
            text.split(',').map(str::trim).collect()
        } else {
            vec![text]
        };
        let is_listed = |part: &str| {
            let same = |entry: &String| entry.to_lowercase() == part.to_lowercase();
            self.one_of.iter().any(same) || self.matching.iter().any(|p| p.matches(part))
        };
        match parts.into_iter().find(|part| !is_listed(part)) {
            Some(part) => Err(format!("it is {part:?}")),
            None => Ok(()),
        }
    }

    fn fits_number(&self, value: &Value) -> Result<(), String> {
        // Home Assistant takes texts for numbers.
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse::<f64>().ok(),
            _ => None,
        };
        let Some(number) = number.filter(|number| number.is_finite()) else {
            return Err(format!("{value} is no number"));
        };
        let is_within = self.at_least.is_none_or(|least| number >= least)
            && self.at_most.is_none_or(|most| number <= most);
        if is_within {
            Ok(())
        } else {
            Err(format!("it is {number}"))
        }
    }
}

/// Whether the tool takes an argument of that name, or may for all that is known.
fn takes(tool: &Tool<'_>, argument: &str) -> bool {
    let first = argument.split('.').next().unwrap_or_default();
    tool.takes
        .is_none_or(|names| names.iter().any(|name| name == first))
}
