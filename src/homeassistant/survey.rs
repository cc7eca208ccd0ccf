//! Looks at how Home Assistant is set, for hints to the person who set it.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Condition, Hint, HomeAssistant, Options, hints};

/// How often it is looked whether everything is known.
const LOOK: Duration = Duration::from_millis(20);

impl HomeAssistant {
    /// What a person may have meant otherwise, as far as it is known now.
    pub fn hints(&self) -> Vec<Hint> {
        let options = self.known_options();
        let knowledge = self.knowledge();
        if !knowledge.is_told() {
            return Vec::new();
        }
        hints(
            knowledge.sees_everything(),
            knowledge.has_tools_for_administrators(),
            options.filter(|_| self.needs_integration),
        )
    }

    /// Reads how the MCP server is set, if it may be set otherwise than when that was read last.
    pub(super) async fn learn_options(&self) {
        let entry = {
            let knowledge = self.knowledge();
            let entry = knowledge.running_mcp_server();
            entry.filter(|_| self.needs_integration && knowledge.sees_everything())
        };
        let Some(entry) = entry else { return };
        let is_known = {
            let known = self.options.lock().unwrap_or_else(PoisonError::into_inner);
            known.as_ref().is_some_and(|(of, _)| *of == entry)
        };
        if is_known {
            return;
        }
        let read = self.setup.options(&entry.id).await;
        let read = read.inspect_err(|trouble| {
            tracing::debug!(%trouble, "how the MCP server is set is not known");
        });
        let mut known = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((entry, read.ok()));
    }

    /// Listens until everything is known; gives how it is, or nothing if it is not known in time.
    pub async fn survey(&self, patience: Duration) -> Option<Condition> {
        let known = async {
            while !self.is_there() {
                sleep(LOOK).await;
            }
            self.learn_options().await;
        };
        tokio::select! {
            () = self.listen(|_| {}) => None,
            known = timeout(patience, known) => known.ok().map(|()| self.condition()),
        }
    }

    /// Why there is no connection to its events, if there is none.
    pub fn trouble(&self) -> Option<String> {
        self.figures().known.core.trouble
    }

    fn known_options(&self) -> Option<Options> {
        let known = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().and_then(|(_, options)| *options)
    }
}
