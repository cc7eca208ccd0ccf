//! The integrations that are set up in Home Assistant, of which one is the MCP server.

use std::collections::HashMap;

use super::records::{ConfigEntry, EntryNews};

/// The domain of the integration that the bridge talks to.
const MCP_SERVER: &str = "mcp_server";

/// The integration that is the MCP server, as Home Assistant has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(in crate::homeassistant) struct McpServer {
    /// What it is called in the list of integrations.
    pub title: String,
    /// `loaded` if all is well.
    pub state: String,
    /// Who turned it off, if somebody did.
    pub disabled_by: Option<String>,
    /// Why it is not loaded, if it said so.
    pub reason: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Integrations {
    /// Whether each is loaded, by the id of its entry. Nothing until they were told.
    loaded: Option<HashMap<Box<str>, bool>>,
    mcp_server: Option<(Box<str>, McpServer)>,
    /// How often something was heard of it.
    news_of_mcp_server: u64,
}

/// The entry of the MCP server that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::homeassistant) struct Entry {
    /// Its id.
    pub id: Box<str>,
    /// Different after each piece of news of it, its options may be others then.
    pub edition: u64,
}

impl Integrations {
    /// Knows nothing of them any more.
    pub(super) fn forget(&mut self) {
        *self = Self {
            news_of_mcp_server: self.news_of_mcp_server,
            ..Self::default()
        };
    }

    /// The MCP server; nothing if there is none, or if nothing is known.
    pub(super) fn mcp_server(&self) -> Option<&McpServer> {
        self.mcp_server.as_ref().map(|(_, server)| server)
    }

    /// The entry of the MCP server, if that runs.
    pub(super) fn running_mcp_server(&self) -> Option<Entry> {
        let (id, server) = self.mcp_server.as_ref()?;
        let is_running = server.state == "loaded" && server.disabled_by.is_none();
        is_running.then(|| Entry {
            id: id.clone(),
            edition: self.news_of_mcp_server,
        })
    }

    /// Whether it is known that there is none.
    pub(super) const fn lack_mcp_server(&self) -> bool {
        self.loaded.is_some() && self.mcp_server.is_none()
    }

    /// Takes over news of `config_entries/subscribe`; gives whether they can matter to anybody. One
    /// that tries in vain to be set up again and again does not, nor does the list at first.
    pub(super) fn hear(&mut self, news: &[EntryNews<'_>]) -> bool {
        let mut matters = false;
        for EntryNews { kind, entry } in news {
            let removed = kind.as_deref() == Some("removed");
            let is_loaded = entry.state == "loaded" && !removed;
            let loaded = self.loaded.get_or_insert_default();
            let was_loaded = if removed {
                loaded.remove(&*entry.entry_id)
            } else {
                loaded.insert(entry.entry_id.as_ref().into(), is_loaded)
            };
            matters |= kind.is_some()
                && (was_loaded.unwrap_or(false) != is_loaded || entry.domain == MCP_SERVER);
            if entry.domain == MCP_SERVER {
                self.hear_of_mcp_server(entry, removed);
            }
        }
        // An empty list says that there are none.
        self.loaded.get_or_insert_default();
        matters
    }

    fn hear_of_mcp_server(&mut self, entry: &ConfigEntry<'_>, removed: bool) {
        self.news_of_mcp_server += 1;
        let is_this = |(id, _): &(Box<str>, McpServer)| **id == *entry.entry_id;
        if removed {
            self.mcp_server.take_if(|known| is_this(known));
            return;
        }
        let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let server = McpServer {
            title: entry.title.as_ref().to_owned(),
            state: entry.state.as_ref().to_owned(),
            disabled_by: text(&entry.disabled_by),
            reason: text(&entry.reason),
        };
        self.mcp_server = Some((entry.entry_id.as_ref().into(), server));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hear(
        integrations: &mut Integrations,
        kind: Option<&str>,
        domain: &str,
        state: &str,
    ) -> bool {
        let text = json!([{"type": kind, "entry": {"entry_id": domain, "domain": domain,
            "title": "All LLM APIs", "state": state, "disabled_by": null}}])
        .to_string();
        integrations.hear(&serde_json::from_str::<Vec<EntryNews<'_>>>(&text).unwrap())
    }

    #[test]
    fn only_what_comes_or_goes_matters() {
        let mut known = Integrations::default();
        assert!(
            !hear(&mut known, None, "hue", "loaded"),
            "it was there before"
        );
        assert!(hear(
            &mut known,
            Some("updated"),
            "hue",
            "unload_in_progress"
        ));
        assert!(!hear(&mut known, Some("updated"), "hue", "setup_retry"));
        assert!(!hear(
            &mut known,
            Some("updated"),
            "hue",
            "setup_in_progress"
        ));
        assert!(hear(&mut known, Some("updated"), "hue", "loaded"));
        assert!(!hear(&mut known, Some("updated"), "hue", "loaded"));
        assert!(hear(&mut known, Some("removed"), "hue", "loaded"));
        assert!(hear(&mut known, Some("added"), "hue", "loaded"));
    }

    #[test]
    fn the_mcp_server_is_known_and_all_news_of_it_matter() {
        let mut known = Integrations::default();
        assert!(!known.lack_mcp_server(), "nobody knows");
        hear(&mut known, None, "hue", "loaded");
        assert!(known.lack_mcp_server());
        assert!(hear(
            &mut known,
            Some("added"),
            "mcp_server",
            "setup_in_progress"
        ));
        assert_eq!(known.mcp_server().unwrap().state, "setup_in_progress");
        assert!(hear(&mut known, Some("updated"), "mcp_server", "loaded"));
        assert!(hear(&mut known, Some("updated"), "mcp_server", "loaded"));
        assert!(hear(&mut known, Some("removed"), "mcp_server", "loaded"));
        assert!(known.lack_mcp_server());
    }
}
