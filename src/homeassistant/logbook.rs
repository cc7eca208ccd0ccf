//! Entries in Home Assistant's logbook.

use serde_json::json;

use super::HomeAssistant;

impl HomeAssistant {
    /// Shows there who has done what. Where that does not work, nobody waits for it.
    pub async fn write_in_logbook(&self, who: &str, what: &str) {
        let data = json!({"name": who, "message": what});
        let call = json!({"domain": "logbook", "service": "log", "service_data": data});
        if let Err(error) = self.errands.run("call_service", call).await {
            tracing::debug!(%error, "it is not in the logbook");
        }
    }
}
