//! Tries the whole way to Home Assistant, step by step.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::error::{Code, Failure};
use crate::http::Bridge;
use crate::upstream::Presence;

/// What came out.
#[derive(Serialize, JsonSchema)]
pub(super) struct Report {
    /// The steps, in the order in which they were tried.
    steps: Vec<Step>,
}

#[derive(Serialize, JsonSchema)]
struct Step {
    /// `supervisor`, `home_assistant`, `tools`, `read` or `listener`.
    name: &'static str,
    /// How long it took, in milliseconds.
    ms: u64,
    /// What was found.
    found: Option<String>,
    /// What is wrong; nothing if it went well.
    trouble: Option<Trouble>,
}

#[derive(Serialize, JsonSchema)]
struct Trouble {
    /// The code of the catalogue.
    code: &'static str,
    /// What happened, in English.
    title: &'static str,
    /// What can be done about it, in English.
    fix: &'static str,
    detail: Option<String>,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        let entry = failure.code.entry();
        Self {
            code: entry.name,
            title: entry.title,
            fix: entry.fix,
            detail: failure.detail,
        }
    }
}

type Found = Result<Option<String>, Failure>;

/// `POST /api/check`.
pub(super) async fn check(State(bridge): State<Arc<Bridge>>) -> Json<Report> {
    let mut steps = Vec::new();
    if bridge.own_app.is_some() {
        steps.push(step("supervisor", supervisor(&bridge)).await);
    }
    if bridge.home_assistant().is_some() {
        steps.push(step("home_assistant", async { home_assistant(&bridge) }).await);
    }
    let listed = step("tools", tools(&bridge)).await;
    // Without a list no tool is known.
    let goes_on = listed.trouble.is_none();
    steps.push(listed);
    if goes_on {
        steps.push(step("read", Box::pin(bridge.dispatcher.try_out())).await);
    }
    steps.push(step("listener", listener(&bridge)).await);
    Json(Report { steps })
}

async fn step(name: &'static str, work: impl Future<Output = Found>) -> Step {
    let begun = Instant::now();
    let outcome = work.await;
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (found, trouble) = match outcome {
        Ok(found) => (found, None),
        Err(failure) => (None, Some(failure.into())),
    };
    Step {
        name,
        ms,
        found,
        trouble,
    }
}

async fn supervisor(bridge: &Bridge) -> Found {
    let Some(app) = &bridge.own_app else {
        return Ok(None);
    };
    let place = app.place(bridge.lan.address.port()).await;
    let place = place.map_err(|trouble| Failure::with(trouble.code(), trouble))?;
    Ok(Some(place.hostname))
}

fn home_assistant(bridge: &Bridge) -> Found {
    let Some(condition) = bridge.home_assistant().map(|home| home.condition()) else {
        return Ok(None);
    };
    match condition.presence {
        Presence::Starting => Err(Failure::new(Code::Starting)),
        Presence::Stopping => Err(Failure::new(Code::Stopping)),
        Presence::Gone => Err(Failure::new(Code::Away)),
        _ if condition.mcp_server_missing => Err(Failure::new(Code::NotSetUp)),
        Presence::Running | Presence::Unknown => Ok(condition.version),
    }
}

async fn tools(bridge: &Bridge) -> Found {
    let tools = bridge.dispatcher.tools().await?;
    Ok(Some(tools.len().to_string()))
}

/// The listener for clients takes connections.
async fn listener(bridge: &Bridge) -> Found {
    let mut address = bridge.lan.address;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    TcpStream::connect(address)
        .await
        .map_err(|error| Failure::with(Code::Internal, error))?;
    Ok(Some(address.to_string()))
}
