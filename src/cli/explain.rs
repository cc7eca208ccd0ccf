//! `mcp-bridge explain`: what would become of a call, without making it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tokio::time::Instant;

use crate::access::{self, Client, Registry};
use crate::app::find_upstream;
use crate::config::{Flags, Settings};
use crate::dispatch::{self, Rehearsal};
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Payload, Request};
use crate::upstream::Context;

/// How long the upstream may take for its list.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which call.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Who would make it
    #[arg(long, value_name = "NAME")]
    client: String,
    /// The tool
    #[arg(long, value_name = "NAME")]
    tool: String,
    /// The tool's arguments
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json)]
    args: RawJson,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

fn json(text: &str) -> Result<RawJson, serde_json::Error> {
    RawJson::parse(text.to_owned().into())
}

/// What is told.
#[derive(Serialize)]
struct Explanation<'a> {
    client: &'a str,
    tool: &'a str,
    /// Whether it only looks.
    looks: bool,
    /// Whether the upstream lists it; without that, it is judged by its name alone.
    is_listed: bool,
    /// The arguments as they would be sent.
    arguments: &'a RawJson,
    decision: &'static str,
    why: Option<String>,
}

/// Prints what would become of the call.
///
/// # Errors
/// A wrong configuration, or a client that does not exist.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = super::loaded(&arguments.flags)?.settings;
    let registered = Registry::new(&settings.data).load()?;
    let clients = access::together(registered, &settings.access.clients);
    let named = |client: &Client| client.name == arguments.client && client.is_active();
    let client = clients
        .into_iter()
        .find(named)
        .with_context(|| format!("there is no client {:?}", arguments.client))?;
    let guard = access::guard(Arc::new(client), settings.access.read_only);
    let params = serde_json::json!({"name": arguments.tool, "arguments": arguments.args});
    let request = Request::new(Id::number(1), "tools/call", Some(RawJson::of(&params)));
    let dispatch = settings.dispatch.clone();
    let list = super::block_on(list(settings))?;
    if let Err(why) = &list {
        super::complain(&anyhow::anyhow!(
            "the list of tools could not be read, so the tool is judged by its name: {why}"
        ));
    }
    let rehearsal = dispatch::rehearse(&dispatch, list.ok().as_ref(), request, guard);
    tell(arguments, &rehearsal)
}

/// The tools that the upstream lists.
async fn list(settings: Settings) -> Result<RawJson, String> {
    let found = find_upstream(settings.demo, &settings.upstream).await;
    let (reached, _house) = found.map_err(|error| error.to_string())?;
    let deadline = Instant::now() + PATIENCE;
    let request = Request::new(Id::number(1), "tools/list", None);
    let upstream = reached.upstream;
    let answer = upstream.exchange(&request, &Context::own(), deadline).await;
    match answer.map_err(|trouble| trouble.to_string())?.payload {
        Payload::Result(result) => Ok(result),
        Payload::Error(error) => Err(format!("{error:?}")),
    }
}

fn tell(arguments: &Arguments, rehearsal: &Rehearsal) -> anyhow::Result<()> {
    let (decision, why) = match &rehearsal.outcome {
        Ok(None) => ("allowed", None),
        Ok(Some(question)) => ("confirm", Some(question.reason.clone())),
        Err(failure) => (failure.code.entry().name, failure.detail.clone()),
    };
    let explanation = Explanation {
        client: &arguments.client,
        tool: &arguments.tool,
        looks: rehearsal.looks,
        is_listed: rehearsal.is_listed,
        arguments: &rehearsal.arguments,
        decision,
        why,
    };
    if arguments.json {
        super::say(serde_json::to_string_pretty(&explanation)?);
        return Ok(());
    }
    let does = if rehearsal.looks { "looks" } else { "may act" };
    super::say(format_args!("client     {}", arguments.client));
    super::say(format_args!("tool       {} ({does})", arguments.tool));
    super::say(format_args!("arguments  {:?}", rehearsal.arguments));
    match explanation.why {
        Some(why) => super::say(format_args!("decision   {decision}: {why}")),
        None => super::say(format_args!("decision   {decision}")),
    }
    Ok(())
}
