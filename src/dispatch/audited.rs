//! What is written down of a call in the audit.

use jiff::{SignedDuration, Timestamp};

use super::Call;
use super::record::{Account, millis};
use crate::error::Code;
use crate::protocol::json::RawJson;
use crate::telemetry::Outcome;
use crate::telemetry::audit::{Audit, Decision, Entry};

/// Writes down that the call is over, if it belongs in the audit: all that may act, all that somebody
/// refused, and on demand what only looks.
pub(super) fn write_down(audit: &Audit, call: &Call, account: &Account, answer_bytes: usize) {
    let decision = decision(account);
    let looks = account.course.looks;
    let is_refused = matches!(
        decision,
        Decision::Denied | Decision::Refused | Decision::Pending
    );
    let method = call.request.method.as_str();
    let belongs = match method {
        "tools/call" => audit.wants(looks == Some(true) && !is_refused),
        "resources/read" | "prompts/get" => audit.wants(looks != Some(false) && !is_refused),
        _ => looks == Some(false) && audit.wants(false),
    };
    if !belongs {
        return;
    }
    let params = call.request.param_members();
    let is_tool = method == "tools/call";
    let name = params.get_str("name").filter(|_| is_tool);
    let whole = call.request.params.as_ref().map(RawJson::as_bytes);
    let (course, total) = (&account.course, account.total);
    let took = SignedDuration::try_from(total).unwrap_or_default();
    let outcome = account.failure().map(|entry| entry.name);
    let why = account.detail.clone().filter(|_| is_refused);
    let entry = Entry {
        time: Timestamp::now().checked_sub(took).unwrap_or_default(),
        client: call.client.name.to_string(),
        tool: name.map_or_else(|| method.to_owned(), std::borrow::Cow::into_owned),
        arguments: None,
        decision,
        by: course.decided_by.as_deref().map(str::to_owned),
        why,
        outcome: outcome.unwrap_or(account.outcome.name()).to_owned(),
        source: course.source.name().to_owned(),
        waited_ms: millis(course.waited.unwrap_or_default()),
        upstream_ms: course.at_upstream.map(millis),
        total_ms: millis(total),
        request_bytes: whole.map_or(0, <[u8]>::len),
        answer_bytes,
        request_id: call.origin.request_id.to_string(),
        lost: 0,
    };
    // Of what is no tool, all parameters are its arguments.
    let arguments = if is_tool {
        params.get("arguments")
    } else {
        whole.and_then(|text| std::str::from_utf8(text).ok())
    };
    audit.record(entry, arguments);
}

/// What was decided, as far as its end tells.
fn decision(account: &Account) -> Decision {
    match account.code {
        Some(Code::Denied) => Decision::Denied,
        Some(Code::ApprovalRefused) => Decision::Refused,
        Some(Code::ApprovalPending | Code::ApprovalsFull) => Decision::Pending,
        _ if account.course.decided_by.is_some() => Decision::Agreed,
        _ if account.course.looks.is_some() => Decision::Allowed,
        // The bridge knew the answer, to which everybody has a right.
        _ if account.outcome == Outcome::Answered => Decision::Allowed,
        _ => Decision::Undecided,
    }
}
