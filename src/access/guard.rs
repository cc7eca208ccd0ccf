//! The rights of one client, as the way of its calls asks for them.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::client::Client;
use super::rights::{Decision, decide, shows};
use crate::dispatch::guard::{Guard, Tool, Verdict};

/// What a client may do now; less if nobody may change anything.
pub fn guard(client: Arc<Client>, all_read_only: bool) -> Arc<dyn Guard> {
    Arc::new(ClientGuard {
        client,
        all_read_only,
    })
}

#[derive(Debug)]
struct ClientGuard {
    client: Arc<Client>,
    all_read_only: bool,
}

impl Guard for ClientGuard {
    fn is_open(&self) -> bool {
        !self.all_read_only && self.client.terms.rights.are_unlimited()
    }

    fn judge(&self, tool: &Tool<'_>, arguments: Option<&Map<String, Value>>) -> Verdict {
        let rights = &self.client.terms.rights;
        match decide(rights, self.all_read_only, tool, arguments) {
            Decision::Allowed => Verdict::Allowed,
            Decision::Denied(rule) => Verdict::Denied(rule.to_string()),
            Decision::Confirm(rule) => Verdict::Confirm(rule.to_string()),
        }
    }

    fn shows(&self, tool: &Tool<'_>) -> bool {
        shows(&self.client.terms.rights, self.all_read_only, tool)
    }
}
