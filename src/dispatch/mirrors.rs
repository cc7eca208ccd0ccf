//! Which arguments of which tools modern clients have to repeat in headers, as the upstream last
//! listed them.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::protocol::json::{Members, RawJson};
use crate::protocol::mirrored::Mirrored;

/// Tools that are remembered.
const MAX_TOOLS: usize = 1000;

/// By the name of the tool; tools that demand nothing are not in it.
#[derive(Debug, Default)]
pub(super) struct Mirrors(ArcSwap<HashMap<String, Arc<Mirrored>>>);

impl Mirrors {
    /// Reads the result of a `tools/list`. It may be one page of several, so tools that it does not
    /// name stay as they were.
    pub(super) fn learn(&self, list: &RawJson) {
        let Some(tools) = tools(list) else {
            return;
        };
        let mut known = HashMap::clone(&self.0.load());
        let was_empty = known.is_empty();
        for (name, mirrored) in tools {
            match mirrored {
                Some(mirrored) if known.len() < MAX_TOOLS => {
                    known.insert(name, Arc::new(mirrored));
                }
                _ => drop(known.remove(&name)),
            }
        }
        if !(was_empty && known.is_empty()) {
            self.0.store(Arc::new(known));
        }
    }

    /// Forgets everything: there is another upstream.
    pub(super) fn forget(&self) {
        self.0.store(Arc::default());
    }

    /// What a tool demands.
    pub(super) fn of(&self, tool: &str) -> Option<Arc<Mirrored>> {
        self.0.load().get(tool).cloned()
    }
}

fn tools(list: &RawJson) -> Option<Vec<(String, Option<Mirrored>)>> {
    let members = list.members()?;
    let tools: Vec<&serde_json::value::RawValue> =
        serde_json::from_str(members.get("tools")?).ok()?;
    let tool = |tool: &&serde_json::value::RawValue| {
        let tool = Members::parse(tool.get().as_bytes()).ok()?;
        let name = tool.get_str("name")?.into_owned();
        let schema = tool.get("inputSchema")?;
        let schema = RawJson::parse(schema.to_owned().into()).ok()?;
        Some((name, Mirrored::of_schema(&schema)))
    };
    Some(tools.iter().filter_map(tool).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pages_add_up_and_a_tool_that_changed_is_known_anew() {
        let mirrors = Mirrors::default();
        let page = |name: &str, schema: serde_json::Value| {
            mirrors.learn(&RawJson::of(
                &json!({"tools": [{"name": name, "inputSchema": schema}]}),
            ));
        };
        let region = json!({"properties": {"r": {"type": "string", "x-mcp-header": "R"}}});
        page("a", region.clone());
        page("b", region);
        assert!(mirrors.of("a").is_some() && mirrors.of("b").is_some());
        page("a", json!({}));
        assert!(mirrors.of("a").is_none() && mirrors.of("b").is_some());
        mirrors.learn(&RawJson::of(&json!({"tools": 5})));
        assert!(mirrors.of("b").is_some());
    }
}
