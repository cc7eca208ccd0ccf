//! A `tools/call` as it will be sent: repaired where that is plain, refused where it is wrong.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Call;
use super::arguments::{self, Checked, Settings};
use super::schema::Schema;
use super::tools::Tool;
use crate::error::{Code, Failure};
use crate::protocol::json::{Members, RawJson};

/// Arguments beyond this many bytes are not checked: it would cost more than it saves.
const MAX_CHECKED: usize = 64 << 10;

/// A call as it would be sent.
pub(super) struct Read<'a> {
    /// The call, its arguments repaired.
    pub call: Cow<'a, Call>,
    /// What is wrong with them beyond that.
    pub fault: Option<Failure>,
}

/// Reads a call of this tool. Any other request, and a call of a tool that no list has named yet,
/// stays as it is.
///
/// # Errors
/// [`Code::InvalidParams`] for a call that can be read in two ways.
pub(super) fn read<'a>(
    call: &'a Call,
    tool: Option<&Tool>,
    settings: Settings,
) -> Result<Read<'a>, Failure> {
    let mut read = Read {
        call: Cow::Borrowed(call),
        fault: None,
    };
    if call.request.method != "tools/call" {
        return Ok(read);
    }
    let mut params = call.request.param_members();
    let keys = ["name", "arguments"];
    if let Some(twice) = keys.into_iter().find(|key| params.repeats(key)) {
        let why = format_args!("`{twice}` stands there twice");
        return Err(Failure::with(Code::InvalidParams, why));
    }
    let text = params.get("arguments").unwrap_or("{}");
    let schema = tool.and_then(|tool| tool.schema.as_ref());
    // Headers that repeat arguments would contradict repaired ones.
    let may_check = text.len() <= MAX_CHECKED && call.mirrored.is_empty();
    let Some(schema) = schema.filter(|_| may_check) else {
        return Ok(read);
    };
    match repaired(text, schema, settings) {
        Ok(Some(repaired)) => {
            params.set("arguments", &repaired);
            let request = call.request.with_params(params.write());
            read.call = Cow::Owned(Call {
                request,
                ..call.clone()
            });
        }
        Ok(None) => {}
        Err(fault) => read.fault = Some(fault),
    }
    Ok(read)
}

/// The arguments as they should have been written; nothing if they were written so.
///
/// # Errors
/// [`Code::WrongArguments`].
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
