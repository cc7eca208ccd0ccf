//! A `tools/call` as it will be sent: repaired where that is plain, refused where it is wrong.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Call;
use super::arguments::{self, Checked, Settings};
use super::schema::Schema;
use super::tools::Tools;
use crate::error::{Code, Failure};
use crate::protocol::json::{Members, RawJson};

/// Arguments beyond this many bytes are not checked: it would cost more than it saves.
const MAX_CHECKED: usize = 64 << 10;

/// The call with its arguments repaired. Any other request, and a call of a tool that no list has
/// named yet, stays as it is.
///
/// # Errors
/// [`Code::InvalidParams`] for a call that can be read in two ways, [`Code::WrongArguments`] for
/// arguments that the tool does not take.
pub(super) fn check<'a>(
    call: &'a Call,
    tools: &Tools,
    settings: Settings,
) -> Result<Cow<'a, Call>, Failure> {
    if call.request.method != "tools/call" {
        return Ok(Cow::Borrowed(call));
    }
    let mut params = call.request.param_members();
    if let Some(twice) = ["name", "arguments"]
        .into_iter()
        .find(|key| params.repeats(key))
    {
        let why = format_args!("`{twice}` stands there twice");
        return Err(Failure::with(Code::InvalidParams, why));
    }
    let tool = params.get_str("name").and_then(|name| tools.get(&name));
    let Some(schema) = tool.as_ref().and_then(|tool| tool.schema.as_ref()) else {
        return Ok(Cow::Borrowed(call));
    };
    let text = params.get("arguments").unwrap_or("{}");
    if text.len() > MAX_CHECKED {
        return Ok(Cow::Borrowed(call));
    }
    let Some(repaired) = repaired(text, schema, settings)? else {
        return Ok(Cow::Borrowed(call));
    };
    params.set("arguments", &repaired);
    let request = call.request.with_params(params.write());
    Ok(Cow::Owned(Call {
        request,
        ..call.clone()
    }))
}

/// The arguments as they should have been written; nothing if they were written so.
fn repaired(text: &str, schema: &Schema, settings: Settings) -> Result<Option<RawJson>, Failure> {
    let refuse = |what: &str| {
        let refused = settings
            .check
            .then(|| Failure::with(Code::WrongArguments, what));
        refused.map_or(Ok(None), Err)
    };
    let spelled = object(text, settings);
    let members = spelled.as_ref().map(|text| Members::parse(text.as_bytes()));
    let (Some(spelled), Some(Ok(mut members))) = (&spelled, members) else {
        return refuse("the arguments are no object");
    };
    // Of a name that stands there twice, nobody knows which one is meant.
    let arguments: Map<String, Value> = serde_json::from_str(spelled).unwrap_or_default();
    if arguments.len() != members.iter().count() {
        return refuse("an argument stands there twice");
    }
    let Checked { repairs, faults } = arguments::check(settings, schema, &arguments);
    if !faults.is_empty() {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return refuse(&told.join("; "));
    }
    if repairs.is_empty() && spelled == text {
        return Ok(None);
    }
    for repair in &repairs {
        match &repair.value {
            Some(value) => members.set(&repair.argument, &RawJson::of(value)),
            None => {
                members.remove_where(|name| name == repair.argument);
            }
        }
    }
    let names: Vec<&str> = repairs.iter().map(|r| r.argument.as_str()).collect();
    tracing::debug!(arguments = names.join(", "), "repaired");
    Ok(Some(members.write()))
}

/// The text of the object that the arguments are, or that a text in their place spells.
fn object(text: &str, settings: Settings) -> Option<Cow<'_, str>> {
    match text.as_bytes().first() {
        Some(b'{') => Some(Cow::Borrowed(text)),
        Some(b'n') if settings.drop_null => Some(Cow::Borrowed("{}")),
        Some(b'"') if settings.convert => serde_json::from_str(text).ok().map(Cow::Owned),
        _ => None,
    }
}
