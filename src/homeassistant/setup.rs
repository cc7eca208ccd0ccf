//! Adds the MCP server to a Home Assistant that has none, as a person would do it in the settings.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;

use crate::upstream::Trouble;
use crate::upstream::http_client::HttpClient;

/// Bytes of an answer. A form of this integration has a few hundred.
const MAX_ANSWER: usize = 64 << 10;
/// The same for what is shown of an answer that was not understood.
const MAX_SHOWN: usize = 200;

/// Home Assistant's REST API for the settings of integrations.
#[derive(Debug)]
pub(super) struct Setup {
    pub client: HttpClient,
    /// Where flows begin, such as `http://homeassistant:8123/api/config/config_entries/flow`.
    pub flows: Url,
    pub token: SecretString,
}

/// A step of a flow, as far as it matters.
#[derive(Debug, Deserialize)]
struct Step {
    #[serde(rename = "type")]
    kind: String,
    flow_id: Option<String>,
    reason: Option<String>,
}

impl Setup {
    /// Adds it; one that is there already is as good.
    ///
    /// # Errors
    /// Those of the connection; [`Trouble::Status`] where the token may not, or where Home Assistant
    /// has no such integration.
    pub(super) async fn add_mcp_server(&self) -> Result<(), Trouble> {
        let begun: Step = self
            .step(&self.flows, &json!({"handler": "mcp_server"}))
            .await?;
        let flow = match (begun.kind.as_str(), begun.flow_id) {
            ("create_entry", _) => return Ok(()),
            ("form", Some(flow)) => flow,
            ("abort", _) if begun.reason.as_deref() == Some("single_instance_allowed") => {
                return Ok(());
            }
            (kind, _) => return Err(unexpected(kind, begun.reason.as_deref())),
        };
        let form = below(&self.flows, &flow)?;
        let ended: Step = self.step(&form, &json!({})).await?;
        if ended.kind == "create_entry" {
            return Ok(());
        }
        Err(unexpected(&ended.kind, ended.reason.as_deref()))
    }

    /// The address of other flows, beside those that add an integration.
    pub(super) fn beside(&self, flows: &str) -> Result<Url, Trouble> {
        let beside = self.flows.join(flows);
        beside.map_err(|error| Trouble::NotAnAnswer(error.to_string()))
    }

    /// Gives a flow up.
    pub(super) async fn abort(&self, flows: &Url, flow: &str) -> Result<(), Trouble> {
        let url = below(flows, flow)?;
        self.client.delete(&url, self.headers()?).await.map(drop)
    }

    fn headers(&self) -> Result<HeaderMap, Trouble> {
        let mut headers = HeaderMap::new();
        let bearer = format!("Bearer {}", self.token.expose_secret());
        let bearer = HeaderValue::from_str(&bearer)
            .map_err(|_| Trouble::NotAnAnswer("the token is no header value".into()))?;
        headers.insert(header::AUTHORIZATION, bearer);
        Ok(headers)
    }

    /// Takes a step of a flow; gives what Home Assistant says to it.
    pub(super) async fn step<T: DeserializeOwned>(
        &self,
        url: &Url,
        body: &serde_json::Value,
    ) -> Result<T, Trouble> {
        let mut headers = self.headers()?;
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let body = Bytes::from(body.to_string());
        let answer = self.client.post(url, headers, body).await?;
        let status = answer.status();
        let text = answer.body(MAX_ANSWER).await?;
        if status != 200 {
            let text = String::from_utf8_lossy(&text);
            let text = text[..text.floor_char_boundary(MAX_SHOWN)].to_owned();
            return Err(Trouble::Status { status, text });
        }
        serde_json::from_slice(&text).map_err(|error| Trouble::NotAnAnswer(error.to_string()))
    }
}

fn below(flows: &Url, flow: &str) -> Result<Url, Trouble> {
    let mut url = flows.clone();
    url.path_segments_mut()
        .map_err(|()| Trouble::NotAnAnswer("its address has no path".into()))?
        .push(flow);
    Ok(url)
}

pub(super) fn unexpected(kind: &str, reason: Option<&str>) -> Trouble {
    let reason = reason.unwrap_or("no reason given");
    Trouble::NotAnAnswer(format!(
        "the settings of the MCP server ended with {kind:?}: {reason}"
    ))
}
