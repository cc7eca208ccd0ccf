//! One failure of one call: its row of the catalogue, and what is special about this case.

use std::fmt;
use std::time::Duration;

use super::Code;

/// One failure of one call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub struct Failure {
    /// Its row of the catalogue.
    pub code: Code,
    /// The figures and names of this case, as a sentence without its full stop.
    pub detail: Option<String>,
    /// Whether the call may have been carried out although its answer is missing.
    pub outcome_unknown: bool,
    /// When it makes sense to try again.
    pub retry_after: Option<Duration>,
    /// The `data` member of the JSON-RPC error, where the specification wants one.
    pub data: Option<serde_json::Value>,
}

impl Failure {
    /// A failure without figures.
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            outcome_unknown: false,
            retry_after: None,
            data: None,
        }
    }

    /// A failure with the figures of this case.
    pub fn with(code: Code, detail: impl fmt::Display) -> Self {
        Self {
            detail: Some(detail.to_string()),
            ..Self::new(code)
        }
    }

    /// The text for a language model: what happened, the figures, whether anything was done.
    pub fn for_model(&self) -> String {
        let mut text = self.code.entry().advice.to_owned();
        if let Some(detail) = &self.detail {
            text.push_str(" (");
            text.push_str(detail);
            text.push(')');
        }
        if self.outcome_unknown {
            text.push_str(
                " Outcome unknown: the action may or may not have been carried out. \
                 Check the state before trying again.",
            );
        } else if self.code.entry().kind.concerns_calls() {
            text.push_str(" Nothing was changed.");
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.entry().title)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}
