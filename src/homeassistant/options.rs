//! How the MCP server of Home Assistant is set. Home Assistant tells it nowhere but in the form in
//! which people set it, so the form is opened, read, and closed again.

use serde::Deserialize;
use serde_json::json;

use super::setup::{Setup, unexpected};
use crate::upstream::Trouble;

/// What is set there, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    /// Only tools that look are offered.
    pub read_only: bool,
    /// Every set of tools is offered.
    pub all_llm_apis: bool,
}

#[derive(Debug, Deserialize)]
struct Form {
    #[serde(rename = "type")]
    kind: String,
    flow_id: Option<String>,
    #[serde(default)]
    data_schema: Vec<Field>,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
    #[serde(default)]
    default: serde_json::Value,
}

impl Form {
    fn options(&self) -> Options {
        let is_on = |name: &str| {
            let field = self.data_schema.iter().find(|field| field.name == name);
            field.is_some_and(|field| field.default == true)
        };
        Options {
            read_only: is_on("read_only"),
            all_llm_apis: is_on("all_llm_apis"),
        }
    }
}

impl Setup {
    /// The options of the integration with this entry.
    ///
    /// # Errors
    /// Those of the connection; [`Trouble::Status`] where the token may not, or where there is no such
    /// entry.
    pub(super) async fn options(&self, entry_id: &str) -> Result<Options, Trouble> {
        let forms = self.beside("options/flow")?;
        let form: Form = self.step(&forms, &json!({"handler": entry_id})).await?;
        let (true, Some(flow)) = (form.kind == "form", &form.flow_id) else {
            return Err(unexpected(&form.kind, None));
        };
        self.abort(&forms, flow).await?;
        Ok(form.options())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_tells_what_is_set() {
        let text = r#"{"type":"form","flow_id":"f","handler":"e","data_schema":[
            {"selector":{"boolean":{}},"name":"all_llm_apis","required":true,"default":true},
            {"selector":{"select":{}},"name":"llm_hass_api","required":false,"default":[]},
            {"selector":{"boolean":{}},"name":"require_admin","required":true,"default":true},
            {"selector":{"boolean":{}},"name":"read_only","required":true,"default":false}]}"#;
        let form: Form = serde_json::from_str(text).unwrap();
        let expected = Options {
            read_only: false,
            all_llm_apis: true,
        };
        assert_eq!(form.options(), expected);
        let form: Form = serde_json::from_str(r#"{"type":"form","data_schema":[]}"#).unwrap();
        assert!(!form.options().read_only && !form.options().all_llm_apis);
    }
}
