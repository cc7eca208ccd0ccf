//! A bridge inside the process of the test, which so can reach behind its front.

use std::net::SocketAddr;

use mcp_bridge::app::App;
use mcp_bridge::config::{Environment, Flags, Settings, load};
use mcp_bridge::protocol::json::RawJson;
use mcp_bridge::protocol::message::Notification;
use serde_json::Value;
use tempfile::TempDir;

/// A running bridge that needs no token.
pub(crate) struct Inside {
    app: App,
    http: reqwest::Client,
    pub(crate) lan: SocketAddr,
    _data: TempDir,
}

impl Inside {
    /// A bridge in front of the server at `url`.
    pub(crate) async fn before(url: &str) -> Self {
        Self::start(url, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn start(url: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let flags = Flags {
            upstream: Some(url.to_owned()),
            listen: Some("127.0.0.1:0".to_owned()),
            admin_listen: Some("127.0.0.1:0".to_owned()),
            data: Some(data.path().into()),
            ..Flags::default()
        };
        let environment = Environment::default();
        let mut loaded = load(&flags, &environment).unwrap();
        loaded.settings.access.leave_front_door_open = true;
        change(&mut loaded.settings);
        let app = App::start(loaded, flags, environment).await.unwrap();
        Self {
            lan: app.lan_address(),
            app,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            _data: data,
        }
    }

    /// A request to the listener for clients.
    pub(crate) fn request(&self, method: http::Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.lan);
        self.http.request(method, url)
    }

    /// A POST of JSON.
    pub(crate) fn post(&self, path: &str, body: impl std::fmt::Display) -> reqwest::RequestBuilder {
        let request = self.request(http::Method::POST, path);
        let request = request.header("content-type", "application/json");
        request.body(body.to_string())
    }

    /// The upstream announces something.
    pub(crate) fn announce(&self, method: &str, params: Value) {
        let params = RawJson::of(&params);
        let notification = Notification::new(method, Some(params));
        self.app.dispatcher().announce(notification);
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) {
        self.app.stop().await;
    }
}
