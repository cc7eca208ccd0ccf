//! Looks after Home Assistant: adds its MCP server where that is wished, and shows a person there
//! what only a person can see to.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::HomeAssistant;
use super::errands::ErrandError;
use super::notices::{Concern, Notice, Notices};
use crate::upstream::{Presence, Trouble};

/// How often it is looked after.
const LOOK: Duration = Duration::from_secs(1);
/// Pause between attempts to add the MCP server.
const AGAIN: Duration = Duration::from_mins(5);
/// The name of the bridge's one notice in Home Assistant.
const NOTICE: &str = "mcp_bridge";

impl HomeAssistant {
    /// Looks after it until it is dropped. A long-lived task. `is_silent` says whether calls get no
    /// answers.
    pub async fn look_after(&self, is_silent: impl Fn() -> bool) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut notices = Notices::default();
        let mut added: Option<Instant> = None;
        loop {
            looks.tick().await;
            if !self.is_there() {
                continue;
            }
            self.learn_options().await;
            let concern = self.concern(is_silent());
            let may_add = added.is_none_or(|at| at.elapsed() >= AGAIN);
            if concern == Some(Concern::Missing) && self.care.auto_setup && may_add {
                added = Some(Instant::now());
                if let Err(trouble) = self.add_mcp_server().await {
                    tracing::warn!(%trouble, "the MCP server could not be set up");
                }
            } else if self.care.notify
                && let Some(notice) = notices.look(Instant::now().into_std(), concern)
            {
                match self.show(&notice).await {
                    Ok(()) | Err(ErrandError::Refused(_)) => notices.shown(notice),
                    Err(error) => tracing::debug!(%error, "the notice is not there yet"),
                }
            }
        }
    }

    /// Adds its MCP server; one that is there already is as good.
    ///
    /// # Errors
    /// Those of the connection; [`Trouble::Status`] where the token may not, or where Home Assistant
    /// has no such integration.
    pub async fn add_mcp_server(&self) -> Result<(), Trouble> {
        self.setup.add_mcp_server().await?;
        tracing::info!("the MCP server was set up in Home Assistant");
        Ok(())
    }

    /// Whether what is known of it is how it is.
    pub(super) fn is_there(&self) -> bool {
        let knowledge = self.knowledge();
        knowledge.presence() == Presence::Running && knowledge.is_told()
    }

    /// What a person must see to; nothing if all is well.
    fn concern(&self, is_silent: bool) -> Option<Concern> {
        let knowledge = self.knowledge();
        if !self.needs_integration {
            return Concern::about(false, None, is_silent);
        }
        Concern::about(
            knowledge.lacks_mcp_server(),
            knowledge.mcp_server(),
            is_silent,
        )
    }

    /// Sees to it that the notice stands there.
    async fn show(&self, notice: &Notice) -> Result<(), ErrandError> {
        let (service, data) = match notice {
            Notice::About(concern) => {
                let message = concern.text();
                tracing::warn!(message, "a person must see to something");
                let data =
                    json!({"notification_id": NOTICE, "title": "MCP Bridge", "message": message});
                ("create", data)
            }
            Notice::Nothing => ("dismiss", json!({"notification_id": NOTICE})),
        };
        let call =
            json!({"domain": "persistent_notification", "service": service, "service_data": data});
        self.errands.run("call_service", call).await.map(drop)
    }
}
