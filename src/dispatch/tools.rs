//! The tools that the upstream lists: the one place where they are known.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::value::RawValue;
use wildmatch::WildMatch;

use super::schema::Schema;
use crate::protocol::json::{Members, RawJson};
use crate::protocol::mirrored::Mirrored;

/// More tools than any server lists; keeps a hostile one from growing the memory.
const MOST: usize = 10_000;
/// Bytes of all schemas that are kept.
const MAX_SCHEMAS: usize = 2 << 20;

/// What is known of a tool.
#[derive(Debug)]
pub struct Tool {
    /// What the upstream says about it: that it only looks, or that it does not.
    pub read_only_hint: Option<bool>,
    /// Which arguments modern clients have to repeat in headers.
    pub mirrored: Option<Arc<Mirrored>>,
    /// What it takes; nothing where its schema is missing, too large or no schema at all.
    pub schema: Option<Schema>,
}

/// One entry of `tools/list`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
}

impl Entry<'_> {
    fn read_only_hint(&self) -> Option<bool> {
        let annotations = Members::parse(self.annotations?.get().as_bytes()).ok()?;
        annotations.get("readOnlyHint")?.parse().ok()
    }
}

/// All tools that were listed so far.
#[derive(Debug, Default)]
pub struct Tools {
    known: ArcSwap<HashMap<String, Arc<Tool>>>,
    /// The list that was learned last; a list from the cache is the same bytes again.
    latest: Mutex<Bytes>,
}

impl Tools {
    /// What is known of the tool; nothing if it was in no list yet.
    pub fn get(&self, name: &str) -> Option<Arc<Tool>> {
        self.known.load().get(name).cloned()
    }

    /// The names that fit a pattern.
    pub fn like(&self, pattern: &str) -> Vec<String> {
        let pattern = WildMatch::new_case_insensitive(pattern);
        let known = self.known.load();
        let names = known.keys().filter(|name| pattern.matches(name));
        names.cloned().collect()
    }

    /// Whether no list has been seen yet.
    pub fn is_empty(&self) -> bool {
        self.known.load().is_empty()
    }

    /// Forgets everything: there is another upstream.
    pub fn forget(&self) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        self.known.store(Arc::default());
        *latest = Bytes::new();
    }

    /// Learns from a `tools/list` result that passes by. A whole list takes the place of what was
    /// known; of several pages each adds its own.
    pub fn learn(&self, result: &RawJson, is_first_page: bool) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = result.as_bytes();
        if std::ptr::eq(latest.as_ref(), known) || *latest == *known {
            return;
        }
        let Some(members) = result.members() else {
            return;
        };
        let Some(entries) = members.get("tools").and_then(entries) else {
            return;
        };
        let is_whole = is_first_page && members.get("nextCursor").is_none();
        let before = self.known.load_full();
        let mut known = if is_whole {
            HashMap::new()
        } else {
            HashMap::clone(&before)
        };
        let mut room = MAX_SCHEMAS;
        for entry in entries {
            let hint = entry.read_only_hint();
            let text = entry.input_schema.map(RawValue::get);
            let text = text.filter(|text| text.len() <= room);
            room -= text.map_or(0, str::len);
            // What has not changed keeps its compiled schema.
            let same = before.get(&*entry.name).filter(|tool| {
                tool.read_only_hint == hint && tool.schema.as_ref().map(Schema::text) == text
            });
            let tool = same.cloned().unwrap_or_else(|| {
                Arc::new(Tool {
                    read_only_hint: hint,
                    mirrored: entry.input_schema.and_then(mirrored),
                    schema: text.and_then(Schema::of_text),
                })
            });
            if known.len() < MOST || known.contains_key(&*entry.name) {
                known.insert(entry.name.into_owned(), tool);
            }
        }
        self.known.store(Arc::new(known));
        *latest = result.clone().into_bytes();
    }
}

fn mirrored(schema: &RawValue) -> Option<Arc<Mirrored>> {
    let schema = RawJson::parse(schema.get().to_owned().into()).ok()?;
    Mirrored::of_schema(&schema).map(Arc::new)
}

fn entries(tools: &str) -> Option<Vec<Entry<'_>>> {
    serde_json::from_str(tools).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn learn(tools: &Tools, list: &Value, is_first_page: bool) {
        tools.learn(&RawJson::of(list), is_first_page);
    }

    #[test]
    fn a_whole_list_replaces_what_was_known_and_pages_add_to_it() {
        let tools = Tools::default();
        assert!(tools.is_empty());
        let knows = |name: &str| tools.get(name).is_some();
        learn(
            &tools,
            &json!({"tools": [{"name": "a"}, {"name": "b"}]}),
            true,
        );
        assert!(knows("a") && knows("b"));
        learn(&tools, &json!({"tools": [{"name": "b"}]}), true);
        assert!(!knows("a") && knows("b"));
        learn(
            &tools,
            &json!({"tools": [{"name": "c"}], "nextCursor": "2"}),
            true,
        );
        learn(&tools, &json!({"tools": [{"name": "d"}]}), false);
        assert!(knows("b") && knows("c") && knows("d"));
        learn(&tools, &json!({"tools": 5}), true);
        assert!(knows("d"));
    }

    #[test]
    fn hints_and_arguments_are_kept_and_what_is_odd_is_passed_over() {
        let tools = Tools::default();
        let list = json!({"tools": [
            {"name": "look", "annotations": {"readOnlyHint": true, "title": "x"}, "inputSchema":
                {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]}},
            {"name": "odd", "annotations": 5, "inputSchema": true},
        ]});
        learn(&tools, &list, true);
        let look = tools.get("look").unwrap();
        assert_eq!(look.read_only_hint, Some(true));
        let schema = look.schema.as_ref().unwrap();
        assert_eq!(schema.takes(), ["a", "b"]);
        assert!(schema.requires("b") && !schema.requires("a"));
        let odd = tools.get("odd").unwrap();
        assert_eq!(odd.read_only_hint, None);
        assert!(odd.schema.is_none());
    }

    #[test]
    fn what_clients_have_to_repeat_is_known_anew_when_a_tool_changes() {
        let tools = Tools::default();
        let list = |schema: Value| json!({"tools": [{"name": "a", "inputSchema": schema}]});
        let demands = || tools.get("a").unwrap().mirrored.is_some();
        let region = json!({"properties": {"r": {"type": "string", "x-mcp-header": "R"}}});
        learn(&tools, &list(region), true);
        assert!(demands());
        learn(&tools, &list(json!({})), true);
        assert!(!demands());
    }

    #[test]
    fn what_has_not_changed_is_not_compiled_again() {
        let tools = Tools::default();
        let list = |title: &str, hint: bool| {
            json!({"tools": [{"name": "a", "title": title, "inputSchema": {"type": "object"},
                "annotations": {"readOnlyHint": hint}}]})
        };
        learn(&tools, &list("one", true), true);
        let before = tools.get("a").unwrap();
        learn(&tools, &list("two", true), true);
        assert!(Arc::ptr_eq(&before, &tools.get("a").unwrap()));
        learn(&tools, &list("two", false), true);
        assert!(!Arc::ptr_eq(&before, &tools.get("a").unwrap()));
    }
}
