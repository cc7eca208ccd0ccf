//! A bridge with a configuration file that a test changes.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::Bridge;
use super::bridge::{Reply, send};

/// A configuration file, and a bridge that was started with it.
pub(crate) struct Configured {
    pub(crate) bridge: Bridge,
    pub(crate) file: PathBuf,
    _folder: TempDir,
}

impl Configured {
    pub(crate) async fn start(text: &str) -> Self {
        Self::start_with(text, &[]).await
    }

    pub(crate) async fn start_with(text: &str, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bridge.yaml");
        std::fs::write(&file, text).unwrap();
        let args = ["--config", file.to_str().unwrap()];
        Self {
            bridge: Bridge::start_with(&args, environment).await,
            file,
            _folder: folder,
        }
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(&self.file, text).unwrap();
    }

    /// Writes the file and lets it be read.
    pub(crate) async fn reload(&self, text: &str) -> Reply {
        self.write(text);
        self.admin(http::Method::POST, "/api/reload").await
    }

    pub(crate) async fn admin(&self, method: http::Method, path: &str) -> Reply {
        send(self.bridge.admin_request(method, path)).await
    }

    pub(crate) async fn configuration(&self) -> Value {
        let status = self.admin(http::Method::GET, "/api/status").await;
        status.json()["configuration"].clone()
    }
}
