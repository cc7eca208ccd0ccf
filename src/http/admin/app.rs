//! The bridge as a process and as an app: its settings, where it is reached, starting it anew.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::Operator;
use crate::error::{Code, Failure};
use crate::http::operations::Done;
use crate::http::{Bridge, reply};

/// What the Supervisor knows of the app.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct AppState {
    /// Whether there is a Supervisor.
    supervised: bool,
    /// Where it says that the app is reached; nothing if it does not say.
    place: Option<PlaceState>,
}

/// Where the app is reached.
#[derive(Debug, Serialize, JsonSchema)]
struct PlaceState {
    /// The port of the machine; nothing if it is closed.
    port: Option<u16>,
    /// The addresses of the machine.
    #[schemars(with = "Vec<String>")]
    hosts: Vec<IpAddr>,
    /// The name of the app for other apps.
    hostname: String,
}

/// One setting, and where it was said.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct InForce {
    /// Its key, with dots.
    pub key: String,
    /// What it is; a secret is hidden.
    pub value: serde_json::Value,
    /// Where that was said: `default`, a profile, a file, `environment` or `command line`.
    pub source: String,
}

/// The settings in force.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SettingsInForce {
    settings: Vec<InForce>,
}

/// `GET /api/app`.
pub(super) async fn app(State(bridge): State<Arc<Bridge>>) -> Json<AppState> {
    let Some(app) = &bridge.own_app else {
        return Json(AppState::default());
    };
    let place = app.place(bridge.lan.address.port()).await;
    let place = place
        .inspect_err(
            |trouble| tracing::warn!(%trouble, "the Supervisor does not say where the app is"),
        )
        .ok();
    Json(AppState {
        supervised: true,
        place: place.map(|place| PlaceState {
            port: place.port,
            hosts: place.hosts,
            hostname: place.hostname,
        }),
    })
}

/// `GET /api/settings`.
pub(super) async fn settings(State(bridge): State<Arc<Bridge>>) -> Json<SettingsInForce> {
    let settings = bridge.current.load().in_force.clone();
    Json(SettingsInForce { settings })
}

/// `POST /api/restart`: starts the app anew, where there is a Supervisor that can.
pub(super) async fn restart(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
) -> Response {
    let Some(app) = &bridge.own_app else {
        let why = "there is no Supervisor that could start the bridge again";
        return reply::problem(&Failure::with(Code::NotFound, why));
    };
    tracing::info!(by = %operator, "restart");
    match app.restart().await {
        Ok(()) => (StatusCode::ACCEPTED, Json(Done::new(true))).into_response(),
        Err(trouble) => reply::problem(&Failure::with(trouble.code(), trouble)),
    }
}
