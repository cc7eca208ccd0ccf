//! What may be kept, and for how long.

use std::time::Duration;

use wildmatch::WildMatch;

use super::Kind;
use crate::protocol::json::RawJson;

/// An upstream that says "for ever" is asked again once a day.
const LONGEST: Duration = Duration::from_hours(24);

/// For how long, and how much. The default is nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Bytes of all kept answers.
    pub max_bytes: usize,
    /// How long a list is fresh while the upstream tells of changes: a net for those it does not
    /// tell of.
    pub list_ttl: Duration,
    /// How long it is while nobody tells.
    pub list_ttl_without_events: Duration,
    /// How long an answer that tells states is fresh at most.
    pub state_ttl: Duration,
    /// How old one may be that stands in for an upstream in trouble; lists may have any age.
    pub max_stale: Duration,
}

impl Settings {
    /// How long an answer is fresh if the upstream does not say.
    pub(super) fn lifetime(&self, kind: Kind, hears_changes: bool) -> Duration {
        match (kind.tells_states(), hears_changes) {
            (true, _) => self.state_ttl,
            (false, true) => self.list_ttl,
            (false, false) => self.list_ttl_without_events,
        }
    }
}

/// Knows which requests have answers that may be kept.
#[derive(Debug)]
pub struct Policy {
    live: Vec<WildMatch>,
}

impl Policy {
    /// Answers of tools are kept where the name matches one of `live`: patterns with `*` for
    /// anything, in any case.
    pub fn new<S: AsRef<str>>(live: impl IntoIterator<Item = S>) -> Self {
        let pattern = |text: S| WildMatch::new_case_insensitive(text.as_ref());
        Self {
            live: live.into_iter().map(pattern).collect(),
        }
    }

    /// Of which kind the answer to a request is; nothing if it must not be kept. `tool` is the name
    /// of a `tools/call`.
    pub fn kind(&self, method: &str, tool: Option<&str>) -> Option<Kind> {
        match method {
            "tools/list" => Some(Kind::Tools),
            "prompts/list" => Some(Kind::Prompts),
            "prompts/get" => Some(Kind::Prompt),
            "resources/list" => Some(Kind::Resources),
            "resources/templates/list" => Some(Kind::ResourceTemplates),
            "resources/read" => Some(Kind::Resource),
            "tools/call" => {
                let live = self
                    .live
                    .iter()
                    .any(|pattern| tool.is_some_and(|tool| pattern.matches(tool)));
                live.then_some(Kind::Live)
            }
            _ => None,
        }
    }
}

/// Whether a result may be given to another call: no error of a tool, and no question back.
pub(super) fn may_keep(result: &RawJson) -> bool {
    result.members().is_some_and(|members| {
        let complete = |kind: std::borrow::Cow<'_, str>| kind == "complete";
        members.get("isError").is_none_or(|text| text == "false")
            && members.get_str("resultType").is_none_or(complete)
    })
}

/// How long the upstream itself says that its answer is fresh (`ttlMs` of revision 2026-07-28).
pub(super) fn own_lifetime(result: &RawJson) -> Option<Duration> {
    let members = result.members()?;
    let millis: u64 = members.get("ttlMs")?.parse().ok()?;
    Some(Duration::from_millis(millis).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_kept_and_of_the_tools_only_those_that_tell_states() {
        let policy = Policy::new(["*GetLiveContext"]);
        let tool = |name| policy.kind("tools/call", Some(name));
        assert_eq!(policy.kind("tools/list", None), Some(Kind::Tools));
        assert_eq!(tool("homeassistant__GetLiveContext"), Some(Kind::Live));
        assert_eq!(tool("getlivecontext"), Some(Kind::Live));
        for name in [
            "llm__GetDateTime",
            "todo__get_items",
            "intent__HassTurnOn",
            "",
        ] {
            assert_eq!(tool(name), None, "{name}");
        }
        assert_eq!(policy.kind("tools/call", None), None);
        assert_eq!(policy.kind("completion/complete", None), None);
    }

    #[test]
    fn an_error_of_a_tool_and_a_question_back_are_not_kept() {
        for (result, kept) in [
            (json!({"tools": []}), true),
            (json!({"content": [], "isError": false}), true),
            (json!({"content": [], "isError": true}), false),
            (json!({"tools": [], "resultType": "complete"}), true),
            (json!({"resultType": "input_required"}), false),
            (json!([]), false),
        ] {
            assert_eq!(may_keep(&RawJson::of(&result)), kept, "{result}");
        }
    }

    #[test]
    fn what_a_modern_upstream_says_counts_within_a_day() {
        let said = |ttl: serde_json::Value| own_lifetime(&RawJson::of(&json!({"ttlMs": ttl})));
        assert_eq!(said(json!(1500)), Some(Duration::from_millis(1500)));
        assert_eq!(said(json!(0)), Some(Duration::ZERO));
        assert_eq!(said(json!(u64::MAX)), Some(LONGEST));
        for nonsense in [json!(-1), json!("5"), json!(null), json!(1.5)] {
            assert_eq!(said(nonsense), None);
        }
    }
}
