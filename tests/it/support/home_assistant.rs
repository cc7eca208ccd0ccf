//! The real Home Assistant that the test command has started.

use std::path::PathBuf;
use std::time::Duration;

use super::bridge::{Bridge, PATIENCE, send};
use super::websocket::Commands;

/// The running Home Assistant.
pub(crate) struct HomeAssistant {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) guest: String,
    pub(crate) http: reqwest::Client,
}

impl HomeAssistant {
    pub(crate) fn running() -> Self {
        let folder = std::env::var_os("MCP_BRIDGE_TEST_HOME_ASSISTANT")
            .map(PathBuf::from)
            .expect("no Home Assistant is running; tests/run starts one");
        let read = |name: &str| {
            std::fs::read_to_string(folder.join(name))
                .unwrap()
                .trim()
                .to_owned()
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            url: read("url"),
            token: read("token"),
            guest: read("token-guest"),
            http,
        }
    }

    pub(crate) async fn bridge(&self) -> Bridge {
        Bridge::start(&["--upstream", &self.url, "--upstream-token", &self.token]).await
    }

    /// The state of an entity, by Home Assistant's own REST API.
    pub(crate) async fn state(&self, entity: &str) -> String {
        let request = self.http.get(format!("{}/api/states/{entity}", self.url));
        let state = send(request.bearer_auth(&self.token)).await.json();
        state["state"].as_str().unwrap().to_owned()
    }

    /// Lets it restart itself, by its own action.
    pub(crate) async fn restart(&self) {
        let url = format!("{}/api/services/homeassistant/restart", self.url);
        let restart = self.http.post(url).bearer_auth(&self.token).body("{}");
        assert_eq!(send(restart).await.status, 200);
    }

    /// Waits until it was gone and is there again.
    pub(crate) async fn come_back(self) {
        let is_there = || async {
            let request = self
                .http
                .get(format!("{}/api/", self.url))
                .bearer_auth(&self.token);
            request
                .send()
                .await
                .is_ok_and(|reply| reply.status().is_success())
        };
        for there in [false, true] {
            while is_there().await != there {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    pub(crate) async fn until_state(&self, entity: &str, state: &str) {
        let wait = async {
            while self.state(entity).await != state {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the state never came");
    }

    /// Its websocket, let in as the owner.
    pub(crate) async fn commands(&self) -> Commands {
        Commands::connect(&self.url, &self.token).await
    }
}
