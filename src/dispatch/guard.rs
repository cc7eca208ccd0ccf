//! Rights as the way of a call sees them: whoever stands above says what a caller may do, this says
//! when it is asked and what becomes of the answer.

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Call;
use super::approvals::Question;
use super::classify::{Classifier, Nature};
use super::keys;
use super::queue::Effect;
use super::schema::Schema;
use super::tools::{self, Tools};
use crate::error::{Code, Failure};
use crate::protocol::json::{RawJson, unambiguous};

/// A tool, as much of it as rights depend on.
#[derive(Debug, Clone, Copy)]
pub struct Tool<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it only looks.
    pub looks: bool,
    /// The names of the arguments that it takes; nothing if that is not known.
    pub takes: Option<&'a [String]>,
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be made.
    Allowed,
    /// It is refused, by the rule that this sentence tells.
    Denied(String),
    /// A person has to agree, for the reason that this sentence tells.
    Confirm(String),
}

/// Knows what one caller may do.
pub trait Guard: fmt::Debug + Send + Sync {
    /// Whether it may do everything, so that nothing has to be looked at.
    fn is_open(&self) -> bool;

    /// What becomes of a call with these arguments; nothing stands for arguments that can be read in
    /// several ways.
    fn judge(&self, tool: &Tool<'_>, arguments: Option<&Map<String, Value>>) -> Verdict;

    /// Whether the tool is among those that it is told of.
    fn shows(&self, tool: &Tool<'_>) -> bool;
}

/// The guard of a caller that may do everything.
#[derive(Debug)]
pub struct Open;

impl Guard for Open {
    fn is_open(&self) -> bool {
        true
    }

    fn judge(&self, _: &Tool<'_>, _: Option<&Map<String, Value>>) -> Verdict {
        Verdict::Allowed
    }

    fn shows(&self, _: &Tool<'_>) -> bool {
        true
    }
}

/// Asks the caller's guard about a call. Methods that nobody knows count as tools of that name.
///
/// # Errors
/// [`Code::Denied`], with the rule. Otherwise the question that a person has to answer first, if
/// there is one.
pub(super) fn judge(
    call: &Call,
    nature: &Nature,
    tool: Option<&tools::Tool>,
) -> Result<Option<Question>, Failure> {
    let (guard, request) = (&call.client.guard, &call.request);
    let is_tool = request.method == "tools/call";
    if guard.is_open() || !is_tool && nature.effect == Effect::Read {
        return Ok(None);
    }
    let params = request.param_members();
    let name = if is_tool {
        params.get_str("name").unwrap_or_default()
    } else {
        request.method.as_str().into()
    };
    let text = params
        .get("arguments")
        .filter(|text| is_tool && *text != "null");
    let arguments = unambiguous(text.unwrap_or("{}"));
    let asked = Tool {
        name: &name,
        looks: nature.effect == Effect::Read,
        // A tool that no list names takes nothing of which a rule could be sure.
        takes: Some(takes(tool)),
    };
    match guard.judge(&asked, arguments.as_ref().and_then(Value::as_object)) {
        Verdict::Allowed => Ok(None),
        Verdict::Denied(rule) => Err(Failure::with(Code::Denied, rule)),
        Verdict::Confirm(reason) => Ok(Some(Question {
            call: keys::exactly(call),
            client: call.client.name.clone(),
            tool: name.into_owned(),
            arguments: text.and_then(|text| RawJson::parse(text.to_owned().into()).ok()),
            reason,
        })),
    }
}

fn takes(tool: Option<&tools::Tool>) -> &[String] {
    tool.and_then(|tool| tool.schema.as_ref())
        .map_or(&[], Schema::takes)
}

/// A `tools/list` result with only those tools that the caller may call; nothing if that is all of
/// them. What stays keeps its bytes.
pub(super) fn filtered(
    result: &RawJson,
    guard: &Arc<dyn Guard>,
    known: &Tools,
    classifier: &Classifier,
) -> Option<RawJson> {
    if guard.is_open() {
        return None;
    }
    let mut members = result.members()?;
    let entries: Vec<&RawValue> = serde_json::from_str(members.get("tools")?).ok()?;
    let is_shown = |entry: &&&RawValue| {
        let entry: Result<Named<'_>, _> = serde_json::from_str(entry.get());
        entry.is_ok_and(|Named { name }| {
            let tool = known.get(&name);
            guard.shows(&Tool {
                name: &name,
                looks: classifier.is_read(&name),
                takes: Some(takes(tool.as_deref())),
            })
        })
    };
    let shown: Vec<&RawValue> = entries.iter().filter(is_shown).copied().collect();
    if shown.len() == entries.len() {
        return None;
    }
    let shown = RawJson::of(&shown);
    members.set("tools", &shown);
    Some(members.write())
}

#[derive(serde::Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
}
